//! The command line: types and help, nothing else.

use clap::Parser;
use common::cli::CommonArgs;
use common::names::PkgBase;

use crate::date;

/// Find what must be built and order it
///
/// Fetches the packaging repositories, compares them with what was processed last, and brings build-list,
/// deletion-list and build-graph up to date. Prints the orders that are new or changed, one a line.
#[derive(Debug, Clone, Parser)]
#[command(
    version,
    after_long_help = "Example: get-package-updates --wait --json\n\nExit codes: 0 done, nothing to do, \
    or the locks are held or the master is insane; 2 a repository cannot be fetched or read; 3 too many deletions"
)]
pub struct Cli {
    /// Do not fetch and take no new commits; order the present list again
    #[arg(short, long)]
    pub(crate) no_pull: bool,
    /// Wait for the locks instead of giving up
    #[arg(short, long, visible_short_alias = 'b', visible_alias = "block")]
    pub(crate) wait: bool,
    /// Take the last commits before DATE (UTC: 2018-01-29, 2018-01-29T12:00:00, @1517227200) as the newest
    #[arg(short, long, value_name = "DATE", value_parser = date::parse, conflicts_with = "no_pull")]
    pub(crate) date: Option<u64>,
    /// Print how the deletion list would differ if PKGBASE were blacklisted, and change nothing
    #[arg(short = 'x', long, value_name = "PKGBASE")]
    pub(crate) test_exclusion: Vec<PkgBase>,
    /// Leave out what is needed for check(), as check_dependencies=no does
    #[arg(long)]
    pub(crate) no_check: bool,
    /// Change nothing and print what would be new
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}
