//! The base image that machines start from, in generations (`common::generations`): `base` leads to one, and its
//! `record.json` says what it is. A complete one never changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use common::build_command::Outcome;
use common::generations::{Generation, Making};
use common::interrupt::Interrupt;
use serde::{Deserialize, Serialize};

use crate::hardware::Boot;
use crate::place::Place;

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
    generation: Generation,
    /// What is written down of it.
    pub(crate) record: Record,
}

impl Base {
    /// Its number, to tell it from others.
    pub(crate) fn name(&self) -> String {
        self.generation.name()
    }

    fn part(&self, name: &str) -> PathBuf {
        self.generation.directory().join(name)
    }

    /// The disk.
    pub(crate) fn disk(&self) -> PathBuf {
        self.part("disk.qcow2")
    }

    /// Where its snapshots are.
    pub(crate) fn snapshots(&self) -> PathBuf {
        self.part("snapshots")
    }

    /// What a machine of it boots.
    pub(crate) fn boot(&self) -> Boot {
        Boot::Kernel {
            kernel: self.part("kernel"),
            initramfs: self.part("initramfs"),
            root: self.record.root.clone(),
        }
    }

    /// The public half of the guest's host key.
    pub(crate) fn host_key(&self) -> Result<String> {
        let path = self.part("host-key");
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// How old it is.
    pub(crate) fn age(&self, now: u64) -> Duration {
        Duration::from_secs(now.saturating_sub(self.record.made))
    }
}

/// Waits for the right to make one.
pub(crate) fn lock(place: &Place, interrupt: &Interrupt, on_wait: impl FnOnce()) -> Result<Making> {
    let right = place.bases().lock(interrupt, on_wait)?;
    right.context(Outcome::Interrupted)
}

/// The base image that new machines start from; none when there is none, or a broken one.
pub(crate) fn current(place: &Place) -> Option<Base> {
    let generation = place.bases().current()?;
    let record = read_record(generation.directory())?;
    Some(Base { generation, record })
}

fn read_record(directory: &Path) -> Option<Record> {
    let text = fs::read(directory.join("record.json")).ok()?;
    let record: Record = serde_json::from_slice(&text).ok()?;
    (record.format == FORMAT && directory.join("disk.qcow2").is_file()).then_some(record)
}

/// Makes a new generation: `fill` gets the empty directory and returns what is to be written down.
pub(crate) fn make(place: &Place, right: &Making, fill: impl FnOnce(&Path) -> Result<Record>) -> Result<()> {
    let fill = |directory: &Path| Ok(serde_json::to_vec_pretty(&fill(directory)?)?);
    place.bases().make(right, fill)
}

/// Removes half-made generations and those that no machine uses and the link does not lead to.
pub(crate) fn sweep(place: &Place, right: &Making) -> Result<()> {
    place.bases().sweep(right, |_| Ok(false))
}
