//! Fetching into bare clones with the `git` program.
//!
//! Fetching takes the remote's default branch, or the one that is configured, into the branch that HEAD of the clone names, or one commit into a
//! reference of its own, and nothing else: no tags, no hooks, no submodules, no configuration but the clone's own, only
//! https, ssh, git and local paths, and a time limit. A clone appears complete or not at all. One lock a clone, beside
//! it, is held while git writes.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use git2::ErrorCode;

use super::{GitError, GitRepository};
use crate::atomic::{self, FileError};
use crate::lock::{Lock, Mode, Patience};
use crate::names::Revision;
use crate::process::Command;

/// Protocols that a fetch may use.
const PROTOCOLS: &str = "https:ssh:git:file";
/// How long the fetch of a branch may take; the first one of a large repository takes minutes.
const FETCH_LIMIT: Duration = Duration::from_secs(3600);
/// How long the fetch of one commit without its history may take.
const COMMIT_LIMIT: Duration = Duration::from_secs(300);
/// How long to wait for somebody who fetches into the same clone.
const FETCH_PATIENCE: Duration = Duration::from_secs(600);
/// A lock file of git's that is older than this was left by one that was killed.
const STALE: Duration = Duration::from_secs(2);
/// The branch of a fresh clone; which branch of the remote it follows is the remote's choice.
const BRANCH: &str = "master";

/// What is fetched.
enum Wanted<'a> {
    /// The remote's default branch or the configured one, with its history.
    Branch,
    /// One commit alone.
    Commit(&'a Revision),
}

impl GitRepository {
    /// Brings the clone up to date with the branch of the remote that it follows, and makes it first where it is missing. A clone
    /// without an address, neither configured nor of its own, is as new as it gets.
    ///
    /// # Errors
    /// The remote cannot be reached or has no such branch, or the clone cannot be written.
    pub fn fetch(&self) -> Result<(), GitError> {
        self.bring(&Wanted::Branch)
    }

    /// Brings one commit without its history into the clone, which is made first where it is missing. Nothing is
    /// fetched when the commit is there.
    ///
    /// # Errors
    /// The remote cannot be reached or has not the commit, or the clone cannot be written.
    pub fn fetch_commit(&self, revision: &Revision) -> Result<(), GitError> {
        if self.has_fetched(revision)? {
            return Ok(());
        }
        self.bring(&Wanted::Commit(revision))
    }

    /// Whether this commit was fetched by [`GitRepository::fetch_commit`], to the end.
    ///
    /// # Errors
    /// The clone cannot be read.
    pub fn has_fetched(&self, revision: &Revision) -> Result<bool, GitError> {
        if !self.path.exists() {
            return Ok(false);
        }
        self.read(&format!("commit {revision}"), |repository| {
            // Not the commit itself: a git that was killed may have written it without its files.
            match repository.refname_to_id(&commit_reference(revision)) {
                Ok(id) => Ok(id.to_string() == revision.as_str()),
                Err(error) if error.code() == ErrorCode::NotFound => Ok(false),
                Err(error) => Err(error),
            }
        })
    }

    fn bring(&self, wanted: &Wanted<'_>) -> Result<(), GitError> {
        let file = |source| GitError::File {
            name: self.name.clone(),
            source,
        };
        // A work tree is somebody's own: a branch that is checked out there must not move under them.
        if self.is_work_tree() {
            return Ok(());
        }
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
        let lock = lock_beside(&self.path, parent);
        let patience = Patience::Bounded(FETCH_PATIENCE);
        let _held = Lock::acquire(&lock, Mode::Exclusive, patience).map_err(|source| GitError::Lock {
            name: self.name.clone(),
            source,
        })?;
        if self.path.exists() {
            let reference = match wanted {
                Wanted::Branch => self.branch()?,
                Wanted::Commit(revision) => commit_reference(revision),
            };
            let own = format!("{reference}.lock");
            for left in [own.as_str(), "packed-refs.lock", "HEAD.lock", "shallow.lock"] {
                remove_left_lock(&self.path.join(left)).map_err(file)?;
            }
            return self.fetch_into(&self.path, &url, wanted, &reference);
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
        self.run(git_command(FETCH_LIMIT).args(init).arg(&clone), None)?;
        let reference = match wanted {
            Wanted::Branch => format!("refs/heads/{BRANCH}"),
            Wanted::Commit(revision) => commit_reference(revision),
        };
        self.fetch_into(&clone, &url, wanted, &reference)?;
        atomic::rename(&clone, &self.path).map_err(file)
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

    fn fetch_into(&self, clone: &Path, url: &str, wanted: &Wanted<'_>, reference: &str) -> Result<(), GitError> {
        let (limit, depth, source) = match (wanted, &self.branch) {
            (Wanted::Branch, None) => (FETCH_LIMIT, None, "HEAD".to_owned()),
            (Wanted::Branch, Some(branch)) => (FETCH_LIMIT, None, format!("refs/heads/{branch}")),
            (Wanted::Commit(revision), _) => (COMMIT_LIMIT, Some("--depth=1"), revision.to_string()),
        };
        let arguments = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
        ];
        let command = git_command(limit)
            .arg(format!("--git-dir={}", clone.display()))
            .args(arguments)
            .args(depth)
            .args(["--", url, &format!("+{source}:{reference}")]);
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

/// Where a commit that is fetched alone is kept: not a branch, whose name could be taken for the commit itself.
fn commit_reference(revision: &Revision) -> String {
    format!("refs/commits/{revision}")
}

fn lock_beside(clone: &Path, parent: &Path) -> PathBuf {
    let name = clone.file_name().unwrap_or_default().to_string_lossy();
    parent.join(format!(".{name}.fetch-lock"))
}

/// `git` without anything of the caller's environment and configuration in it.
pub(super) fn git_command(limit: Duration) -> Command {
    Command::new("git")
        .timeout(limit)
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
