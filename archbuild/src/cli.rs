//! The command line. Types and help only: nothing here touches a file, the environment or the clock.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use common::cli::CommonArgs;
use common::names::{Arch, Repository};

/// Build one package in a clean chroot, without root.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Exit codes of build: 0 built, 1 a function of the package failed, 2 dependencies cannot be installed, \
                  3 sources, 4 a limit, 5 trouble with the chroot, 6 interrupted, 64 usage, 78 configuration"
)]
pub(crate) struct Cli {
    /// Options of every tool.
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// Where the chroots are and what they are made from.
    #[command(flatten)]
    pub(crate) chroot: ChrootArgs,
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: Action,
}

/// Options that beat keys of the configuration.
#[derive(Debug, Args)]
pub(crate) struct ChrootArgs {
    /// Build for this architecture (key arch)
    #[arg(long, value_name = "ARCH", global = true)]
    pub(crate) arch: Option<Arch>,
    /// Keep the chroots below this directory (key chroot_dir)
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) chroot_dir: Option<PathBuf>,
    /// Make chroots from the repositories in this file (key pacman_conf)
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) pacman_conf: Option<PathBuf>,
    /// Build with this makepkg.conf instead of the chroot's own (key makepkg_conf)
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) makepkg_conf: Option<PathBuf>,
}

/// The sub-commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Make the root that working copies start from, where it is missing or broken
    Create,
    /// Make the root anew when a package of it has a newer version
    Update,
    /// Build the package in the working directory
    #[command(
        long_about = "Build the package in the working directory.\n\nThe package files are put into $PKGDEST or the \
                      working directory and listed on standard output, one name a line.\n\n\
                      Example: archbuild build -c -- --skippgpcheck"
    )]
    Build(BuildArgs),
    /// Run a command in a working copy that is thrown away
    #[command(
        long_about = "Run a command in a working copy that is thrown away.\n\nExample: archbuild run -- gcc --version"
    )]
    Run(RunArgs),
    /// Remove what killed builds left behind
    Clean(CleanArgs),
    /// The part that runs in the user namespace
    #[command(hide = true)]
    Inside,
}

/// Options of `build`.
#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// Bring the root up to date first, and fetch all sources again
    #[arg(short, long)]
    pub(crate) clean: bool,
    /// Leave out check() and its dependencies
    #[arg(long)]
    pub(crate) nocheck: bool,
    /// Install this package file before building
    #[arg(short = 'I', long = "install", value_name = "PACKAGE")]
    pub(crate) install: Vec<PathBuf>,
    /// Use this repository, too, before all others; its packages need no signature
    #[arg(short, long = "repo", value_name = "NAME=URL", value_parser = parse_repository)]
    pub(crate) repositories: Vec<(Repository, String)>,
    /// End the build after so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) time_limit: Option<u64>,
    /// Arguments for makepkg
    #[arg(last = true, value_name = "MAKEPKG ARGUMENT")]
    pub(crate) makepkg: Vec<OsString>,
}

/// Options of `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Let the command use the network
    #[arg(long)]
    pub(crate) network: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// Options of `clean`.
#[derive(Debug, Args)]
pub(crate) struct CleanArgs {
    /// Remove the root and all caches, too
    #[arg(long)]
    pub(crate) all: bool,
}

fn parse_repository(text: &str) -> Result<(Repository, String), String> {
    let (name, url) = text.split_once('=').ok_or("it has to be NAME=URL")?;
    let name = name.parse::<Repository>().map_err(|error| error.to_string())?;
    if url.is_empty() || url.chars().any(|c| c.is_control()) {
        return Err("the URL is empty or has control characters".to_owned());
    }
    Ok((name, url.to_owned()))
}
