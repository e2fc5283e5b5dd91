//! Which paths the last commits changed.

use git2::{DiffOptions, Repository};

use super::{GitError, GitRepository};
use crate::names::Revision;

/// One commit of the followed branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The commit.
    pub revision: Revision,
    /// When it was made, Unix time.
    pub time: u64,
    /// What it changed, added or removed.
    pub paths: Vec<String>,
}

impl GitRepository {
    /// The last commits of the branch's own history (first parents), the youngest first, at most so many. The first commit
    /// of all is left out: it is where somebody began, not a change.
    ///
    /// # Errors
    /// The clone is missing, unreadable or empty.
    pub fn recent_changes(&self, most: usize) -> Result<Vec<Change>, GitError> {
        let found = self.read("the history", |repository| changes(repository, most))?;
        let change = |(id, time, paths)| {
            Ok(Change {
                revision: self.revision(id)?,
                time,
                paths,
            })
        };
        found.into_iter().map(change).collect()
    }
}

fn changes(repository: &Repository, most: usize) -> Result<Vec<(git2::Oid, u64, Vec<String>)>, git2::Error> {
    let mut changes = Vec::new();
    let mut commit = repository.head()?.peel_to_commit()?;
    while changes.len() < most && commit.parent_count() > 0 {
        let parent = commit.parent(0)?;
        let mut options = DiffOptions::new();
        options.skip_binary_check(true);
        let diff = repository.diff_tree_to_tree(Some(&parent.tree()?), Some(&commit.tree()?), Some(&mut options))?;
        let path = |delta: git2::DiffDelta<'_>| {
            let file = delta.new_file().path().or(delta.old_file().path())?;
            Some(file.to_str()?.to_owned())
        };
        let time = u64::try_from(commit.time().seconds()).unwrap_or(0);
        changes.push((commit.id(), time, diff.deltas().filter_map(path).collect()));
        commit = parent;
    }
    Ok(changes)
}
