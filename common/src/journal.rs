//! The journal: what happened, append-only, one event a line, tab-separated.
//!
//! Fields: Unix time, event, pkgbase, revision, mod_revision, repository, builder, detail; `-` where there is none.
//! Ages and history come from here. A torn last line is ignored and closed by the next writer; the file is rotated to
//! `journal.1` when it grows over [`ROTATE_AT`]. Nothing needs the journal to hand out an order. Its own lock
//! (`journal.lock`) is the last in the lock order and held for one write.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::atomic::{self, Batch, FileError};
use crate::build_list::Order;
use crate::lock::{Lock, LockError, Mode, Patience};
use crate::names::Builder;

/// Size in bytes from which on a new journal is begun.
pub const ROTATE_AT: u64 = 64 << 20;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// An order came onto the build list.
    Scheduled,
    /// An order was handed to a builder.
    Assigned,
    /// An attempt failed.
    Failed,
    /// An upload was refused for good; the detail says why.
    Refused,
    /// Packages were accepted into staging.
    Returned,
    /// Packages moved from staging to testing.
    Testing,
    /// Packages were approved.
    Tested,
    /// Packages moved from testing to stable.
    Stable,
    /// A package came onto the deletion list.
    Deleted,
    /// An order was blocked by hand; the detail says why.
    Blocked,
    /// An order was unblocked by hand.
    Unblocked,
    /// Packages are approved no more.
    Faulty,
    /// A transaction was taken back; the detail says which, and where the order stands now.
    TakenBack,
}

impl Event {
    const ALL: [Self; 13] = [
        Self::Scheduled,
        Self::Assigned,
        Self::Failed,
        Self::Refused,
        Self::Returned,
        Self::Testing,
        Self::Tested,
        Self::Stable,
        Self::Deleted,
        Self::Blocked,
        Self::Unblocked,
        Self::Faulty,
        Self::TakenBack,
    ];

    /// The word in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Assigned => "assigned",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Returned => "returned",
            Self::Testing => "testing",
            Self::Tested => "tested",
            Self::Stable => "stable",
            Self::Deleted => "deleted",
            Self::Blocked => "blocked",
            Self::Unblocked => "unblocked",
            Self::Faulty => "faulty",
            Self::TakenBack => "taken-back",
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Unix time.
    pub time: u64,
    /// What happened.
    pub event: Event,
    /// To which order.
    pub order: Order,
    /// By which builder.
    pub builder: Option<Builder>,
    /// Free text without tabs and newlines.
    pub detail: String,
}

/// The journal cannot be written.
#[derive(Debug, Error)]
pub enum JournalError {
    /// Somebody holds its lock for too long.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Order {
            pkgbase,
            revision,
            mod_revision,
            repository,
        } = &self.order;
        let builder = self.builder.as_ref().map_or("-", Builder::as_str);
        let detail: String = self
            .detail
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let detail = if detail.is_empty() { "-" } else { &detail };
        write!(
            f,
            "{}\t{}\t{pkgbase}\t{revision}\t{mod_revision}\t{repository}\t{builder}\t{detail}",
            self.time,
            self.event.as_str()
        )
    }
}

impl FromStr for Entry {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [
            time,
            event,
            pkgbase,
            revision,
            mod_revision,
            repository,
            builder,
            detail,
        ] = fields[..]
        else {
            return Err(());
        };
        Ok(Self {
            time: time.parse().map_err(drop)?,
            event: Event::ALL.into_iter().find(|e| e.as_str() == event).ok_or(())?,
            order: Order {
                pkgbase: pkgbase.parse().map_err(drop)?,
                revision: revision.parse().map_err(drop)?,
                mod_revision: mod_revision.parse().map_err(drop)?,
                repository: repository.parse().map_err(drop)?,
            },
            builder: match builder {
                "-" => None,
                name => Some(name.parse().map_err(drop)?),
            },
            detail: detail.to_owned(),
        })
    }
}

/// The journal of a work directory.
#[derive(Debug, Clone)]
pub struct Journal {
    path: PathBuf,
}

impl Journal {
    /// The journal at this path.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Adds entries, all with one write.
    ///
    /// # Errors
    /// The lock is not to be had within ten seconds, or the write fails.
    pub fn append(&self, entries: &[Entry]) -> Result<(), JournalError> {
        let mut batch = Batch::default();
        self.put(entries, &mut batch)?;
        Ok(batch.sync()?)
    }

    /// Like [`Journal::append`], but they last only when the batch is synced.
    ///
    /// # Errors
    /// The lock is not to be had within ten seconds, or the write fails.
    pub fn put(&self, entries: &[Entry], batch: &mut Batch) -> Result<(), JournalError> {
        if entries.is_empty() {
            return Ok(());
        }
        let patience = Patience::Bounded(Duration::from_secs(10));
        let _held = Lock::acquire(&self.path.with_extension("lock"), Mode::Exclusive, patience)?;
        let mut file = self.open()?;
        if file.metadata().is_ok_and(|metadata| metadata.len() > ROTATE_AT) {
            atomic::rename(&self.path, &self.rotated())?;
            file = self.open()?;
        }
        let mut text = String::new();
        if is_torn(&mut file).map_err(FileError::at("read", &self.path))? {
            text.push('\n');
        }
        for entry in entries {
            text.push_str(&format!("{entry}\n"));
        }
        file.write_all(text.as_bytes())
            .map_err(FileError::at("append to", &self.path))?;
        batch.content(&self.path);
        Ok(())
    }

    /// All entries of the present file; lines that are none (a torn one) are passed over.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&self) -> Result<Vec<Entry>, FileError> {
        let text = atomic::read_text(&self.path)?.unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        Ok(whole.lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file before it, if there was one.
    #[must_use]
    pub fn rotated(&self) -> PathBuf {
        self.path.with_extension("1")
    }

    fn open(&self) -> Result<File, FileError> {
        OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&self.path)
            .map_err(FileError::at("open", &self.path))
    }
}

/// Whether the last line lacks its newline: a writer was killed in the middle.
fn is_torn(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last[0] != b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(detail: &str) -> Entry {
        Entry {
            time: 7,
            event: Event::Failed,
            order: format!("a {} {} core", "1".repeat(40), "2".repeat(40)).parse().unwrap(),
            builder: Some("eurobuild3".parse().unwrap()),
            detail: detail.to_owned(),
        }
    }

    #[test]
    fn entries_are_read_back_and_control_characters_stay_out() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::new(directory.path().join("journal"));
        journal.append(&[entry("x\ty\nz")]).unwrap();
        assert_eq!(journal.read().unwrap(), [entry("x y z")]);
    }

    #[test]
    fn a_torn_line_is_ignored_and_closed_by_the_next_writer() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::new(directory.path().join("journal"));
        journal.append(&[entry("one")]).unwrap();
        let whole = std::fs::read_to_string(journal.path()).unwrap();
        atomic::write(journal.path(), format!("{whole}{}", &whole[..20]).as_bytes()).unwrap();
        assert_eq!(journal.read().unwrap().len(), 1);
        journal.append(&[entry("two")]).unwrap();
        let details: Vec<String> = journal.read().unwrap().into_iter().map(|e| e.detail).collect();
        assert_eq!(details, ["one", "two"]);
    }
}
