//! The `prioritize-build-list` command as a library: the file `priorities`, under the build-list lock.

mod cli;
mod placement;

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use anyhow::Context;
use common::atomic;
use common::build_list::BuildList;
use common::cli::Messages;
use common::config::Config;
use common::ending::{Change, failed};
use common::exit::of_listing;
use common::lock::Patience;
use common::names::PkgBase;
use common::priorities::Priorities;
use common::work_dir::{Scope, WorkDir};
use serde::Serialize;

pub use crate::cli::Cli;
use crate::placement::{Placement, place};

/// An order whose priority changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Changed {
    pub(crate) pkgbase: PkgBase,
    pub(crate) priority: i64,
}

/// Runs the tool.
pub fn main(args: impl IntoIterator<Item = OsString>, _stdin: &mut dyn Read, stdout: &mut dyn Write) -> ExitCode {
    let cli: Cli = match common::cli::parse(args, stdout) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let messages = Messages::new("prioritize-build-list", &cli.common);
    let environment = common::cli::environment();
    let result = common::cli::load_config(&cli.common, &environment, &messages)
        .map_err(anyhow::Error::from)
        .and_then(|config| run(&config, &cli, &messages, stdout));
    match result {
        Ok(change) => change.report(&messages),
        Err(error) => failed(&messages, error.chain()),
    }
}

/// Does one run.
///
/// # Errors
/// The configuration is wrong, or a file cannot be read or written.
pub fn run(config: &Config, cli: &Cli, messages: &Messages, out: &mut dyn Write) -> anyhow::Result<Change> {
    let work_dir = WorkDir::open(config)?;
    let _locks = if cli.no_action {
        None
    } else {
        match work_dir.lock(Scope::BuildList, Patience::configured(config)?) {
            Ok(locks) => Some(locks),
            Err(refused) => return Ok(Change::Hindered(refused.hindrance()?)),
        }
    };
    let (list, complaints) = BuildList::read(&work_dir.build_list())?;
    for complaint in complaints {
        messages.error(complaint);
    }
    let text = atomic::read_text(&work_dir.priorities())?.unwrap_or_default();
    let (mut priorities, complaints) = Priorities::parse(&text);
    for complaint in complaints {
        messages.error(complaint);
    }
    let matching = list.orders().filter(|order| {
        let line = order.to_string();
        cli.pattern.find(&line).is_some_and(|found| found.start() == 0)
    });
    let chosen: Vec<PkgBase> = matching.map(|order| order.pkgbase.clone()).collect();
    if chosen.is_empty() {
        messages.note(format_args!("no line of the build list begins with {}", cli.pattern));
    }
    let placement = match (cli.last, cli.forget) {
        (true, _) => Placement::Last,
        (_, true) => Placement::Usual,
        _ => Placement::First,
    };
    let changed = place(&mut priorities, &chosen, placement);
    if !changed.is_empty() && !cli.no_action {
        atomic::write(&work_dir.priorities(), priorities.to_string().as_bytes())?;
    }
    // The priorities are given, whoever reads of them.
    of_listing(write(&changed, cli.json, out)).context("cannot print the priorities")?;
    Ok(Change::Done)
}

fn write(changed: &[Changed], is_json: bool, out: &mut dyn Write) -> io::Result<()> {
    if is_json {
        serde_json::to_writer(&mut *out, changed)?;
        writeln!(out)?;
    } else {
        for Changed { pkgbase, priority } in changed {
            writeln!(out, "{pkgbase} {priority}")?;
        }
    }
    out.flush()
}
