//! The command line of `build-packages`.

use clap::Parser;
use common::cli::CommonArgs;
use common::names::PkgBase;

use crate::straw::Straw;
use crate::target::Target;

/// Ask the build master for orders, build them, sign the packages and return them
///
/// SIGTERM drains: the builds in progress are finished and returned, and nothing new is asked for. SIGINT ends them;
/// the orders stay with this builder and are handed out again when it asks the next time. A finished build waits in the
/// outbox until the master has taken it, also over restarts.
///
/// Without a limit (-n 0) it begins anew, between two orders, as the version that was installed in its place.
///
/// With --local the same is done without a master: PKGBASE at the heads of the git repositories, a given order
/// PKGBASE.REVISION.MOD_REVISION.REPOSITORY (REVISION may be NAME-HEAD, MOD_REVISION may be work-tree: the files of your
/// work tree of the customization as they are), or a directory with a PKGBUILD, which has a slash in it or is a dot. The
/// packages are put into $PKGDEST, else the directory, else the working directory, and listed on standard output.
///
/// Exit codes: 0 finished, 1 the master refused packages, a local build came to nothing or the builder cannot go on,
/// 64 usage, 78 configuration.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "build-packages",
    version,
    after_long_help = "Examples:\n  build-packages --keep-asking -n 0 --slots 2\n  build-packages --local ./zlib\n  \
        build-packages --local zlib.packages-HEAD.work-tree.core"
)]
pub struct Cli {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// Build so many orders; 0: no end (1, or no end with -t or -x)
    #[arg(short = 'n', long, value_name = "COUNT")]
    pub(crate) number: Option<u64>,
    /// Ask for nothing new after so many seconds
    #[arg(short = 't', long, value_name = "SECONDS")]
    pub(crate) time: Option<u64>,
    /// End after a failed build
    #[arg(short = 'x', long)]
    pub(crate) exit_on_failure: bool,
    /// Ask again when there is nothing to do, instead of ending
    #[arg(short = 'k', long)]
    pub(crate) keep_asking: bool,
    /// Ask for this order first
    #[arg(short, long, value_name = "PKGBASE")]
    pub(crate) prefer: Option<PkgBase>,
    /// Build so many orders at one time, as processors and memory allow (key slots)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=24))]
    pub(crate) slots: Option<u8>,
    /// Try these straws instead of the configured ones (repeatable)
    #[arg(short, long, value_name = "STRAW")]
    pub(crate) straw: Vec<Straw>,
    /// Build this without asking the master
    #[arg(
        short,
        long,
        value_name = "WHAT",
        conflicts_with_all = ["number", "time", "exit_on_failure", "keep_asking", "prefer", "slots"]
    )]
    pub(crate) local: Option<Target>,
    /// Return the result of a local build of an order to the master
    #[arg(short, long, requires = "local")]
    pub(crate) upload: bool,
    /// Put this behind the pkgrel in a local build
    #[arg(long, value_name = "N", requires = "local", default_value_t = 0)]
    pub(crate) sub_pkgrel: u32,
}

impl Cli {
    /// How many orders to build; `None`: no end.
    pub(crate) fn count(&self) -> Option<u64> {
        match self.number {
            Some(0) => None,
            Some(count) => Some(count),
            None if self.time.is_some() || self.exit_on_failure => None,
            None => Some(1),
        }
    }

    /// What is asked for and cannot be had, and that clap does not see.
    pub(crate) fn contradiction(&self) -> Option<&'static str> {
        let is_directory = matches!(self.local, Some(Target::Directory(_)));
        (self.upload && is_directory).then_some("a directory is no order of the master's: it cannot be returned")
    }
}
