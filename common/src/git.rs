//! Clones of git repositories: bare ones, fetched by the `git` program (module `fetch`), or a person's own work tree
//! (module `work_tree`), which is only read. Read in process.
//!
//! Reading never runs a program and never reaches the network.

mod fetch;
mod history;
mod work_tree;

pub use history::Change;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use git2::{ErrorClass, ErrorCode, ObjectType, Oid};
use thiserror::Error;

use crate::atomic::FileError;
use crate::lock::LockError;
use crate::names::{BranchName, NameError, Repository, Revision};

/// A git repository that cannot be fetched or read.
#[derive(Debug, Error)]
pub enum GitError {
    /// There is no clone and no address to make one from.
    #[error("git repository {name}: {} does not exist, and repo_urls__{name} is not set", path.display())]
    Missing {
        /// The repository.
        name: Repository,
        /// Where the clone should be.
        path: PathBuf,
    },
    /// The fetch failed.
    #[error("git repository {name}: cannot fetch{}: {reason}", url.as_ref().map_or(String::new(), |url| format!(" {url}")))]
    Fetch {
        /// The repository.
        name: Repository,
        /// From where.
        url: Option<String>,
        /// What git said.
        reason: String,
    },
    /// Somebody else fetches for too long.
    #[error("git repository {name}: {source}")]
    Lock {
        /// The repository.
        name: Repository,
        /// The cause.
        #[source]
        source: LockError,
    },
    /// The clone cannot be moved into place.
    #[error("git repository {name}: {source}")]
    File {
        /// The repository.
        name: Repository,
        /// The cause.
        #[source]
        source: FileError,
    },
    /// An object cannot be read.
    #[error("git repository {name}: cannot read {what} in {}: {source}", path.display())]
    Read {
        /// The repository.
        name: Repository,
        /// The clone.
        path: PathBuf,
        /// What was read.
        what: String,
        /// The cause.
        #[source]
        source: git2::Error,
    },
    /// A name in it breaks its rule.
    #[error("git repository {name}: {source}")]
    Name {
        /// The repository.
        name: Repository,
        /// The rule.
        #[source]
        source: NameError,
    },
    /// What is in the files of a work tree cannot be had.
    #[error("git repository {name}: the work tree {} cannot be used: {reason}", path.display())]
    WorkTree {
        /// The repository.
        name: Repository,
        /// The clone.
        path: PathBuf,
        /// What git said.
        reason: String,
    },
    /// A file is larger than anything that belongs into a packaging repository.
    #[error("git repository {name}: the file {blob} has {size} bytes, more than {limit}")]
    TooLarge {
        /// The repository.
        name: Repository,
        /// The object.
        blob: Oid,
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
}

/// What an entry of a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory.
    Tree,
    /// A file.
    File,
    /// A file that can be executed.
    Executable,
    /// A symbolic link; its blob is the target.
    Link,
    /// A commit of another repository.
    Submodule,
}

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, any bytes but `/`.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Its object.
    pub id: Oid,
}

impl Entry {
    /// The name, when it is UTF-8.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.name).ok()
    }
}

/// The top of the repository of a whole distribution takes milliseconds to read: the entries of trees with so many are
/// kept for other lookups, those of a few trees.
const LARGE: usize = 500;
const MOST_LARGE: usize = 8;

type ByName = HashMap<Vec<u8>, Entry>;

/// A clone.
#[derive(Debug)]
pub struct GitRepository {
    name: Repository,
    path: PathBuf,
    url: Option<String>,
    branch: Option<BranchName>,
    opened: Mutex<Option<Opened>>,
    /// The entries of large trees by their names.
    large: Mutex<BTreeMap<Oid, Arc<ByName>>>,
}

struct Opened(git2::Repository);

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.path().display())
    }
}

impl GitRepository {
    /// The clone at `path`, which need not exist before [`GitRepository::fetch`] when there is an address.
    #[must_use]
    pub fn new(name: Repository, path: PathBuf, url: Option<String>) -> Self {
        Self {
            name,
            path,
            url,
            branch: None,
            opened: Mutex::new(None),
            large: Mutex::default(),
        }
    }

