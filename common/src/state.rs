//! Package states: one file a fact, `package-states/<pkgbase>.<revision>.<mod_revision>.<repository>.<state>`.
//!
//! Names are read from the right, since a pkgbase may contain dots. Contents: `locked` builder names, a line each;
//! `broken` a line a failed attempt (`builder Unix-time`); `blocked` the reason; `done`, `testing` and `tested` the
//! file names of the packages. Written with the build-list lock held, `done` and later ones with the package-database
//! lock too.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::atomic::{self, Batch, FileError};
use crate::order::fields::{self, OrderFields};
use crate::order::{Order, OrderError, Reader};

/// What is known of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Handed out to builders.
    Locked,
    /// Failed at least once.
    Broken,
    /// Not to be handed out, by an operator's will.
    Blocked,
    /// Built; its packages are in staging.
    Done,
    /// Its packages are in testing and not yet approved.
    Testing,
    /// Its packages are in testing and approved.
    Tested,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Locked,
        Self::Broken,
        Self::Blocked,
        Self::Done,
        Self::Testing,
        Self::Tested,
    ];

    /// The word at the end of the file name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Locked => "locked",
            Self::Broken => "broken",
            Self::Blocked => "blocked",
            Self::Done => "done",
            Self::Testing => "testing",
            Self::Tested => "tested",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The name of a state file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StateName {
    /// The order.
    pub order: Order,
    /// What is known of it.
    pub state: State,
}

/// A file name that is none of a state.
#[derive(Debug, Error)]
pub enum StateNameError {
    /// It has not five parts.
    #[error("a state's name has the form pkgbase.revision.mod_revision.repository.state")]
    Form,
    /// The last part is no state.
    #[error("{0:?} is no state")]
    State(String),
    /// The other parts are no order.
    #[error(transparent)]
    Order(#[from] OrderError),
}

/// The order's part of a state's name: `pkgbase.revision.mod_revision.repository`.
#[must_use]
pub fn order_id(order: &Order) -> String {
    format!(
        "{}.{}.{}.{}",
        order.pkgbase, order.revision, order.mod_revision, order.repository
    )
}

/// Reads `pkgbase.revision.mod_revision.repository`.
///
/// # Errors
/// A part is missing or breaks its rule.
pub fn parse_order_id(text: &str) -> Result<Order, StateNameError> {
    order_of_id(text, &mut Reader::default())
}

fn order_of_id(text: &str, reader: &mut Reader) -> Result<Order, StateNameError> {
    let fields = OrderFields::of_id(text).ok_or(StateNameError::Form)?;
    let name = |error| StateNameError::Order(OrderError::Name(error));
    Ok(Order {
        pkgbase: fields.pkgbase.parse().map_err(name)?,
        revision: reader.known_revision(fields.revision).map_err(name)?,
        mod_revision: reader.known_revision(fields.mod_revision).map_err(name)?,
        repository: reader.known_repository(fields.repository).map_err(name)?,
    })
}

/// The order's fields and the state that a file name says, not checked; `None` of a name that is none of a state.
#[must_use]
pub fn split_name(name: &str) -> Option<(OrderFields<'_>, State)> {
    let (id, state) = fields::cut_last(name)?;
    let state = State::ALL.into_iter().find(|known| known.as_str() == state)?;
    Some((OrderFields::of_id(id)?, state))
}

impl FromStr for StateName {
    type Err = StateNameError;

    fn from_str(text: &str) -> Result<Self, StateNameError> {
        Self::read(text, &mut Reader::default())
    }
}

impl StateName {
    fn read(text: &str, reader: &mut Reader) -> Result<Self, StateNameError> {
        let (order, state) = text.rsplit_once('.').ok_or(StateNameError::Form)?;
        let state = State::ALL
            .into_iter()
            .find(|known| known.as_str() == state)
            .ok_or_else(|| StateNameError::State(state.to_owned()))?;
        Ok(Self {
            order: order_of_id(order, reader)?,
            state,
        })
    }
}

impl fmt::Display for StateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", order_id(&self.order), self.state)
    }
}

/// The directory of state files.
#[derive(Debug, Clone)]
pub struct States {
    directory: PathBuf,
}

impl States {
    /// The states below this directory, which has to exist.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// The path of one fact.
    #[must_use]
    pub fn path(&self, order: &Order, state: State) -> PathBuf {
        self.directory.join(format!("{}.{state}", order_id(order)))
    }

