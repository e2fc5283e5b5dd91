//! Whether package states and repositories agree: what a state says is where it says, and whatever is on its way has a
//! state. A tool that was killed leaves a difference that its next run completes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::atomic::FileError;
use crate::build_list::Order;
use crate::names::{PkgBase, Repository};
use crate::repository::{Class, Repositories};
use crate::state::{State, States};

/// A state and a repository that do not agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disagreement {
    /// A state names a package that is not published where it says.
    Misplaced {
        /// The order.
        order: Order,
        /// Its state.
        state: State,
        /// The package.
        file: String,
    },
    /// A package is in staging or testing, and no order's state has it there.
    Stateless {
        /// Where it is.
        repository: Repository,
        /// What it was built from.
        pkgbase: PkgBase,
        /// The package.
        file: String,
    },
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misplaced { order, state, file } => {
                write!(f, "{order} is {state}, but {file} is not published there")
            }
            Self::Stateless { repository, file, .. } => write!(f, "{repository}: no order's state has {file}"),
        }
    }
}

/// What does not agree. The locks are held.
///
/// # Errors
/// A state cannot be read.
pub fn disagreements(states: &States, repositories: &Repositories) -> Result<Vec<Disagreement>, FileError> {
    let mut places: BTreeMap<String, Vec<(&Repository, Class, PkgBase)>> = BTreeMap::new();
    for (repository, class) in repositories.classes().all() {
        // With a database that cannot be read nothing can be said of states.
        let Ok(entries) = repositories.packages(repository) else {
            return Ok(Vec::new());
        };
        for entry in entries {
            let here = (repository, class, entry.pkgbase);
            places.entry(entry.file_name.to_string()).or_default().push(here);
        }
    }
    let mut found = Vec::new();
    let mut stated: BTreeSet<(Class, String)> = BTreeSet::new();
    for (order, known) in states.list()? {
        for state in known {
            let Some(class) = class_of(state) else { continue };
            for file in states.read(&order, state)?.unwrap_or_default() {
                if !places.get(&file).into_iter().flatten().any(|place| place.1 == class) {
                    found.push(Disagreement::Misplaced {
                        order: order.clone(),
                        state,
                        file: file.clone(),
                    });
                }
                stated.insert((class, file));
            }
        }
    }
    for (file, places) in places {
        for (repository, class, pkgbase) in places {
            let is_on_its_way = matches!(class, Class::Staging | Class::Testing);
            if is_on_its_way && !stated.contains(&(class, file.clone())) {
                found.push(Disagreement::Stateless {
                    repository: repository.clone(),
                    pkgbase,
                    file: file.clone(),
                });
            }
        }
    }
    Ok(found)
}

/// Where the packages of an order in this state are.
const fn class_of(state: State) -> Option<Class> {
    match state {
        State::Done => Some(Class::Staging),
        State::Testing | State::Tested => Some(Class::Testing),
        State::Locked | State::Broken | State::Blocked => None,
    }
}
