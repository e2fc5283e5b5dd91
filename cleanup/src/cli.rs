//! The command line: types and help, nothing else.

use clap::Parser;
use common::cli::CommonArgs;

/// Remove old logs, old metadata, and what is known of orders that are gone
///
/// Logs of failures go when their order is neither on the build list nor built and not yet approved, but for the newest
/// ten of an order (key kept_error_logs); logs of success after two weeks (key kept_success_log_days), but for those that
/// report text relocations; metadata of what no package is any longer after ninety days (key kept_metadata_days). So does
/// what is noted of orders that have left the build list. Prints what it removes.
#[derive(Debug, Clone, Parser)]
#[command(
    version,
    after_long_help = "Example: cleanup -n\n\n\
    Exit codes: 0 done, nothing to do, locked, or insane"
)]
pub struct Cli {
    /// Remove nothing and print what would be removed
    #[arg(short, long, visible_alias = "dry-run")]
    pub(crate) no_action: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}
