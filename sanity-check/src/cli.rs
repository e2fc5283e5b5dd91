//! The command line.

use clap::{Parser, ValueEnum};
use common::cli::CommonArgs;
use serde::Serialize;

/// Look whether the build master's files agree, and stop everything where they do not
#[derive(Debug, Clone, Parser)]
#[command(
    name = "sanity-check",
    version,
    after_long_help = "Prints what is wrong, one line each. When something is, the first of it goes into \
        build-master-sanity, and no tool changes anything until that file is gone; when all is well again, it is removed. \
        What a person wrote into it stays. What the next run of a tool mends by itself is no insanity and only said.\n\n\
        Example:\n  sanity-check -n build-list state-files\n\n\
        Exit codes: 0 sane, or a lock is held, 1 insane"
)]
pub struct Cli {
    /// Options of every tool.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Look only, and leave build-master-sanity as it is
    #[arg(short = 'n', long)]
    pub no_action: bool,
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
    /// What to look at; all when there is none
    #[arg(value_name = "CHECK")]
    pub checks: Vec<Check>,
}

/// What is looked at, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The clones have the commits that were processed last
    GitRepositories,
    /// The build list has orders only, each pkgbase once, and none that is to be deleted
    BuildList,
    /// What is published is configured
    Repos,
    /// Databases, files and signatures agree
    PackageDatabase,
    /// States and repositories agree
    StateFiles,
}

impl Check {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [
        Self::GitRepositories,
        Self::BuildList,
        Self::Repos,
        Self::PackageDatabase,
        Self::StateFiles,
    ];

    /// The name on the command line and in the flag.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GitRepositories => "git-repositories",
            Self::BuildList => "build-list",
            Self::Repos => "repos",
            Self::PackageDatabase => "package-database",
            Self::StateFiles => "state-files",
        }
    }
}
