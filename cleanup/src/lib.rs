//! The `cleanup` command as a library: what nobody needs any longer leaves the build master's disk.
//!
//! With the build-list lock held, since whoever returns an order writes logs with it.

mod cli;
mod surplus;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, ensure};
use common::atomic::{Batch, FileError};
use common::build_list::{BuildList, Order};
use common::cli::Messages;
use common::config::Config;
use common::ending::failed;
use common::exit::of_listing;
use common::lock::Patience;
use common::logs::Logs;
use common::state::State;
use common::vanished;
use common::work_dir::{Hindrance, Scope, WorkDir};

pub use crate::cli::Cli;
use crate::surplus::Kept;

/// How a run ended.
#[derive(Debug)]
pub enum Outcome {
    /// Done, or there was nothing to do.
    Done,
    /// The locks are held, or the master is insane: nothing was removed.
    Hindered(Hindrance),
}

/// Runs the tool.
pub fn main(args: impl IntoIterator<Item = OsString>, _stdin: &mut dyn Read, stdout: &mut dyn Write) -> ExitCode {
    let cli: Cli = match common::cli::parse(args, stdout) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let messages = Messages::new("cleanup", &cli.common);
    let environment = common::cli::environment();
    let result = common::cli::load_config(&cli.common, &environment, &messages)
        .map_err(anyhow::Error::from)
        .and_then(|config| run(&config, &cli, &messages, stdout));
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Hindered(hindrance)) => {
            messages.note(format_args!("nothing removed: {hindrance}"));
            ExitCode::SUCCESS
        }
        Err(error) => failed(&messages, error.chain()),
    }
}

/// Does one run; prints the path of every file that is removed.
///
/// # Errors
/// The configuration is wrong, there is no build list, or a file cannot be read or removed.
pub fn run(config: &Config, cli: &Cli, messages: &Messages, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let work_dir = WorkDir::open(config)?;
    let kept = Kept::configured(config)?;
    let logs = Logs::open(config, &work_dir)?;
    let locks = match work_dir.lock(Scope::BuildList, Patience::configured(config)?) {
        Ok(locks) => locks,
        Err(refused) => return Ok(Outcome::Hindered(refused.hindrance()?)),
    };
    let (list, complaints) = BuildList::read(&work_dir.build_list())?;
    for complaint in &complaints {
        messages.error(complaint);
    }
    // Nothing is told to be gone by a list that was lost, or that a person has to mend first.
    ensure!(work_dir.build_list().is_file(), "there is no build list");
    ensure!(complaints.is_empty(), "the build list cannot be understood");
    let listed: BTreeSet<&Order> = list.orders().collect();
    let vanished = vanished::states(&work_dir, &listed)?;
    let states = work_dir.states();
    let is_needed = |order: &Order| {
        let is_built = || {
            [State::Done, State::Testing]
                .iter()
                .any(|state| states.has(order, *state))
        };
        listed.contains(order) || is_built()
    };
    let now = SystemTime::now();
    let surplus = kept.surplus(&logs, is_needed, now)?;
    let outdated = kept.outdated(&work_dir, now)?;
    if !cli.no_action {
        let mut batch = Batch::default();
        for fact in &vanished {
            vanished::forget(&work_dir, fact, &mut batch)?;
        }
        surplus
            .iter()
            .chain(&outdated)
            .try_for_each(|path| batch.remove(path))?;
        batch.sync()?;
        remove_empty(&surplus)?;
    }
    drop(locks);
    let mut removed: Vec<PathBuf> = vanished
        .iter()
        .map(|(order, state)| states.path(order, *state))
        .collect();
    removed.extend(surplus);
    removed.extend(outdated);
    of_listing(print(&removed, cli.json, out)).context("cannot print what was removed")?;
    Ok(Outcome::Done)
}

/// Removes the directories of orders and packages that have no log any longer.
fn remove_empty(removed: &[PathBuf]) -> Result<(), FileError> {
    let of_orders: BTreeSet<&Path> = removed.iter().filter_map(|log| log.parent()).collect();
    let of_packages: BTreeSet<&Path> = of_orders.iter().filter_map(|directory| directory.parent()).collect();
    for directory in of_orders.into_iter().chain(of_packages) {
        match fs::remove_dir(directory) {
            Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => {
                return Err(FileError::at("remove", directory)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn print(removed: &[PathBuf], is_json: bool, out: &mut dyn Write) -> io::Result<()> {
    if is_json {
        serde_json::to_writer(&mut *out, removed)?;
        writeln!(out)?;
    } else {
        for path in removed {
            writeln!(out, "{}", path.display())?;
        }
    }
    out.flush()
}
