//! Commits that one look at the sources is about: the newest ones, or those of a time in the past; and what lies at the
//! top of the customization repository there.

use std::collections::BTreeMap;

use git2::Oid;

use super::{SourceError, Sources};
use crate::git::{EntryKind, GitError, GitRepository};
use crate::names::{Repository, Revision};

/// Largest list (`blacklist` …) in the customization repository that is read.
const MAX_LIST: usize = 16 << 20;

/// The commits of all git repositories that one look at the sources is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heads(BTreeMap<Repository, Revision>);

impl Heads {
    /// The commit of a git repository; `None` for one that is not looked at (nothing of it has been processed yet).
    #[must_use]
    pub fn of(&self, git_repository: &Repository) -> Option<&Revision> {
        self.0.get(git_repository)
    }

    /// Sets the commit of a git repository.
    pub fn set(&mut self, git_repository: Repository, revision: Revision) {
        self.0.insert(git_repository, revision);
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Repository, &Revision)> {
        self.0.iter()
    }
}

impl Sources {
    /// The present heads of all clones.
    ///
    /// # Errors
    /// A clone is missing, empty or cannot be read.
    pub fn heads(&self) -> Result<Heads, GitError> {
        let mut heads = Heads::default();
        for repository in self.repositories() {
            heads.set(repository.name().clone(), repository.head()?);
        }
        Ok(heads)
    }

    /// The heads of all clones at a Unix time in the past.
    ///
    /// # Errors
    /// A clone is missing, empty or cannot be read, or has no commit that is so old.
    pub fn heads_before(&self, unix: u64) -> Result<Heads, SourceError> {
        let mut heads = Heads::default();
        for repository in self.repositories() {
            let name = repository.name();
            let revision = repository.last_before(unix)?;
            let revision = revision.ok_or_else(|| SourceError::TooEarly(name.clone()))?;
            heads.set(name.clone(), revision);
        }
        Ok(heads)
    }

    /// The text of a list at the top of the customization repository; `None` when it is not there.
    ///
    /// # Errors
    /// The repository cannot be read, or its commit is unknown.
    pub fn list_file(&self, heads: &Heads, name: &str) -> Result<Option<String>, SourceError> {
        let Some(git) = &self.customization else {
            return Ok(None);
        };
        let Some(tree) = tree_at(git, heads)? else {
            return Ok(None);
        };
        match git.lookup(tree, name)? {
            Some(entry) if matches!(entry.kind, EntryKind::File | EntryKind::Executable) => {
                let content = git.blob(entry.id, MAX_LIST)?;
                Ok(Some(String::from_utf8_lossy(&content).into_owned()))
            }
            _ => Ok(None),
        }
    }
}

/// The tree of a git repository at the commit that is looked at; `None` when nothing of it has been processed.
pub(super) fn tree_at(git: &GitRepository, heads: &Heads) -> Result<Option<Oid>, SourceError> {
    let Some(revision) = heads.of(git.name()) else {
        return Ok(None);
    };
    match git.tree_of(revision)? {
        Some(tree) => Ok(Some(tree)),
        None => Err(SourceError::UnknownRevision {
            pkgbase: format!("git repository {}", git.name()),
            revision: revision.clone(),
        }),
    }
}
