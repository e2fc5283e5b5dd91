//! Telling the world: `publish_command` gets the changed paths, relative to `repo_dir`, a line each on standard input.
//!
//! The paths are noted in `.publish-pending` before a flip and taken out only when the command has ended well, so that a
//! failure is tried again by the next run and nothing is lost. A lock of its own keeps two runs apart; whoever comes
//! second leaves the work to the first or to the next run.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::{Repositories, RepositoryError};
use crate::atomic::{self, FileError};
use crate::lock::{Lock, LockError, Mode, Patience};
use crate::process::{Command, Input, Output, ProcessError};

/// The world could not be told. The paths stay noted.
#[derive(Debug, Error)]
pub enum PublishError {
    /// The list of paths cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The lock file cannot be used.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The command failed.
    #[error("publish_command failed and is tried again by the next run: {0}")]
    Command(#[from] ProcessError),
}

impl Repositories {
    /// Notes changed paths before a flip. The package-database lock is held.
    pub(super) fn note_changes(&self, changed: &[String]) -> Result<(), RepositoryError> {
        if self.publish_command.is_empty() {
            return Ok(());
        }
        let _lock = self.pending_lock(Patience::Bounded(Duration::from_secs(10)))?;
        let mut pending = self.pending()?;
        pending.extend(changed.iter().cloned());
        Ok(self.write_pending(&pending)?)
    }

    /// Runs `publish_command` if it is configured and paths are noted. Call it without any lock held.
    ///
    /// # Errors
    /// The command fails, or the list cannot be read or written.
    pub fn publish(&self) -> Result<(), PublishError> {
        let Some((program, arguments)) = self.publish_command.split_first() else {
            return Ok(());
        };
        let busy = self.root.join(".publish.lock");
        let _running = match Lock::acquire(&busy, Mode::Exclusive, Patience::Never) {
            Ok(lock) => lock,
            Err(LockError::Busy { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let told = self.pending()?;
        if told.is_empty() {
            return Ok(());
        }
        let text: String = told.iter().map(|path| format!("{path}\n")).collect();
        Command::new(program)
            .args(arguments)
            .directory(&self.root)
            .input(Input::Bytes(text.into_bytes()))
            .output(Output::ToStderr)
            .run()?;
        let _lock = self.pending_lock(Patience::Bounded(Duration::from_secs(10)))?;
        let mut pending = self.pending()?;
        // What was noted while the command ran may not have been seen by it.
        if pending == told {
            pending.clear();
        }
        Ok(self.write_pending(&pending)?)
    }

    fn pending_lock(&self, patience: Patience) -> Result<Lock, FileError> {
        let path = self.root.join(".publish-pending.lock");
        Lock::acquire(&path, Mode::Exclusive, patience)
            .map_err(|error| FileError::at("lock", &path)(std::io::Error::other(error)))
    }

    fn pending_path(&self) -> PathBuf {
        self.root.join(".publish-pending")
    }

    fn pending(&self) -> Result<BTreeSet<String>, FileError> {
        let text = atomic::read_text(&self.pending_path())?.unwrap_or_default();
        Ok(text.lines().map(str::to_owned).collect())
    }

    fn write_pending(&self, pending: &BTreeSet<String>) -> Result<(), FileError> {
        if pending.is_empty() {
            return atomic::remove(&self.pending_path());
        }
        let text: String = pending.iter().map(|path| format!("{path}\n")).collect();
        atomic::write(&self.pending_path(), text.as_bytes())
    }
}
