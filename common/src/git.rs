//! Bare clones of git repositories: fetched by the `git` program, read in process.
//!
//! Fetching takes the remote's default branch into the branch that HEAD of the clone names, and nothing else: no tags,
//! no hooks, no submodules, no configuration but the clone's own, only https, ssh, git and local paths, and a time
//! limit. A clone appears complete or not at all. Reading never runs a program.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use git2::{ErrorCode, ObjectType, Oid};
use thiserror::Error;

use crate::atomic::{self, FileError};
use crate::lock::{Lock, LockError, Mode, Patience};
use crate::names::{NameError, Repository, Revision};
use crate::process::Command;

/// Protocols that a fetch may use.
const PROTOCOLS: &str = "https:ssh:git:file";
/// How long one fetch may take; the first one of a large repository takes minutes.
const FETCH_LIMIT: Duration = Duration::from_secs(3600);
/// How long to wait for somebody who fetches into the same clone.
const FETCH_PATIENCE: Duration = Duration::from_secs(600);
/// A lock file of git's that is older than this was left by one that was killed.
const STALE: Duration = Duration::from_secs(2);
/// The branch of a fresh clone; which branch of the remote it follows is the remote's choice.
const BRANCH: &str = "master";

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

/// A bare clone.
#[derive(Debug)]
pub struct GitRepository {
    name: Repository,
    path: PathBuf,
    url: Option<String>,
    opened: Mutex<Option<Opened>>,
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
            opened: Mutex::new(None),
        }
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

    /// Brings the clone up to date with the remote's default branch, and makes it first where it is missing. A clone
    /// without an address, neither configured nor of its own, is as new as it gets.
    ///
    /// # Errors
    /// The remote cannot be reached or has no default branch, or the clone cannot be written.
    pub fn fetch(&self) -> Result<(), GitError> {
        let file = |source| GitError::File {
            name: self.name.clone(),
            source,
        };
        let origin = match (&self.url, self.path.exists()) {
            (Some(url), _) => Some(url.clone()),
            (None, true) => self.origin()?,
            (None, false) => {
                return Err(GitError::Missing {
                    name: self.name.clone(),
                    path: self.path.clone(),
                });
            }
        };
        let Some(url) = origin else {
            return Ok(());
        };
        let parent = self.path.parent().unwrap_or(Path::new("/"));
        atomic::create_directory(parent).map_err(file)?;
        let lock = parent.join(format!(".{}.fetch-lock", self.name));
        let patience = Patience::Bounded(FETCH_PATIENCE);
        let _held = Lock::acquire(&lock, Mode::Exclusive, patience).map_err(|source| GitError::Lock {
            name: self.name.clone(),
            source,
        })?;
        if self.path.exists() {
            let branch = self.branch()?;
            for left in [
                format!("{branch}.lock"),
                "packed-refs.lock".to_owned(),
                "HEAD.lock".to_owned(),
            ] {
                remove_left_lock(&self.path.join(left)).map_err(file)?;
            }
            return self.fetch_into(&self.path, &url, &branch);
        }
        atomic::sweep(parent, 2 * FETCH_LIMIT);
        let fresh = tempfile::Builder::new()
            .prefix(atomic::TEMPORARY_PREFIX)
            .tempdir_in(parent)
            .map_err(FileError::at("make a directory in", parent))
            .map_err(file)?;
        let clone = fresh.path().join("clone.git");
        let branch = format!("--initial-branch={BRANCH}");
        let init = ["init", "--quiet", "--bare", "--template=", &branch, "--"];
        self.run(git_command().args(init).arg(&clone), None)?;
        self.fetch_into(&clone, &url, &format!("refs/heads/{BRANCH}"))?;
        atomic::rename(&clone, &self.path).map_err(file)
    }

    /// The commit at the head of the default branch.
    ///
    /// # Errors
    /// The clone is missing, unreadable or empty.
    pub fn head(&self) -> Result<Revision, GitError> {
        let commit = self.read("the head", |repository| {
            repository.head()?.peel_to_commit().map(|commit| commit.id())
        })?;
        commit.to_string().parse().map_err(|source| GitError::Name {
            name: self.name.clone(),
            source,
        })
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
        self.read(&format!("{path} in tree {tree}"), |repository| {
            match repository.find_tree(tree)?.get_path(Path::new(path)) {
                Ok(entry) => Ok(Some(read_entry(&entry))),
                Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
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
            None => Opened(git2::Repository::open_bare(&self.path).map_err(error)?),
        };
        let result = read(&repository.0).map_err(error);
        *opened = Some(repository);
        result
    }

    fn origin(&self) -> Result<Option<String>, GitError> {
        self.read("the remote", |repository| match repository.find_remote("origin") {
            Ok(remote) => Ok(remote.url().ok().map(str::to_owned)),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error),
        })
    }

    /// The branch that HEAD names, `refs/heads/…`, whether it has a commit or not.
    fn branch(&self) -> Result<String, GitError> {
        self.read("HEAD", |repository| {
            let head = repository.find_reference("HEAD")?;
            Ok(head.symbolic_target().ok().flatten().map(str::to_owned))
        })
        .map(|target| target.unwrap_or_else(|| format!("refs/heads/{BRANCH}")))
    }

    fn fetch_into(&self, clone: &Path, url: &str, branch: &str) -> Result<(), GitError> {
        let refspec = format!("+HEAD:{branch}");
        let arguments = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
        ];
        let command = git_command()
            .arg(format!("--git-dir={}", clone.display()))
            .args(arguments)
            .args(["--", url, &refspec]);
        self.run(command, Some(url))
    }

    fn run(&self, command: Command, url: Option<&str>) -> Result<(), GitError> {
        let reason = match command.wait() {
            Ok(finished) if finished.status.success() => return Ok(()),
            Ok(finished) => complaint(&String::from_utf8_lossy(&finished.stderr)),
            Err(error) => error.cause.to_string(),
        };
        Err(GitError::Fetch {
            name: self.name.clone(),
            url: url.map(str::to_owned),
            reason,
        })
    }
}

/// `git` without anything of the caller's environment and configuration in it.
fn git_command() -> Command {
    Command::new("git")
        .timeout(FETCH_LIMIT)
        .env("GIT_ALLOW_PROTOCOL", PROTOCOLS)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
        .args(["-c", "core.hooksPath=/dev/null"])
        .args(["-c", "core.fsmonitor=false"])
        // Housekeeping in the foreground: nothing is left running.
        .args(["-c", "gc.autoDetach=false", "-c", "maintenance.autoDetach=false"])
}

/// Removes a lock that a killed git left: git holds it for an instant, and nobody else may fetch while we do.
fn remove_left_lock(path: &Path) -> Result<(), FileError> {
    let is_young = || {
        let modified = std::fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
        modified.is_ok_and(|time| SystemTime::now().duration_since(time).is_ok_and(|age| age < STALE))
    };
    while is_young() {
        std::thread::sleep(Duration::from_millis(50));
    }
    atomic::remove(path)
}

/// The line of git's messages that says what happened: the first of an error, not the advice that follows.
fn complaint(stderr: &str) -> String {
    let is_error = |line: &&str| {
        ["fatal: ", "error: ", "ssh: "]
            .iter()
            .any(|sign| line.starts_with(sign))
    };
    let mut lines = stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.clone().find(is_error).or_else(|| lines.next_back());
    first.map_or_else(
        || "git failed without a word".to_owned(),
        |line| line.trim_start_matches("fatal: ").to_owned(),
    )
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
