//! How a configuration can be wrong.

use std::path::PathBuf;

use thiserror::Error;

use super::syntax;

/// A configuration that cannot be used; the tools end with 78.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// No file at the named place.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A line that is not an assignment.
    #[error("{}: {source}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line and what is wrong with it.
        #[source]
        source: syntax::SyntaxError,
    },
    /// A key that the tool needs is missing.
    #[error("the configuration key {key} is not set ({origin})")]
    Missing {
        /// The key.
        key: String,
        /// Where it was looked for, or that there is no file.
        origin: String,
    },
    /// A value that is not of its kind.
    #[error("the configuration key {key} has the value {value:?}: {reason}")]
    Value {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What it has to be.
        reason: String,
    },
}

impl ConfigError {
    /// Whether the operator has to mend it: not when the machine cannot read the file now, because of too many open
    /// files or a broken disk.
    #[must_use]
    pub fn is_of_the_operator(&self) -> bool {
        use std::io::ErrorKind::{InvalidData, IsADirectory, NotADirectory, NotFound, PermissionDenied};
        match self {
            Self::Read { source, .. } => matches!(
                source.kind(),
                NotFound | PermissionDenied | IsADirectory | NotADirectory | InvalidData
            ),
            _ => true,
        }
    }
}
