//! What a transaction means for orders: on the build list, in a state with its packages, or neither.
//!
//! Text: `listed`, `STATE FILE…` or `-`.

use std::fmt;

use crate::atomic::{Batch, FileError};
use crate::build_list::{BuildList, Order};
use crate::state::State;
use crate::work_dir::WorkDir;

/// The states that say where an order's packages are.
const OF_PACKAGES: [State; 3] = [State::Done, State::Testing, State::Tested];

/// Where an order stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// On the build list.
    Listed,
    /// In a state: `done`, `testing` or `tested`, with the names of its package files.
    In(State, Vec<String>),
    /// Its packages are in a stable or a standalone repository, or have been replaced.
    Finished,
}

impl Standing {
    /// Reads the text; `None` when it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "listed" => Some(Self::Listed),
            "-" => Some(Self::Finished),
            _ => {
                let mut words = text.split(' ').filter(|word| !word.is_empty());
                let state = words.next()?;
                let state = OF_PACKAGES.into_iter().find(|known| known.as_str() == state)?;
                Some(Self::In(state, words.map(str::to_owned).collect()))
            }
        }
    }

    /// The first word of the text.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::In(state, _) => state.as_str(),
            Self::Finished => "-",
        }
    }

    const fn state(&self) -> Option<State> {
        match self {
            Self::In(state, _) => Some(*state),
            Self::Listed | Self::Finished => None,
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self {
            Self::In(_, files) => files.iter().try_for_each(|file| write!(f, " {file}")),
            Self::Listed | Self::Finished => Ok(()),
        }
    }
}

/// What becomes of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The order.
    pub order: Order,
    /// Where it stands before.
    pub before: Standing,
    /// Where it stands afterwards.
    pub after: Standing,
}

impl Transition {
    /// The same backwards.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self {
            order: self.order,
            before: self.after,
            after: self.before,
        }
    }

    /// Changes state files and build list; doing it twice is doing it once. The build-list lock is held. An order does not
    /// come back onto the list when there is another one of its package.
    ///
    /// # Errors
    /// A file cannot be read, written or removed.
    pub fn apply_all(transitions: &[Self], work_dir: &WorkDir) -> Result<(), FileError> {
        let states = work_dir.states();
        let mut batch = Batch::default();
        for Self { order, before, after } in transitions {
            if let Standing::In(state, files) = after {
                let is_renamed = match before {
                    Standing::In(old, same) if old != state && same == files => {
                        batch.rename(&states.path(order, *old), &states.path(order, *state))?
                    }
                    _ => false,
                };
                if !is_renamed {
                    states.write(order, *state, files)?;
                }
            }
            for state in OF_PACKAGES {
                if after.state() != Some(state) {
                    batch.remove(&states.path(order, state))?;
                }
            }
        }
        batch.sync()?;
        if transitions.iter().any(Self::concerns_list) {
            let (mut list, _) = BuildList::read(&work_dir.build_list())?;
            let mut is_other = false;
            for transition in transitions.iter().filter(|transition| transition.concerns_list()) {
                is_other |= match transition.after {
                    Standing::Listed => list.add(transition.order.clone()),
                    _ => list.remove(&transition.order),
                };
            }
            if is_other {
                list.write(&work_dir.build_list())?;
            }
        }
        Ok(())
    }

    fn concerns_list(&self) -> bool {
        [&self.before, &self.after].contains(&&Standing::Listed)
    }
}
