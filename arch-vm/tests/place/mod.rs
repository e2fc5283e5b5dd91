//! Where tests build: a directory of their own, the test mirror, and base images that stay in the target directory, since
//! making one costs half a minute.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::build_command::Record;
use common::process::Command;
use tempfile::TempDir;
use testkit::need;
use testkit::tool::{Ended, Tool, directory};

/// A package whose functions do nothing; tests add to it.
pub(crate) const NOTHING: &str = "pkgname=nothing\npkgver=1\npkgrel=1\narch=(any)\npackage() { :; }\n";
/// How long something may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(300);

/// The directory of one test.
pub(crate) struct Place {
    directory: TempDir,
    vm_dir: PathBuf,
}

impl Place {
    /// A place with the base images that all tests share; none without qemu and the test mirror.
    pub(crate) fn new() -> Option<Self> {
        Self::with(|_| target().join("test-vm"))
    }

    /// A place with base images of its own.
    pub(crate) fn apart() -> Option<Self> {
        Self::with(|directory| directory.join("vm"))
    }

    fn with(vm_dir: impl FnOnce(&Path) -> PathBuf) -> Option<Self> {
        let programs = [
            "qemu-system-x86_64",
            "qemu-img",
            "mke2fs",
            "sfdisk",
            "ssh",
            "bwrap",
            "unshare",
            "pacman",
        ];
        if !need::programs(&programs) {
            return None;
        }
        let mirror = need::directory("PORTSMITH_TEST_MIRROR")?;
        let directory = tempfile::tempdir().expect("a temporary directory");
        // Root's guests run as another account, which has to find things here.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("it is ours");
        let target = target();
        let vm_dir = vm_dir(directory.path());
        let config = format!(
            "pacman_conf='{0}/host.conf'\nmakepkg_conf='{0}/makepkg.conf'\nchroot_dir='{1}/test-chroots/archbuild'\n\
             vm_dir='{2}'\nvm_cpus=1\nvm_memory_mib=512\nvm_overlay_mib=2048\nkeyring='{3}'\n",
            mirror.display(),
            target.display(),
            vm_dir.display(),
            directory.path().display()
        );
        let place = Self { directory, vm_dir };
        place.write("portsmith.conf", &config);
        Some(place)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it is below the place")).expect("a directory");
        common::atomic::write(&path, text.as_bytes()).expect("a file");
    }

    /// Writes a PKGBUILD into a directory.
    pub(crate) fn package(&self, name: &str, text: &str) {
        self.write(&format!("{name}/PKGBUILD"), text);
    }

    /// Writes a script that can be run.
    pub(crate) fn program(&self, name: &str, text: &str) {
        self.write(name, text);
        fs::set_permissions(self.path(name), Permissions::from_mode(0o755)).expect("it is ours");
    }

    /// arch-vm with the configuration of this place.
    pub(crate) fn arch_vm(&self, arguments: &[&str]) -> Tool {
        Tool::new("arch-vm")
            .args(arguments)
            .env("PORTSMITH_CONFIG", self.path("portsmith.conf"))
            .env("HOME", self.directory.path())
            .directory(self.directory.path())
    }

    /// Another program with the configuration of this place.
    pub(crate) fn equip(&self, command: Command) -> Command {
        command
            .env("PORTSMITH_CONFIG", self.path("portsmith.conf"))
            .env("HOME", self.directory.path())
    }

    /// `arch-vm build` in a directory of this place.
    pub(crate) fn build(&self, name: &str, arguments: &[&str]) -> Tool {
        let arguments: Vec<&str> = ["build"].into_iter().chain(arguments.iter().copied()).collect();
        self.arch_vm(&arguments).directory(&self.path(name))
    }

    /// The directories of machines that are there now.
    pub(crate) fn machines(&self) -> Vec<PathBuf> {
        listed(&self.vm_dir.join("machines"))
    }

    /// The base image that machines start from.
    pub(crate) fn base(&self) -> PathBuf {
        fs::canonicalize(self.vm_dir.join(std::env::consts::ARCH).join("base")).expect("there is a base image")
    }

    /// Base images that are there or in the making.
    pub(crate) fn bases(&self) -> Vec<PathBuf> {
        listed(&self.vm_dir.join(std::env::consts::ARCH).join(".bases"))
    }

    /// Waits until no process is left that was started for this place.
    #[track_caller]
    pub(crate) fn wait_for_children(&self) {
        let own = self.directory.path().to_str().expect("UTF-8");
        wait_until("without processes", || {
            !is_any_process(|process| {
                let environment = fs::read(process.join("environ")).unwrap_or_default();
                String::from_utf8_lossy(&environment).contains(own)
            })
        });
    }

    /// No machine is there, and none runs.
    #[track_caller]
    pub(crate) fn assert_nothing_is_left(&self) {
        assert_eq!(self.machines(), Vec::<PathBuf>::new());
        wait_until("without qemu", || !is_qemu_running(&self.vm_dir));
    }
}

/// The record in the answer of `build --json`.
#[track_caller]
pub(crate) fn record(ended: &Ended) -> Record {
    Record::read(ended.stdout.as_bytes()).unwrap_or_else(|| panic!("no record: {ended:#?}"))
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn listed(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

/// Whether an emulator runs that has something of these base images open.
fn is_qemu_running(vm_dir: &Path) -> bool {
    let text = vm_dir.to_str().expect("UTF-8");
    is_any_process(|process| {
        let line = fs::read(process.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        line.contains("qemu-system") && line.contains(text)
    })
}

/// Whether there is such a process, looked at as its directory in /proc.
fn is_any_process(is_meant: impl Fn(&Path) -> bool) -> bool {
    listed(Path::new("/proc")).iter().any(|process| is_meant(process))
}

/// The target directory.
fn target() -> PathBuf {
    directory().parent().expect("target/debug lies in target").to_owned()
}
