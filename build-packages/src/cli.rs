//! The command line of `build-packages`.

use clap::Parser;
use common::cli::CommonArgs;
use common::names::PkgBase;

use crate::straw::Straw;

/// Ask the build master for orders, build them, sign the packages and return them
///
/// SIGTERM drains: the build in progress is finished and returned, and nothing new is asked for. SIGINT ends the build;
/// the order stays with this builder and is handed out again when it asks the next time. A finished build waits in the
/// outbox until the master has taken it, also over restarts.
///
/// Exit codes: 0 finished, 1 the master refused packages or the builder cannot go on, 64 usage, 78 configuration.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "build-packages",
    version,
    after_long_help = "Example:\n  build-packages --keep-asking -n 0"
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
    /// Try these straws instead of the configured ones (repeatable)
    #[arg(short, long, value_name = "STRAW")]
    pub(crate) straw: Vec<Straw>,
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
}
