//! repo-add's own lock: `REPO.db.tar.gz.lck` with the holder's pid inside, made exclusively and removed at the end.
//!
//! It keeps our changes and those of repo-add and repo-remove apart. A lock whose process is gone (kill -9) is taken over.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::RepositoryError;
use crate::atomic::{self, FileError};
use crate::lock::Patience;

const RETRY: Duration = Duration::from_millis(20);
/// A lock without a pid in it may be one that repo-add is just writing.
const EMPTY_IS_STALE_AFTER: Duration = Duration::from_secs(60);

/// The held lock; dropping it removes the file.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub(super) struct DatabaseLock {
    path: PathBuf,
    /// Its last holder was killed, and may have left something half made.
    pub(super) was_left: bool,
}

impl DatabaseLock {
    /// Takes the lock at `path`, waiting for another process as long as patience lasts.
    pub(super) fn acquire(path: PathBuf, patience: Patience) -> Result<Self, RepositoryError> {
        let deadline = Instant::now()
            + match patience {
                Patience::Never => Duration::ZERO,
                Patience::Bounded(time) => time,
            };
        loop {
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(mut file) => {
                    let lock = Self { path, was_left: false };
                    writeln!(file, "{}", std::process::id()).map_err(FileError::at("write", &lock.path))?;
                    return Ok(lock);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(FileError::at("make", &path)(error).into()),
            }
            let holder = atomic::read_text(&path)?.unwrap_or_default().trim().to_owned();
            if is_stale(&path, &holder) {
                // Written anew under its name, so that nobody else sees it free in between.
                atomic::write(&path, format!("{}\n", std::process::id()).as_bytes())?;
                return Ok(Self { path, was_left: true });
            }
            if Instant::now() >= deadline {
                let holder = if holder.is_empty() {
                    "an unknown process".to_owned()
                } else {
                    format!("process {holder}")
                };
                return Err(RepositoryError::Busy { path, holder });
            }
            std::thread::sleep(RETRY);
        }
    }
}

impl Drop for DatabaseLock {
    fn drop(&mut self) {
        // The next holder takes over what cannot be removed now.
        std::fs::remove_file(&self.path).ok();
    }
}

fn is_stale(path: &Path, holder: &str) -> bool {
    match holder.parse::<i32>() {
        Ok(pid) if pid > 0 => kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH),
        _ => path
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|time| {
                SystemTime::now()
                    .duration_since(time)
                    .is_ok_and(|age| age > EMPTY_IS_STALE_AFTER)
            }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_of_a_living_process_is_respected_and_one_of_a_dead_one_taken_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("core.db.tar.gz.lck");
        let held = DatabaseLock::acquire(path.clone(), Patience::Never).unwrap();
        let error = DatabaseLock::acquire(path.clone(), Patience::Never).unwrap_err();
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        assert!(!held.was_left);
        drop(held);
        assert!(!path.exists());
        let dead = crate::process::Command::new("true").spawn().unwrap();
        let pid = dead.id();
        dead.wait().unwrap();
        atomic::write(&path, format!("{pid}\n").as_bytes()).unwrap();
        assert!(DatabaseLock::acquire(path.clone(), Patience::Never).unwrap().was_left);
        atomic::write(&path, b"").unwrap();
        assert!(DatabaseLock::acquire(path, Patience::Never).is_err());
    }
}
