//! The command line of `get-assignment`.

use clap::Parser;
use common::cli::CommonArgs;
use common::names::PkgBase;

/// Hand one order of the build list to a builder
///
/// Prints `pkgbase revision mod_revision repository sub_pkgrel`. Asking again gives the same order until it is
/// returned. The builder's name comes from PORTSMITH_BUILDER, which builder-gate sets.
///
/// Exit codes: 0 an assignment was printed, 1 come back shortly, 2 no order can be built now, 3 there is no such order
/// or nothing to do, 4 the builder has as many orders as it may have.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "get-assignment",
    version,
    after_long_help = "Example:\n  PORTSMITH_BUILDER=eurobuild3 get-assignment --files zlib"
)]
pub struct Cli {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// Print the expected package files after the assignment, one a line
    #[arg(long)]
    pub(crate) files: bool,
    /// Wait so long for work
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) wait: u64,
    /// An order that the builder works on; one of its orders that is not named is handed out again
    #[arg(long, value_name = "PKGBASE")]
    pub(crate) have: Vec<PkgBase>,
    /// Print the assignment as JSON
    #[arg(long, conflicts_with = "explain")]
    pub(crate) json: bool,
    /// Hand out nothing, and print for each order why it would be handed out or not
    #[arg(long)]
    pub(crate) explain: bool,
    /// The order that is wanted, if it can be had
    pub(crate) pkgbase: Option<PkgBase>,
}
