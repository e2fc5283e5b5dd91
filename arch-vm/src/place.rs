//! Where things lie in `vm_dir`.
//!
//! ```text
//! ARCH/base -> .bases/N      the base image that new machines start from
//! ARCH/.bases/N/             one generation, see `common::generations`: disk.qcow2, kernel, initramfs, host-key,
//!                            packages, record.json, lock
//! ARCH/.bases/N/snapshots/   machines of it that had booted, by hardware: disk.qcow2, state, ready (written last)
//! ARCH/.lock                 held while a base image is made
//! machines/ID/               a machine and all that belongs to it; lock is held as long as somebody looks after it
//! .machines.lock             held for the moment in which a machine is made or found to be nobody's
//! key, key.pub               the key that opens the guests' accounts
//! acceleration-ARCH          whether KVM works
//! ```
//!
//! Lock order: `.lock`, `.machines.lock`, then those of generations and machines. Where root calls, qemu and ssh run as
//! the unprivileged account: it owns the machines and the key; finished base images are root's, and nobody can change
//! them.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use common::account::Account;
use common::generations::Generations;
use common::lock::{Lock, Mode, Patience};
use common::names::Arch;
use common::process::Command;

use crate::settings::Settings;

/// How long somebody else may take for making a directory or looking through a few.
const PATIENCE: Patience = Patience::Bounded(std::time::Duration::from_secs(60));

/// The directories of one call.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    vm_dir: PathBuf,
    /// What is there for one architecture.
    of_arch: PathBuf,
    account: Option<Account>,
}

impl Place {
    /// Makes what is missing, the key included.
    pub(crate) fn open(settings: &Settings) -> Result<Self> {
        let place = Self {
            vm_dir: settings.vm_dir.clone(),
            of_arch: settings.vm_dir.join(settings.arch.as_str()),
            account: settings.account.clone(),
        };
        for path in [&place.vm_dir, &place.bases().directory(), &place.machines()] {
            if !path.is_dir() {
                let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
                made.with_context(|| format!("cannot make the directory {}", path.display()))?;
            }
        }
        place.make_key()?;
        Ok(place)
    }

    /// The account that everything of a guest runs as, when root calls.
    pub(crate) fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// The generations of the base image.
    pub(crate) fn bases(&self) -> Generations<'_> {
        Generations {
            home: &self.of_arch,
            name: "base",
            part: None,
            marker: "record.json",
        }
    }

    pub(crate) fn machines(&self) -> PathBuf {
        self.vm_dir.join("machines")
    }

    /// Held for a moment, while machines are made or found to be nobody's.
    pub(crate) fn lock_machines(&self) -> Result<Lock> {
        Ok(Lock::acquire(
            &self.vm_dir.join(".machines.lock"),
            Mode::Exclusive,
            PATIENCE,
        )?)
    }

    /// The architectures that have base images.
    pub(crate) fn architectures(&self) -> Result<Vec<Arch>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.vm_dir)? {
            let entry = entry?;
            if entry.path().join(".bases").is_dir() {
                found.extend(entry.file_name().to_str().and_then(|name| name.parse().ok()));
            }
        }
        found.sort();
        Ok(found)
    }

    /// The same place, for another architecture.
    pub(crate) fn of(&self, arch: &Arch) -> Self {
        Self {
            of_arch: self.vm_dir.join(arch.as_str()),
            ..self.clone()
        }
    }

    /// The private half of the key that opens the guests' accounts.
    pub(crate) fn key(&self) -> PathBuf {
        self.vm_dir.join("key")
    }

    /// The public half.
    pub(crate) fn public_key(&self) -> Result<String> {
        let path = self.vm_dir.join("key.pub");
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    fn make_key(&self) -> Result<()> {
        if self.vm_dir.join("key.pub").is_file() {
            return Ok(());
        }
        let _making = self.lock_machines()?;
        if self.vm_dir.join("key.pub").is_file() {
            return Ok(());
        }
        let new = tempfile::tempdir_in(&self.vm_dir).context("cannot make a key")?;
        let (key, public) = (new.path().join("key"), new.path().join("key.pub"));
        Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "arch-vm", "-f"])
            .arg(&key)
            .run()?;
        give(&key, self.account())?;
        common::atomic::rename(&key, &self.key())?;
        common::atomic::rename(&public, &self.vm_dir.join("key.pub"))?;
        Ok(())
    }
}

/// Gives a file or directory to the account that guests run as; without one it is the caller's already.
pub(crate) fn give(path: &Path, account: Option<&Account>) -> Result<()> {
    let Some(account) = account else { return Ok(()) };
    lchown(path, Some(account.uid), Some(account.gid))
        .with_context(|| format!("cannot give {} to {}", path.display(), account.name))
}

/// Makes a file that nobody shall change any more: root's when root calls, and readable only.
pub(crate) fn seal(path: &Path, account: Option<&Account>) -> Result<()> {
    let sealing = || format!("cannot protect {}", path.display());
    if account.is_some() {
        lchown(path, Some(0), Some(0)).with_context(sealing)?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o444)).with_context(sealing)
}
