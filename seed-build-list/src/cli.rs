//! The command line: types and help, nothing else.

use clap::Parser;
use common::cli::CommonArgs;
use common::names::PkgName;
use regex_lite::Regex;

/// Put packages on the build list that no change brings there
///
/// Without -p and -m the names come from standard input, one a line; what follows a name on its line is the reason.
/// The commits are those that get-package-updates processed last. What is on the list or on the deletion list is left as
/// it is. Prints the orders that are new, one a line.
#[derive(Debug, Clone, Parser)]
#[command(
    version,
    after_long_help = "Example: seed-build-list --reason 'against the new lua' -p '^lua-'\n\n\
    Exit codes: 0 done, or nothing to do; 1 the locks are held or the master is insane; 2 a name is unknown. \
    With 1 and 2 nothing was changed"
)]
pub struct Cli {
    /// Packages whose name or pkgbase matches REGEX (as in grep -E)
    #[arg(short, long, value_name = "REGEX", allow_hyphen_values = true)]
    pub(crate) package: Vec<Regex>,
    /// Packages that the mirror at URL has in a newer version than the port, in its stable repositories
    #[arg(short, long, value_name = "URL")]
    pub(crate) mirror: Vec<String>,
    /// Leave out PACKAGE, by a name of it or by its pkgbase
    #[arg(short, long, value_name = "PACKAGE")]
    pub(crate) ignore: Vec<PkgName>,
    /// Keep TEXT as the reason of orders that have none of their own
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Change nothing and print what would be new
    #[arg(short, long, visible_alias = "dry-run")]
    pub(crate) no_action: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) common: CommonArgs,
}
