//! The box in which code of a package runs: as an unprivileged user of the namespace, with a working copy as its whole
//! file system, its own processes, host name and terminal session, an empty environment, and no network unless a phase
//! needs it.
//!
//! The places are those of Arch's own build tools, so that what they record is the same: /startdir (the PKGBUILD's
//! directory), /build, /srcdest, /pkgdest, /logdest.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use common::interrupt::Interrupt;
use common::process::{Command, Output};

use crate::cgroup::Group;
use crate::layout::SYNC;
use crate::payload;
use crate::request::{Bind, User};
use crate::session::Session;

/// User and group that build, in numbers of the namespace.
pub(crate) const BUILD_ID: u32 = 1000;
/// Their name.
pub(crate) const BUILD_USER: &str = "builduser";

/// Size of /dev/shm in bytes.
const SHARED_MEMORY: &str = "1073741824";
/// Size of /run in bytes.
const SMALL: &str = "16777216";

/// Whether code reaches the network. With it, it reaches the host's loopback, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// That of the host.
    Host,
    /// A loopback of its own.
    None,
}

/// Whether sources may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sources {
    /// They are being fetched.
    Writable,
    /// They are there.
    ReadOnly,
}

/// The box of one run.
#[derive(Debug)]
pub(crate) struct Sandbox {
    root: PathBuf,
    start: PathBuf,
    build: PathBuf,
    packages: PathBuf,
    logs: PathBuf,
    temporary: PathBuf,
    databases: PathBuf,
    binds: Vec<Bind>,
    /// Where sources are kept.
    pub(crate) sources: PathBuf,
    /// The control group that everything in the box is in.
    pub(crate) group: Option<Group>,
    environment: Vec<(String, String)>,
    proxies: Vec<(String, String)>,
    interrupt: Interrupt,
}

impl Sandbox {
    /// Makes the directories of the box in a working copy.
    pub(crate) fn new(session: &Session<'_>, environment: &[(String, String)]) -> Result<Self> {
        let copy = &session.copy;
        let sandbox = Self {
            root: copy.root(),
            start: copy.part(payload::START)?,
            build: copy.part("build")?,
            packages: copy.part("pkgdest")?,
            logs: copy.part("logdest")?,
            temporary: copy.part("tmp")?,
            databases: copy.part(session.pacman.databases())?,
            binds: session.parts.binds.clone(),
            sources: copy.part("srcdest")?,
            group: None,
            environment: environment.to_vec(),
            proxies: session.parts.proxies.clone(),
            interrupt: session.interrupt.clone(),
        };
        for path in [
            &sandbox.start,
            &sandbox.build,
            &sandbox.packages,
            &sandbox.logs,
            &sandbox.sources,
        ] {
            give_to_builder(path)?;
        }
        fs::set_permissions(&sandbox.temporary, fs::Permissions::from_mode(0o1777))?;
        Ok(sandbox)
    }

    /// Where packages come to lie.
    pub(crate) fn packages(&self) -> &Path {
        &self.packages
    }

    /// Shows more of the host: what local repositories lie in.
    pub(crate) fn show(&mut self, directories: impl IntoIterator<Item = PathBuf>) {
        self.binds.extend(directories.into_iter().map(|path| Bind {
            from: path.clone(),
            to: path,
            is_writable: false,
        }));
    }

    /// The directory of the PKGBUILD.
    pub(crate) fn start(&self) -> &Path {
        &self.start
    }

    /// A command in the box.
    pub(crate) fn command<I>(&self, user: User, network: Network, sources: Sources, argv: I) -> Command
    where
        I: IntoIterator<Item: AsRef<OsStr>>,
    {
        // makepkg wants to be able to write there, even when it has nothing to fetch.
        let (sources_option, srcdest) = match sources {
            Sources::Writable => ("--bind", "/srcdest"),
            Sources::ReadOnly => ("--ro-bind", "/tmp"),
        };
        let mut command = Command::new("bwrap");
        for (option, from, to) in [
            ("--bind", &self.root, "/"),
            ("--bind", &self.start, "/startdir"),
            ("--bind", &self.build, "/build"),
            ("--bind", &self.packages, "/pkgdest"),
            ("--bind", &self.logs, "/logdest"),
            // On the disk, or a build could fill the memory with what no process owns.
            ("--bind", &self.temporary, "/tmp"),
            ("--bind", &self.databases, &format!("/{SYNC}")),
            (sources_option, &self.sources, "/srcdest"),
        ] {
            command = command.args([option.as_ref(), from.as_os_str(), to.as_ref()]);
        }
        command = command
            .args(["--dev", "/dev", "--proc", "/proc", "--chdir", "/startdir"])
            .args(["--perms", "1777", "--size", SHARED_MEMORY, "--tmpfs", "/dev/shm"])
            .args(["--size", SMALL, "--tmpfs", "/run"]);
        for bind in &self.binds {
            let option = match (bind.from.starts_with("/dev"), bind.is_writable) {
                (true, _) => "--dev-bind",
                (false, true) => "--bind",
                // A local repository may be away.
                (false, false) => "--ro-bind-try",
            };
            command = command.arg(option).arg(&bind.from).arg(&bind.to);
        }
        command = command
            .args([
                "--unshare-pid",
                "--unshare-ipc",
                "--unshare-uts",
                "--unshare-cgroup-try",
                "--hostname",
                "archbuild",
            ])
            .args(["--new-session", "--die-with-parent", "--clearenv"]);
        if network == Network::None {
            command = command.arg("--unshare-net");
        }
        let home = match user {
            User::Builder => "/build",
            User::Root => "/root",
        };
        let fixed = [
            ("HOME", home),
            (
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/bin:/usr/bin/site_perl:/usr/bin/vendor_perl:/usr/bin/core_perl",
            ),
            ("LANG", "C.UTF-8"),
            ("SHELL", "/bin/bash"),
            ("BUILDDIR", "/build"),
            ("PKGDEST", "/pkgdest"),
            ("SRCDEST", srcdest),
            ("SRCPKGDEST", "/pkgdest"),
            ("LOGDEST", "/logdest"),
        ];
        for (name, value) in fixed {
            command = command.args(["--setenv", name, value]);
        }
        let proxies = match network {
            Network::Host => self.proxies.as_slice(),
            Network::None => &[],
        };
        for (name, value) in self.environment.iter().chain(proxies) {
            command = command.args(["--setenv", name, value]);
        }
        if user == User::Builder {
            let id = BUILD_ID.to_string();
            command = command
                .args(["--setenv", "USER", BUILD_USER, "--setenv", "LOGNAME", BUILD_USER])
                .args(["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups"])
                .args(["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"]);
        }
        command
            .args(argv)
            .control_group(self.group.as_ref().map(Group::directory))
            .interrupt(&self.interrupt)
            .output(Output::ToStderr)
    }
}

/// Gives a directory and all in it to the build user. Links are changed themselves, never what they lead to.
pub(crate) fn give_to_builder(path: &Path) -> Result<()> {
    let giving = || format!("cannot give {} to the build user", path.display());
    lchown(path, Some(BUILD_ID), Some(BUILD_ID)).with_context(giving)?;
    if fs::symlink_metadata(path).with_context(giving)?.is_dir() {
        for entry in fs::read_dir(path).with_context(giving)? {
            give_to_builder(&entry.with_context(giving)?.path())?;
        }
    }
    Ok(())
}
