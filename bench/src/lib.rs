//! The `bench` command as a library: measures the project's programs and their peers as processes.
//!
//! The measured programs are those next to this one, so a release build measures release builds. Data is made below a
//! temporary directory (`TMPDIR`) and goes with the run. Nothing here decides whether a figure is good enough:
//! docs/benchmarks.md names the targets.

mod archbuild;
mod cli;
mod figures;
mod graph;
mod master;
mod measure;
pub mod publish;
mod repo;
mod vm;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use anyhow::Context as _;
use common::cli::Messages;
use common::exit::Failure;

pub use crate::cli::Cli;
use crate::cli::Suite;
use crate::figures::{Figures, Run};

/// Runs the suites.
pub fn main(args: impl IntoIterator<Item = OsString>, stdout: &mut dyn Write) -> ExitCode {
    let cli: Cli = match common::cli::parse(args, stdout) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let messages = Messages::new("bench", &cli.common);
    match run(&cli, &messages, stdout) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            messages.error(format_args!("{error:#}"));
            Failure::Io.into()
        }
    }
}

fn run(cli: &Cli, messages: &Messages, stdout: &mut dyn Write) -> anyhow::Result<()> {
    if let [program, arguments @ ..] = &cli.peak_of[..] {
        writeln!(stdout, "{}", measure::peak_of_child(program, arguments)?)?;
        return Ok(());
    }
    let suites = if cli.suites.is_empty() {
        &Suite::ALL[..]
    } else {
        &cli.suites
    };
    let temporary = tempfile::tempdir().context("cannot make a directory for the data")?;
    let directory = cli.keep.as_deref().unwrap_or(temporary.path());
    let mut missing = Vec::new();
    for suite in suites {
        let mut run = Run {
            directory: directory.join(suite.name()),
            rounds: usize::from(cli.rounds),
            messages,
            figures: Figures::new(suite.name(), stdout),
        };
        match suite {
            Suite::Master => master::measure(&mut run)?,
            Suite::Graph => graph::measure(&mut run)?,
            Suite::Archbuild => archbuild::measure(&mut run)?,
            Suite::Repo => repo::measure(&mut run)?,
            Suite::Vm => vm::measure(&mut run)?,
        }
        missing.extend(run.figures.missing().map(str::to_owned));
    }
    if !missing.is_empty() {
        messages.error(format_args!("left out, not on this machine: {}", missing.join(", ")));
    }
    Ok(())
}
