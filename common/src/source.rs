//! The packaging sources: upstream's git repositories with our customization laid over them.
//!
//! Upstream's packages come from the git repositories of `repo_names` in their order (the first that has a package
//! wins), in the layout `svntogit` (`PKGBASE/repos/REPOSITORY-ARCH/`), `tree` (`REPOSITORY/PKGBASE/`, or `PKGBASE/`
//! with `repo_default__NAME`), `package` (the whole of it) or `state` (module `packages`). The customization repository
//! has `REPOSITORY/PKGBASE/` with files that replace or complete upstream's; its `PKGBUILD` is appended to upstream's, or is the whole of it. Usable on the master and on a
//! builder alike: everything is taken from the clones, at given commits, and nothing that is read is executed.

mod checkout;
mod content;
mod error;
mod heads;
mod layout;
mod mangle;
mod packages;
mod packaging;
mod patches;
mod rebuilds;
mod sub_release;
mod view;

pub use content::{Content, ContentId};
pub use error::SourceError;
pub use heads::Heads;
pub use sub_release::{SubPkgrel, SubRelease};
pub use view::{MergedView, Recipe, SourcePackage};

use std::path::PathBuf;
use std::sync::Arc;

use git2::Oid;

use crate::build_list::Order;
use crate::config::{Config, ConfigError};
use crate::git::{EntryKind, GitError, GitRepository};
use crate::names::{Arch, PkgBase, Repository, Revision};
use layout::Layout;
use packaging::Packaging;

/// A tree, and the git repository that has it.
type Part = (Arc<GitRepository>, Oid);

/// All git repositories of the configuration.
#[derive(Debug)]
pub struct Sources {
    packaging: Vec<Packaging>,
    customization: Option<Arc<GitRepository>>,
    arch: Arch,
    upstream_arch: Arch,
    repository_order: Vec<Repository>,
}

impl Sources {
    /// The git repositories that the configuration names. Nothing is read or fetched yet.
    ///
    /// # Errors
    /// A key is missing or wrong.
    pub fn open(config: &Config) -> Result<Self, ConfigError> {
        config.required("repo_names")?;
        let names: Vec<Repository> = config.parsed_words("repo_names")?;
        let customization = match config.parsed::<Repository>("customization_repo")? {
            Some(name) if names.contains(&name) => Some(name),
            Some(_) => return Err(config.refuse("customization_repo", "it is none of repo_names")),
            None if names.len() >= 2 => names.last().cloned(),
            None => None,
        };
        let upstream_arch = config.parsed("upstream_arch")?;
        let mut sources = Self {
            packaging: Vec::new(),
            customization: None,
            arch: config.arch()?,
            upstream_arch: match upstream_arch {
                Some(arch) => arch,
                None => default_upstream_arch(config)?,
            },
            repository_order: config.parsed_words("stable_package_repositories")?,
        };
        if sources.repository_order.is_empty() {
            sources.repository_order = ["core", "extra", "community"].iter().flat_map(|n| n.parse()).collect();
        }
        for (index, name) in names.iter().enumerate() {
            let is_twice = |other| Config::key_for("", other) == Config::key_for("", name);
            if names[..index].iter().any(is_twice) {
                return Err(config.refuse("repo_names", "two names are the same, or the same in keys"));
            }
            let path = match config.path(&Config::key_for("repo_paths__", name))? {
                Some(path) => path,
                None => default_clone(config, name)?,
            };
            let url = config.text(&Config::key_for("repo_urls__", name)).map(str::to_owned);
            let branch = config.parsed(&Config::key_for("repo_branch__", name))?;
            let git = Arc::new(GitRepository::new(name.clone(), path, url).with_branch(branch));
            if customization.as_ref() == Some(name) {
                sources.customization = Some(git);
            } else {
                sources.packaging.push(Packaging::configured(config, git)?);
            }
        }
        Ok(sources)
    }

    /// All git repositories, the customization last.
    pub fn repositories(&self) -> impl Iterator<Item = &GitRepository> {
        let packaging = self.packaging.iter().map(|packaging| packaging.git.as_ref());
        packaging.chain(self.customization())
    }

    /// The customization repository.
    #[must_use]
    pub fn customization(&self) -> Option<&GitRepository> {
        self.customization.as_deref()
    }

    /// The target architecture.
    #[must_use]
    pub fn arch(&self) -> &Arch {
        &self.arch
    }

    /// Fetches every git repository; one that is missing is cloned.
    ///
    /// # Errors
    /// The first that cannot be fetched.
    pub fn fetch(&self) -> Result<(), GitError> {
        self.repositories().try_for_each(GitRepository::fetch)
    }

    /// Whether every commit that an order names is in the clones; otherwise a fetch may help.
    ///
    /// # Errors
    /// A clone cannot be read.
    pub fn has_commits_of(&self, order: &Order) -> Result<bool, GitError> {
        if !self.repositories().all(|repository| repository.path().exists()) {
            return Ok(false);
        }
        let mut has_revision = false;
        for repository in self.repositories() {
            has_revision = has_revision || repository.tree_of(&order.revision)?.is_some();
        }
        let has_mod_revision = match &self.customization {
            Some(git) if order.mod_revision != Revision::none() => git.tree_of(&order.mod_revision)?.is_some(),
            _ => true,
        };
        Ok(has_revision && has_mod_revision)
    }

