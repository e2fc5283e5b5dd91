//! Making a base image, without root and without loop devices: archbuild installs the packages into a working copy of a
//! clean chroot and runs `guest/configure` there; what that prints, a tar stream of the guest's whole file tree,
//! `guest/make-disk` turns into a disk in a user namespace.
//!
//! A base image never has other repositories than the standard ones, and nothing in it is a password.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use common::cli::Messages;
use common::clock::Now;
use common::interrupt::Interrupt;
use common::process::{Child, Command, Input, Output, sibling};

use crate::base::{self, Base, Record};
use crate::place::{Place, give, seal};
use crate::settings::Settings;

const CONFIGURE: &str = include_str!("../guest/configure");
const MAKE_DISK: &str = include_str!("../guest/make-disk");
const INIT: &str = include_str!("../guest/init");
const INITRAMFS_INIT: &str = include_str!("../guest/initramfs-init");
const AGENT: &str = include_str!("../guest/agent");
/// What a base image consists of, besides its record.
const PARTS: &[&str] = &["disk.qcow2", "kernel", "initramfs", "host-key", "packages", "release"];

/// Base images, made where they are missing or too old.
pub(crate) struct Installer<'a> {
    /// Configuration.
    pub(crate) settings: &'a Settings,
    /// Where things lie.
    pub(crate) place: &'a Place,
    /// `--config`, for archbuild.
    pub(crate) config_option: Option<&'a Path>,
    /// Raised when somebody ends us.
    pub(crate) interrupt: &'a Interrupt,
    /// Messages to the caller.
    pub(crate) messages: Messages,
}

impl Installer<'_> {
    /// The base image that a build starts from. One that is too old is made anew, and used all the same when that fails.
    pub(crate) fn ensure_fresh(&self) -> Result<Base> {
        let Some(found) = base::current(self.place) else {
            return self.make(None);
        };
        if found.age(Now::read().unix) < self.settings.base_age {
            return Ok(found);
        }
        match self.make(Some(&found.name())) {
            Ok(new) => Ok(new),
            Err(error) if self.interrupt.is_raised() => Err(error),
            Err(error) => {
                self.messages.error(format_args!(
                    "warning: the base image could not be refreshed, the old one is used: {error:#}"
                ));
                Ok(found)
            }
        }
    }

    /// The base image, made where there is none.
    pub(crate) fn ensure(&self) -> Result<Base> {
        match base::current(self.place) {
            Some(found) => Ok(found),
            None => self.make(None),
        }
    }

    /// Makes a new one unless somebody else replaced `old` while we waited for the right to do it.
    pub(crate) fn make(&self, old: Option<&str>) -> Result<Base> {
        let right = base::lock(self.place, self.interrupt, || {
            self.messages
                .note("waiting for another arch-vm that makes the base image");
        })?;
        match base::current(self.place) {
            Some(found) if old.is_none_or(|old| found.name() != old) => return Ok(found),
            _ => {}
        }
        self.messages.note(format_args!(
            "making the base image {}",
            self.place.bases().link().display()
        ));
        base::make(self.place, &right, |directory| self.fill(directory)).context("the base image cannot be made")?;
        let made = base::current(self.place).context("the new base image has vanished")?;
        base::sweep(self.place, &right)?;
        Ok(made)
    }

    fn fill(&self, directory: &Path) -> Result<Record> {
        let account = self.place.account();
        give(directory, account)?;
        let (from_tree, to_disk) = io::pipe()?;
        let tree = self.tree(File::from(OwnedFd::from(to_disk)))?;
        let disk = self.disk(directory, File::from(OwnedFd::from(from_tree)));
        // The first in the line says best what went wrong.
        let tree = tree.wait().context("archbuild, which installs the packages")?;
        if !tree.status.success() {
            bail!(
                "archbuild, which installs the packages of the base image, failed ({})",
                tree.status
            );
        }
        disk?;
        for name in PARTS {
            seal(&directory.join(name), account)?;
        }
        if account.is_some() {
            std::os::unix::fs::lchown(directory, Some(0), Some(0))?;
        }
        fs::set_permissions(directory, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        self.record(directory)
    }

    /// archbuild, printing the guest's file tree.
    fn tree(&self, to: File) -> Result<Child> {
        let settings = self.settings;
        // It tidies up, also when we are killed.
        let mut command = Command::new("setpriv")
            .args(["--pdeathsig", "TERM"])
            .arg(sibling("archbuild"));
        if let Some(path) = self.config_option {
            command = command.arg("--config").arg(path);
        }
        command = command
            .args(["--arch", settings.arch.as_str(), "--pacman-conf"])
            .arg(settings.pacman_conf_path()?)
            .arg("run");
        for package in &settings.packages {
            command = command.args(["--package", package.as_str()]);
        }
        for (name, value) in &settings.for_archbuild {
            command = command.env(name, value);
        }
        let keys = self.authorized_keys()?;
        let fstab = settings.layout.fstab();
        let script = ["--", "bash", "-c", CONFIGURE, "configure"];
        let texts = [keys.as_str(), &fstab, INIT, INITRAMFS_INIT, AGENT];
        let command = command.args(script).args(texts).interrupt(self.interrupt);
        Ok(command.output(Output::Stdout(to)).spawn()?)
    }

    /// The key made for the purpose, and the caller's own.
    fn authorized_keys(&self) -> Result<String> {
        let mut keys = self.place.public_key()?;
        let Some(home) = &self.settings.home else {
            return Ok(keys);
        };
        let Ok(entries) = fs::read_dir(home.join(".ssh")) else {
            return Ok(keys);
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with("id_")
                && name.ends_with(".pub")
                && let Ok(text) = fs::read_to_string(&path)
            {
                keys.push_str(text.trim_end());
                keys.push('\n');
            }
        }
        Ok(keys)
    }

    fn disk(&self, directory: &Path, from: File) -> Result<()> {
        let layout = &self.settings.layout;
        let command = Command::new("setpriv")
            .args([
                "--pdeathsig",
                "KILL",
                "unshare",
                "--map-auto",
                "--map-root-user",
                "--mount",
                "--pid",
            ])
            .args(["--fork", "--kill-child", "bash", "-c", MAKE_DISK, "make-disk"])
            .arg(directory)
            .arg(layout.size().to_string())
            .args(layout.partitions())
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .directory("/")
            .account(self.place.account())
            .input(Input::File(from))
            .interrupt(self.interrupt);
        match command.run() {
            Ok(_) => Ok(()),
            // The command line is a whole script.
            Err(error) => bail!("making the disk: {}", error.cause),
        }
    }

    fn record(&self, directory: &Path) -> Result<Record> {
        let text = |name: &str| fs::read_to_string(directory.join(name)).with_context(|| format!("cannot read {name}"));
        Ok(Record {
            format: base::FORMAT,
            made: Now::read().unix,
            disk: "qcow2".to_owned(),
            root: self.settings.layout.root(),
            kernel: text("release")?.trim().to_owned(),
            repositories: self.settings.pacman_conf()?.repositories().map(str::to_owned).collect(),
            packages: text("packages")?.lines().count(),
        })
    }
}
