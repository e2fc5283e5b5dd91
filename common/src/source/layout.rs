//! Where a git repository of upstream's keeps its packages.
//!
//! `svntogit`: `PKGBASE/repos/REPOSITORY-ARCH/`, ARCH being the followed architecture or `any` (the former wins);
//! `PKGBASE/trunk/` is ignored. `tree`: `REPOSITORY/PKGBASE/`, or `PKGBASE/` when `repo_default__NAME` says to which
//! repository all of them belong. `package`: the git repository is the directory of one package. `state`:
//! `REPOSITORY-ARCH/PKGBASE` is a file, see module `packages`. Package repositories for staging, testing and the
//! unstable ones are ignored.

use std::collections::BTreeMap;

use git2::Oid;

use super::packages::{PackageRepositories, newer};
use crate::build_list::Order;
use crate::config::{Config, ConfigError};
use crate::git::{Entry, EntryKind, GitError, GitRepository};
use crate::names::{Arch, PkgBase, Repository};

/// The layout of a git repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Layout {
    /// `PKGBASE/repos/REPOSITORY-ARCH/`.
    SvnToGit,
    /// `REPOSITORY/PKGBASE/`.
    Tree,
    /// `PKGBASE/`, all of one repository.
    Flat(Repository),
    /// The whole repository is the directory of this package of this repository.
    Package(Repository, PkgBase),
    /// `REPOSITORY-ARCH/PKGBASE` is a file that names a commit of the package's own git repository.
    State(PackageRepositories),
}

/// What a git repository has of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) pkgbase: PkgBase,
    pub(super) repository: Repository,
    /// The tree of its files; in the layout `state` the file that says where they are.
    pub(super) id: Oid,
}

impl Layout {
    /// The configured layout of a git repository.
    ///
    /// # Errors
    /// There is no such layout.
    pub(super) fn configured(config: &Config, name: &Repository) -> Result<Self, ConfigError> {
        let key = Config::key_for("repo_layout__", name);
        let default = config.parsed::<Repository>(&Config::key_for("repo_default__", name))?;
        match (config.text(&key), default) {
            (None | Some("svntogit"), _) => Ok(Self::SvnToGit),
            (Some("tree"), None) => Ok(Self::Tree),
            (Some("tree"), Some(repository)) => Ok(Self::Flat(repository)),
            (Some("package"), Some(repository)) => Ok(Self::Package(repository, only_package(config, name)?)),
            (Some("package"), None) => {
                Err(config.refuse(&key, "repo_default__NAME has to say to which repository it belongs"))
            }
            (Some("state"), _) => Ok(Self::State(PackageRepositories::configured(config, name)?)),
            (Some(_), _) => Err(config.refuse(&key, "it has to be svntogit, tree, package or state")),
        }
    }

    /// What is there of all packages below a tree; a package may be there several times. What could be a package but
    /// has no package's name is named in `strange`.
    pub(super) fn places(
        &self,
        git: &GitRepository,
        tree: Oid,
        arch: &Arch,
        strange: &mut Vec<String>,
    ) -> Result<Vec<Place>, GitError> {
        match self {
            Self::State(_) => return state_files(git, tree, arch, strange),
            Self::Package(repository, pkgbase) => {
                return Ok(vec![Place {
                    pkgbase: pkgbase.clone(),
                    repository: repository.clone(),
                    id: tree,
                }]);
            }
            Self::SvnToGit | Self::Tree | Self::Flat(_) => {}
        }
        let mut places = Vec::new();
        for entry in directories(git.entries(tree)?) {
            let pkgbase = parse::<PkgBase>(&entry);
            if pkgbase.is_none() && *self != Self::Tree && !entry.name.starts_with(b".") {
                strange.push(String::from_utf8_lossy(&entry.name).into_owned());
            }
            match self {
                Self::SvnToGit => {
                    let Some(pkgbase) = pkgbase else {
                        continue;
                    };
                    for (repository, id) in repositories(git, entry.id, arch)? {
                        places.push(Place {
                            pkgbase: pkgbase.clone(),
                            repository,
                            id,
                        });
                    }
                }
                Self::Tree => {
                    let repository = parse::<Repository>(&entry).filter(is_followed);
                    if let Some(repository) = repository {
                        places.extend(packages(git, entry.id, &repository)?);
                    }
                }
                Self::Flat(repository) => {
                    if let Some(pkgbase) = pkgbase {
                        places.push(Place {
                            pkgbase,
                            repository: repository.clone(),
                            id: entry.id,
                        });
                    }
                }
                Self::State(_) | Self::Package(..) => {}
            }
        }
        Ok(places)
    }

    /// The package that a path belongs to.
    pub(super) fn owner(&self, path: &str) -> Option<(Repository, PkgBase)> {
        let mut parts = path.split('/');
        let (first, second, third) = (parts.next()?, parts.next(), parts.next());
        let without_arch = |name: &str| name.rsplit_once('-')?.0.parse().ok();
        match self {
            Self::SvnToGit if second == Some("repos") => Some((without_arch(third?)?, first.parse().ok()?)),
            Self::SvnToGit => None,
            Self::Tree => Some((first.parse().ok()?, second?.parse().ok()?)),
            Self::Flat(repository) => Some((repository.clone(), first.parse().ok()?)),
            Self::Package(repository, pkgbase) => Some((repository.clone(), pkgbase.clone())),
            Self::State(_) => Some((without_arch(first)?, second?.parse().ok()?)),
        }
    }

