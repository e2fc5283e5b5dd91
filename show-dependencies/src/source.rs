//! Where the graph comes from: sync databases, `.SRCINFO` files, a build-graph, pairs, or the published repositories.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use common::atomic::{self, FileError};
use common::cli::Messages;
use common::config::Config;
use common::graph::{Needs, Packages};
use common::names::{Arch, PkgBase};
use common::repository::{Repositories, SonameLists};
use common::srcinfo::SrcInfo;
use common::sync_database::Databases;
use common::work_dir::WorkDir;

use crate::cli::SourceArgs;
use crate::edges;

/// What was read.
#[derive(Debug)]
pub(crate) enum Source {
    Databases(Databases),
    SrcInfos(BTreeMap<PkgBase, SrcInfo>),
    /// Edges between names: the names, sorted, and whom each needs.
    Edges(Vec<PkgBase>, Needs),
}

/// Whether what files of published packages need is read, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Libraries {
    Declared,
    Built,
}

/// The graph, in which questions are asked.
pub(crate) struct View<'a> {
    /// Sorted: the place of a name is its node.
    pub(crate) names: Cow<'a, [PkgBase]>,
    /// Whom each needs.
    pub(crate) needs: Cow<'a, Needs>,
    /// Where the packages' own words are known.
    pub(crate) packages: Option<Packages<'a>>,
}

impl Source {
    /// Reads what the command line names, but for pairs.
    pub(crate) fn read(
        args: &SourceArgs,
        libraries: Libraries,
        messages: &Messages,
        config: impl FnOnce() -> anyhow::Result<Config>,
    ) -> anyhow::Result<Self> {
        if !args.database.is_empty() {
            let databases = Databases::read(&args.database)?;
            databases
                .complaints
                .iter()
                .for_each(|complaint| messages.error(complaint));
            return Ok(Self::Databases(databases));
        }
        if !args.srcinfo.is_empty() {
            return srcinfos(&args.srcinfo, &args.arch, messages).map(Self::SrcInfos);
        }
        if args.list || args.graph.is_some() {
            let path = match &args.graph {
                Some(path) => path.clone(),
                None => WorkDir::open(&config()?)?.build_graph(),
            };
            let (names, needs) = edges::of_build_graph(&path, messages)?;
            return Ok(Self::Edges(names, needs));
        }
        published(&config()?, libraries, messages).map(Self::Databases)
    }

    /// Reads pairs.
    pub(crate) fn of_pairs(path: &Path, stdin: &mut dyn Read) -> anyhow::Result<Self> {
        edges::of_pairs(path, stdin).map(|(names, needs)| Self::Edges(names, needs))
    }

    /// The graph of it.
    pub(crate) fn view(&self) -> View<'_> {
        let packages = match self {
            Self::Databases(databases) => databases.packages(),
            Self::SrcInfos(infos) => Packages::new(infos.iter().map(|(name, info)| (name, Some(info)))),
            Self::Edges(names, needs) => {
                return View {
                    names: Cow::Borrowed(names),
                    needs: Cow::Borrowed(needs),
                    packages: None,
                };
            }
        };
        View {
            names: packages.names().iter().map(|name| (*name).clone()).collect(),
            needs: Cow::Owned(packages.chosen()),
            packages: Some(packages),
        }
    }
}

impl View<'_> {
    /// The node of a pkgbase.
    pub(crate) fn node(&self, name: &str) -> Option<u32> {
        let place = self.names.binary_search_by(|it| it.as_str().cmp(name)).ok()?;
        u32::try_from(place).ok()
    }
}

fn published(config: &Config, libraries: Libraries, messages: &Messages) -> anyhow::Result<Databases> {
    let repositories = Repositories::open(config)?;
    let all: Vec<_> = repositories
        .classes()
        .all()
        .map(|(repository, _)| repository.clone())
        .collect();
    let files = all
        .iter()
        .map(|repository| repositories.path(repository).join(format!("{repository}.db")));
    let files: Vec<PathBuf> = files.filter(|file| file.exists()).collect();
    let mut databases = Databases::read(&files)?;
    databases
        .complaints
        .iter()
        .for_each(|complaint| messages.error(complaint));
    if libraries == Libraries::Built {
        let lists = SonameLists::new(WorkDir::open(config)?.soname_lists());
        for repository in &all {
            for entry in repositories.packages(repository)? {
                // Without its list a package is asked for what it declares.
                match lists.of(&repositories, &entry) {
                    Ok(sonames) => databases.add_sonames(&entry.pkgbase, &entry.name, &sonames),
                    Err(error) => messages.error(error),
                }
            }
        }
    }
    Ok(databases)
}

/// Every `.SRCINFO` of some files and directories; what cannot be read as one is said and left out.
fn srcinfos(paths: &[PathBuf], arch: &Arch, messages: &Messages) -> anyhow::Result<BTreeMap<PkgBase, SrcInfo>> {
    let mut files = Vec::new();
    for path in paths {
        find(path, &mut files)?;
    }
    files.sort();
    let mut infos = BTreeMap::new();
    for file in files {
        let text = atomic::read_text(&file)?.unwrap_or_default();
        match SrcInfo::parse(&text, arch) {
            Ok(info) => {
                infos.insert(info.pkgbase.clone(), info);
            }
            Err(error) => messages.error(format_args!("{} is left out: {error}", file.display())),
        }
    }
    Ok(infos)
}

fn find(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), FileError> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path).map_err(FileError::at("read", path))? {
        let entry = entry.map_err(FileError::at("read", path))?;
        let kind = entry.file_type().map_err(FileError::at("look at", entry.path()))?;
        let name = entry.file_name();
        if kind.is_dir() {
            find(&entry.path(), files)?;
        } else if name == ".SRCINFO" || name.to_string_lossy().ends_with(".srcinfo") {
            files.push(entry.path());
        }
    }
    Ok(())
}
