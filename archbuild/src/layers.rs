//! Layers: dependencies that were installed before, as a directory that a working copy is laid over.
//!
//! ```text
//! layers/ID/tree      what pacman changed when it installed a set of packages over a generation of the root
//! layers/ID/format    written last, with the boot and the generation; its time is that of the last use
//! layers/ID/lock      shared while a copy uses it
//! layers/.wanted/KEY  the ID of a layer: what was asked for with these databases, without resolving it again
//! ```
//!
//! An ID is a digest of the generation and of the exact package files, so a layer never changes. It is not synced to the
//! disk, since it is a cache: after the next boot it counts as broken, unless a kept copy is laid over it.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use common::atomic::remove_tree;
use common::clock::Now;
use common::lock::{Lock, Mode, Patience};
use common::names::last_part;
use common::used_directory::{self, LOCK};
use sha2::{Digest, Sha256};

use crate::kept::Kept;
use crate::layout::Layout;
use crate::roots;

/// First word of `format`.
const FORMAT: &str = "portsmith layer 1";
/// Beginning of the name of a layer in the making.
const NEW: &str = ".new-";
/// Directory of the keys.
const WANTED: &str = ".wanted";
/// What a key leads to when there is nothing to install.
const NOTHING: &str = "nothing";
/// Most layers of one generation; those that were not used for the longest time go.
const MOST: usize = 24;
/// How long a look at the layers may take.
const PATIENCE: Patience = Patience::Bounded(Duration::from_secs(60));

/// A layer in use.
#[derive(Debug)]
pub(crate) struct Layer {
    directory: PathBuf,
    _lock: Lock,
}

/// What identifies a layer, or a request for one: lines, as a digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id(String);

impl Id {
    /// The digest of some lines.
    pub(crate) fn of<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut digest = Sha256::new();
        for line in lines {
            digest.update(line.as_bytes());
            digest.update(b"\n");
        }
        let bytes = digest.finalize();
        Self(bytes.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
    }

    /// As text, a file name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Layer {
    /// The layer of some packages, when there is one and it is whole.
    pub(crate) fn find(layout: &Layout, id: &Id) -> Option<Self> {
        let layer = Self::borrow(layout, &id.0).ok().flatten()?;
        let format = layer.directory.join("format");
        if !fs::read_to_string(&format).ok()?.starts_with(&marker()) {
            return None;
        }
        // For sweeping only.
        drop(File::open(&format).and_then(|file| file.set_modified(SystemTime::now())));
        Some(layer)
    }

