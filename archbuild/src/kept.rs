//! What is known of a working copy that was kept: one line of JSON in its directory. A copy that has it is no remains of
//! a killed run; the generation and the layer that it names stay as long as it does.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use common::build_command::Outcome;
use common::names::PkgBase;
use serde::{Deserialize, Serialize};

use crate::layout::Layout;

/// Name of the file in the copy's directory.
const FILE: &str = "kept";

/// A working copy that was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// How the build ended.
    pub(crate) outcome: Outcome,
    /// What was built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pkgbase: Option<PkgBase>,
    /// Unix time of its end.
    pub(crate) since: u64,
    /// The generation of the root below it.
    pub(crate) generation: String,
    /// The layer of dependencies below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) layer: Option<String>,
}

impl Kept {
    /// The copies that were kept.
    pub(crate) fn all(layout: &Layout) -> Result<Vec<(PathBuf, Self)>> {
        let mut found = Vec::new();
        for path in layout.all_copies()? {
            found.extend(Self::read(&path).map(|kept| (path, kept)));
        }
        Ok(found)
    }

    /// Reads it; none when the copy was not kept.
    pub(crate) fn read(copy: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(copy.join(FILE)).ok()?).ok()
    }

    /// Writes it: from now on the copy is kept.
    pub(crate) fn write(&self, copy: &Path) -> Result<()> {
        let text = serde_json::to_vec(self).context("cannot keep the working copy")?;
        Ok(common::atomic::write(&copy.join(FILE), &text)?)
    }
}
