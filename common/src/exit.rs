//! Exit codes: the one table that maps kinds of failure to numbers.
//!
//! The codes 0 to 63 belong to a tool's own protocol (docs/formats.md, "Exit codes"); the general ones are those of
//! sysexits.h. No child's exit code, signal or panic may appear as one of the former.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use crate::account::AccountError;
use crate::config::ConfigError;
use crate::metadata::MetadataError;
use crate::repository::RepositoryError;
use crate::source::SourceError;
use crate::work_dir::WorkDirError;

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

    /// That of an error by its whole chain of causes: [`Failure::Config`] ([`is_of_configuration`]), else
    /// [`Failure::Io`].
    #[must_use]
    pub fn of<'a>(causes: impl IntoIterator<Item = &'a (dyn Error + 'static)>) -> Self {
        if is_of_configuration(causes) {
            Self::Config
        } else {
            Self::Io
        }
    }
}

impl From<Failure> for ExitCode {
    fn from(failure: Failure) -> Self {
        Self::from(failure.code())
    }
}

/// Whether an error is that the reader of the answer went away: for a listing that is no failure.
#[must_use]
pub fn is_closed_pipe<'a>(causes: impl IntoIterator<Item = &'a (dyn Error + 'static)>) -> bool {
    let mut errors = causes.into_iter().filter_map(|cause| cause.downcast_ref::<io::Error>());
    errors.any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// What came of writing a listing: that its reader went away is no failure.
///
/// # Errors
/// It could not be written for another reason.
pub fn of_listing(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Whether one of the causes of an error is that the configuration is missing or wrong, so that it ends with 78. Give
/// it the whole chain: errors of modules that hold a configuration error of their own are looked into. That the machine
/// cannot read it now (too many open files, a broken disk) is no such cause.
#[must_use]
pub fn is_of_configuration<'a>(causes: impl IntoIterator<Item = &'a (dyn Error + 'static)>) -> bool {
    causes.into_iter().any(|cause| {
        cause.downcast_ref().is_some_and(ConfigError::is_of_the_operator)
            || cause.is::<AccountError>()
            || matches!(cause.downcast_ref(), Some(WorkDirError::Config(_)))
            || matches!(cause.downcast_ref(), Some(SourceError::Config(_)))
            || matches!(cause.downcast_ref(), Some(RepositoryError::Config(_)))
            || matches!(
                cause.downcast_ref(),
                Some(
                    MetadataError::Config(_)
                        | MetadataError::Account(_)
                        | MetadataError::Source(SourceError::Config(_))
                )
            )
    })
}
