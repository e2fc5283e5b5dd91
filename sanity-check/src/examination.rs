//! The checks. What the next run of a tool mends by itself is a remark and no complaint: a killed tool must not stop the
//! very run that would complete its work.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use common::agreement::{self, Disagreement};
use common::atomic;
use common::build_list::BuildList;
use common::config::Config;
use common::names::{PkgBase, Repository, Revision};
use common::repository::{Fault, Problem, Repositories};
use common::source::Sources;
use common::state::State;
use common::work_dir::WorkDir;
use serde::Serialize;

use crate::cli::Check;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Complaint {
    pub(crate) check: Check,
    pub(crate) complaint: String,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// What only a person can mend.
    pub(crate) complaints: Vec<Complaint>,
    /// What mends itself.
    pub(crate) remarks: Vec<String>,
}

/// The master's side.
pub(crate) struct Examination<'a> {
    pub(crate) config: &'a Config,
    pub(crate) work_dir: &'a WorkDir,
    pub(crate) repositories: &'a Repositories,
}

impl Examination<'_> {
    /// Makes these checks, with all locks held.
    ///
    /// # Errors
    /// Something cannot be looked at: the machine's trouble.
    pub(crate) fn make(&self, checks: &[Check]) -> anyhow::Result<Findings> {
        let mut findings = Findings::default();
        for check in checks {
            let complaints = match check {
                Check::GitRepositories => self.git_repositories()?,
                Check::BuildList => self.build_list()?,
                Check::Repos => self.repos()?,
                Check::PackageDatabase => self.package_database(&mut findings.remarks)?,
                Check::StateFiles => self.state_files(&mut findings.remarks)?,
            };
            findings
                .complaints
                .extend(complaints.into_iter().map(|complaint| Complaint {
                    check: *check,
                    complaint,
                }));
        }
        Ok(findings)
    }

    fn git_repositories(&self) -> anyhow::Result<Vec<String>> {
        let sources = Sources::open(self.config)?;
        let mut complaints = Vec::new();
        for git in sources.repositories() {
            let path = self.work_dir.revision(git.name());
            let Some(text) = atomic::read_text(&path)? else {
                continue;
            };
            let complaint = match text.trim().parse::<Revision>() {
                Err(error) => Some(error.to_string()),
                Ok(revision) => match git.tree_of(&revision) {
                    Ok(Some(_)) => None,
                    Ok(None) => Some(format!("the clone has no commit {revision}, which was processed last")),
                    Err(error) => Some(error.to_string()),
                },
            };
            complaints.extend(complaint.map(|complaint| format!("{}: {complaint}", git.name())));
        }
        Ok(complaints)
    }

    fn build_list(&self) -> anyhow::Result<Vec<String>> {
        let (list, slips) = BuildList::read(&self.work_dir.build_list())?;
        let mut complaints: Vec<String> = slips
            .iter()
            .map(|slip| format!("build-list line {}: {}", slip.line, slip.error))
            .collect();
        let deletions = atomic::read_text(&self.work_dir.deletion_list())?.unwrap_or_default();
        for (index, name) in deletions.lines().map(str::trim).enumerate() {
            match name.parse::<PkgBase>() {
                Err(_) if name.is_empty() => {}
                Err(error) => complaints.push(format!("deletion-list line {}: {error}", index + 1)),
                Ok(name) if list.order_of(&name).is_some() => {
                    complaints.push(format!("{name} is on the build list and on the deletion list"));
                }
                Ok(_) => {}
            }
        }
        Ok(complaints)
    }

    /// Directories of repositories that no class has.
    fn repos(&self) -> anyhow::Result<Vec<String>> {
        let root = self.config.required_path("repo_dir")?;
        let pattern = self.config.text("repo_path").unwrap_or("$repo/os/$arch");
        let arch = self.config.arch()?;
        let above: Vec<Component<'_>> = Path::new(pattern)
            .components()
            .take_while(|part| *part != Component::Normal("$repo".as_ref()))
            .collect();
        let directory = above.iter().fold(root, |path, part| {
            path.join(part.as_os_str().to_string_lossy().replace("$arch", arch.as_str()))
        });
        let Ok(entries) = std::fs::read_dir(&directory) else {
            return Ok(Vec::new());
        };
        let mut unknown = BTreeSet::new();
        for entry in entries {
            let name = entry?.file_name();
            let repository = name.to_str().and_then(|name| name.parse::<Repository>().ok());
            unknown.extend(repository.filter(|name| {
                let is_published = self.repositories.path(name).join(format!("{name}.db")).exists();
                is_published && self.repositories.classes().class_of(name).is_none()
            }));
        }
        let complain = |name: &Repository| format!("the repository {name} is published and in none of the classes");
        Ok(unknown.iter().map(complain).collect())
    }

    fn package_database(&self, remarks: &mut Vec<String>) -> anyhow::Result<Vec<String>> {
        let (passing, lasting): (Vec<Problem>, Vec<Problem>) = self
            .repositories
            .check()?
            .into_iter()
            .partition(|problem| mends_itself(&problem.fault));
        // Before the first transaction there is none anywhere.
        let is_empty = |problem: &Problem| problem.fault == Fault::NoDatabase;
        remarks.extend(
            passing
                .iter()
                .filter(|problem| !is_empty(problem))
                .map(Problem::to_string),
        );
        let mut complaints: Vec<String> = lasting.iter().map(Problem::to_string).collect();
        if self.config.switch("require_signatures", true)? {
            complaints.extend(self.unsigned());
        }
        Ok(complaints)
    }

    /// Published packages without a signature beside them.
    fn unsigned(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        for (repository, _) in self.repositories.classes().all() {
            // That a database cannot be read has been found already.
            for entry in self.repositories.packages(repository).unwrap_or_default() {
                let is_signed = |file: &Path| file.with_file_name(format!("{}.sig", entry.file_name)).is_file();
                if self
                    .repositories
                    .published(&entry.file_name)
                    .is_some_and(|file| !is_signed(&file))
                {
                    complaints.push(format!("{repository}: {} has no signature", entry.file_name));
                }
            }
        }
        complaints
    }

    fn state_files(&self, remarks: &mut Vec<String>) -> anyhow::Result<Vec<String>> {
        let states = self.work_dir.states();
        let is_begun = !self.repositories.unsettled()?.is_empty();
        let locked: BTreeSet<PkgBase> = states
            .with(State::Locked)?
            .into_iter()
            .map(|order| order.pkgbase)
            .collect();
        // A move that was killed is completed by db-update, a return by its builder, which still has the order.
        let is_passing = |found: &Disagreement| match found {
            _ if is_begun => true,
            Disagreement::Stateless { pkgbase, .. } => locked.contains(pkgbase),
            Disagreement::Misplaced { .. } => false,
        };
        let (passing, lasting): (Vec<_>, Vec<_>) = agreement::disagreements(&states, self.repositories)?
            .into_iter()
            .partition(is_passing);
        remarks.extend(passing.iter().map(ToString::to_string));
        Ok(lasting.iter().map(ToString::to_string).collect())
    }
}

/// What the next transaction completes or makes.
const fn mends_itself(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::NoDatabase | Fault::Foreign | Fault::Unfinished(_) | Fault::Links
    )
}
