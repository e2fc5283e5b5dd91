//! What the process outside asks the process inside the user namespace to do: one line of JSON on its standard input,
//! followed by the files that belong to it (`crate::payload`).
//!
//! The caller's configuration is read outside, since the unprivileged account may not be able to read it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use common::build_command::{Keep, Limits, NetworkUntil};
use common::names::{Arch, PkgName};
use serde::{Deserialize, Serialize};

use crate::cgroup::Group;
use crate::emulation::Runner;

/// Everything that the process inside knows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Request {
    /// As often as `-v` was given.
    pub(crate) verbose: u8,
    /// Whether `-q` was given.
    pub(crate) quiet: bool,
    /// The target.
    pub(crate) arch: Arch,
    /// The directory of this architecture: `chroot_dir/ARCH`.
    pub(crate) directory: PathBuf,
    /// How programs of the target run.
    pub(crate) runner: Runner,
    /// What to do.
    pub(crate) task: Task,
}

/// What chroots are made from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Parts {
    /// Names of the repositories that the root is made from. A root from others is remade.
    pub(crate) repositories: Vec<String>,
    /// pacman of the host, making the root.
    pub(crate) root_conf: String,
    /// pacman of the host, working on a copy: may have more repositories.
    pub(crate) copy_conf: String,
    /// pacman inside the copy.
    pub(crate) chroot_conf: String,
    /// Directories of the host that pacman's servers lie in.
    pub(crate) server_directories: BTreeSet<PathBuf>,
    /// makepkg.conf inside the chroot, where it is not its own.
    pub(crate) makepkg_conf: Option<String>,
    /// Variables that lead to the network, for pacman and for fetching sources.
    pub(crate) proxies: Vec<(String, String)>,
    /// Places of the host that are seen in the copy, too.
    pub(crate) binds: Vec<Bind>,
}

/// A place of the host in the working copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bind {
    /// On the host.
    pub(crate) from: PathBuf,
    /// In the working copy.
    pub(crate) to: PathBuf,
    /// Whether it can be written to.
    pub(crate) is_writable: bool,
}

/// What to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Make the root where it is missing or broken.
    Create(Parts),
    /// Make the root out of the tree that follows the files of the request, a tar stream.
    TakeIn(Parts),
    /// Make the root anew when it is out of date.
    Update(Parts),
    /// Build the package that comes with the request.
    Build(Parts, BuildTask),
    /// Run a command in a working copy.
    Run(Parts, RunTask),
    /// Say what there is.
    List(Form),
    /// Remove what nobody uses.
    Clean(CleanTask),
}

impl Task {
    /// What the chroot is made from, for a task that needs one.
    pub(crate) fn parts(&self) -> Option<&Parts> {
        match self {
            Self::Create(parts)
            | Self::TakeIn(parts)
            | Self::Update(parts)
            | Self::Build(parts, _)
            | Self::Run(parts, _) => Some(parts),
            Self::List(_) | Self::Clean(_) => None,
        }
    }
}

/// One build.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BuildTask {
    /// Whether to bring the root up to date first and to fetch all sources again.
    pub(crate) clean: bool,
    /// Whether check() runs.
    pub(crate) check: bool,
    /// Whether debug packages are made.
    pub(crate) debug: bool,
    /// Whether it is built twice and compared.
    pub(crate) reproducible: bool,
    /// Arguments for makepkg.
    pub(crate) makepkg: Vec<OsString>,
    /// A directory with sources that are there already.
    pub(crate) srcdest: Option<PathBuf>,
    /// Variables that the build sees.
    pub(crate) environment: Vec<(String, String)>,
    /// What it may use.
    pub(crate) limits: Limits,
    /// Until when it reaches the network.
    pub(crate) network: NetworkUntil,
    /// Whether its copy stays.
    pub(crate) keep: Keep,
    /// The control group that code of the package runs in, where there can be one.
    pub(crate) group: Option<Group>,
}

/// One command.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RunTask {
    /// Where it runs.
    pub(crate) place: Place,
    /// Who runs it.
    pub(crate) user: User,
    /// Whether it has network.
    pub(crate) network: bool,
    /// Whether standard error is a terminal of its own.
    pub(crate) is_interactive: bool,
    /// Packages that it needs besides those of the root. With any, a fresh copy is brought up to date, too.
    pub(crate) packages: Vec<PkgName>,
    /// The command and its arguments.
    pub(crate) command: Vec<OsString>,
}

/// Where a command runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Place {
    /// In a working copy that is thrown away.
    Fresh,
    /// In a copy that was kept, the youngest when none is named.
    Kept(Option<String>),
}

/// Who runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum User {
    /// The build user.
    Builder,
    /// Root of the namespace.
    Root,
}

/// How something is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Form {
    /// Words in a line.
    Lines,
    /// JSON, one object a line.
    Json,
}

/// What to remove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CleanTask {
    /// How much.
    pub(crate) extent: Extent,
    /// Kept copies, by name.
    pub(crate) copies: Vec<String>,
    /// Packages whose files are taken out of the cache.
    pub(crate) packages: Vec<PkgName>,
}

/// How much to remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Extent {
    /// The working copies of killed runs.
    Copies,
    /// Half-made and replaced roots, and what the caches have too much, too.
    Remains,
    /// All kept copies, too.
    Kept,
    /// The root and the caches, too.
    Everything,
}

impl Request {
    /// Writes the line.
    pub(crate) fn send(&self, to: &mut impl Write) -> Result<()> {
        serde_json::to_writer(&mut *to, self)?;
        to.write_all(b"\n")?;
        Ok(())
    }

    /// Reads the line.
    pub(crate) fn receive(from: &mut impl BufRead) -> Result<Self> {
        let mut line = Vec::new();
        from.read_until(b'\n', &mut line)?;
        serde_json::from_slice(&line).context("the request cannot be read (this sub-command is not for people)")
    }
}
