//! Exit codes: the one table that maps kinds of failure to numbers.
//!
//! The codes 0 to 63 belong to a tool's own protocol (docs/formats.md, "Exit codes"); the general ones are those of
//! sysexits.h. No child's exit code, signal or panic may appear as one of the former.

use std::process::ExitCode;

/// General failures, the same for every tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The command line is not understood: 64.
    Usage,
    /// Input data is not of its format: 65.
    Data,
    /// A bug of the tool: 70.
    Software,
    /// A file cannot be read or written: 74.
    Io,
    /// The configuration is missing or wrong: 78.
    Config,
}

impl Failure {
    /// The number as in sysexits.h.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Usage => 64,
            Self::Data => 65,
            Self::Software => 70,
            Self::Io => 74,
            Self::Config => 78,
        }
    }
}

impl From<Failure> for ExitCode {
    fn from(failure: Failure) -> Self {
        Self::from(failure.code())
    }
}
