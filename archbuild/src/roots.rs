//! Generations of the root. A copy keeps the one that it started from, so updating and using at the same time is safe.
//!
//! Invariant: `root` leads to a complete generation or nowhere. A generation is made in a temporary sibling, marked,
//! renamed, and then the link is replaced; one that nobody uses is removed after the next was made.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use common::build_command::Outcome;
use common::clock::Now;
use common::interrupt::Interrupt;
use common::lock::{Lock, LockError, Mode, Patience};
use nix::unistd::syncfs;

use crate::copy;
use crate::layout::{Layout, remove_tree};

/// First line of `format`.
const FORMAT: &str = "portsmith root 1";
/// Beginning of the name of a generation in the making.
const NEW: &str = ".new-";
/// Beginning of the name of a generation that is being removed.
const GONE: &str = ".gone-";
/// How often somebody who waits for a root looks whether he is asked to end.
const STEP: Patience = Patience::Bounded(Duration::from_millis(200));

/// The repositories that a root is made from. A root from others may have packages that ours do not have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind<'a>(pub(crate) &'a [String]);

impl Kind<'_> {
    /// What `format` holds when a generation is complete. With another content it is remade.
    fn marker(self) -> String {
        format!("{FORMAT}\n{}\n", self.0.join(" "))
    }
}

/// One root, in use as long as this lives.
#[derive(Debug)]
pub(crate) struct Generation {
    directory: PathBuf,
    _lock: Lock,
}

impl Generation {
    /// A generation that something is laid over, whether or not new copies start from it.
    pub(crate) fn borrow(layout: &Layout, name: &str) -> Result<Self> {
        let directory = layout.roots().join(name);
        if !directory.join("format").is_file() {
            bail!("the root {name} of the working copy is gone");
        }
        let lock = Lock::acquire(&directory.join("lock"), Mode::Shared, STEP)?;
        Ok(Self { directory, _lock: lock })
    }

    /// Its file tree, to be read only.
    pub(crate) fn root(&self) -> PathBuf {
        self.directory.join("root")
    }

    /// What tells it from all others that ever were: after `clean --all` numbers begin again.
    pub(crate) fn identity(&self) -> String {
        identity(&self.directory)
    }

    /// Whether programs ran in it since the machine was started.
    pub(crate) fn is_proven(&self) -> bool {
        fs::read_to_string(self.directory.join("proven")).is_ok_and(|boot| boot == Now::read().boot_id)
    }

    /// Notes that programs ran in it.
    pub(crate) fn prove(&self) -> Result<()> {
        Ok(common::atomic::write_unsynced(
            &self.directory.join("proven"),
            Now::read().boot_id.as_bytes(),
        )?)
    }

    /// Its number.
    pub(crate) fn name(&self) -> String {
        self.directory
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }
}

/// The right to make a root.
#[derive(Debug)]
pub(crate) struct MakingLock {
    _lock: Lock,
}

