//! Taking transactions back: the repositories get what the generations before them said, under a new number.
//!
//! A new generation and no old one becomes the current one, since a database has to be later than its predecessor. The
//! less stable repositories are flipped first: packages go back there.

use std::collections::{BTreeMap, BTreeSet};

use super::database::{self, Content};
use super::directory::{Directory, Kind};
use super::history::Record;
use super::transaction::{Change, Transaction};
use super::transition::Transition;
use super::{Repositories, RepositoryError};
use crate::build_list::Order;
use crate::names::{PkgName, Repository};

impl Transaction<'_> {
    /// Takes back the newest transactions, given from the oldest one to the newest. What repo-add did since is to be taken
    /// in before, by an empty transaction.
    ///
    /// # Errors
    /// A generation before them is not kept any more, or a database cannot be read.
    pub fn take_back(&mut self, records: &[Record]) -> Result<(), RepositoryError> {
        let mut before: BTreeMap<&Repository, Option<u64>> = BTreeMap::new();
        for (repository, number) in records.iter().flat_map(|record| &record.before) {
            before.entry(repository).or_insert(*number);
        }
        for (repository, number) in before {
            let directory = self.repositories.directory(repository);
            let (old, new) = (content_of(&directory, number)?, directory.content()?);
            let names: BTreeSet<&PkgName> = old.keys().chain(new.keys()).collect();
            for name in names {
                let change = match (old.get(name), new.get(name)) {
                    (was, is) if was == is => continue,
                    (Some(was), _) => Change::Restore(Box::new(was.clone())),
                    (None, _) => Change::Remove,
                };
                self.change(repository, name.clone(), change);
            }
        }
        self.note_transitions(backwards(records));
        self.goes_back = true;
        Ok(())
    }
}

/// What a generation said; one that there was not, nothing.
fn content_of(directory: &Directory, number: Option<u64>) -> Result<Content, RepositoryError> {
    let Some(number) = number else {
        return Ok(Content::new());
    };
    let path = directory.generation(number).join(directory.database_name(Kind::Files));
    if !path.exists() {
        return Err(RepositoryError::NotKept {
            repository: directory.repository.clone(),
            number,
        });
    }
    database::read(&path)
}

/// What becomes of the orders: from what the newest transaction made of them to what they were before the oldest one.
fn backwards(records: &[Record]) -> Vec<Transition> {
    let mut transitions: BTreeMap<&Order, Transition> = BTreeMap::new();
    for transition in records.iter().rev().flat_map(|record| &record.transitions) {
        transitions
            .entry(&transition.order)
            .and_modify(|known| known.after.clone_from(&transition.before))
            .or_insert_with(|| transition.clone().reversed());
    }
    transitions.into_values().collect()
}

impl Repositories {
    /// The oldest transaction that can be taken back is the one after this number; those before are forgotten.
    pub(super) fn kept_since(&self) -> Result<u64, RepositoryError> {
        let mut last = 0;
        for directory in self.directories() {
            last = last.max(directory.current()?.unwrap_or(0));
        }
        Ok(last.saturating_sub(self.kept_generations))
    }
}

impl Directory {
    /// The generations that none of the remembered transactions needs: older than the one that was in force at `since`.
    pub(super) fn outdated_generations(&self, since: u64) -> Result<Vec<u64>, RepositoryError> {
        let mut old = self.generations()?;
        let current = self.current()?;
        old.retain(|number| *number <= since);
        let in_force = old.pop();
        old.retain(|number| Some(*number) != current && Some(*number) != in_force);
        Ok(old)
    }
}
