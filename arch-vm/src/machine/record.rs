//! What is written down of a machine, in its directory.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use common::names::Arch;
use serde::{Deserialize, Serialize};

/// The file's name.
const RECORD: &str = "machine.json";

/// What is written down of a machine, for `list`, `ssh`, `stop` and `clean`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MachineRecord {
    /// Its name.
    pub(crate) id: String,
    /// The target.
    pub(crate) arch: Arch,
    /// What it started from: the base image's number, or the path of an image.
    pub(crate) from: String,
    /// Unix time of its start.
    pub(crate) started: u64,
    /// Where it writes.
    pub(crate) overlay: PathBuf,
    /// The private key that opens it.
    pub(crate) identity: PathBuf,
    /// Whether its host key is known.
    pub(crate) is_known: bool,
    /// The port of the host's loopback that leads to its ssh, once it runs.
    pub(crate) port: Option<u16>,
    /// Whether it stays until somebody stops it.
    pub(crate) kept: bool,
}

impl MachineRecord {
    /// Reads it from a machine's directory; none where it was never written.
    pub(crate) fn read(directory: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(directory.join(RECORD)).ok()?).ok()
    }

    /// Writes it there.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        Ok(common::atomic::write(
            &directory.join(RECORD),
            &serde_json::to_vec_pretty(self)?,
        )?)
    }
}