    /// Whether the fact is recorded.
    #[must_use]
    pub fn has(&self, order: &Order, state: State) -> bool {
        self.path(order, state).exists()
    }

    /// The lines of a fact; `None` when it is not recorded.
    ///
    /// # Errors
    /// It is recorded and cannot be read.
    pub fn read(&self, order: &Order, state: State) -> Result<Option<Vec<String>>, FileError> {
        Ok(atomic::read_text(&self.path(order, state))?.map(|text| {
            text.lines()
                .map(|line| line.trim_end_matches('\r').to_owned())
                .filter(|line| !line.is_empty())
                .collect()
        }))
    }

    /// Records a fact.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write<S: fmt::Display>(
        &self,
        order: &Order,
        state: State,
        lines: impl IntoIterator<Item = S>,
    ) -> Result<(), FileError> {
        let text: String = lines.into_iter().map(|line| format!("{line}\n")).collect();
        atomic::write(&self.path(order, state), text.as_bytes())
    }

    /// Records a fact, which lasts only when the batch is synced; a fact without lines is one, too.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn put<S: fmt::Display>(
        &self,
        order: &Order,
        state: State,
        lines: impl IntoIterator<Item = S>,
        batch: &mut Batch,
    ) -> Result<(), FileError> {
        let text: String = lines.into_iter().map(|line| format!("{line}\n")).collect();
        batch.write_first(&self.path(order, state), text.as_bytes())
    }

    /// Forgets a fact; that it is not recorded is no error.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn remove(&self, order: &Order, state: State) -> Result<(), FileError> {
        atomic::remove(&self.path(order, state))
    }

    /// Turns one fact into another, the content kept.
    ///
    /// # Errors
    /// The file cannot be renamed.
    pub fn change(&self, order: &Order, from: State, to: State) -> Result<(), FileError> {
        atomic::rename(&self.path(order, from), &self.path(order, to))
    }

    /// The names of the files.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn names(&self) -> Result<Vec<String>, FileError> {
        let read = |source| FileError::at("read", &self.directory)(source);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.directory).map_err(read)? {
            names.extend(entry.map_err(read)?.file_name().into_string());
        }
        Ok(names)
    }

    /// All recorded facts, by order. Other files in the directory are passed over.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn list(&self) -> Result<BTreeMap<Order, Vec<State>>, FileError> {
        let mut states: BTreeMap<Order, Vec<State>> = BTreeMap::new();
        let mut reader = Reader::default();
        for name in self.names()? {
            if let Ok(StateName { order, state }) = StateName::read(&name, &mut reader) {
                states.entry(order).or_default().push(state);
            }
        }
        for known in states.values_mut() {
            known.sort();
        }
        Ok(states)
    }

    /// The orders of which a fact is recorded, sorted.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn with(&self, state: State) -> Result<Vec<Order>, FileError> {
        Ok(self
            .list()?
            .into_iter()
            .filter(|(_, states)| states.contains(&state))
            .map(|(order, _)| order)
            .collect())
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(pkgbase: &str) -> Order {
        Order {
            pkgbase: pkgbase.parse().unwrap(),
            revision: "1".repeat(40).parse().unwrap(),
            mod_revision: "2".repeat(40).parse().unwrap(),
            repository: "core".parse().unwrap(),
        }
    }

    #[test]
    fn names_are_read_from_the_right() {
        let name = StateName {
            order: order("lua5.1-lpeg"),
            state: State::Testing,
        };
        assert_eq!(name.to_string().parse::<StateName>().unwrap(), name);
    }

    #[test]
    fn facts_are_written_listed_changed_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let states = States::new(directory.path().to_owned());
        let order = order("a");
        states.write(&order, State::Done, ["a-1-1-any.pkg.tar.zst"]).unwrap();
        states.change(&order, State::Done, State::Testing).unwrap();
        states.write(&order, State::Broken, ["b 1"]).unwrap();
        assert_eq!(states.list().unwrap()[&order], [State::Broken, State::Testing]);
        assert_eq!(
            states.read(&order, State::Testing).unwrap().unwrap(),
            ["a-1-1-any.pkg.tar.zst"]
        );
        states.remove(&order, State::Broken).unwrap();
        states.remove(&order, State::Broken).unwrap();
        assert!(states.read(&order, State::Broken).unwrap().is_none());
        assert_eq!(states.with(State::Testing).unwrap(), [order]);
    }
}