    /// When the younger of an order's two commits was made, Unix time: the SOURCE_DATE_EPOCH of its build.
    ///
    /// # Errors
    /// A clone cannot be read.
    pub fn commit_time(&self, order: &Order) -> Result<u64, GitError> {
        let mut latest = 0;
        for repository in self.repositories() {
            for revision in [&order.revision, &order.mod_revision] {
                latest = latest.max(repository.commit_time(revision)?.unwrap_or(0));
            }
        }
        Ok(latest)
    }

    /// The content that an order is built from.
    ///
    /// # Errors
    /// A commit is not in the clones, or a clone cannot be read.
    pub fn content(&self, order: &Order) -> Result<Content, SourceError> {
        let customization = self.customization_part(order)?;
        let mut is_known = false;
        for (index, packaging) in self.packaging.iter().enumerate() {
            let Some(tree) = packaging.git.tree_of(&order.revision)? else {
                continue;
            };
            is_known = true;
            let found = packaging.find(tree, order, &self.upstream_arch)?;
            if let Some(tree) = found {
                return Ok(Content::new(Some((index, tree)), customization, &self.arch));
            }
        }
        // The order of a package of ours alone may name a commit of the customization repository twice.
        if !is_known && !matches!(&self.customization, Some(git) if git.tree_of(&order.revision)?.is_some()) {
            return Err(SourceError::UnknownRevision {
                pkgbase: order.pkgbase.to_string(),
                revision: order.revision.clone(),
            });
        }
        Ok(Content::new(None, customization, &self.arch))
    }

    /// The git repository of upstream's that has a content; `None` for a package of ours alone.
    #[must_use]
    pub fn git_repository_of(&self, content: &Content) -> Option<&Repository> {
        let (index, _) = content.upstream?;
        Some(self.packaging.get(index)?.git.name())
    }

    /// Fetches what a content needs and the clones of [`Sources::fetch`] have not: in the layout `state` the commit of
    /// the package. False when that is nothing, in every other layout.
    ///
    /// # Errors
    /// The commit cannot be fetched, or what the state repository says of the package is refused.
    pub fn fetch_content(&self, pkgbase: &PkgBase, content: &Content) -> Result<bool, SourceError> {
        let upstream = content
            .upstream
            .and_then(|(index, id)| Some((self.packaging.get(index)?, id)));
        match upstream {
            Some((
                Packaging {
                    git,
                    layout: Layout::State(packages),
                    ..
                },
                id,
            )) => {
                packages.fetch(git, pkgbase, id)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// The committed `.SRCINFO` of a content, when nothing is laid over upstream's files and they are here.
    ///
    /// # Errors
    /// A clone cannot be read.
    pub fn committed_srcinfo(&self, pkgbase: &PkgBase, content: &Content) -> Result<Option<String>, SourceError> {
        let [Some((git, tree)), None] = self.parts(pkgbase, content)? else {
            return Ok(None);
        };
        match git.lookup(tree, ".SRCINFO")? {
            Some(entry) if entry.kind == EntryKind::File => {
                Ok(String::from_utf8(git.blob(entry.id, checkout::MAX_FILE)?).ok())
            }
            _ => Ok(None),
        }
    }

    /// The two trees of a content, upstream's and the customization's, with the git repositories that have them, as far
    /// as they have been fetched.
    fn parts(&self, pkgbase: &PkgBase, content: &Content) -> Result<[Option<Part>; 2], SourceError> {
        let upstream = content
            .upstream
            .and_then(|(index, id)| Some((self.packaging.get(index)?, id)));
        let upstream = match upstream {
            Some((
                Packaging {
                    git,
                    layout: Layout::State(packages),
                    ..
                },
                id,
            )) => packages.files(git, pkgbase, id)?,
            Some((Packaging { git, .. }, id)) => Some((Arc::clone(git), id)),
            None => None,
        };
        Ok([upstream, self.customization.clone().zip(content.customization)])
    }

    fn customization_part(&self, order: &Order) -> Result<Option<Oid>, SourceError> {
        let Some(git) = &self.customization else {
            return Ok(None);
        };
        if order.mod_revision == Revision::none() {
            return Ok(None);
        }
        let Some(tree) = git.tree_of(&order.mod_revision)? else {
            return Err(SourceError::UnknownRevision {
                pkgbase: order.pkgbase.to_string(),
                revision: order.mod_revision.clone(),
            });
        };
        let path = format!("{}/{}", order.repository, order.pkgbase);
        Ok(git
            .lookup(tree, &path)?
            .filter(|entry| entry.kind == EntryKind::Tree)
            .map(|entry| entry.id))
    }
}

fn default_upstream_arch(config: &Config) -> Result<Arch, ConfigError> {
    "x86_64"
        .parse()
        .map_err(|_| config.refuse("upstream_arch", "it is no architecture"))
}

fn default_clone(config: &Config, name: &Repository) -> Result<PathBuf, ConfigError> {
    Ok(config.required_path("work_dir")?.join("repos").join(name))
}
