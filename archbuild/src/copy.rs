//! Working copies: an overlay over one generation of the root, and the directories of one run.
//!
//! Invariant: a copy's lock is held by the process that uses it and by nobody else; a copy whose lock is free is left
//! from a killed process. The mount is private to the namespace, so it ends with the processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use common::lock::{Lock, LockError, Mode, Patience};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::layout::{Layout, remove_tree};
use crate::roots::Generation;

/// Beginning of the name of a copy that is being removed.
const GONE: &str = ".gone-";
/// How long somebody else may take for making a directory or looking through a few.
const PATIENCE: Patience = Patience::Bounded(Duration::from_secs(60));

/// The directory of one run, and its overlay when it is mounted.
#[derive(Debug)]
pub(crate) struct WorkingCopy {
    directory: PathBuf,
    generation: Option<Generation>,
    _lock: Lock,
}

impl WorkingCopy {
    /// Makes the directory of a run.
    pub(crate) fn reserve(layout: &Layout) -> Result<Self> {
        let _making = Lock::acquire(&layout.copies_lock(), Mode::Exclusive, PATIENCE)?;
        let directory = tempfile::Builder::new()
            .prefix("copy-")
            .tempdir_in(layout.copies())
            .context("cannot make a working copy")?
            .keep();
        let lock = Lock::acquire(&directory.join("lock"), Mode::Exclusive, Patience::Never)?;
        Ok(Self {
            directory,
            generation: None,
            _lock: lock,
        })
    }

    /// A directory of the run, made where it is missing.
    pub(crate) fn part(&self, name: &str) -> Result<PathBuf> {
        let path = self.directory.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// The directory of the run.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The copy's file tree.
    pub(crate) fn root(&self) -> PathBuf {
        self.directory.join("root")
    }

    /// Lays a fresh copy over a generation; what an earlier one held is gone.
    pub(crate) fn mount(&mut self, generation: Generation) -> Result<()> {
        self.unmount()?;
        let (upper, work, root) = (self.part("upper")?, self.part("work")?, self.part("root")?);
        let options = format!(
            "userxattr,lowerdir={},upperdir={},workdir={}",
            generation.root().display(),
            upper.display(),
            work.display()
        );
        mount(
            Some("overlay"),
            &root,
            Some("overlay"),
            MsFlags::empty(),
            Some(options.as_str()),
        )
        .with_context(|| format!("cannot mount an overlay in {}", self.directory.display()))?;
        self.generation = Some(generation);
        Ok(())
    }

    fn unmount(&mut self) -> Result<()> {
        if self.generation.take().is_some() {
            umount2(&self.root(), MntFlags::MNT_DETACH).context("cannot unmount the working copy")?;
            remove_tree(&self.directory.join("upper"))?;
            remove_tree(&self.directory.join("work"))?;
        }
        Ok(())
    }
}

impl Drop for WorkingCopy {
    fn drop(&mut self) {
        // What is left over is for the next `archbuild clean`.
        if self.unmount().is_ok() {
            drop(remove_tree(&self.directory));
        }
    }
}

/// Removes the copies that nobody uses.
pub(crate) fn sweep(layout: &Layout) -> Result<()> {
    let mut gone = Vec::new();
    {
        let _looking = Lock::acquire(&layout.copies_lock(), Mode::Exclusive, PATIENCE)?;
        for entry in fs::read_dir(layout.copies())? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with(GONE) {
                gone.push(path);
                continue;
            }
            match Lock::acquire(&path.join("lock"), Mode::Exclusive, Patience::Never) {
                Err(LockError::Busy { .. }) => {}
                // Nobody can use a copy that cannot be locked.
                Ok(_) | Err(LockError::Io { .. }) => {
                    let away = path.with_file_name(format!("{GONE}{name}"));
                    fs::rename(&path, &away).with_context(|| format!("cannot rename {}", path.display()))?;
                    gone.push(away);
                }
            }
        }
    }
    gone.iter().try_for_each(|path| remove_tree(path))
}
