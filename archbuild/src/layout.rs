//! Where things lie in `chroot_dir/ARCH`.
//!
//! ```text
//! root -> .roots/N/root   the root that new working copies start from
//! .roots/N/               one generation, see `common::generations`: root/, format, lock
//! copies/copy-*/          a working copy and all that belongs to one run; lock is held as long as it is in use. copies/ may
//!                         be a tmpfs: what is installed there becomes no layer
//! layers/                 dependencies that were installed before, see `crate::layers`
//! databases/              sync databases, see `crate::databases`
//! cache/                  downloaded packages
//! sources/PKGBASE/        downloaded sources, .PKGBASE.lock beside it
//! .lock                   held while a root is made
//! .copies.lock            held for the moment in which a copy is made or found to be nobody's
//! .layers.lock            held for the moment in which layers are added or removed
//! ```
//!
//! Lock order: `.lock`, `.copies.lock`, `.layers.lock`, then those of generations, layers and copies. Others must not look in: the directory
//! has mode 0700, since a root holds programs with the setuid bit that belong to the account.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use common::generations::Generations;
use common::names::last_part;

/// Beginning of the name of a working copy.
pub(crate) const COPY: &str = "copy-";
/// Where pacman has databases below a root.
pub(crate) const SYNC: &str = "var/lib/pacman/sync";

/// The directory of one architecture.
#[derive(Debug, Clone)]
pub(crate) struct Layout(PathBuf);

impl Layout {
    /// Makes what is missing.
    pub(crate) fn open(directory: &Path) -> Result<Self> {
        let making = || format!("cannot make the directory {}", directory.display());
        if !directory.is_dir() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)
                .with_context(making)?;
        }
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).with_context(making)?;
        let layout = Self(directory.to_owned());
        for part in [
            layout.roots().directory(),
            layout.copies(),
            layout.layers(),
            layout.cache(),
        ] {
            fs::create_dir_all(&part).with_context(making)?;
        }
        Ok(layout)
    }

    /// The generations of the root.
    pub(crate) fn roots(&self) -> Generations<'_> {
        Generations {
            home: &self.0,
            name: "root",
            part: Some("root"),
            marker: "format",
        }
    }

    pub(crate) fn copies(&self) -> PathBuf {
        self.0.join("copies")
    }

    /// All working copies, in use or not.
    pub(crate) fn all_copies(&self) -> Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(self.copies())? {
            let path = entry?.path();
            if last_part(&path).starts_with(COPY) {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }

    pub(crate) fn layers(&self) -> PathBuf {
        self.0.join("layers")
    }

    pub(crate) fn databases(&self) -> PathBuf {
        self.0.join("databases")
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.0.join("cache")
    }

    pub(crate) fn sources(&self) -> PathBuf {
        self.0.join("sources")
    }

    pub(crate) fn layers_lock(&self) -> PathBuf {
        self.0.join(".layers.lock")
    }

    pub(crate) fn copies_lock(&self) -> PathBuf {
        self.0.join(".copies.lock")
    }
}
