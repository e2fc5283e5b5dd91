//! Telling the world: `publish_command` gets the changed paths, relative to `repo_dir`, a line each on standard input; then
//! the mirrors' refresh URLs are fetched.
//!
//! Paths come in the order in which they are to be carried: packages, then databases, `lastupdate` at last. One that does
//! not exist any more is to be removed elsewhere, too, after all others.
//!
//! The paths are noted in `.publish-pending` before a flip. Whoever publishes takes them to `.publish-running` first, and
//! removes that only when the command has ended well: a failure, or a killed tool, is made up for by the next run, and what
//! is noted meanwhile is neither lost nor taken for told. The URLs are noted in `.refresh-pending` then and go out of it
//! one by one. `.publish.lock` is held all the time; whoever comes second leaves the work to the first or to the next run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use super::{Repositories, RepositoryError};
use crate::atomic::{self, FileError};
use crate::config::{Config, ConfigError};
use crate::lock::{Lock, LockError, Mode, Patience};
use crate::process::{Command, Input, Output, ProcessError};

/// How long a mirror may take to answer, in seconds.
const REFRESH_SECONDS: u64 = 30;

/// The world could not be told. What it was not told stays noted.
#[derive(Debug, Error)]
pub enum PublishError {
    /// A list of what is to be told cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The lock file cannot be used.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The command failed.
    #[error("publish_command failed, {count} changed paths wait for the next run: {source}")]
    Command {
        /// How many paths wait.
        count: usize,
        /// The cause.
        #[source]
        source: ProcessError,
    },
    /// Some mirrors did not answer as they should.
    #[error("the mirrors' refresh URLs {} are fetched again by the next run: {source}", urls.join(" "))]
    Refresh {
        /// Those that failed.
        urls: Vec<String>,
        /// Why the last of them did.
        #[source]
        source: ProcessError,
    },
}

/// What is to be told to whom.
#[derive(Debug, Clone)]
pub(super) struct Announcing {
    command: Vec<String>,
    limit: Duration,
    refresh_urls: Vec<String>,
}

impl Announcing {
    /// The keys `publish_command`, `publish_timeout_seconds` and `mirror_refresh_trigger_urls`.
    pub(super) fn from_config(config: &Config) -> Result<Self, ConfigError> {
        let words = |key| config.words(key).map(str::to_owned).collect();
        Ok(Self {
            command: words("publish_command"),
            limit: Duration::from_secs(config.number("publish_timeout_seconds", 3600)?),
            refresh_urls: words("mirror_refresh_trigger_urls"),
        })
    }

    const fn has_anybody(&self) -> bool {
        !self.command.is_empty() || !self.refresh_urls.is_empty()
    }
}

impl Repositories {
    /// Notes changed paths before they change. The package-database lock is held.
    pub(super) fn note_changes(&self, changed: &[String]) -> Result<(), RepositoryError> {
        if !self.announcing.has_anybody() || changed.is_empty() {
            return Ok(());
        }
        let _lock = self.pending_lock()?;
        let mut pending = read_lines(&self.pending_path())?;
        pending.extend(changed.iter().cloned());
        Ok(write_lines(&self.pending_path(), &pending)?)
    }

