//! Where downloaded sources stay: a directory a package base, lent to one build at a time.
//!
//! A PKGBUILD can put anything into the directory that it is lent, so it is that of its package base alone, and it is
//! thrown away when the sources turn out to be bad: the next attempt fetches them again.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use common::atomic::remove_tree;
use common::lock::{Lock, LockError, Mode, Patience};
use common::names::PkgBase;

use crate::sandbox::give_to_builder;

/// The sources of one package base, in our hands.
#[derive(Debug)]
pub(crate) struct SourceCache {
    directory: PathBuf,
    _lock: Lock,
}

impl SourceCache {
    /// Takes the directory for a package base; none when another build has it.
    pub(crate) fn borrow(below: &Path, pkgbase: &PkgBase) -> Result<Option<Self>> {
        let making = || format!("cannot keep sources in {}", below.display());
        fs::create_dir_all(below).with_context(making)?;
        let lock = match Lock::acquire(
            &below.join(format!(".{pkgbase}.lock")),
            Mode::Exclusive,
            Patience::Never,
        ) {
            Ok(lock) => lock,
            Err(LockError::Busy { .. }) => return Ok(None),
            Err(error) => return Err(error).with_context(making),
        };
        let directory = below.join(pkgbase);
        if !directory.is_dir() {
            fs::create_dir(&directory).with_context(making)?;
            give_to_builder(&directory)?;
        }
        Ok(Some(Self { directory, _lock: lock }))
    }

    /// The directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Empties it.
    pub(crate) fn forget(&self) -> Result<()> {
        remove_tree(&self.directory)?;
        fs::create_dir(&self.directory)?;
        give_to_builder(&self.directory)
    }
}
