//! Working copies: an overlay over one generation of the root and perhaps a layer of dependencies, and the directories of
//! one run. An interpreter that has to be there lies below all of them, so that it is in none.
//!
//! Invariant: a copy's lock is held by the process that uses it and by nobody else; a copy whose lock is free was kept
//! ([`Kept`]) or is left from a killed process. The mount is private to the namespace, so it ends with the processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use common::atomic::remove_tree;
use common::build_command::{Keep, Outcome, Record};
use common::lock::{Lock, Mode, Patience};
use common::names::last_part;
use common::used_directory::{self, LOCK};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::kept::Kept;
use crate::layers::Layer;
use crate::layout::{COPY, Layout};
use crate::roots::Generation;

/// How long somebody else may take for making a directory or looking through a few.
const PATIENCE: Patience = Patience::Bounded(Duration::from_secs(60));

/// The directory of one run, and its overlay when it is mounted.
#[derive(Debug)]
pub(crate) struct WorkingCopy {
    since: Instant,
    directory: PathBuf,
    below: Option<Below>,
    ground: Option<PathBuf>,
    is_kept: bool,
    _lock: Lock,
}

/// What a copy is laid over.
#[derive(Debug)]
pub(crate) struct Below {
    /// The root.
    pub(crate) generation: Generation,
    /// Installed dependencies.
    pub(crate) layer: Option<Layer>,
}

impl Below {
    /// A root and nothing else.
    pub(crate) const fn root(generation: Generation) -> Self {
        Self {
            generation,
            layer: None,
        }
    }
}

impl WorkingCopy {
    /// Makes the directory of a run.
    pub(crate) fn reserve(layout: &Layout) -> Result<Self> {
        let since = Instant::now();
        let _making = Lock::acquire(&layout.copies_lock(), Mode::Exclusive, PATIENCE)?;
        let directory = tempfile::Builder::new()
            .prefix(COPY)
            .tempdir_in(layout.copies())
            .context("cannot make a working copy")?
            .keep();
        let lock = Lock::acquire(&directory.join(LOCK), Mode::Exclusive, Patience::Never)?;
        Ok(Self {
            since,
            directory,
            below: None,
            ground: None,
            is_kept: false,
            _lock: lock,
        })
    }

