//! The command line. Types and help only: nothing here touches a file, the environment or the clock.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use common::build_command::{BuildArgs, TargetArgs};
use common::cli::CommonArgs;
use common::names::{Arch, PkgName};

/// Build one package in a clean chroot, without root.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Exit codes of build: 0 built, 1 a function of the package failed, 2 dependencies cannot be installed, \
                  3 sources, 4 a limit, 5 trouble with the chroot, 6 interrupted, 64 usage, 78 configuration"
)]
pub struct Cli {
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
    /// What they are made from.
    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

/// The sub-commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Make the root that working copies start from, where it is missing or broken
    Create(CreateArgs),
    /// Make the root anew when a package of it has a newer version
    Update,
    /// Build the package in the working directory
    #[command(
        long_about = "Build the package in the working directory.\n\nThe package files are put into $PKGDEST or the \
                      working directory and listed on standard output, one name a line.\n\n\
                      Example: archbuild build -c --keep failure -- --skippgpcheck"
    )]
    Build(BuildCommand),
    /// Run a command in a working copy that is thrown away
    #[command(
        long_about = "Run a command in a working copy that is thrown away.\n\nExample: archbuild run -- gcc --version"
    )]
    Run(RunArgs),
    /// Go back into a working copy that `build --keep` left
    #[command(
        long_about = "Go back into a working copy that `build --keep` left: the youngest, or the one that is named. It \
                      stays kept.\n\nExample: archbuild shell copy-x1Yz -- make -C src/zlib-1.3 check"
    )]
    Shell(ShellArgs),
    /// List roots, working copies and caches
    List(ListArgs),
    /// Remove what killed builds left behind, and more if it is said
    #[command(
        long_about = "Remove what killed builds left behind, replaced roots, and kept copies that are named.\n\n\
                      Example: archbuild clean --package zlib copy-x1Yz"
    )]
    Clean(CleanArgs),
    /// Let the kernel run programs of the target by qemu; only root can, and only before Linux 6.7 it is needed
    #[command(
        long_about = "Let the kernel run programs of the target by qemu until the machine is started again; only root \
                      can, and only before Linux 6.7 it is needed.\n\n\
                      Example: archbuild binfmt --arch aarch64 -n >/etc/binfmt.d/portsmith-aarch64.conf"
    )]
    Binfmt(BinfmtArgs),
    /// The part that runs in the user namespace
    #[command(hide = true)]
    Inside,
}

/// Options of `create`.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Take in this chroot, made by other means, in place of the present root
    #[arg(long, value_name = "DIR")]
    pub(crate) from: Option<PathBuf>,
}

/// Options of `build`.
#[derive(Debug, Args)]
pub(crate) struct BuildCommand {
    /// Options of every build command.
    #[command(flatten)]
    pub(crate) build: BuildArgs,
    /// Build the package in this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) local: Option<PathBuf>,
    /// Build although the PKGBUILD does not name the architecture
    #[arg(short = 'A', long)]
    pub(crate) ignorearch: bool,
    /// Make debug packages, too
    #[arg(long)]
    pub(crate) debug: bool,
    /// Build twice, and fail when the packages differ
    #[arg(long)]
    pub(crate) reproducible: bool,
    /// More places of the host.
    #[command(flatten)]
    pub(crate) binds: BindArgs,
}

/// Places of the host that are seen in the working copy.
#[derive(Debug, Args)]
pub(crate) struct BindArgs {
    /// Show this place of the host, for reading
    #[arg(long, value_name = "FROM[:TO]")]
    pub(crate) bind: Vec<OsString>,
    /// Show this place of the host, for writing as far as the build account may
    #[arg(long, value_name = "FROM[:TO]")]
    pub(crate) bind_rw: Vec<OsString>,
}

/// Options of `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Let the command use the network
    #[arg(long)]
    pub(crate) network: bool,
    /// Bring the working copy up to date and install this package, too
    #[arg(long = "package", value_name = "NAME")]
    pub(crate) packages: Vec<PkgName>,
    /// More places of the host.
    #[command(flatten)]
    pub(crate) binds: BindArgs,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// Options of `shell`.
#[derive(Debug, Args)]
pub(crate) struct ShellArgs {
    /// The kept working copy; the youngest without it
    #[arg(value_name = "COPY")]
    pub(crate) copy: Option<String>,
    /// Be root in it instead of the build user
    #[arg(long)]
    pub(crate) root: bool,
    /// Let it use the network
    #[arg(long)]
    pub(crate) network: bool,
    /// More places of the host.
    #[command(flatten)]
    pub(crate) binds: BindArgs,
    /// A command and its arguments instead of an interactive shell
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// Options of `binfmt`.
#[derive(Debug, Args)]
pub(crate) struct BinfmtArgs {
    /// Only print the line that the kernel is given, as binfmt.d(5) wants it
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

/// Options of `list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `clean`.
#[derive(Debug, Args)]
pub(crate) struct CleanArgs {
    /// Remove these kept working copies
    #[arg(value_name = "COPY")]
    pub(crate) copies: Vec<String>,
    /// Remove all kept working copies
    #[arg(long)]
    pub(crate) kept: bool,
    /// Remove the root and all caches, too
    #[arg(long)]
    pub(crate) all: bool,
    /// Take all files of this package out of the package cache
    #[arg(long = "package", value_name = "PKGNAME")]
    pub(crate) packages: Vec<PkgName>,
}