    /// Follows this branch of the remote instead of its default one.
    #[must_use]
    pub fn with_branch(mut self, branch: Option<BranchName>) -> Self {
        self.branch = branch;
        self
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &Repository {
        &self.name
    }

    /// Where the clone lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The commit at the head of the branch that is followed.
    ///
    /// # Errors
    /// The clone is missing, unreadable or empty.
    pub fn head(&self) -> Result<Revision, GitError> {
        let commit = self.read("the head", |repository| {
            repository.head()?.peel_to_commit().map(|commit| commit.id())
        })?;
        self.revision(commit)
    }

    /// The tree of a commit; `None` when the clone has no such commit.
    ///
    /// # Errors
    /// The clone is missing or unreadable.
    pub fn tree_of(&self, revision: &Revision) -> Result<Option<Oid>, GitError> {
        self.read(&format!("commit {revision}"), |repository| {
            let found = Oid::from_str(revision.as_str()).and_then(|id| repository.find_commit(id));
            match found {
                Ok(commit) => Ok(Some(commit.tree_id())),
                Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    /// The youngest commit of the default branch's own history (first parents) that is not younger than a Unix time;
    /// `None` when there is none.
    ///
    /// # Errors
    /// The clone is missing, unreadable or empty.
    pub fn last_before(&self, unix: u64) -> Result<Option<Revision>, GitError> {
        let found = self.read("the history", |repository| {
            let mut commit = repository.head()?.peel_to_commit()?;
            let is_younger =
                |commit: &git2::Commit<'_>| u64::try_from(commit.time().seconds()).is_ok_and(|seconds| seconds > unix);
            while is_younger(&commit) {
                if commit.parent_count() == 0 {
                    return Ok(None);
                }
                commit = commit.parent(0)?;
            }
            Ok(Some(commit.id()))
        })?;
        found.map(|commit| self.revision(commit)).transpose()
    }

    /// When a commit was made, Unix time; `None` when it is unknown here.
    ///
    /// # Errors
    /// The clone cannot be read.
    pub fn commit_time(&self, revision: &Revision) -> Result<Option<u64>, GitError> {
        self.read(&format!("commit {revision}"), |repository| {
            let found = Oid::from_str(revision.as_str()).and_then(|id| repository.find_commit(id));
            match found {
                Ok(commit) => Ok(u64::try_from(commit.time().seconds()).ok()),
                Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    /// The entries of a tree.
    ///
    /// # Errors
    /// There is no such tree, or it cannot be read.
    pub fn entries(&self, tree: Oid) -> Result<Vec<Entry>, GitError> {
        self.read(&format!("tree {tree}"), |repository| {
            let tree = repository.find_tree(tree)?;
            Ok(tree.iter().map(|entry| read_entry(&entry)).collect())
        })
    }

    /// The object at a path below a tree; `None` when there is none.
    ///
    /// # Errors
    /// The tree cannot be read.
    pub fn lookup(&self, tree: Oid, path: &str) -> Result<Option<Entry>, GitError> {
        let (first, rest) = match path.split_once('/') {
            Some((first, rest)) => (first, Some(rest)),
            None => (path, None),
        };
        let kept = self
            .large
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&tree)
            .cloned();
        let Some(entries) = kept else {
            return self.look_up_in_tree(tree, path);
        };
        match (entries.get(first.as_bytes()), rest) {
            (Some(entry), Some(rest)) if entry.kind == EntryKind::Tree => self.look_up_in_tree(entry.id, rest),
            (_, Some(_)) => Ok(None),
            (entry, None) => Ok(entry.cloned()),
        }
    }

    fn look_up_in_tree(&self, tree: Oid, path: &str) -> Result<Option<Entry>, GitError> {
        self.read(&format!("{path} in tree {tree}"), |repository| {
            let found = repository.find_tree(tree)?;
            if found.len() >= LARGE {
                let entries = found
                    .iter()
                    .map(|entry| (entry.name_bytes().to_vec(), read_entry(&entry)));
                let mut large = self.large.lock().unwrap_or_else(PoisonError::into_inner);
                if large.len() >= MOST_LARGE {
                    large.clear();
                }
                large.insert(tree, Arc::new(entries.collect()));
            }
            match found.get_path(Path::new(path)) {
                Ok(entry) => Ok(Some(read_entry(&entry))),
                // An object that is missing, or cannot be opened, is not found either, and no path that is not there.
                Err(error) if error.code() == ErrorCode::NotFound && error.class() == ErrorClass::Tree => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    /// The content of a file.
    ///
    /// # Errors
    /// There is no such file, it cannot be read or it has more than `limit` bytes.
    pub fn blob(&self, id: Oid, limit: usize) -> Result<Vec<u8>, GitError> {
        let what = format!("file {id}");
        let size = self.read(&what, |repository| Ok(repository.odb()?.read_header(id)?.0))?;
        if size > limit {
            return Err(GitError::TooLarge {
                name: self.name.clone(),
                blob: id,
                size,
                limit,
            });
        }
        self.read(&what, |repository| Ok(repository.find_blob(id)?.content().to_vec()))
    }

    fn revision(&self, commit: Oid) -> Result<Revision, GitError> {
        commit.to_string().parse().map_err(|source| GitError::Name {
            name: self.name.clone(),
            source,
        })
    }

    fn read<T>(
        &self,
        what: &str,
        read: impl FnOnce(&git2::Repository) -> Result<T, git2::Error>,
    ) -> Result<T, GitError> {
        let error = |source| GitError::Read {
            name: self.name.clone(),
            path: self.path.clone(),
            what: what.to_owned(),
            source,
        };
        let mut opened: MutexGuard<'_, Option<Opened>> = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let repository = match opened.take() {
            Some(repository) => repository,
            None => Opened(git2::Repository::open_bare(self.git_directory()).map_err(error)?),
        };
        let result = read(&repository.0).map_err(error);
        *opened = Some(repository);
        result
    }
}

/// The time of the commit that is checked out around a directory; none where there is none, or where it belongs to
/// somebody else.
#[must_use]
pub fn time_of_work_tree(directory: &Path) -> Option<u64> {
    let repository = git2::Repository::discover(directory).ok()?;
    let commit = repository.head().ok()?.peel_to_commit().ok()?;
    u64::try_from(commit.time().seconds()).ok()
}

fn read_entry(entry: &git2::TreeEntry<'_>) -> Entry {
    let kind = match (entry.kind(), entry.filemode()) {
        (Some(ObjectType::Tree), _) => EntryKind::Tree,
        (Some(ObjectType::Blob), 0o120_000) => EntryKind::Link,
        (Some(ObjectType::Blob), mode) if mode & 0o111 != 0 => EntryKind::Executable,
        (Some(ObjectType::Blob), _) => EntryKind::File,
        _ => EntryKind::Submodule,
    };
    Entry {
        name: entry.name_bytes().to_vec(),
        kind,
        id: entry.id(),
    }
}
