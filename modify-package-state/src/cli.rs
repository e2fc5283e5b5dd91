//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser};
use common::cli::CommonArgs;

/// Block and unblock orders, mark packages as tested or faulty, list their states
#[derive(Debug, Clone, Parser)]
#[command(
    name = "modify-package-state",
    version,
    after_long_help = "FILE has one package a line: an order (pkgbase.revision.mod_revision.repository), a pkgbase, or \
        for --tested and --faulty the name of a package file, perhaps with its SHA-512 before it; for --block the reason \
        follows. FILE is replaced by those of its lines that changed something.\n\nExamples:\n  \
        echo 'zlib wait for FS#12345' | modify-package-state -nb -\n  \
        modify-package-state --list | awk '$2 == \"testing\" { print $1 }' | modify-package-state -nt -\n\n\
        Exit codes: 0 done, 1 locked or insane or no bug list: nothing was changed, 2 a line was refused or FILE cannot be \
        used"
)]
pub struct Cli {
    /// Options of every tool.
    #[command(flatten)]
    pub common: CommonArgs,
    /// What to do.
    #[command(flatten)]
    pub action: ActionArgs,
    /// Leave FILE as it is
    #[arg(short, long)]
    pub no_report: bool,
    /// Print one JSON object a line
    #[arg(long, conflicts_with_all = ["block", "unblock", "tested", "faulty", "check_bugs"])]
    pub json: bool,
    /// File with the packages, - for standard input
    #[arg(
        value_name = "FILE",
        required_unless_present_any = ["list", "check_bugs"],
        conflicts_with_all = ["list", "check_bugs"]
    )]
    pub file: Option<PathBuf>,
}

/// Exactly one of these.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct ActionArgs {
    /// Hand the orders out to nobody, for the reason given
    #[arg(short, long)]
    pub block: bool,
    /// Hand the orders out again
    #[arg(short, long)]
    pub unblock: bool,
    /// Approve packages in testing, unless the bug list names them
    #[arg(short, long)]
    pub tested: bool,
    /// Take an approval back
    #[arg(short, long)]
    pub faulty: bool,
    /// Take back the approval of all packages that the bug list names
    #[arg(long)]
    pub check_bugs: bool,
    /// Print every blocked order, and all packages in staging and testing
    #[arg(short, long)]
    pub list: bool,
}

/// What is done to packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Block,
    Unblock,
    Approve,
    Condemn,
}

impl ActionArgs {
    /// What is done to the packages of FILE; none when there is no FILE.
    pub(crate) fn on_file(&self) -> Option<Action> {
        [
            (self.block, Action::Block),
            (self.unblock, Action::Unblock),
            (self.tested, Action::Approve),
            (self.faulty, Action::Condemn),
        ]
        .into_iter()
        .find_map(|(is_chosen, action)| is_chosen.then_some(action))
    }
}
