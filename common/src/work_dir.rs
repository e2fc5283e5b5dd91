//! The state directory of the build master: where each file of it lies, and the locks in their order.
//!
//! Lock order: build-list, package-database, sanity-check (shared), and last the journal's own; never otherwise.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::atomic::{self, FileError};
use crate::config::{Config, ConfigError};
use crate::journal::Journal;
use crate::lease::Leases;
use crate::lock::{Lock, LockError, Mode, Patience};
use crate::names::Repository;
use crate::sanity;
use crate::state::States;

/// The work directory cannot be used.
#[derive(Debug, Error)]
pub enum WorkDirError {
    /// A configuration key is missing or wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file cannot be read, or a directory cannot be made.
    #[error(transparent)]
    File(#[from] FileError),
    /// A lock cannot be used.
    #[error(transparent)]
    Lock(LockError),
}

/// Why a tool that changes state may not work now. None of these is an error.
#[derive(Debug, Error)]
pub enum Hindrance {
    /// Somebody else holds a lock.
    #[error(transparent)]
    Locked(LockError),
    /// The master is insane.
    #[error("the build master is insane: {0}")]
    Insane(String),
}

/// Locks that are not to be had.
#[derive(Debug, Error)]
pub enum Refused {
    /// Not now.
    #[error(transparent)]
    Hindered(Hindrance),
    /// A lock cannot be used, or the sanity flag cannot be read.
    #[error(transparent)]
    Failed(WorkDirError),
}

impl Refused {
    /// What hinders.
    ///
    /// # Errors
    /// It is more than that.
    pub fn hindrance(self) -> Result<Hindrance, WorkDirError> {
        match self {
            Self::Hindered(hindrance) => Ok(hindrance),
            Self::Failed(error) => Err(error),
        }
    }
}

impl From<LockError> for Refused {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Busy { .. } => Self::Hindered(Hindrance::Locked(error)),
            LockError::Io { .. } => Self::Failed(WorkDirError::Lock(error)),
        }
    }
}

/// Which of the locks a tool needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The build list, states and leases.
    BuildList,
    /// The published repositories.
    PackageDatabase,
    /// Both.
    Both,
}

/// The locks that a tool holds while it changes state.
#[derive(Debug)]
#[must_use = "the locks are released when this is dropped"]
pub struct Locks {
    // Dropped in this order: the reverse of taking them.
    _sanity: Lock,
    _package_database: Option<Lock>,
    _build_list: Option<Lock>,
}

/// The state directory.
#[derive(Debug, Clone)]
pub struct WorkDir {
    root: PathBuf,
    build_list_lock: PathBuf,
    package_database_lock: PathBuf,
    sanity_check_lock: PathBuf,
}

impl WorkDir {
    /// The directory that `work_dir` names, with the sub-directories that it needs.
    ///
    /// # Errors
    /// The key is missing, or a directory cannot be made.
    pub fn open(config: &Config) -> Result<Self, WorkDirError> {
        let root = config.required_path("work_dir")?;
        let lock = |key: &str, name: &str| -> Result<PathBuf, ConfigError> {
            Ok(config.path(key)?.unwrap_or_else(|| root.join(name)))
        };
        let work_dir = Self {
            build_list_lock: lock("build_list_lock_file", "build-list.lock")?,
            package_database_lock: lock("package_database_lock_file", "package-database.lock")?,
            sanity_check_lock: lock("sanity_check_lock_file", "sanity-check.lock")?,
            root,
        };
        atomic::create_directory(&work_dir.states_directory())?;
        atomic::create_directory(&work_dir.builders_directory())?;
        Ok(work_dir)
    }

    /// Takes the locks of a scope in their order, the sanity lock shared, and looks at the master's sanity.
    ///
    /// # Errors
    /// A lock is held or cannot be used, or the master is insane.
    pub fn lock(&self, scope: Scope, patience: Patience) -> Result<Locks, Refused> {
        let locks = self.locks(scope, patience)?;
        match self.insanity().map_err(Refused::Failed)? {
            None => Ok(locks),
            Some(hindrance) => Err(Refused::Hindered(hindrance)),
        }
    }

    fn locks(&self, scope: Scope, patience: Patience) -> Result<Locks, LockError> {
        let exclusive = |path: &Path| Lock::acquire(path, Mode::Exclusive, patience);
        let build_list = match scope {
            Scope::BuildList | Scope::Both => Some(exclusive(&self.build_list_lock)?),
            Scope::PackageDatabase => None,
        };
        let package_database = match scope {
            Scope::PackageDatabase | Scope::Both => Some(exclusive(&self.package_database_lock)?),
            Scope::BuildList => None,
        };
        Ok(Locks {
            _sanity: Lock::acquire(&self.sanity_check_lock, Mode::Shared, patience)?,
            _package_database: package_database,
            _build_list: build_list,
        })
    }

