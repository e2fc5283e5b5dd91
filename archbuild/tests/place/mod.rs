//! Where tests build: a directory of their own, the test mirror, and chroots that stay in the target directory, since
//! making a root costs seconds.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs;
use std::path::{Path, PathBuf};

use common::account;
use common::build_command::Record;
use common::process::Command;
use tempfile::TempDir;
use testkit::need;
use testkit::tool::{Ended, Tool, directory, must, program};

/// A package whose functions do nothing; tests add to it.
pub(crate) const NOTHING: &str = "pkgname=nothing\npkgver=1\npkgrel=1\narch=(any)\npackage() { :; }\n";

/// The directory of one test.
pub(crate) struct Place {
    directory: TempDir,
    chroots: PathBuf,
    config: String,
}

impl Place {
    /// A place with the chroots that all tests share; none without the test mirror.
    pub(crate) fn shared() -> Option<Self> {
        Self::with_chroots("archbuild")
    }

    /// A place with chroots of some name.
    pub(crate) fn with_chroots(name: &str) -> Option<Self> {
        if !need::programs(&["bwrap", "unshare", "newuidmap", "pacman", "setpriv"]) {
            return None;
        }
        Self::on_mirror(&mirror()?, name)
    }

    /// A place with the chroots of another architecture that all tests share; none without its mirror.
    pub(crate) fn foreign(arch: &str) -> Option<Self> {
        Self::foreign_with_chroots(arch, "archbuild")
    }

    /// A place with chroots of another architecture and of some name.
    pub(crate) fn foreign_with_chroots(arch: &str, name: &str) -> Option<Self> {
        let variable = match arch {
            "i686" => "PORTSMITH_TEST_I686_MIRROR",
            _ => "PORTSMITH_TEST_FOREIGN_MIRROR",
        };
        let mut place = Self::on_mirror(&need::directory(variable)?, name)?;
        place.configure(&format!("arch={arch}\n"));
        Some(place)
    }

    fn on_mirror(mirror: &Path, name: &str) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let chroots = target().join("test-chroots").join(name);
        // What a package installs is checked where a test gives a keyring; no other test may find this machine's.
        fs::create_dir(directory.path().join("keyring")).expect("a directory");
        let config = format!(
            "pacman_conf='{0}/host.conf'\nmakepkg_conf='{0}/makepkg.conf'\nchroot_dir='{1}'\nkeyring='{2}/keyring'\n",
            mirror.display(),
            chroots.display(),
            directory.path().display()
        );
        let place = Self {
            directory,
            chroots,
            config,
        };
        place.write("portsmith.conf", &place.config);
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

    /// Adds lines to the configuration.
    pub(crate) fn configure(&mut self, lines: &str) {
        self.config.push_str(lines);
        self.write("portsmith.conf", &self.config);
    }

    /// Writes a PKGBUILD into a directory.
    pub(crate) fn package(&self, name: &str, text: &str) {
        self.write(&format!("{name}/PKGBUILD"), text);
    }

    /// Writes the demo port's PKGBUILD in a directory of it, with what was fetched for it. Returns the package base.
    pub(crate) fn demo_package(&self, directory: &str, sources: &Path) -> String {
        let port = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/port");
        let pkgbase = directory.split('/').nth(1).expect("TREE/PKGBASE/repos/REPOSITORY");
        let mut text = fs::read_to_string(port.join(directory).join("PKGBUILD")).expect("the demo port");
        let index = fs::read_to_string(sources.join("index")).expect("an index of the sources");
        let line = index.lines().find(|line| line.starts_with(&format!("{pkgbase} ")));
        let words: Vec<&str> = line.expect("a line of the package").split(' ').collect();
        for (word, value) in [("@pkgver@", words[1]), ("@source@", words[2]), ("@sha256@", words[3])] {
            text = text.replace(word, value);
        }
        self.package(pkgbase, &text);
        pkgbase.to_owned()
    }

