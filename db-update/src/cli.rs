//! The command line.

use clap::Parser;
use common::cli::CommonArgs;

/// Move packages from staging to testing and from testing to stable
#[derive(Debug, Clone, Parser)]
#[command(
    name = "db-update",
    version,
    after_long_help = "Approves what has been in testing long enough, removes what is on the deletion list and needed \
        by nothing, and moves the largest set of packages that leaves no package without what it needs to run.\n\n\
        Example:\n  db-update -n\n\nExit codes: 0 done, nothing to do, locked or insane, 2 bad input"
)]
pub struct Cli {
    /// Options of every tool.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Print what would be done and change nothing
    #[arg(short = 'n', long)]
    pub no_action: bool,
    /// Wait for locks as long as it takes
    #[arg(short = 'w', long, short_alias = 'b', alias = "block")]
    pub wait: bool,
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Explain what holds a package (or pkgbase) back, and change nothing
    #[arg(long, value_name = "PKG")]
    pub explain: Option<String>,
}
