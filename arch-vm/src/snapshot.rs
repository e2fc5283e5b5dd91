//! Machines that had booted, to go on from: a disk and the state of memory and devices, made once for each base image and
//! hardware, read by any number of machines.
//!
//! The guest's agent waits in it for the time and for fresh entropy, so nothing runs before it has both. A state fits
//! one version of qemu and one hardware only; both are in the name of its directory. Invariant: with `ready` in it a
//! snapshot is complete, and never changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use common::atomic::remove_tree;
use common::build_command::Outcome;
use common::interrupt::Interrupt;
use common::lock::{Lock, LockError, Mode, Patience};
use common::names::last_part;

use crate::place::{Place, seal};

/// A complete snapshot.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// The disk, over that of the base image.
    pub(crate) disk: PathBuf,
    /// The state.
    pub(crate) state: PathBuf,
}

/// The snapshot of this name, made where it is missing: `make` gets an empty directory for `disk.qcow2` and `state`.
pub(crate) fn ensure(
    place: &Place,
    below: &Path,
    name: &str,
    interrupt: &Interrupt,
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<Snapshot> {
    let directory = below.join(name);
    if let Some(found) = read(&directory) {
        return Ok(found);
    }
    common::atomic::create_directory(below)?;
    let lock = Lock::wait(&below.join(format!(".{name}.lock")), interrupt, || {})?;
    let _right = lock.context(Outcome::Interrupted)?;
    if let Some(found) = read(&directory) {
        return Ok(found);
    }
    remove_tree(&directory)?;
    fs::create_dir(&directory).context("cannot make a snapshot")?;
    crate::place::give(&directory, place.account())?;
    let began = Instant::now();
    make(&directory).context("a snapshot of the booted machine cannot be made")?;
    for part in ["disk.qcow2", "state"] {
        seal(&directory.join(part), place.account())?;
    }
    let text = format!("{} ms\n", began.elapsed().as_millis());
    common::atomic::write(&directory.join("ready"), text.as_bytes())?;
    read(&directory).context("the new snapshot has vanished")
}

/// Removes those that nobody finishes.
pub(crate) fn sweep(below: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(below) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry?.path();
        let name = last_part(&path);
        if name.starts_with('.') || read(&path).is_some() {
            continue;
        }
        match Lock::acquire(&below.join(format!(".{name}.lock")), Mode::Exclusive, Patience::Never) {
            // Somebody may have finished it meanwhile.
            Ok(_right) if read(&path).is_none() => remove_tree(&path)?,
            Ok(_) | Err(LockError::Busy { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn read(directory: &Path) -> Option<Snapshot> {
    directory.join("ready").is_file().then(|| Snapshot {
        disk: directory.join("disk.qcow2"),
        state: directory.join("state"),
    })
}
