//! The command line. Types and help only: nothing here touches a file, the environment or the clock.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use common::build_command::{BuildArgs, TargetArgs};
use common::cli::CommonArgs;
use common::names::{Arch, Repository};
use serde::{Deserialize, Serialize};

use crate::proxy::Mirror;

/// Build one package in a throw-away virtual machine, without root.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Exit codes of build: 0 built, 1 a function of the package failed, 2 dependencies cannot be installed, \
                  3 sources, 4 a limit, 5 trouble with the machine, 6 interrupted, 64 usage, 78 configuration"
)]
pub struct Cli {
    /// Options of every tool.
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// Where things are and what the machines are made from.
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: Action,
}

/// Options that beat keys of the configuration.
#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    /// Keep base images and machines below this directory (key vm_dir)
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) vm_dir: Option<PathBuf>,
    /// What base images are made from.
    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

/// The sub-commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Make the base image, where there is none
    Install(InstallArgs),
    /// Make the base image anew, beside the one in use
    Update(ArchArgs),
    /// Build the package in the working directory
    #[command(
        long_about = "Build the package in the working directory.\n\nThe package files are put into $PKGDEST or the \
                      working directory and listed on standard output, one name a line. Each REPO is used, too, before \
                      all others, the first one first, from the servers of the first repository in pacman_conf.\n\n\
                      Example: arch-vm build x86_64 testing -- --skippgpcheck"
    )]
    Build(Box<VmBuildArgs>),
    /// Run a command in a machine that is thrown away
    #[command(
        long_about = "Run a command in a machine that is thrown away, as root of its guest.\n\nExample: arch-vm run -- gcc --version"
    )]
    Run(Box<RunArgs>),
    /// See whether an image keeps the guest contract
    Check(CheckArgs),
    /// List base images and machines
    List(ListArgs),
    /// Enter a machine, or run a command in it
    #[command(long_about = "Enter a machine, or run a command in it.\n\nExample: arch-vm ssh k3Xa9Q -- ls /build")]
    Ssh(SshArgs),
    /// Show what a machine's console said, and talk to it
    Console(IdArgs),
    /// End a machine and remove it
    Stop(IdArgs),
    /// Remove what killed builds left behind
    Clean(CleanArgs),
    /// Serve packages from a cache in front of the mirrors
    #[command(
        long_about = "Serve packages from a cache in front of the mirrors, for this machine, its guests and chroots.\n\n\
                      Prints its address and serves until it is ended. In pacman.conf: \
                      Server = http://127.0.0.1:8118/$repo/os/$arch\n\n\
                      Example: arch-vm proxy --mirror 'https://mirror.example/$repo/os/$arch'"
    )]
    Proxy(ProxyArgs),
    /// The other end of a guest's network, on standard input and output
    #[command(hide = true)]
    Relay,
}

/// Options of `install`.
#[derive(Debug, Args)]
pub(crate) struct InstallArgs {
    /// The target (key arch)
    pub(crate) arch: Option<Arch>,
    /// Put a copy of the base image there, what it boots beside it
    pub(crate) image: Option<PathBuf>,
}

/// An architecture.
#[derive(Debug, Args)]
pub(crate) struct ArchArgs {
    /// The target (key arch)
    pub(crate) arch: Option<Arch>,
}

/// Options of `build`.
#[derive(Debug, Args)]
pub(crate) struct VmBuildArgs {
    /// The target (key arch)
    pub(crate) arch: Option<Arch>,
    /// Repositories to use before all others
    #[arg(value_name = "REPO")]
    pub(crate) more_repositories: Vec<Repository>,
    /// What every build command has.
    #[command(flatten)]
    pub(crate) build: BuildArgs,
    /// The machine.
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

/// The machine that is made for a build.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Machine")]
pub(crate) struct MachineArgs {
    /// Processors (key vm_cpus)
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=255))]
    pub(crate) cpus: Option<u64>,
    /// Memory (key vm_memory_mib)
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(128..))]
    pub(crate) memory: Option<u64>,
    /// Keep what the machine writes in this directory (key vm_overlay_dir)
    #[arg(long, value_name = "DIR")]
    pub(crate) overlay_dir: Option<PathBuf>,
    /// Let the machine write so much (key vm_overlay_mib)
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) overlay: Option<u64>,
    /// Give the machine an empty disk of this size, too
    #[arg(long = "extra-disk", value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) extra_disks: Vec<u64>,
    /// Give up on a machine that is not ready after so many seconds (key vm_boot_seconds)
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) boot_limit: Option<u64>,
    /// How a machine begins
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub(crate) start: Start,
    /// Use this image, which keeps the guest contract, instead of the base (key vm_image)
    #[arg(long, value_name = "IMAGE")]
    pub(crate) image: Option<PathBuf>,
    /// Enter the image's guest with this ssh key (key vm_identity)
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,
}

/// How a machine begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Start {
    /// As it was once when it had booted and had nothing to do.
    #[default]
    Snapshot,
    /// By booting.
    Boot,
}

/// Options of `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The target (key arch)
    #[arg(long, value_name = "ARCH")]
    pub(crate) arch: Option<Arch>,
    /// Let the command use the network
    #[arg(long)]
    pub(crate) network: bool,
    /// Print one line of JSON with how long the machine took, instead of what the command prints
    #[arg(long)]
    pub(crate) json: bool,
    /// The machine.
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// Options of `check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The image, in any format that qemu knows; IMAGE.kernel and IMAGE.initramfs are booted where they are there
    pub(crate) image: PathBuf,
    /// The target (key arch)
    pub(crate) arch: Option<Arch>,
    /// Enter the guest with this ssh key (key vm_identity)
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,
    /// Give up on a machine that is not ready after so many seconds (key vm_boot_seconds)
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) boot_limit: Option<u64>,
}

/// Options of `list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Print a line of JSON for each
    #[arg(long)]
    pub(crate) json: bool,
}

/// A machine.
#[derive(Debug, Args)]
pub(crate) struct IdArgs {
    /// Its name, as `list` shows it
    pub(crate) id: String,
}

/// Options of `ssh`.
#[derive(Debug, Args)]
pub(crate) struct SshArgs {
    /// The machine's name, as `list` shows it
    pub(crate) id: String,
    /// A command and its arguments instead of a shell
    #[arg(last = true)]
    pub(crate) command: Vec<OsString>,
}

/// Options of `clean`.
#[derive(Debug, Args)]
pub(crate) struct CleanArgs {
    /// Remove kept machines and all base images, too
    #[arg(long)]
    pub(crate) all: bool,
}

/// Options of `proxy`.
#[derive(Debug, Args)]
pub(crate) struct ProxyArgs {
    /// Listen there (key proxy_listen)
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Ask this mirror, the first one first (key proxy_mirrors, else pacman's mirrorlist)
    #[arg(long = "mirror", value_name = "URL")]
    pub(crate) mirrors: Vec<Mirror>,
    /// Keep packages below this directory (key proxy_cache_dir)
    #[arg(long, value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Answer one request of a web server, as CGI
    #[arg(long, conflicts_with = "listen")]
    pub(crate) cgi: bool,
    /// Remove what is old or too much, and end
    #[arg(long, conflicts_with_all = ["listen", "cgi"])]
    pub(crate) clean: bool,
}
