//! What is to change: packages added, copied between repositories and removed, in any number of repositories at once.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Repositories;
use super::database::{Content, Record};
use super::transition::Transition;
use crate::names::{PkgName, Repository};
use crate::package::PackageFile;

/// A checked package file that is to be published.
#[derive(Debug, Clone)]
pub struct NewPackage {
    /// The file with what it says. Published by a hard link where possible: nobody may write to it afterwards.
    pub file: PackageFile,
    /// Its detached signature.
    pub signature: Option<PathBuf>,
}

/// What happens to one package of one repository.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// A new file takes its place.
    Add(Box<NewPackage>),
    /// The entry of another repository takes its place.
    CopyFrom(Repository),
    /// What an older generation said takes its place.
    Restore(Box<Record>),
    /// It goes.
    Remove,
}

/// Changes that become visible together.
#[derive(Debug)]
#[must_use = "nothing happens before commit"]
pub struct Transaction<'a> {
    pub(super) repositories: &'a Repositories,
    pub(super) changes: BTreeMap<Repository, BTreeMap<PkgName, Change>>,
    /// Repositories whose databases are written as a whole, whatever they are now.
    pub(super) rewritten: BTreeMap<Repository, Content>,
    pub(super) transitions: Vec<Transition>,
    /// Packages go to less stable repositories: those are flipped first.
    pub(super) goes_back: bool,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(repositories: &'a Repositories) -> Self {
        Self {
            repositories,
            changes: BTreeMap::new(),
            rewritten: BTreeMap::new(),
            transitions: Vec::new(),
            goes_back: false,
        }
    }

    /// Notes what the transaction means for package states, for the record. Who commits it applies them
    /// ([`Transition::apply_all`]) and then calls [`Repositories::settle`].
    pub fn note_transitions(&mut self, transitions: impl IntoIterator<Item = Transition>) {
        self.transitions.extend(transitions);
    }

    /// What was noted.
    #[must_use]
    pub fn transitions(&self) -> &[Transition] {
        &self.transitions
    }

    /// Publishes a package in a repository; another version of it there goes.
    pub fn add(&mut self, repository: &Repository, package: NewPackage) {
        let name = package.file.name().clone();
        self.change(repository, name, Change::Add(Box::new(package)));
    }

    /// Copies the entry of a package from one repository to another; another version of it there goes.
    pub fn copy_package(&mut self, name: &PkgName, from: &Repository, to: &Repository) {
        self.change(to, name.clone(), Change::CopyFrom(from.clone()));
    }

    /// Moves a package from one repository to another.
    pub fn move_package(&mut self, name: &PkgName, from: &Repository, to: &Repository) {
        if from != to {
            self.copy_package(name, from, to);
            self.remove(from, name);
        }
    }

    /// Takes a package out of a repository; one that is to enter it in this transaction stays.
    pub fn remove(&mut self, repository: &Repository, name: &PkgName) {
        let changes = self.changes.entry(repository.clone()).or_default();
        changes.entry(name.clone()).or_insert(Change::Remove);
    }

    /// Whether nothing is to change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(super) fn rewrite(&mut self, repository: &Repository, content: Content) {
        self.rewritten.insert(repository.clone(), content);
    }

    pub(super) fn change(&mut self, repository: &Repository, name: PkgName, change: Change) {
        self.changes.entry(repository.clone()).or_default().insert(name, change);
    }
}
