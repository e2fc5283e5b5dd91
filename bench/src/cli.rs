//! The command line of `bench`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use common::cli::CommonArgs;

/// A set of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// The build master: get-package-updates, get-assignment, return-assignment.
    Master,
    /// archbuild: working copies, dependencies, roots, emulation.
    Archbuild,
    /// The published repositories: adding packages, moving them to stable.
    Repo,
    /// Virtual machines: arch-vm.
    Vm,
    /// The dependency engine and show-dependencies.
    Graph,
}

impl Suite {
    /// Every suite.
    pub(crate) const ALL: [Self; 5] = [Self::Master, Self::Graph, Self::Archbuild, Self::Repo, Self::Vm];

    /// The first word of its figures, and the directory of its data.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Graph => "graph",
            Self::Archbuild => "archbuild",
            Self::Repo => "repo",
            Self::Vm => "vm",
        }
    }
}

/// Measure the tools that lie next to this program
///
/// Makes its own data, races the tools that a user would otherwise use in the same run, alternating, and prints one line
/// a figure: `SUITE.FIGURE VALUE UNIT`. A ratio is the other tool's median over ours: bigger is better for us.
#[derive(Debug, Clone, Parser)]
#[command(name = "bench", version, after_long_help = "Example:\n  scripts/bench master")]
pub struct Cli {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// How often each thing is measured
    #[arg(long, value_name = "NUMBER", default_value_t = 21, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) rounds: u16,
    /// Make the data in this empty directory and leave it there
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) keep: Option<PathBuf>,
    /// Run a program and print the peak of its memory in KiB
    #[arg(long, hide = true, value_name = "COMMAND", num_args = 1.., allow_hyphen_values = true)]
    pub(crate) peak_of: Vec<OsString>,
    /// What to measure; everything without an argument
    pub(crate) suites: Vec<Suite>,
}
