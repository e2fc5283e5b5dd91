//! Base images: generations, of which a machine keeps the one that it started from, so that making one anew and using
//! one at the same time is safe.
//!
//! Invariant: `base` leads to a complete generation or nowhere, and a complete one never changes. A generation is made in
//! a temporary sibling, recorded, renamed, and then the link is replaced; one that nobody uses is removed after the next
//! was made.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use common::interrupt::Interrupt;
use common::lock::{Lock, LockError, Mode, Patience};
use serde::{Deserialize, Serialize};

use crate::hardware::Boot;
use crate::place::{Place, remove_tree};

/// Beginning of the name of a generation in the making.
const NEW: &str = ".new-";
/// Beginning of the name of a generation that is being removed.
const GONE: &str = ".gone-";
/// How often somebody who waits for a base image looks whether he is asked to end.
const STEP: Patience = Patience::Bounded(Duration::from_millis(200));

/// What is written down of a base image, in `record.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Version of this format.
    pub(crate) format: u32,
    /// Unix time when it was made.
    pub(crate) made: u64,
    /// What the disk is: `qcow2`.
    pub(crate) disk: String,
    /// The guest's name of the root file system.
    pub(crate) root: String,
    /// The kernel's release.
    pub(crate) kernel: String,
    /// The repositories that it was made from.
    pub(crate) repositories: Vec<String>,
    /// How many packages are installed; the list is in `packages`.
    pub(crate) packages: usize,
}

/// The version of [`Record`] that this program writes and reads.
pub(crate) const FORMAT: u32 = 1;

/// One base image, in use as long as this lives.
#[derive(Debug)]
pub(crate) struct Base {
    directory: PathBuf,
    /// What is written down of it.
    pub(crate) record: Record,
    _lock: Lock,
}

impl Base {
    /// Its number, to tell it from others.
    pub(crate) fn name(&self) -> String {
        self.directory
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    /// The disk.
    pub(crate) fn disk(&self) -> PathBuf {
        self.directory.join("disk.qcow2")
    }

    /// Where its snapshots are.
    pub(crate) fn snapshots(&self) -> PathBuf {
        self.directory.join("snapshots")
    }

    /// What a machine of it boots.
    pub(crate) fn boot(&self) -> Boot {
        Boot::Kernel {
            kernel: self.directory.join("kernel"),
            initramfs: self.directory.join("initramfs"),
            root: self.record.root.clone(),
        }
    }

    /// The public half of the guest's host key.
    pub(crate) fn host_key(&self) -> Result<String> {
        let path = self.directory.join("host-key");
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// How old it is.
    pub(crate) fn age(&self, now: u64) -> Duration {
        Duration::from_secs(now.saturating_sub(self.record.made))
    }
}

/// The right to make a base image.
#[derive(Debug)]
pub(crate) struct MakingLock {
    _lock: Lock,
}

/// Waits for the right to make one.
pub(crate) fn lock(place: &Place, interrupt: &Interrupt, on_wait: impl FnOnce()) -> Result<MakingLock> {
    let mut on_wait = Some(on_wait);
    loop {
        match Lock::acquire(&place.base_lock(), Mode::Exclusive, STEP) {
            Ok(lock) => return Ok(MakingLock { _lock: lock }),
            Err(LockError::Busy { .. }) => {
                if interrupt.is_raised() {
                    bail!("interrupted");
                }
                if let Some(tell) = on_wait.take() {
                    tell();
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The base image that new machines start from; none when there is none, or a broken one.
pub(crate) fn current(place: &Place) -> Result<Option<Base>> {
    loop {
        let Some(directory) = linked(place) else {
            return Ok(None);
        };
        match Lock::acquire(&directory.join("lock"), Mode::Shared, Patience::Never) {
            // It may have been replaced and removed before it was locked.
            Ok(lock) if linked(place).as_ref() == Some(&directory) => {
                return Ok(read_record(&directory).map(|record| Base {
                    directory,
                    record,
                    _lock: lock,
                }));
            }
            Err(LockError::Io { .. }) if linked(place).as_ref() == Some(&directory) => return Ok(None),
            // Somebody is removing it: the link leads elsewhere soon, or already does.
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn linked(place: &Place) -> Option<PathBuf> {
    let target = fs::read_link(place.base_link()).ok()?;
    Some(place.bases().parent()?.join(target))
}

fn read_record(directory: &Path) -> Option<Record> {
    let text = fs::read(directory.join("record.json")).ok()?;
    let record: Record = serde_json::from_slice(&text).ok()?;
    (record.format == FORMAT && directory.join("disk.qcow2").is_file()).then_some(record)
}

/// Makes a new generation: `fill` gets the empty directory and returns what is to be written down.
pub(crate) fn make(place: &Place, _right: &MakingLock, fill: impl FnOnce(&Path) -> Result<Record>) -> Result<()> {
    let new = tempfile::Builder::new()
        .prefix(NEW)
        .tempdir_in(place.bases())
        .context("cannot make a base image")?
        .keep();
    let made = fill(&new)
        .and_then(|record| finish(&new, &record))
        .and_then(|()| flip(place, &new));
    if made.is_err() {
        drop(remove_tree(&new));
    }
    made
}

fn finish(new: &Path, record: &Record) -> Result<()> {
    common::atomic::write(&new.join("lock"), b"")?;
    // What looks complete after a power failure has to be complete.
    nix::unistd::syncfs(fs::File::open(new)?).context("cannot sync the base image")?;
    common::atomic::write(&new.join("record.json"), &serde_json::to_vec_pretty(record)?)?;
    Ok(())
}

fn flip(place: &Place, new: &Path) -> Result<()> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(place.bases())? {
        numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    let name = (numbers.into_iter().max().unwrap_or(0) + 1).to_string();
    common::atomic::rename(new, &place.bases().join(&name))?;
    let link = place.bases().join(format!("{NEW}link"));
    common::atomic::remove(&link)?;
    symlink(Path::new(".bases").join(&name), &link).context("cannot make the link of the base image")?;
    common::atomic::rename(&link, &place.base_link())?;
    Ok(())
}

/// Removes half-made generations and those that no machine uses and the link does not name.
pub(crate) fn sweep(place: &Place, _right: &MakingLock) -> Result<()> {
    let kept = linked(place);
    let mut gone = Vec::new();
    for entry in fs::read_dir(place.bases())? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if kept.as_ref() == Some(&path) {
            continue;
        }
        if name.starts_with('.') {
            gone.push(path);
            continue;
        }
        if let Err(LockError::Busy { .. }) = Lock::acquire(&path.join("lock"), Mode::Exclusive, Patience::Never) {
            continue;
        }
        // Whoever locks it now finds that the link leads elsewhere.
        let away = path.with_file_name(format!("{GONE}{name}"));
        common::atomic::rename(&path, &away)?;
        gone.push(away);
    }
    for path in gone {
        if path.is_dir() && !path.is_symlink() {
            remove_tree(&path)?;
        } else {
            common::atomic::remove(&path)?;
        }
    }
    Ok(())
}

/// Removes the link, so that the next sweep removes what it led to.
pub(crate) fn forget(place: &Place, _right: &MakingLock) -> Result<()> {
    Ok(common::atomic::remove(&place.base_link())?)
}
