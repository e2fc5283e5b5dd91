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
    /// Assume that this order is not in the way of testing (an order id or a pkgbase; repeatable)
    #[arg(short, long, value_name = "ORDER")]
    pub unstage: Vec<String>,
    /// Assume that this order is not in the way of stable (repeatable)
    #[arg(short, long, value_name = "ORDER")]
    pub stabilize: Vec<String>,
    /// Move this order whatever it breaks, and nothing else (repeatable)
    #[arg(short, long, value_name = "ORDER", conflicts_with_all = ["progressive", "repo"])]
    pub force: Vec<String>,
    /// Move only what takes the place of nothing, or of something that lacks what nobody has
    #[arg(short, long)]
    pub progressive: bool,
    /// Move only what lies in this repository (repeatable)
    #[arg(long, value_name = "REPOSITORY")]
    pub repo: Vec<String>,
    /// Take back the newest change of the repositories, or all from this number on, with the states of the packages
    #[arg(long, value_name = "NUMBER", num_args = 0..=1, conflicts_with_all = ["explain", "unstage", "stabilize", "force", "progressive", "repo", "json"])]
    pub rollback: Option<Option<u64>>,
    /// Look whether databases, files, signatures and states agree, and print what does not
    #[arg(long, conflicts_with_all = ["explain", "unstage", "stabilize", "force", "progressive", "repo", "json", "rollback"])]
    pub check: bool,
    /// Mend what can be mended, and print what is left
    #[arg(long, conflicts_with_all = ["no_action", "explain", "unstage", "stabilize", "force", "progressive", "repo", "json", "rollback", "check"])]
    pub repair: bool,
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Explain what holds a package (or pkgbase) back, and change nothing
    #[arg(long, value_name = "PKG")]
    pub explain: Option<String>,
}