/// Waits for the right to make a root.
pub(crate) fn lock(layout: &Layout, interrupt: &Interrupt, on_wait: impl FnOnce()) -> Result<MakingLock> {
    let mut on_wait = Some(on_wait);
    loop {
        match Lock::acquire(&layout.root_lock(), Mode::Exclusive, STEP) {
            Ok(lock) => return Ok(MakingLock { _lock: lock }),
            Err(LockError::Busy { .. }) => {
                if interrupt.is_raised() {
                    bail!(Outcome::Interrupted);
                }
                if let Some(tell) = on_wait.take() {
                    tell();
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The generation that new copies start from; none when there is none, or a broken one.
pub(crate) fn current(layout: &Layout, kind: Kind<'_>) -> Result<Option<Generation>> {
    loop {
        let Some(directory) = linked(layout) else {
            return Ok(None);
        };
        match Lock::acquire(&directory.join("lock"), Mode::Shared, Patience::Never) {
            Ok(lock) => {
                // It may have been replaced and removed before it was locked.
                if linked(layout).as_ref() == Some(&directory) {
                    return Ok(is_complete(&directory, kind).then_some(Generation { directory, _lock: lock }));
                }
            }
            Err(LockError::Io { .. }) if linked(layout).as_ref() == Some(&directory) => return Ok(None),
            // Somebody is removing it: the link leads elsewhere soon, or already does.
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn linked(layout: &Layout) -> Option<PathBuf> {
    let target = fs::read_link(layout.root_link()).ok()?;
    Some(layout.directory().join(target.parent()?))
}

fn is_complete(directory: &Path, kind: Kind<'_>) -> bool {
    fs::read_to_string(directory.join("format")).is_ok_and(|text| text == kind.marker())
        && directory.join("root").is_dir()
}

/// Makes a new generation: `fill` gets the empty root.
pub(crate) fn make(
    layout: &Layout,
    _right: &MakingLock,
    kind: Kind<'_>,
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let new = tempfile::Builder::new()
        .prefix(NEW)
        .tempdir_in(layout.roots())
        .context("cannot make a root")?
        .keep();
    let made = fill_and_mark(&new, kind, fill).and_then(|()| flip(layout, &new));
    if made.is_err() {
        drop(remove_tree(&new));
    }
    made
}

fn fill_and_mark(new: &Path, kind: Kind<'_>, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let root = new.join("root");
    for name in ["dev", "proc", "run", "sys", "tmp", "var/lib/pacman"] {
        fs::create_dir_all(root.join(name)).context("cannot make a root")?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    fill(&root)?;
    common::atomic::write(&new.join("lock"), b"")?;
    // A root that looks complete after a power failure has to be complete.
    syncfs(File::open(new)?).context("cannot sync the root")?;
    common::atomic::write(&new.join("format"), kind.marker().as_bytes())?;
    Ok(())
}

fn flip(layout: &Layout, new: &Path) -> Result<()> {
    let number = numbers(layout)?.into_iter().max().unwrap_or(0) + 1;
    let name = number.to_string();
    common::atomic::rename(new, &layout.roots().join(&name))?;
    let link = layout.roots().join(format!("{NEW}link"));
    common::atomic::remove(&link)?;
    symlink(Path::new(".roots").join(&name).join("root"), &link).context("cannot make the link of the root")?;
    let place = layout.root_link();
    if fs::symlink_metadata(&place).is_ok_and(|found| found.is_dir()) {
        bail!("{} is in the way: it is a directory, not our link", place.display());
    }
    common::atomic::rename(&link, &place)?;
    Ok(())
}

/// The name of the generation that new copies start from.
pub(crate) fn current_name(layout: &Layout) -> Option<String> {
    linked(layout).map(|directory| copy::file_name(&directory))
}

/// The identity of that generation.
pub(crate) fn current_identity(layout: &Layout) -> Option<String> {
    linked(layout).map(|directory| identity(&directory))
}

fn identity(directory: &Path) -> String {
    let made = fs::metadata(directory.join("format")).and_then(|found| found.modified());
    let made = made
        .ok()
        .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    format!("{} {:?}", copy::file_name(directory), made.unwrap_or_default())
}

/// The names of all generations, in the order in which they were made.
pub(crate) fn names(layout: &Layout) -> Result<Vec<String>> {
    let mut numbers = numbers(layout)?;
    numbers.sort_unstable();
    Ok(numbers.iter().map(ToString::to_string).collect())
}

fn numbers(layout: &Layout) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(layout.roots())? {
        numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    Ok(numbers)
}

/// Removes half-made generations and those that no copy uses, kept ones included, and the link does not name.
pub(crate) fn sweep(layout: &Layout, _right: &MakingLock) -> Result<()> {
    let kept = linked(layout);
    let mut gone = Vec::new();
    for entry in fs::read_dir(layout.roots())? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if kept.as_ref() == Some(&path) {
            continue;
        }
        if name.starts_with('.') {
            gone.push(path);
            continue;
        }
        let lock = Lock::acquire(&path.join("lock"), Mode::Exclusive, Patience::Never);
        // A copy is kept before it lets go of its generation, so the locks are looked at first.
        let is_below_kept =
            || -> Result<bool> { Ok(copy::kept(layout)?.iter().any(|(_, kept)| kept.generation == name)) };
        if matches!(lock, Err(LockError::Busy { .. })) || is_below_kept()? {
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