    /// The package files in a directory of this place.
    pub(crate) fn packages_of(&self, name: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path(name)).expect("the directory of a package");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let mut packages: Vec<PathBuf> = paths
            .filter(|path| path.to_string_lossy().contains(".pkg.tar"))
            .collect();
        packages.sort();
        packages
    }

    /// archbuild with the configuration of this place.
    pub(crate) fn archbuild(&self, arguments: &[&str]) -> Tool {
        Tool::new("archbuild")
            .args(arguments)
            .env("PORTSMITH_CONFIG", self.path("portsmith.conf"))
            .directory(self.directory.path())
    }

    /// `archbuild build` in a directory of this place.
    pub(crate) fn build(&self, name: &str, arguments: &[&str]) -> Ended {
        let arguments: Vec<&str> = ["build"].into_iter().chain(arguments.iter().copied()).collect();
        self.archbuild(&arguments).directory(&self.path(name)).run()
    }

    /// `archbuild build --json`, whatever its outcome.
    pub(crate) fn record(&self, name: &str, arguments: &[&str]) -> (i32, Record) {
        let arguments: Vec<&str> = ["--json"].into_iter().chain(arguments.iter().copied()).collect();
        let ended = self.build(name, &arguments);
        let record = Record::read(ended.stdout.as_bytes());
        (ended.code, record.unwrap_or_else(|| panic!("no record: {ended:#?}")))
    }

    /// The working copies that are there now.
    pub(crate) fn copies(&self) -> Vec<PathBuf> {
        let directory = self.chroots.join(std::env::consts::ARCH).join("copies");
        let Ok(entries) = fs::read_dir(directory) else {
            return Vec::new();
        };
        entries.map(|entry| entry.expect("an entry").path()).collect()
    }

    /// The root that copies start from.
    pub(crate) fn root(&self) -> PathBuf {
        self.chroots.join(std::env::consts::ARCH).join("root")
    }

    pub(crate) fn chroots(&self) -> &Path {
        &self.chroots
    }

    /// archbuild started by the account that root drops to, as an ordinary user would; none when we are not root.
    pub(crate) fn as_account(&self, name: &str) -> Option<Command> {
        let account =
            account::to_drop_to(&common::config::Config::default()).expect("scripts/setup made the account")?;
        let owner = format!("{}:{}", account.uid, account.gid);
        must(Command::new("chown").args(["-R", &owner]).arg(self.directory.path()));
        let command = Command::new(program("archbuild"))
            .env("PORTSMITH_CONFIG", self.path("portsmith.conf"))
            .directory(self.path(name))
            .account(Some(&account));
        Some(command)
    }
}

/// cargo's target directory.
fn target() -> PathBuf {
    let target = directory();
    target
        .parent()
        .expect("programs lie in the target directory")
        .to_owned()
}

fn mirror() -> Option<PathBuf> {
    let beside = target().join("mirror").join(std::env::consts::ARCH);
    if std::env::var_os("PORTSMITH_TEST_MIRROR").is_none() && beside.is_dir() {
        return Some(beside);
    }
    need::directory("PORTSMITH_TEST_MIRROR")
}

/// The command lines of all processes of this machine, by pid.
pub(crate) fn processes() -> Vec<(i32, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc is mounted").flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if let Some(pid) = pid {
            let text = String::from_utf8_lossy(&line).replace('\0', " ");
            found.push((pid, text.trim().to_owned()));
        }
    }
    found
}

/// Waits until a process with this command line is there.
#[track_caller]
pub(crate) fn wait_for_process(command_line: &str) -> i32 {
    for _ in 0..6000 {
        if let Some((pid, _)) = processes().into_iter().find(|(_, line)| line == command_line) {
            return pid;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("no process {command_line} after a minute");
}

/// Waits until a condition holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if condition() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("after half a minute: not {what}");
}
