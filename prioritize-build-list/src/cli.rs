//! The command line: types and help, nothing else.

use clap::Parser;
use common::cli::CommonArgs;
use regex_lite::Regex;

/// Let some orders be built before, or after, all others
///
/// Gives the orders whose line begins with REGEX (as in grep -E) a higher priority than all others have. Lines do not
/// move, and what an order needs is still waited for. Prints each order whose priority is another now, with it.
#[derive(Debug, Clone, Parser)]
#[command(
    version,
    after_long_help = "Example: prioritize-build-list 'python-|cython '\n\n\
    Exit codes: 0 done, or nothing to do; 1 the locks are held or the master is insane, nothing was changed"
)]
pub struct Cli {
    /// What the lines of the orders begin with: pkgbase, commits, repository
    #[arg(value_name = "REGEX")]
    pub(crate) pattern: Regex,
    /// Let them be built after all others instead
    #[arg(long, conflicts_with = "forget")]
    pub(crate) last: bool,
    /// Take their priorities away instead
    #[arg(long)]
    pub(crate) forget: bool,
    /// Change nothing and print what would be new
    #[arg(short, long, visible_alias = "dry-run")]
    pub(crate) no_action: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}
