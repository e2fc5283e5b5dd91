//! The command line.

use clap::Parser;
use common::cli::CommonArgs;
use common::names::Repository;

/// Copy published packages into a standalone repository
#[derive(Debug, Clone, Parser)]
#[command(
    name = "repo-copy",
    version,
    after_long_help = "The entry in the database is copied, the file is there already; a version that the repository has \
        gives way, unless it is newer. Standalone repositories are those that db-update moves nothing through.\n\n\
        Example:\n  repo-copy --to build-support gnupg haskell-tasty-1.4-1.0-x86_64.pkg.tar.zst\n\n\
        Exit codes: 0 done, 1 locked or insane, 2 there is no such package or repository: nothing was changed"
)]
pub struct Cli {
    /// Options of every tool.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Print what would be copied and change nothing
    #[arg(short = 'n', long)]
    pub no_action: bool,
    /// Copy from this repository instead of the most stable one that has the package
    #[arg(long, value_name = "REPOSITORY")]
    pub from: Option<Repository>,
    /// Copy into this standalone repository
    #[arg(long, value_name = "REPOSITORY")]
    pub to: Repository,
    /// Names of packages, or of published package files
    #[arg(value_name = "PACKAGE", required = true)]
    pub packages: Vec<String>,
}
