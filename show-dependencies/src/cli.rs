//! The command line: types and help, nothing else.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use common::build_graph::Kind;
use common::cli::CommonArgs;
use common::graph::{Checks, Kinds, Names, Scope};
use common::names::{Arch, PkgBase};

/// Ask what depends on what, in which order things are built, and why
///
/// Asks the published repositories of the port, or what -D, -S, -g, -p or -l name. Prints one answer a line, its first word
/// a pkgbase, so that seed-build-list takes it: what follows is the reason.
#[derive(Debug, Clone, Parser)]
#[command(
    version,
    after_long_help = "Examples:\n  show-dependencies -D core.db -D extra.db dependents openssl\n  \
    show-dependencies dependents --built -r libssl.so=3-64 | seed-build-list\n  \
    show-dependencies --list needs firefox --transitive\n  \
    show-dependencies --list --picture svg loops >loops.svg\n  \
    show-dependencies --pairs - order <pairs\n\n\
    Exit codes: 0 answered; 2 a name is unknown"
)]
pub struct Cli {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Leave out what is needed for check()
    #[arg(long, global = true)]
    pub(crate) no_check: bool,
    /// Print the answer as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Draw the packages of the answer instead of listing them; those in loops are red
    #[arg(long, global = true, value_name = "FORMAT", conflicts_with = "json")]
    pub(crate) picture: Option<Format>,
    #[command(subcommand)]
    pub(crate) question: Question,
}

impl Cli {
    pub(crate) fn checks(&self) -> Checks {
        if self.no_check { Checks::LeaveOut } else { Checks::Count }
    }
}

/// Where the graph comes from.
#[derive(Debug, Clone, Args)]
pub(crate) struct SourceArgs {
    /// A sync database of pacman, the one that counts most first
    #[arg(short = 'D', long, value_name = "FILE", global = true, conflicts_with_all = ["srcinfo", "graph", "list", "pairs"])]
    pub(crate) database: Vec<PathBuf>,
    /// A .SRCINFO, or a directory with some below it
    #[arg(short = 'S', long, value_name = "PATH", global = true, conflicts_with_all = ["graph", "list", "pairs"])]
    pub(crate) srcinfo: Vec<PathBuf>,
    /// The architecture whose dependencies count in a .SRCINFO
    #[arg(long, default_value = "x86_64", global = true)]
    pub(crate) arch: Arch,
    /// A file in the format of build-graph
    #[arg(short, long, value_name = "FILE", global = true, conflicts_with_all = ["list", "pairs"])]
    pub(crate) graph: Option<PathBuf>,
    /// Pairs of packages as for tsort, NEEDED NEEDER, - for standard input; `order` names the loops on stderr
    #[arg(short, long, value_name = "FILE", global = true, conflicts_with = "list")]
    pub(crate) pairs: Option<PathBuf>,
    /// The orders on the build list and what they wait for
    #[arg(short, long, global = true)]
    pub(crate) list: bool,
}

/// How a picture is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For Graphviz.
    Dot,
    /// For a browser.
    Svg,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Question {
    /// What depends on packages, or on a soname or another dependency
    Dependents(Walk),
    /// What packages need
    Needs(Walk),
    /// Everything in build order
    Order {
        /// Build the members of loops twice, and print the stage and the loop
        #[arg(long)]
        two_stage: bool,
        /// Print the edges that do not hold in the order, with the reasons
        #[arg(long, conflicts_with = "two_stage")]
        dropped: bool,
    },
    /// The dependency loops
    Loops {
        /// Print the smallest set of edges without which there is no loop, as far as it can be found
        #[arg(long = "break")]
        break_edges: bool,
    },
    /// Why FIRST is built before SECOND
    WhyBefore {
        /// What is built first
        first: PkgBase,
        /// What is built later
        second: PkgBase,
    },
    /// What cannot be built without packages, and why
    Excluded {
        /// Packages that are excluded
        #[arg(required = true)]
        packages: Vec<PkgBase>,
    },
    /// Whom a package takes its dependencies from, and who else would satisfy them
    Providers {
        /// The package
        package: PkgBase,
    },
}

/// Which packages, and how far from them.
#[derive(Debug, Clone, Args)]
pub(crate) struct Walk {
    /// Packages or pkgbases; for `dependents` also dependencies: libssl.so=3-64, python<3.11
    #[arg(required = true)]
    pub(crate) names: Vec<String>,
    /// Follow so many steps instead of one
    #[arg(short, long, value_name = "STEPS")]
    depth: Option<usize>,
    /// Follow every step
    #[arg(short, long, conflicts_with = "depth")]
    transitive: bool,
    /// Follow only what is needed to run
    #[arg(long, conflicts_with = "makedepends_only")]
    depends_only: bool,
    /// Follow only what is needed to build
    #[arg(long)]
    makedepends_only: bool,
    /// Follow only dependencies on shared libraries
    #[arg(long)]
    sonames: bool,
    /// Follow also the libraries that the files of published packages need, declared or not
    #[arg(long)]
    pub(crate) built: bool,
    /// Print in build order
    #[arg(short, long)]
    pub(crate) rebuild_order: bool,
    /// Leave out the packages themselves when they are in a loop
    #[arg(long)]
    pub(crate) ignore_self: bool,
}

impl Walk {
    /// What is followed.
    pub(crate) fn scope(&self, checks: Checks) -> Scope {
        let kinds = match (self.depends_only, self.makedepends_only) {
            (true, _) => Kinds::of(Kind::Run),
            (_, true) => Kinds::of(Kind::Make),
            _ => checks.kinds(),
        };
        Scope {
            kinds,
            names: if self.sonames { Names::Sonames } else { Names::All },
            depth: if self.transitive {
                usize::MAX
            } else {
                self.depth.unwrap_or(1)
            },
        }
    }
}