    /// Goes back into a copy that was kept: the named one, or the youngest. It stays kept.
    pub(crate) fn reopen(layout: &Layout, name: Option<&str>) -> Result<Self> {
        let _looking = Lock::acquire(&layout.copies_lock(), Mode::Exclusive, PATIENCE)?;
        let mut found: Vec<(u64, PathBuf)> = Kept::all(layout)?
            .into_iter()
            .filter(|(path, _)| name.is_none_or(|name| path.ends_with(name)))
            .map(|(path, kept)| (kept.since, path))
            .collect();
        found.sort();
        let Some((_, directory)) = found.pop() else {
            match name {
                Some(name) => bail!("there is no kept working copy {name}: `archbuild list` names those that are"),
                None => bail!("no working copy was kept: `archbuild build --keep failure` keeps one"),
            }
        };
        let lock = Lock::acquire(&directory.join(LOCK), Mode::Exclusive, Patience::Never)
            .context("the working copy is in use")?;
        let kept = Kept::read(&directory).context("the working copy was removed just now")?;
        let generation = Generation::borrow(layout, &kept.generation)?;
        let layer = match &kept.layer {
            Some(id) => Some(Layer::borrow(layout, id)?.context("the layer of the working copy is gone")?),
            None => None,
        };
        let mut copy = Self {
            since: Instant::now(),
            directory,
            below: None,
            ground: None,
            is_kept: true,
            _lock: lock,
        };
        copy.mount_again(Below { generation, layer })?;
        Ok(copy)
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

    /// When this run began to make it.
    pub(crate) const fn since(&self) -> Instant {
        self.since
    }

    /// Its name.
    pub(crate) fn name(&self) -> String {
        last_part(&self.directory)
    }

    /// The copy's file tree.
    pub(crate) fn root(&self) -> PathBuf {
        self.directory.join("root")
    }

    /// What the copy is laid over.
    pub(crate) fn below(&self) -> Option<&Below> {
        self.below.as_ref()
    }

    /// Lets a tree be seen in the copy wherever nothing else is.
    pub(crate) fn lay_over(&mut self, ground: PathBuf) -> Result<()> {
        let below = self.unmount()?;
        self.ground = Some(ground);
        below.map_or(Ok(()), |below| self.mount_again(below))
    }

    /// Lays a fresh copy over a root and perhaps a layer; what an earlier one held is gone.
    pub(crate) fn mount(&mut self, below: Below) -> Result<()> {
        self.unmount()?;
        for part in ["upper", "work"] {
            remove_tree(&self.directory.join(part))?;
        }
        self.mount_again(below)
    }

    /// Lays the copy over something with the changes that it has.
    pub(crate) fn mount_again(&mut self, below: Below) -> Result<()> {
        let (upper, work, root) = (self.part("upper")?, self.part("work")?, self.part("root")?);
        let layer = below.layer.as_ref().map(|layer| format!("{}:", layer.tree().display()));
        let ground = self.ground.as_ref().map(|ground| format!(":{}", ground.display()));
        let options = format!(
            "userxattr,lowerdir={}{}{},upperdir={},workdir={}",
            layer.unwrap_or_default(),
            below.generation.root().display(),
            ground.unwrap_or_default(),
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
        self.below = Some(below);
        Ok(())
    }

    /// Takes the overlay away. Returns the directory with what was changed, and what it lay over.
    pub(crate) fn take_changes(&mut self) -> Result<Option<(PathBuf, Below)>> {
        let below = self.unmount()?;
        Ok(below.map(|below| (self.directory.join("upper"), below)))
    }

    fn unmount(&mut self) -> Result<Option<Below>> {
        let below = self.below.take();
        if below.is_some() {
            umount2(&self.root(), MntFlags::MNT_DETACH).context("cannot unmount the working copy")?;
        }
        Ok(below)
    }

    /// Lets the copy of a build that ended stay, if that is wanted. Returns its name then. A build that somebody ended
    /// leaves nothing.
    pub(crate) fn keep(&mut self, when: Keep, record: &Record) -> Result<Option<String>> {
        let is_built = record.outcome == Outcome::Built;
        if !when.applies(is_built) || record.outcome == Outcome::Interrupted {
            return Ok(None);
        }
        let Some(below) = self.below() else {
            return Ok(None);
        };
        let kept = Kept {
            outcome: record.outcome,
            pkgbase: record.pkgbase.clone(),
            since: common::clock::Now::read().unix,
            generation: below.generation.name(),
            layer: below.layer.as_ref().map(Layer::name),
        };
        kept.write(&self.directory)?;
        self.is_kept = true;
        Ok(Some(self.name()))
    }
}

impl Drop for WorkingCopy {
    fn drop(&mut self) {
        // What is left over is for the next `archbuild clean`.
        if self.unmount().is_ok() && !self.is_kept {
            drop(remove_tree(&self.directory));
        }
    }
}

/// Which copies to remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which<'a> {
    /// Those of killed runs.
    Remains,
    /// These kept ones.
    Named(&'a [String]),
    /// All, kept ones, too.
    All,
}

impl Which<'_> {
    fn has(self, path: &Path) -> bool {
        match self {
            Self::Remains => Kept::read(path).is_none(),
            Self::Named(names) => names.iter().any(|name| path.ends_with(name)),
            Self::All => true,
        }
    }
}

/// Removes the copies that nobody uses.
pub(crate) fn sweep(layout: &Layout, which: Which<'_>) -> Result<()> {
    let mut gone = Vec::new();
    {
        let _looking = Lock::acquire(&layout.copies_lock(), Mode::Exclusive, PATIENCE)?;
        for entry in fs::read_dir(layout.copies())? {
            let path = entry?.path();
            // A copy is kept before it is let go of, so its lock is looked at first.
            if used_directory::is_set_aside(&path) || !used_directory::is_used(&path) && which.has(&path) {
                gone.push(used_directory::set_aside(&path)?);
            }
        }
    }
    Ok(gone.iter().try_for_each(|path| remove_tree(path))?)
}
