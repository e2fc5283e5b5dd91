//! Locks on files in the work directory: flock(2) targets that are never unlinked.
//!
//! The only module that uses fs2 (fully qualified: the standard library has methods of the same names). A lock file
//! holds the pid and command of its last holder, for messages. Lock order: build-list, package-database, sanity-check
//! (shared); never otherwise, see [`crate::work_dir::WorkDir`].

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use thiserror::Error;

use crate::config::{Config, ConfigError};
use crate::interrupt::Interrupt;

/// How often somebody who waits without end looks whether he is asked to.
const STEP: Patience = Patience::Bounded(Duration::from_millis(200));
/// Who holds a lock that says nothing.
const UNKNOWN: &str = "an unknown process";

/// How a lock is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One holder.
    Exclusive,
    /// Any number of holders that only read what it guards.
    Shared,
}

/// How long to wait for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Not at all.
    Never,
    /// At most so long.
    Bounded(Duration),
}

impl Patience {
    /// That of a tool that somebody waits for: `lock_wait_seconds`, 10 when it is not set.
    ///
    /// # Errors
    /// The value is no number.
    pub fn configured(config: &Config) -> Result<Self, ConfigError> {
        let seconds = config.number("lock_wait_seconds", 10)?;
        Ok(Self::Bounded(Duration::from_secs(seconds)))
    }
}

/// A lock that could not be had.
#[derive(Debug, Error)]
pub enum LockError {
    /// Somebody else holds it.
    #[error("{} is locked by {holder}", path.display())]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// Pid and command of the holder, as far as known.
        holder: String,
    },
    /// The lock file cannot be opened or locked.
    #[error("cannot lock {}: {source}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// A held lock; dropping it releases it.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct Lock {
    file: File,
}

/// One attempt to lock, and one that lasts until it succeeds.
fn attempt(file: &File, mode: Mode) -> io::Result<()> {
    match mode {
        Mode::Exclusive => fs2::FileExt::try_lock_exclusive(file),
        Mode::Shared => fs2::FileExt::try_lock_shared(file),
    }
}

fn lock(file: &File, mode: Mode) -> io::Result<()> {
    loop {
        let locked = match mode {
            Mode::Exclusive => fs2::FileExt::lock_exclusive(file),
            Mode::Shared => fs2::FileExt::lock_shared(file),
        };
        match locked {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            locked => return locked,
        }
    }
}

fn is_busy(error: &io::Error) -> bool {
    error.raw_os_error() == fs2::lock_contended_error().raw_os_error()
}

/// Waits for the lock in the kernel's queue: whoever asks again and again takes the time of the one who works. flock(2)
/// has no time limit, so a thread waits and is left alone when the time is over. It closes its copy of the file then as
/// soon as it has the lock, and with that releases it. `None`: it took too long.
fn wait(file: &File, mode: Mode, time: Duration) -> io::Result<Option<()>> {
    let copy = file.try_clone()?;
    let (sender, receiver) = mpsc::channel();
    std::thread::Builder::new().spawn(move || sender.send(lock(&copy, mode)))?;
    match receiver.recv_timeout(time) {
        Ok(locked) => locked.map(Some),
        Err(_) => Ok(None),
    }
}

