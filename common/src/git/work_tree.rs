//! A person's own work tree in place of a bare clone: what is in its files just now as a commit.
//!
//! The files are written into git's object store through an index of our own: neither the person's index, nor a
//! branch, nor a file of the work tree changes. git's housekeeping drops the objects after some weeks.

use std::path::PathBuf;
use std::time::Duration;

use super::fetch::git_command;
use super::{GitError, GitRepository};
use crate::names::Revision;

/// How long it may take to read all files.
const LIMIT: Duration = Duration::from_secs(600);

impl GitRepository {
    /// Whether the clone is a work tree.
    #[must_use]
    pub fn is_work_tree(&self) -> bool {
        self.path().join(".git").is_dir()
    }

    /// Where git's own files are.
    pub(super) fn git_directory(&self) -> PathBuf {
        if self.is_work_tree() {
            self.path().join(".git")
        } else {
            self.path().to_owned()
        }
    }

    /// A commit on top of the head with all files of the work tree as they are, but those that git ignores.
    ///
    /// # Errors
    /// It is no work tree, or git cannot read or write it.
    pub fn commit_of_work_tree(&self) -> Result<Revision, GitError> {
        let fail = |reason: String| GitError::WorkTree {
            name: self.name.clone(),
            path: self.path.clone(),
            reason,
        };
        if !self.is_work_tree() {
            return Err(fail("it is none".to_owned()));
        }
        let directory = tempfile::tempdir().map_err(|error| fail(error.to_string()))?;
        let git = |arguments: &[&str]| {
            let command = git_command(LIMIT)
                .directory(self.path())
                .env("GIT_INDEX_FILE", directory.path().join("index"))
                .env("GIT_AUTHOR_NAME", "work tree")
                .env("GIT_AUTHOR_EMAIL", "work-tree@localhost")
                .env("GIT_COMMITTER_NAME", "work tree")
                .env("GIT_COMMITTER_EMAIL", "work-tree@localhost")
                .args(arguments);
            Ok(command.run().map_err(|error| fail(error.to_string()))?.text())
        };
        let head = self.head()?;
        git(&["read-tree", head.as_str()])?;
        git(&["add", "--all"])?;
        let tree = git(&["write-tree"])?;
        let commit = git(&["commit-tree", "-p", head.as_str(), "-m", "work tree", &tree])?;
        commit.parse().map_err(|source| GitError::Name {
            name: self.name.clone(),
            source,
        })
    }
}
