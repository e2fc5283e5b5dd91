//! The published repositories: a pool of package files, and generations of databases that are flipped by one rename.
//!
//! ```text
//! repo_dir/
//!   pool/FILE  pool/FILE.sig          every published file once; never replaced
//!   REPO/os/ARCH/                     (key `repo_path`)
//!     FILE  FILE.sig                  hard links to the pool
//!     REPO.db REPO.db.tar.gz REPO.files REPO.files.tar.gz (+ .sig)   fixed links into .current/
//!     .current → .generations/N       what a flip renames
//!     .generations/N/                 databases and signatures of one generation, read-only
//!     .leaving                        `Unix-time file`: links that no database names any more, and since when
//!   .transactions/N                   what a transaction did, so that it can be taken back
//!   lastupdate                        Unix time of the last change
//!   .publish-pending .publish-running .refresh-pending     what the world has not been told, see [`publish`]
//! ```
//!
//! Invariants: no database ever names a file that is absent; a generation number belongs to one [`Transaction`] over all
//! repositories; a database's modification time is later than its predecessor's in whole seconds. Changes are made with
//! the package-database lock held ([`crate::work_dir`]), and within it with repo-add's own lock of each repository.

mod check;
pub mod class;
mod cleaning;
mod commit;
mod database;
mod database_lock;
mod directory;
mod entry;
mod history;
mod pool;
mod publish;
mod published;
mod recovery;
mod repair;
mod rewriting;
mod rollback;
mod segments;
mod signing;
mod soname_lists;
mod stock;
mod superseded;
mod transaction;
mod transition;
mod versions;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use check::{Fault, Problem};
pub use class::{Class, Classes};
pub use commit::Commit;
pub use entry::{Entry, EntryError};
pub use history::Record;
pub use publish::PublishError;
pub use soname_lists::SonameLists;
pub use superseded::{Arrival, Contents};
pub use transaction::{NewPackage, Transaction};
pub use transition::{Standing, Transition};

use crate::archive::ArchiveError;
use crate::atomic::FileError;
use crate::config::{Config, ConfigError, Environment};
use crate::names::{Arch, FileName, NameError, PkgName, Repository};
use crate::process::ProcessError;
use crate::version::PackageFileName;
use directory::Directory;
use publish::Announcing;
use signing::Signing;

/// A repository that cannot be read or changed.
#[derive(Debug, Error)]
pub enum RepositoryError {
    /// A configuration key is missing or wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A database is damaged.
    #[error("the database {}: {source}", path.display())]
    Archive {
        /// The database.
        path: PathBuf,
        /// The cause.
        #[source]
        source: ArchiveError,
    },
    /// An entry of a database cannot be understood.
    #[error("the database {}: {source}", path.display())]
    Entry {
        /// The database.
        path: PathBuf,
        /// The cause.
        #[source]
        source: EntryError,
    },
    /// A file name is too long.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Somebody else changes the repository.
    #[error("{} is held by {holder}", path.display())]
    Busy {
        /// repo-add's lock file.
        path: PathBuf,
        /// Its pid, as far as known.
        holder: String,
    },
    /// Another file of the same name has been published.
    #[error("{0} has been published with other content, and published files are never replaced")]
    Differs(FileName),
    /// A database would name a file that is absent.
    #[error("{file} of the repository {repository} is absent")]
    Absent {
        /// The repository.
        repository: Repository,
        /// The file.
        file: FileName,
    },
    /// A package is to be taken from where it is not.
    #[error("the repository {repository} has no package {name}")]
    NoPackage {
        /// The repository.
        repository: Repository,
        /// The package.
        name: PkgName,
    },
    /// A generation was removed because it was old.
    #[error("generation {number} of {repository} is not kept any more")]
    NotKept {
        /// The repository.
        repository: Repository,
        /// The generation.
        number: u64,
    },
    /// The repository is not configured.
    #[error("the repository {0} is in none of the configured classes")]
    Unknown(Repository),
    /// A database cannot be signed.
    #[error("the databases cannot be signed: {0}")]
    Sign(#[from] ProcessError),
}

/// All repositories of the configuration.
#[derive(Debug, Clone)]
pub struct Repositories {
    root: PathBuf,
    arch: Arch,
    pattern: String,
    classes: Classes,
    signing: Option<Signing>,
    announcing: Announcing,
    grace_seconds: u64,
    kept_generations: u64,
    kept_versions: u64,
}

impl Repositories {
    /// The repositories that the configuration names. Nothing is made before the first transaction.
    ///
    /// # Errors
    /// `repo_dir` is missing or a key is wrong.
    pub fn open(config: &Config) -> Result<Self, RepositoryError> {
        let pattern = config.text("repo_path").unwrap_or("$repo/os/$arch").to_owned();
        let is_inside = Path::new(&pattern)
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        if !pattern.contains("$repo") || !is_inside {
            return Err(config
                .refuse("repo_path", "it has to be a relative path with $repo in it")
                .into());
        }
        Ok(Self {
            root: config.required_path("repo_dir")?,
            arch: config.arch()?,
            pattern,
            classes: Classes::from_config(config)?,
            signing: Signing::from_config(config)?,
            announcing: Announcing::from_config(config)?,
            grace_seconds: config.number("grace_seconds", 86400)?,
            kept_generations: config.number("kept_generations", 10)?,
            kept_versions: config.number("kept_versions", 1)?,
        })
    }