impl Lock {
    /// Takes the lock at `path`, making the file where it is missing.
    ///
    /// # Errors
    /// [`LockError::Busy`] when patience ends, [`LockError::Io`] for everything else.
    pub fn acquire(path: &Path, mode: Mode, patience: Patience) -> Result<Self, LockError> {
        let io = |source| LockError::Io {
            path: path.to_owned(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(io)?;
        let locked = match (attempt(&file, mode), patience) {
            (Ok(()), _) => Some(()),
            (Err(error), _) if !is_busy(&error) => return Err(io(error)),
            (Err(_), Patience::Never) => None,
            (Err(_), Patience::Bounded(time)) => wait(&file, mode, time).map_err(io)?,
        };
        if locked.is_none() {
            return Err(LockError::Busy {
                path: path.to_owned(),
                holder: holder(&mut file),
            });
        }
        let lock = Self { file };
        if mode == Mode::Exclusive {
            lock.sign();
        }
        Ok(lock)
    }

    /// Takes the lock at `path` for this process alone, however long that takes: `on_wait` is called once when somebody else
    /// has it. `None`: the caller is asked to end.
    ///
    /// # Errors
    /// [`LockError::Io`].
    pub fn wait(path: &Path, interrupt: &Interrupt, on_wait: impl FnOnce()) -> Result<Option<Self>, LockError> {
        let mut on_wait = Some(on_wait);
        loop {
            match Self::acquire(path, Mode::Exclusive, STEP) {
                Err(LockError::Busy { .. }) if interrupt.is_raised() => return Ok(None),
                Err(LockError::Busy { .. }) => {
                    if let Some(tell) = on_wait.take() {
                        tell();
                    }
                }
                locked => return locked.map(Some),
            }
        }
    }

    /// Takes the lock of a directory itself, where no file can be made: nobody else has it, and nothing says who does.
    ///
    /// # Errors
    /// [`LockError::Busy`] when somebody else holds it, [`LockError::Io`] for everything else.
    pub fn directory(path: &Path) -> Result<Self, LockError> {
        let io = |source| LockError::Io {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(io)?;
        match attempt(&file, Mode::Exclusive) {
            Ok(()) => Ok(Self { file }),
            Err(error) if is_busy(&error) => Err(LockError::Busy {
                path: path.to_owned(),
                holder: UNKNOWN.to_owned(),
            }),
            Err(error) => Err(io(error)),
        }
    }

    /// Writes who holds the lock. For messages only: that it fails (full disk) is no reason not to work.
    fn sign(&self) {
        let mut file = &self.file;
        let command = std::env::args_os()
            .next()
            .and_then(|path| {
                Path::new(&path)
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned())
            })
            .unwrap_or_default();
        let text = format!("{} {command}\n", std::process::id());
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(text.as_bytes()));
        drop(written);
    }
}

/// Whether somebody else holds the lock at `path` now, in either mode.
#[must_use]
pub fn is_held(path: &Path) -> bool {
    let lock = Lock::acquire(path, Mode::Exclusive, Patience::Never);
    matches!(lock, Err(LockError::Busy { .. }))
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(200).read_to_string(&mut text));
    let text = text.trim();
    if read.is_err() || text.is_empty() {
        UNKNOWN.to_owned()
    } else {
        format!("process {text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_exclusive_holder_is_refused_and_told_who_holds_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("build-list.lock");
        let held = Lock::acquire(&path, Mode::Exclusive, Patience::Never).unwrap();
        let error = Lock::acquire(&path, Mode::Exclusive, Patience::Never).unwrap_err();
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        drop(held);
        let _again = Lock::acquire(&path, Mode::Exclusive, Patience::Never).unwrap();
    }

    #[test]
    fn shared_holders_do_not_exclude_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sanity-check.lock");
        let _one = Lock::acquire(&path, Mode::Shared, Patience::Never).unwrap();
        let _two = Lock::acquire(&path, Mode::Shared, Patience::Never).unwrap();
        assert!(matches!(
            Lock::acquire(&path, Mode::Exclusive, Patience::Never),
            Err(LockError::Busy { .. })
        ));
    }

    #[test]
    fn a_directory_has_one_holder_and_gets_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let held = Lock::directory(directory.path()).unwrap();
        assert!(matches!(Lock::directory(directory.path()), Err(LockError::Busy { .. })));
        drop(held);
        let _again = Lock::directory(directory.path()).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn threads_on_one_lock_lose_no_update() {
        let directory = tempfile::tempdir().unwrap();
        let lock = directory.path().join("lock");
        let counter = directory.path().join("counter");
        crate::atomic::write(&counter, b"0").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let patience = Patience::Bounded(Duration::from_secs(60));
                        let _held = Lock::acquire(&lock, Mode::Exclusive, patience).unwrap();
                        let old: u32 = crate::atomic::read_text(&counter).unwrap().unwrap().parse().unwrap();
                        crate::atomic::write(&counter, (old + 1).to_string().as_bytes()).unwrap();
                    }
                });
            }
        });
        assert_eq!(crate::atomic::read_text(&counter).unwrap().unwrap(), "40");
    }
}
