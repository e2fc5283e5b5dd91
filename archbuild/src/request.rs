//! What the process outside asks the process inside the user namespace to do: one line of JSON on its standard input,
//! followed by the files that belong to it (`crate::payload`).
//!
//! The caller's configuration is read outside, since the unprivileged account may not be able to read it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use common::names::Arch;
use serde::{Deserialize, Serialize};

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
}

/// What to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Make the root where it is missing or broken.
    Create(Parts),
    /// Make the root anew when it is out of date.
    Update(Parts),
    /// Build the package that comes with the request.
    Build(Parts, BuildTask),
    /// Run a command in a working copy.
    Run(Parts, RunTask),
    /// Remove what nobody uses.
    Clean(Extent),
}

impl Task {
    /// What the chroot is made from, for a task that needs one.
    pub(crate) fn parts(&self) -> Option<&Parts> {
        match self {
            Self::Create(parts) | Self::Update(parts) | Self::Build(parts, _) | Self::Run(parts, _) => Some(parts),
            Self::Clean(_) => None,
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
    /// Arguments for makepkg.
    pub(crate) makepkg: Vec<OsString>,
    /// A directory with sources that are there already.
    pub(crate) srcdest: Option<PathBuf>,
    /// Variables that the build sees.
    pub(crate) environment: Vec<(String, String)>,
    /// Seconds that the phases may take.
    pub(crate) time_limit: Option<u64>,
}

/// One command.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RunTask {
    /// Whether it has network.
    pub(crate) network: bool,
    /// The command and its arguments.
    pub(crate) command: Vec<OsString>,
}

/// How much to remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Extent {
    /// The working copies of killed runs.
    Copies,
    /// Half-made and replaced roots, too.
    Remains,
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
