//! How tools end: what is said at last, and the exit code.

use std::error::Error;
use std::process::ExitCode;

use crate::cli::{Messages, sentence};
use crate::exit::Failure;
use crate::work_dir::Hindrance;

/// Says what failed, and the exit code of it ([`Failure::of`]). Give it the whole chain of causes.
pub fn failed<'a>(
    messages: &Messages,
    causes: impl IntoIterator<Item = &'a (dyn Error + 'static)> + Clone,
) -> ExitCode {
    messages.error(sentence(causes.clone()));
    Failure::of(causes).into()
}

/// How a tool ends that is run by hand and changes the master's state or nothing.
#[derive(Debug)]
pub enum Change {
    /// Done, or there was nothing to do: 0.
    Done,
    /// The locks are held, or the master is insane: nothing was changed, 1.
    Hindered(Hindrance),
}

impl Change {
    /// Says what hindered it, and the exit code.
    #[must_use]
    pub fn report(&self, messages: &Messages) -> ExitCode {
        match self {
            Self::Done => ExitCode::SUCCESS,
            Self::Hindered(hindrance) => {
                messages.error(format_args!("nothing changed: {hindrance}"));
                ExitCode::from(1)
            }
        }
    }
}