    /// Lets gpg find `repo_key` where this environment says: GNUPGHOME, else `.gnupg` in HOME. Without either it is
    /// the home directory of the account.
    #[must_use]
    pub fn with_environment(mut self, environment: &Environment) -> Self {
        self.signing = self.signing.map(|signing| signing.with_environment(environment));
        self
    }

    /// The classes of repositories.
    #[must_use]
    pub fn classes(&self) -> &Classes {
        &self.classes
    }

    /// The directory that pacman's `Server` points to for one repository.
    #[must_use]
    pub fn path(&self, repository: &Repository) -> PathBuf {
        let relative = self
            .pattern
            .replace("$repo", repository.as_str())
            .replace("$arch", self.arch.as_str());
        self.root.join(relative)
    }

    /// The packages of one repository, by name; none when it has not been made yet.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn packages(&self, repository: &Repository) -> Result<Vec<Entry>, RepositoryError> {
        stock::Stock::entries(&self.directory(repository))
    }

    /// Of several repositories those packages that have one of these names. It costs as much as the packages, not as the
    /// repositories.
    ///
    /// # Errors
    /// A database cannot be read.
    pub fn contents_of<'a>(
        &self,
        repositories: impl IntoIterator<Item = &'a Repository>,
        names: &BTreeSet<PkgName>,
    ) -> Result<Contents, RepositoryError> {
        let entries = |repository: &Repository| {
            let directory = self.directory(repository);
            let records = stock::Stock::look_up(&directory, names)?.into_values();
            let path = directory.path;
            let parsed = records.map(|record| {
                Entry::parse(&record.desc).map_err(|source| RepositoryError::Entry {
                    path: path.clone(),
                    source,
                })
            });
            parsed.collect::<Result<Vec<_>, _>>()
        };
        repositories
            .into_iter()
            .map(|name| Ok((name.clone(), entries(name)?)))
            .collect()
    }

    /// The packages of several repositories.
    ///
    /// # Errors
    /// A database cannot be read.
    pub fn contents<'a>(
        &self,
        repositories: impl IntoIterator<Item = &'a Repository>,
    ) -> Result<Contents, RepositoryError> {
        repositories
            .into_iter()
            .map(|name| Ok((name.clone(), self.packages(name)?)))
            .collect()
    }

    /// The names of all package files that lie in the pool or in a repository, from directory names alone.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn file_names(&self) -> Result<Vec<PackageFileName>, RepositoryError> {
        Ok(published::list(&self.places())?
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect())
    }

    /// As [`Repositories::file_names`], of some packages only. What the directories hold is kept in the file `cache` for
    /// as long as they do not change.
    ///
    /// # Errors
    /// A directory cannot be read, or the cache cannot be written.
    pub fn file_names_of(&self, packages: &BTreeSet<PkgName>, cache: &Path) -> Result<Vec<PackageFileName>, FileError> {
        published::of_packages(&self.places(), packages, cache)
    }

    /// The directories of package files.
    fn places(&self) -> Vec<PathBuf> {
        let of_repositories = self.classes.all().map(|(name, _)| self.path(name));
        std::iter::once(self.pool()).chain(of_repositories).collect()
    }

    /// The published file of this name: `None` when the pool has none.
    #[must_use]
    pub fn published(&self, name: &FileName) -> Option<PathBuf> {
        Some(self.pool().join(name)).filter(|path| path.is_file())
    }

    /// Whether every configured repository has a database, so that pacman can be pointed at all of them.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn are_made(&self) -> Result<bool, RepositoryError> {
        for (name, _) in self.classes.all() {
            if self.directory(name).current()?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// An empty transaction.
    pub fn transaction(&self) -> Transaction<'_> {
        Transaction::new(self)
    }

    fn pool(&self) -> PathBuf {
        self.root.join("pool")
    }

    fn directory(&self, repository: &Repository) -> Directory {
        Directory::new(repository.clone(), self.path(repository))
    }

    /// A path below `repo_dir`, relative to it.
    fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}