    /// Runs `publish_command` if paths are noted, and fetches the mirrors' refresh URLs. Call it without any lock held.
    ///
    /// # Errors
    /// The command fails, a URL cannot be fetched, or a list cannot be read or written.
    pub fn publish(&self) -> Result<(), PublishError> {
        if !self.announcing.has_anybody() {
            return Ok(());
        }
        let _running = match Lock::acquire(&self.root.join(".publish.lock"), Mode::Exclusive, Patience::Never) {
            Ok(lock) => lock,
            Err(LockError::Busy { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let told = self.take_pending()?;
        if !told.is_empty() {
            self.carry(&told)?;
            write_lines(
                &self.refresh_path(),
                &self.announcing.refresh_urls.iter().cloned().collect(),
            )?;
            atomic::remove(&self.running_path())?;
        }
        self.refresh()
    }

    /// Moves what is noted, and what an earlier run could not tell, to the list of what is being told.
    fn take_pending(&self) -> Result<BTreeSet<String>, FileError> {
        let _lock = self.pending_lock()?;
        let mut paths = read_lines(&self.running_path())?;
        let noted = read_lines(&self.pending_path())?;
        if !noted.is_empty() {
            paths.extend(noted);
            write_lines(&self.running_path(), &paths)?;
            atomic::remove(&self.pending_path())?;
        }
        Ok(paths)
    }

    fn carry(&self, paths: &BTreeSet<String>) -> Result<(), PublishError> {
        let Some((program, arguments)) = self.announcing.command.split_first() else {
            return Ok(());
        };
        let lines = self.in_order(paths);
        let finished = Command::new(program)
            .args(arguments)
            .directory(&self.root)
            .input(Input::Bytes(lines.concat().into_bytes()))
            .output(Output::ToStderr)
            .timeout(self.announcing.limit)
            .run();
        finished.map_err(|source| PublishError::Command {
            count: paths.len(),
            source,
        })?;
        Ok(())
    }

    /// The lines for the command: with a database all names that readers know it by.
    fn in_order(&self, paths: &BTreeSet<String>) -> Vec<String> {
        let mut all: BTreeSet<(Turn, String)> = BTreeSet::new();
        for path in paths {
            match path.strip_suffix(".tar.gz").filter(|short| is_database(short)) {
                Some(short) => {
                    let names = [
                        short.to_owned(),
                        format!("{short}.sig"),
                        path.clone(),
                        format!("{path}.sig"),
                    ];
                    let exists = |name: &String| self.root.join(name).exists();
                    all.extend(names.into_iter().filter(exists).map(|name| (Turn::Database, name)));
                }
                None if !self.root.join(path).exists() => {
                    all.insert((Turn::Gone, path.clone()));
                }
                None if path == "lastupdate" => {
                    all.insert((Turn::LastUpdate, path.clone()));
                }
                None => {
                    all.insert((Turn::Package, path.clone()));
                }
            }
        }
        all.into_iter().map(|(_, path)| format!("{path}\n")).collect()
    }

    fn refresh(&self) -> Result<(), PublishError> {
        let mut pending = read_lines(&self.refresh_path())?;
        let mut failure = None;
        for url in pending.clone() {
            let limit = REFRESH_SECONDS.to_string();
            let fetched = Command::new("curl")
                .args([
                    "--fail",
                    "--silent",
                    "--show-error",
                    "--location",
                    "--output",
                    "/dev/null",
                ])
                .args(["--max-time", &limit, "--", &url])
                .timeout(Duration::from_secs(2 * REFRESH_SECONDS))
                .run();
            match fetched {
                Ok(_) => {
                    pending.remove(&url);
                    write_lines(&self.refresh_path(), &pending)?;
                }
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            None => Ok(()),
            Some(source) => Err(PublishError::Refresh {
                urls: pending.into_iter().collect(),
                source,
            }),
        }
    }

    fn pending_lock(&self) -> Result<Lock, FileError> {
        let path = self.root.join(".publish-pending.lock");
        Lock::acquire(&path, Mode::Exclusive, Patience::Bounded(Duration::from_secs(10)))
            .map_err(|error| FileError::at("lock", &path)(std::io::Error::other(error)))
    }

    fn pending_path(&self) -> PathBuf {
        self.root.join(".publish-pending")
    }

    fn running_path(&self) -> PathBuf {
        self.root.join(".publish-running")
    }

    fn refresh_path(&self) -> PathBuf {
        self.root.join(".refresh-pending")
    }
}

/// When a path is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Package,
    Database,
    LastUpdate,
    Gone,
}

/// Whether this, with `.tar.gz` behind it, is the name of a database: packages have more to theirs.
fn is_database(path: &str) -> bool {
    let extension = Path::new(path).extension();
    extension.is_some_and(|extension| extension == "db" || extension == "files")
}

fn read_lines(path: &Path) -> Result<BTreeSet<String>, FileError> {
    let text = atomic::read_text(path)?.unwrap_or_default();
    Ok(text.lines().map(str::to_owned).collect())
}

fn write_lines(path: &Path, lines: &BTreeSet<String>) -> Result<(), FileError> {
    if lines.is_empty() {
        return atomic::remove(path);
    }
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    atomic::write(path, text.as_bytes())
}
