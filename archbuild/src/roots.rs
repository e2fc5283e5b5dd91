//! The root that working copies are laid over, in generations (`common::generations`): `root` leads to the file tree of
//! one, and its `format` says what it was made from.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use common::build_command::Outcome;
use common::clock::Now;
use common::generations::{self, Making};
use common::interrupt::Interrupt;
use common::names::last_part;

use crate::kept::Kept;
use crate::layout::Layout;

/// First line of `format`.
const FORMAT: &str = "portsmith root 1";

/// The repositories that a root is made from. A root from others may have packages that ours do not have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind<'a>(pub(crate) &'a [String]);

impl Kind<'_> {
    /// What `format` holds when a generation is complete. With another content it is remade.
    fn marker(self) -> String {
        format!("{FORMAT}\n{}\n", self.0.join(" "))
    }

    fn is_that_of(self, directory: &Path) -> bool {
        fs::read_to_string(directory.join("format")).is_ok_and(|text| text == self.marker())
            && directory.join("root").is_dir()
    }
}

/// One root, in use as long as this lives.
#[derive(Debug)]
pub(crate) struct Generation(generations::Generation);

impl Generation {
    /// A generation that something is laid over, whether or not new copies start from it.
    pub(crate) fn borrow(layout: &Layout, name: &str) -> Result<Self> {
        let found = layout.roots().borrow(name).context("the root of the working copy")?;
        Ok(Self(found))
    }

    /// Its file tree, to be read only.
    pub(crate) fn root(&self) -> PathBuf {
        self.0.directory().join("root")
    }

    /// What tells it from all others that ever were: after `clean --all` numbers begin again.
    pub(crate) fn identity(&self) -> String {
        identity(self.0.directory())
    }

    /// Whether programs ran in it since the machine was started.
    pub(crate) fn is_proven(&self) -> bool {
        fs::read_to_string(self.proof()).is_ok_and(|boot| boot == Now::read().boot_id)
    }

    /// Notes that programs ran in it.
    pub(crate) fn prove(&self) -> Result<()> {
        let boot = Now::read().boot_id;
        Ok(common::atomic::write_unsynced(&self.proof(), boot.as_bytes())?)
    }

    fn proof(&self) -> PathBuf {
        self.0.directory().join("proven")
    }

    /// Its number.
    pub(crate) fn name(&self) -> String {
        self.0.name()
    }
}

/// Waits for the right to make a root.
pub(crate) fn lock(layout: &Layout, interrupt: &Interrupt, on_wait: impl FnOnce()) -> Result<Making> {
    let right = layout.roots().lock(interrupt, on_wait)?;
    right.context(Outcome::Interrupted)
}

/// The generation that new copies start from; none when there is none, or a broken one.
pub(crate) fn current(layout: &Layout, kind: Kind<'_>) -> Option<Generation> {
    let found = layout.roots().current();
    found.filter(|found| kind.is_that_of(found.directory())).map(Generation)
}

/// Makes a new generation: `fill` gets the empty root.
pub(crate) fn make(
    layout: &Layout,
    right: &Making,
    kind: Kind<'_>,
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    layout.roots().make(right, |new| {
        let root = new.join("root");
        for name in ["dev", "proc", "run", "sys", "tmp", "var/lib/pacman"] {
            fs::create_dir_all(root.join(name)).context("cannot make a root")?;
        }
        fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
        fill(&root)?;
        Ok(kind.marker().into_bytes())
    })
}

/// The name of the generation that new copies start from.
pub(crate) fn current_name(layout: &Layout) -> Option<String> {
    let directory = layout.roots().linked()?;
    Some(last_part(&directory))
}

/// The identity of that generation.
pub(crate) fn current_identity(layout: &Layout) -> Option<String> {
    let directory = layout.roots().linked()?;
    Some(identity(&directory))
}

fn identity(directory: &Path) -> String {
    let made = fs::metadata(directory.join("format")).and_then(|found| found.modified());
    let made = made
        .ok()
        .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    format!("{} {:?}", last_part(directory), made.unwrap_or_default())
}

/// Removes half-made generations and those that no copy uses, kept ones included, and the link does not lead to.
pub(crate) fn sweep(layout: &Layout, right: &Making) -> Result<()> {
    // A copy is kept before it lets go of its generation, so looking at the kept ones last is right.
    layout.roots().sweep(right, |name| {
        let kept = Kept::all(layout)?;
        Ok(kept.iter().any(|(_, kept)| kept.generation == name))
    })
}