    /// Takes all locks, the sanity lock too, in their order and alone, whatever the master's sanity: to look at everything
    /// and say whether it is well, or to mend it.
    ///
    /// # Errors
    /// A lock is held or cannot be used.
    pub fn lock_everything(&self, patience: Patience) -> Result<Locks, Refused> {
        let exclusive = |path: &Path| Lock::acquire(path, Mode::Exclusive, patience);
        let build_list = exclusive(&self.build_list_lock)?;
        let package_database = exclusive(&self.package_database_lock)?;
        Ok(Locks {
            _sanity: exclusive(&self.sanity_check_lock)?,
            _package_database: Some(package_database),
            _build_list: Some(build_list),
        })
    }

    /// Why the master is insane; an empty file, or none, where it is well.
    #[must_use]
    pub fn sanity_flag(&self) -> PathBuf {
        self.root.join("build-master-sanity")
    }

    /// Whether the master is insane, as something that hinders.
    ///
    /// # Errors
    /// The flag cannot be read.
    pub fn insanity(&self) -> Result<Option<Hindrance>, WorkDirError> {
        Ok(sanity::complaint(&self.sanity_flag())?.map(Hindrance::Insane))
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `build-list`.
    #[must_use]
    pub fn build_list(&self) -> PathBuf {
        self.root.join("build-list")
    }

    /// `build-graph`.
    #[must_use]
    pub fn build_graph(&self) -> PathBuf {
        self.root.join("build-graph")
    }

    /// `build-graph.dropped`, the edges that do not hold in the order.
    #[must_use]
    pub fn dropped_edges(&self) -> PathBuf {
        self.root.join("build-graph.dropped")
    }

    /// `second-stage`, the loops that are built twice.
    #[must_use]
    pub fn second_stage(&self) -> PathBuf {
        self.root.join("second-stage")
    }

    /// `build-list.loops`, the directory of `loop_<n>` files.
    #[must_use]
    pub fn loops_directory(&self) -> PathBuf {
        self.root.join("build-list.loops")
    }

    /// `deletion-list`.
    #[must_use]
    pub fn deletion_list(&self) -> PathBuf {
        self.root.join("deletion-list")
    }

    /// `priorities`.
    #[must_use]
    pub fn priorities(&self) -> PathBuf {
        self.root.join("priorities")
    }

    /// `<name>.revision`: the last processed head of a git repository.
    #[must_use]
    pub fn revision(&self, git_repository: &Repository) -> PathBuf {
        self.root.join(format!("{git_repository}.revision"))
    }

    /// The directory of evaluated metadata, a cache.
    #[must_use]
    pub fn metadata_directory(&self) -> PathBuf {
        self.root.join("metadata")
    }

    /// The names of all published package files, a cache.
    #[must_use]
    pub fn published_files(&self) -> PathBuf {
        self.metadata_directory().join("published-files")
    }

    /// The directory of the soname lists of the published packages, a cache.
    #[must_use]
    pub fn soname_lists(&self) -> PathBuf {
        self.metadata_directory().join("sonames")
    }

    /// What each order of the build list yields, a cache ([`crate::release`]).
    #[must_use]
    pub fn releases(&self) -> PathBuf {
        self.metadata_directory().join("releases")
    }

    /// The states.
    #[must_use]
    pub fn states(&self) -> States {
        States::new(self.states_directory())
    }

    /// The leases.
    #[must_use]
    pub fn leases(&self) -> Leases {
        Leases::new(self.builders_directory())
    }

    /// The journal.
    #[must_use]
    pub fn journal(&self) -> Journal {
        Journal::new(self.root.join("journal"))
    }

    fn states_directory(&self) -> PathBuf {
        self.root.join("package-states")
    }

    fn builders_directory(&self) -> PathBuf {
        self.root.join("builders")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_insane_master_lets_nobody_work() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::from_text(&format!("work_dir='{}'", directory.path().display())).unwrap();
        let work_dir = WorkDir::open(&config).unwrap();
        drop(work_dir.lock(Scope::Both, Patience::Never).unwrap());
        atomic::write(&directory.path().join("build-master-sanity"), b"files are missing\n").unwrap();
        let refused = work_dir.lock(Scope::BuildList, Patience::Never).unwrap_err();
        let hindrance = refused.hindrance().unwrap();
        assert!(hindrance.to_string().contains("files are missing"), "{hindrance}");
    }

    #[test]
    fn a_lock_that_is_held_hinders_and_one_that_cannot_be_used_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::from_text(&format!("work_dir='{}'", directory.path().display())).unwrap();
        let work_dir = WorkDir::open(&config).unwrap();
        let held = work_dir.lock_everything(Patience::Never).unwrap();
        let other = work_dir.lock(Scope::BuildList, Patience::Never);
        assert!(matches!(other, Err(Refused::Hindered(Hindrance::Locked(_)))));
        drop(held);
        atomic::remove(&directory.path().join("build-list.lock")).unwrap();
        atomic::create_directory(&directory.path().join("build-list.lock")).unwrap();
        let broken = work_dir.lock(Scope::BuildList, Patience::Never);
        assert!(matches!(broken, Err(Refused::Failed(WorkDirError::Lock(_)))));
    }
}
