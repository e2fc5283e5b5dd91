//! `derive-build-graph`: the build-graph of the build list as it is, on standard output, or what its orders yield.
//!
//! For lost files, or a list that was edited by hand: get-assignment calls it when it does not find every order in them.
//! It changes nothing but the cache of metadata; `get-package-updates --no-pull` writes the files.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{Read, Write};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use common::build_list::BuildList;
use common::cli::{self, CommonArgs, Messages};
use common::config::Config;
use common::graph::{self, Packages};
use common::metadata::Metadata;
use common::release::{self, Release};
use common::work_dir::WorkDir;

use crate::last_good::LastGood;
use crate::ordering::Ordering;

/// Print which other orders each order on the build list needs
///
/// A line an order, in the form of the file build-graph. Nothing is locked or changed.
#[derive(Debug, Parser)]
#[command(
    name = "derive-build-graph",
    version,
    after_long_help = "Example:\n  derive-build-graph | diff - \"$work_dir/build-graph\""
)]
pub struct Cli {
    /// Print what building each order yields instead: the order, its version and its packages
    #[arg(long)]
    releases: bool,
    #[command(flatten)]
    common: CommonArgs,
}

/// Runs the tool.
pub fn main(args: impl IntoIterator<Item = OsString>, _stdin: &mut dyn Read, stdout: &mut dyn Write) -> ExitCode {
    let cli: Cli = match cli::parse(args, stdout) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let messages = Messages::new("derive-build-graph", &cli.common);
    let result = cli::load_config(&cli.common, &cli::environment(), &messages)
        .map_err(anyhow::Error::from)
        .and_then(|config| derive(&cli, &config, &messages, stdout));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if common::exit::is_closed_pipe(error.chain()) => ExitCode::SUCCESS,
        Err(error) => {
            messages.error(cli::sentence(error.chain()));
            crate::exit_code(&error)
        }
    }
}

/// Of an order without metadata what it said last counts, for others wait for it; it will not be handed out itself.
fn derive(cli: &Cli, config: &Config, messages: &Messages, stdout: &mut dyn Write) -> anyhow::Result<()> {
    let work_dir = WorkDir::open(config)?;
    let metadata = Metadata::open(config, &work_dir)?;
    let (list, complaints) = BuildList::read(&work_dir.build_list())?;
    for complaint in complaints {
        messages.error(complaint);
    }
    let known = metadata.srcinfos(list.orders());
    for error in known.values().filter_map(|info| info.as_ref().err()) {
        messages.error(error);
    }
    if cli.releases {
        let releases = list.orders().filter_map(|order| {
            let info = known.get(&order.pkgbase)?.as_ref().ok()?;
            Some((order, Release::of(info)))
        });
        return print(release::listing(releases), stdout);
    }
    let last_good = LastGood::kept(&metadata, &known)?;
    last_good.tell(messages);
    let packages = Packages::new(last_good.beside(&known));
    print(
        graph::plan(&packages, known.keys(), &Ordering::read(config)?.policy()).graph(),
        stdout,
    )
}

fn print(answer: impl Display, stdout: &mut dyn Write) -> anyhow::Result<()> {
    write!(stdout, "{answer}")
        .and_then(|()| stdout.flush())
        .context("cannot write the answer")
}