    /// A layer by its name, of another boot, too.
    pub(crate) fn borrow(layout: &Layout, name: &str) -> Result<Option<Self>> {
        let directory = layout.layers().join(name);
        if !directory.join("format").is_file() {
            return Ok(None);
        }
        match Lock::acquire(&directory.join(LOCK), Mode::Shared, PATIENCE) {
            // It may have been removed before it was locked.
            Ok(lock) if directory.join("format").is_file() => Ok(Some(Self { directory, _lock: lock })),
            Ok(_) => Ok(None),
            Err(_) if !directory.exists() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Its file tree, to be read only.
    pub(crate) fn tree(&self) -> PathBuf {
        self.directory.join("tree")
    }

    /// Its name.
    pub(crate) fn name(&self) -> String {
        last_part(&self.directory)
    }
}

/// How `format` of a layer that can be trusted begins.
fn marker() -> String {
    format!("{FORMAT}\n{}\n", Now::read().boot_id)
}

/// Makes a layer of what was changed in a copy: the directory is taken when there is no such layer yet. None when one
/// that cannot be trusted is in the way, or the copies have a file system of their own; the directory is untouched then.
pub(crate) fn add(layout: &Layout, id: &Id, generation: &str, changes: &Path) -> Result<Option<Layer>> {
    let making = || "cannot keep the installed dependencies";
    let _changing = Lock::acquire(&layout.layers_lock(), Mode::Exclusive, PATIENCE)?;
    if let Some(layer) = Layer::find(layout, id) {
        return Ok(Some(layer));
    }
    let place = layout.layers().join(&id.0);
    if place.exists() {
        remove_unused(&place, &used_by_kept_copies(layout)?)?;
    }
    if place.exists() {
        return Ok(None);
    }
    let new = layout.layers().join(format!("{NEW}{}", id.0));
    remove_tree(&new)?;
    fs::create_dir(&new).context(making())?;
    match fs::rename(changes, new.join("tree")) {
        Err(error) if error.kind() == ErrorKind::CrossesDevices => return Ok(None),
        moved => moved.context(making())?,
    }
    common::atomic::write_unsynced(&new.join(LOCK), b"")?;
    let format = format!("{}{generation}\n", marker());
    common::atomic::write_unsynced(&new.join("format"), format.as_bytes())?;
    fs::rename(&new, &place).context(making())?;
    Ok(Layer::find(layout, id))
}

/// What a request led to before: a layer, or nothing to install. None when that is not known.
pub(crate) fn recall(layout: &Layout, key: &Id) -> Option<Option<Layer>> {
    let name = fs::read_to_string(layout.layers().join(WANTED).join(&key.0)).ok()?;
    if name == NOTHING {
        return Some(None);
    }
    Layer::find(layout, &Id(name)).map(Some)
}

/// Notes which layer a request led to; none: there is nothing to install.
pub(crate) fn note(layout: &Layout, key: &Id, layer: Option<&Layer>) -> Result<()> {
    let directory = layout.layers().join(WANTED);
    fs::create_dir_all(&directory).context("cannot note which dependencies were installed")?;
    let name = layer.map_or_else(|| NOTHING.to_owned(), Layer::name);
    common::atomic::write_unsynced(&directory.join(&key.0), name.as_bytes())?;
    Ok(())
}

/// Which layers to remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surplus {
    /// Those over other generations than the present one, and those beyond the number that is kept.
    Old,
    /// All that nobody uses.
    All,
}

/// Removes layers that are of no use any longer, and what killed runs left.
pub(crate) fn sweep(layout: &Layout, surplus: Surplus) -> Result<()> {
    let _changing = Lock::acquire(&layout.layers_lock(), Mode::Exclusive, PATIENCE)?;
    let used = used_by_kept_copies(layout)?;
    let generation = roots::current_identity(layout).map(|identity| format!("\n{identity}\n"));
    let is_of_present_root = |path: &Path| {
        let format = fs::read_to_string(path.join("format")).unwrap_or_default();
        generation
            .as_ref()
            .is_some_and(|generation| format.ends_with(generation))
    };
    let mut layers = Vec::new();
    for entry in fs::read_dir(layout.layers())? {
        let path = entry?.path();
        let name = last_part(&path);
        if used_directory::is_set_aside(&path) || name.starts_with(NEW) {
            remove_tree(&path)?;
        } else if name != WANTED {
            let last_use = fs::metadata(path.join("format")).and_then(|found| found.modified());
            let is_present = is_of_present_root(&path);
            layers.push((is_present, last_use.unwrap_or(SystemTime::UNIX_EPOCH), path));
        }
    }
    layers.sort();
    let beyond = layers.len().saturating_sub(MOST);
    for (number, (is_present, _, path)) in layers.iter().enumerate() {
        if surplus == Surplus::All || !is_present || number < beyond {
            remove_unused(path, &used)?;
        }
    }
    forget_requests(layout)
}

fn used_by_kept_copies(layout: &Layout) -> Result<Vec<String>> {
    let kept = Kept::all(layout)?.into_iter();
    Ok(kept.filter_map(|(_, kept)| kept.layer).collect())
}

fn remove_unused(path: &Path, used: &[String]) -> Result<()> {
    if used.contains(&last_part(path)) || used_directory::is_used(path) {
        return Ok(());
    }
    Ok(used_directory::remove(path)?)
}

/// Removes notes that lead nowhere.
fn forget_requests(layout: &Layout) -> Result<()> {
    let directory = layout.layers().join(WANTED);
    for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
        let name = fs::read_to_string(entry.path()).unwrap_or_default();
        if name.is_empty() || !layout.layers().join(&name).is_dir() {
            common::atomic::remove(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(directory: &Path) -> Layout {
        Layout::open(directory).unwrap()
    }

    fn changes(directory: &Path, name: &str) -> PathBuf {
        let path = directory.join(name);
        fs::create_dir(&path).unwrap();
        path
    }

    #[test]
    fn a_layer_is_found_by_its_packages_and_by_the_request() {
        let directory = tempfile::tempdir().unwrap();
        let layout = layout(directory.path());
        let (id, key) = (Id::of(["a 1", "b 2"]), Id::of(["a"]));
        assert!(Layer::find(&layout, &id).is_none());
        let layer = add(&layout, &id, "1", &changes(directory.path(), "x"))
            .unwrap()
            .unwrap();
        note(&layout, &key, Some(&layer)).unwrap();
        assert_eq!(recall(&layout, &key).unwrap().unwrap().name(), id.as_str());
        let again = add(&layout, &id, "1", &changes(directory.path(), "y"))
            .unwrap()
            .unwrap();
        assert_eq!(again.name(), layer.name());
    }

    #[test]
    fn a_layer_in_use_stays_and_its_note_goes_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let layout = layout(directory.path());
        let (id, key) = (Id::of(["a"]), Id::of(["b"]));
        let layer = add(&layout, &id, "1", &changes(directory.path(), "x"))
            .unwrap()
            .unwrap();
        note(&layout, &key, Some(&layer)).unwrap();
        sweep(&layout, Surplus::All).unwrap();
        assert!(recall(&layout, &key).is_some());
        drop(layer);
        sweep(&layout, Surplus::All).unwrap();
        assert!(Layer::find(&layout, &id).is_none());
        assert!(!layout.layers().join(WANTED).join(key.as_str()).exists());
    }

    #[test]
    fn a_layer_of_another_boot_is_not_trusted_and_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let layout = layout(directory.path());
        let id = Id::of(["a"]);
        drop(
            add(&layout, &id, "1", &changes(directory.path(), "x"))
                .unwrap()
                .unwrap(),
        );
        common::atomic::write(
            &layout.layers().join(id.as_str()).join("format"),
            b"portsmith layer 1\nother\n",
        )
        .unwrap();
        assert!(Layer::find(&layout, &id).is_none());
        assert!(
            add(&layout, &id, "1", &changes(directory.path(), "y"))
                .unwrap()
                .is_some()
        );
    }
}
