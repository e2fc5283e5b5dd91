//! The directory of a machine that is not started yet, and the overlay in which it will write.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use common::lock::{Lock, Mode, Patience};
use common::names::last_part;
use common::process::Command;
use common::used_directory::LOCK;
use nix::sys::statvfs::statvfs;

use super::remains::{OVERLAY_LINK, remove_machine};
use crate::place::{Place, give};

/// The directory of a machine that is not started yet, in our hands. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Slot {
    /// The directory.
    pub(crate) directory: PathBuf,
    /// The machine's name.
    pub(crate) id: String,
    /// None when the machine has it.
    lock: Option<Lock>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.lock.is_some() {
            // What is left over is for the next `arch-vm clean`.
            drop(remove_machine(&self.directory));
        }
    }
}

impl Slot {
    /// Makes the directory of a machine.
    pub(crate) fn reserve(place: &Place) -> Result<Self> {
        let _making = place.lock_machines()?;
        let directory = tempfile::Builder::new()
            .prefix("")
            .rand_bytes(6)
            .tempdir_in(place.machines())
            .context("cannot make a machine")?
            .keep();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))?;
        let lock = Lock::acquire(&directory.join(LOCK), Mode::Exclusive, Patience::Never)?;
        give(&directory, place.account())?;
        let id = last_part(&directory);
        let lock = Some(lock);
        Ok(Self { directory, id, lock })
    }

    /// Hands the directory over to a machine that runs.
    pub(super) fn release(&mut self) -> Option<Lock> {
        self.lock.take()
    }

    /// Makes the overlay over a disk; it can become so large, and there has to be room for that.
    pub(crate) fn make_overlay(&self, place: &Place, backing: &Path, to: Option<&Path>, limit: u64) -> Result<PathBuf> {
        let overlay = match to {
            Some(directory) => directory.join(format!("arch-vm-{}.qcow2", self.id)),
            None => self.directory.join("overlay.qcow2"),
        };
        let parent = overlay.parent().context("an overlay lies in a directory")?;
        let free = statvfs(parent).with_context(|| format!("cannot see how much of {} is free", parent.display()))?;
        let free = free.blocks_available().saturating_mul(free.fragment_size());
        ensure!(
            free >= limit,
            "{} has {} MiB free, a machine may write {} MiB (--overlay, key vm_overlay_mib; --overlay-dir for another place)",
            parent.display(),
            free >> 20,
            limit >> 20
        );
        if to.is_some() {
            // First the way to it: whoever cleans up after us has to find it.
            symlink(&overlay, self.directory.join(OVERLAY_LINK))?;
        }
        create_overlay(place, backing, &overlay)?;
        Ok(overlay)
    }
}

/// The format of a disk.
fn format_of(place: &Place, disk: &Path) -> Result<String> {
    // Ours are, and asking costs a tenth of what a machine needs to go on.
    if disk.extension().is_some_and(|extension| extension == "qcow2") {
        return Ok("qcow2".to_owned());
    }
    let command = Command::new("qemu-img").args(["info", "--output=json"]).arg(disk);
    let said = command.account(place.account()).directory("/").run()?;
    let said: serde_json::Value = serde_json::from_slice(&said.stdout).context("qemu-img info cannot be understood")?;
    Ok(said["format"].as_str().unwrap_or("raw").to_owned())
}

/// Makes an empty overlay over a disk.
pub(crate) fn create_overlay(place: &Place, backing: &Path, overlay: &Path) -> Result<()> {
    if place.account().is_some() {
        // It may lie where the account can write, or where only root can.
        File::create_new(overlay).with_context(|| format!("cannot make {}", overlay.display()))?;
        give(overlay, place.account())?;
    }
    Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", &format_of(place, backing)?, "-b"])
        .arg(backing)
        .arg(overlay)
        .account(place.account())
        .directory("/")
        .run()?;
    Ok(())
}
