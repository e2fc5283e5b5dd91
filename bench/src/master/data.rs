//! The state directories that the master's tools are measured on, made by the tools themselves.
//!
//! One directory is for assignments, another one, with the same content, for updates, which are set back each time.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use common::atomic;
use common::build_list::{BuildList, Order};
use common::state::{State as Known, States};

use super::sources;
use crate::measure::Program;

/// State files in all.
const STATES: usize = 2_000;
/// What get-package-updates sets back when it is run again from before the changes.
const WRITTEN: [&str; 5] = [
    "build-list",
    "build-graph",
    "deletion-list",
    "packages.revision",
    "customization.revision",
];

/// Everything that is measured on.
pub(super) struct Port {
    directory: PathBuf,
    /// Scheduling every package for the first time.
    pub(super) first_run: Duration,
    /// Asks for an assignment; the builder is still to be set.
    pub(super) get_assignment: Program,
    /// Returns one; builder, order and input are still to be set.
    pub(super) return_assignment: Program,
    /// The state directory for updates.
    pub(super) updates: State,
    commits: (String, String),
    logs: Cell<usize>,
}

/// A state directory with its configuration.
pub(super) struct State {
    work_dir: PathBuf,
    config: PathBuf,
    before: PathBuf,
}

impl Port {
    /// Makes all data below a directory.
    pub(super) fn make(directory: &Path) -> anyhow::Result<Self> {
        let remotes = directory.join("remotes");
        atomic::create_directory(&remotes)?;
        sources::import(&remotes.join("packages"), sources::commit(1, |_| true))?;
        sources::import(&remotes.join("customization"), sources::lists())?;
        publish(&directory.join("repositories"))?;
        let master = State::new(directory, "master")?;
        let first_run = master.program("get-package-updates")?.run()?.time;
        let first = read(&master.work_dir.join("packages.revision"))?;
        make_states(&master.work_dir)?;
        let updates = State::new(directory, "updates")?;
        copy(&master.work_dir, &updates.work_dir)?;
        copy(&master.work_dir, &updates.before)?;
        let step = sources::PACKAGES / sources::CHANGED;
        sources::import(
            &remotes.join("packages"),
            sources::commit(2, |number| number % step == 7),
        )?;
        updates.program("get-package-updates")?.run()?;
        let second = read(&updates.work_dir.join("packages.revision"))?;
        Ok(Self {
            directory: directory.to_owned(),
            first_run,
            get_assignment: master.program("get-assignment")?,
            return_assignment: master.program("return-assignment")?,
            updates,
            commits: (first, second),
            logs: Cell::new(0),
        })
    }

    /// The peer of change detection, on the same commits; `None` without git.
    pub(super) fn git_diff(&self) -> Option<Program> {
        let clone = self.directory.join("clones/packages");
        let git = Program::of_system("git")?.args(["--git-dir"]).args([clone]);
        Some(git.args(["diff", "--name-status", &self.commits.0, &self.commits.1]))
    }

    /// Ends all leases, so that no more builders have one than ask.
    pub(super) fn forget_builders(&self) -> anyhow::Result<()> {
        let builders = self.directory.join("master/builders");
        for entry in fs::read_dir(&builders).with_context(|| format!("cannot read {}", builders.display()))? {
            atomic::remove(&entry?.path())?;
        }
        Ok(())
    }

    /// A fresh upload of logs, each with a name of its own as builders give it.
    pub(super) fn logs(&self) -> anyhow::Result<PathBuf> {
        let number = self.logs.get();
        self.logs.set(number + 1);
        let path = self.directory.join("logs.tar");
        let mut archive = tar::Builder::new(Vec::new());
        let content = vec![b'x'; 20_000];
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, format!("{number:08}.build-log.gz"), &content[..])?;
        atomic::write(&path, &archive.into_inner()?)?;
        Ok(path)
    }
}

impl State {
    fn new(directory: &Path, name: &str) -> anyhow::Result<Self> {
        let place = directory.display();
        let config = directory.join(format!("{name}.conf"));
        let text = format!(
            "work_dir={place}/{name}\n\
             arch=x86_64\n\
             repo_names=\"packages customization\"\n\
             repo_paths__packages={place}/clones/packages\n\
             repo_paths__customization={place}/clones/customization\n\
             repo_urls__packages=file://{place}/remotes/packages\n\
             repo_urls__customization=file://{place}/remotes/customization\n\
             repo_dir={place}/repositories\n"
        );
        atomic::write(&config, text.as_bytes())?;
        let work_dir = directory.join(name);
        atomic::create_directory(&work_dir)?;
        Ok(Self {
            work_dir,
            config,
            before: directory.join(format!("{name}.before")),
        })
    }

    /// A program that works on it.
    pub(super) fn program(&self, name: &str) -> anyhow::Result<Program> {
        Ok(Program::of_project(name)?.env("PORTSMITH_CONFIG", &self.config))
    }

    /// Sets it back to before the changes; the clones stay.
    pub(super) fn rewind(&self) -> anyhow::Result<()> {
        for name in WRITTEN {
            let content = atomic::read(&self.before.join(name))?.unwrap_or_default();
            atomic::write(&self.work_dir.join(name), &content)?;
        }
        Ok(())
    }
}

/// Published files of as many packages, of which only the names count.
fn publish(repositories: &Path) -> anyhow::Result<()> {
    let pool = repositories.join("pool");
    atomic::create_directory(&pool)?;
    for repository in ["core", "extra", "community"] {
        atomic::create_directory(&repositories.join(repository).join("os/x86_64"))?;
    }
    for number in 0..sources::PACKAGES {
        let file = format!("{}-1.{number}-0.0-x86_64.pkg.tar.zst", sources::name(number));
        let public = repositories.join(sources::repository(number)).join("os/x86_64");
        for file in [format!("{file}.sig"), file] {
            let path = pool.join(&file);
            fs::File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
            fs::hard_link(&path, public.join(&file)).with_context(|| format!("cannot link {}", path.display()))?;
        }
    }
    Ok(())
}

/// States as they gather in the course of a rebuild: failures, blocks and left-over names of builders on the list, and
/// packages that have been built.
fn make_states(work_dir: &Path) -> anyhow::Result<()> {
    let states = States::new(work_dir.join("package-states"));
    let (list, _) = BuildList::read(&work_dir.join("build-list"))?;
    let orders: Vec<&Order> = list.orders().collect();
    let step = orders.len() / STATES;
    for (index, order) in orders.iter().step_by(step.max(1)).take(STATES).enumerate() {
        let older = Order {
            revision: "1".repeat(40).parse()?,
            ..(*order).clone()
        };
        let file = format!("{}-1-1.0-x86_64.pkg.tar.zst", order.pkgbase);
        match index % 10 {
            0..=3 => states.write(order, Known::Broken, ["eurobuild 1500000000", "eurobuild 1500003600"])?,
            4 => states.write(order, Known::Blocked, ["wait for FS#12345"])?,
            5 => states.write(order, Known::Locked, ["eurobuild"])?,
            6 => states.write(&older, Known::Done, [file])?,
            7 => states.write(&older, Known::Testing, [file])?,
            _ => states.write(&older, Known::Tested, [file])?,
        }
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<String> {
    let text = atomic::read_text(path)?.with_context(|| format!("{} is missing", path.display()))?;
    Ok(text.trim().to_owned())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    atomic::create_directory(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).with_context(|| format!("cannot copy {}", target.display()))?;
        }
    }
    Ok(())
}