    /// What an order is built from: its directory, in the layout `state` its file.
    pub(super) fn find(
        &self,
        git: &GitRepository,
        tree: Oid,
        order: &Order,
        arch: &Arch,
    ) -> Result<Option<Oid>, GitError> {
        let Order {
            pkgbase, repository, ..
        } = order;
        let paths = match self {
            Self::SvnToGit => vec![
                format!("{pkgbase}/repos/{repository}-{arch}"),
                format!("{pkgbase}/repos/{repository}-any"),
            ],
            Self::Tree => vec![format!("{repository}/{pkgbase}")],
            Self::Flat(of_all) if of_all == repository => vec![pkgbase.to_string()],
            Self::Flat(_) => Vec::new(),
            Self::Package(of, only) => return Ok((of == repository && only == pkgbase).then_some(tree)),
            Self::State(_) => {
                let file = |of_arch: &str| {
                    let entry = git.lookup(tree, &format!("{repository}-{of_arch}/{pkgbase}"))?;
                    Ok(entry.filter(is_file).map(|entry| entry.id))
                };
                return Ok(match (file(arch.as_str())?, file("any")?) {
                    (Some(first), Some(second)) => Some(newer(git, pkgbase, (first, second))),
                    (first, second) => first.or(second),
                });
            }
        };
        for path in paths {
            let entry = git.lookup(tree, &path)?;
            if let Some(entry) = entry.filter(|entry| entry.kind == EntryKind::Tree) {
                return Ok(Some(entry.id));
            }
        }
        Ok(None)
    }
}

/// The one package of the layout `package`.
fn only_package(config: &Config, name: &Repository) -> Result<PkgBase, ConfigError> {
    let key = Config::key_for("repo_only__", name);
    match config.parsed_words(&key)?.as_slice() {
        [pkgbase] => Ok(PkgBase::clone(pkgbase)),
        _ => Err(config.refuse(&key, "with the layout package it has to name the one package")),
    }
}

/// The directories `PKGBASE/` below `REPOSITORY/`.
pub(super) fn packages(git: &GitRepository, tree: Oid, repository: &Repository) -> Result<Vec<Place>, GitError> {
    Ok(directories(git.entries(tree)?)
        .filter_map(|entry| {
            Some(Place {
                pkgbase: parse(&entry)?,
                repository: repository.clone(),
                id: entry.id,
            })
        })
        .collect())
}

/// What lies in `REPOSITORY/PKGBASE/` directories below a tree.
pub(super) fn repository_places(git: &GitRepository, tree: Oid) -> Result<Vec<Place>, GitError> {
    let mut places = Vec::new();
    for entry in directories(git.entries(tree)?) {
        if let Some(repository) = parse::<Repository>(&entry).filter(is_followed) {
            places.extend(packages(git, entry.id, &repository)?);
        }
    }
    Ok(places)
}

/// The package repositories of one package in the svntogit layout.
fn repositories(git: &GitRepository, tree: Oid, arch: &Arch) -> Result<Vec<(Repository, Oid)>, GitError> {
    let Some(repos) = git.lookup(tree, "repos")?.filter(|entry| entry.kind == EntryKind::Tree) else {
        return Ok(Vec::new());
    };
    let mut found: Vec<(Repository, Oid)> = Vec::new();
    for entry in directories(git.entries(repos.id)?) {
        let Some((name, of_arch)) = entry.text().and_then(|name| name.rsplit_once('-')) else {
            continue;
        };
        let Some(repository) = name.parse::<Repository>().ok().filter(is_followed) else {
            continue;
        };
        let known = found.iter_mut().find(|(other, _)| *other == repository);
        match (of_arch == arch.as_str(), of_arch == "any", known) {
            (true, _, Some(place)) => place.1 = entry.id,
            (true, _, None) | (_, true, None) => found.push((repository, entry.id)),
            _ => {}
        }
    }
    Ok(found)
}

/// The files of all packages in the layout `state`.
fn state_files(git: &GitRepository, tree: Oid, arch: &Arch, strange: &mut Vec<String>) -> Result<Vec<Place>, GitError> {
    let mut found: BTreeMap<(PkgBase, Repository), Oid> = BTreeMap::new();
    for of_arch in [arch.as_str(), "any"] {
        for directory in directories(git.entries(tree)?) {
            let name = directory.text().and_then(|name| name.rsplit_once('-'));
            let repository = name
                .filter(|(_, suffix)| *suffix == of_arch)
                .and_then(|(name, _)| name.parse().ok())
                .filter(is_followed);
            let Some(repository) = repository else {
                continue;
            };
            for entry in git.entries(directory.id)?.into_iter().filter(is_file) {
                let Some(pkgbase) = parse::<PkgBase>(&entry) else {
                    strange.push(format!(
                        "{repository}-{of_arch}/{}",
                        String::from_utf8_lossy(&entry.name)
                    ));
                    continue;
                };
                let key = (pkgbase, repository.clone());
                let id = match found.get(&key) {
                    Some(first) => newer(git, &key.0, (*first, entry.id)),
                    None => entry.id,
                };
                found.insert(key, id);
            }
        }
    }
    let place = |((pkgbase, repository), id)| Place {
        pkgbase,
        repository,
        id,
    };
    Ok(found.into_iter().map(place).collect())
}

/// Upstream's staging and testing are not followed, and the unstable ones neither.
fn is_followed(repository: &Repository) -> bool {
    !["staging", "testing", "unstable"]
        .iter()
        .any(|part| repository.as_str().contains(part))
}

fn directories(entries: Vec<Entry>) -> impl Iterator<Item = Entry> {
    entries.into_iter().filter(|entry| entry.kind == EntryKind::Tree)
}

fn is_file(entry: &Entry) -> bool {
    matches!(entry.kind, EntryKind::File | EntryKind::Executable)
}

fn parse<T: std::str::FromStr>(entry: &Entry) -> Option<T> {
    entry.text()?.parse().ok()
}
