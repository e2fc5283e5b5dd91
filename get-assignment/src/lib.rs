//! `get-assignment`: hands one order of the build list to a builder.
//!
//! Most requests are answered by a quick look at the files ([`glance`]). The others are answered in full
//! ([`master`]): list and graph are read first ([`basis`]); with the lock held states and leases are read, and an order is
//! chosen ([`selection`]). Then the lease is recorded ([`handing_out`]), and only after that something is printed.
//! Metadata that is not cached is evaluated without the lock, and the choice made again. A tool killed in between leaves a
//! lease that the builder gets again when it asks again.
//!
//! Lock order: build-list, sanity-check (shared).

mod basis;
mod cli;
mod glance;
mod handing_out;
mod master;
mod patience;
pub mod selection;
pub mod standing;
pub mod sub_pkgrel;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use common::assignment::Answer;
use common::cli::{Messages, builder};
use common::config::Environment;
use common::exit::Failure;
use common::names::FileName;

pub use crate::cli::Cli;
use crate::master::Master;

/// What the builder is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Build this.
    Assigned(Answer),
    /// `--explain`: nothing was handed out.
    Explained,
    /// Come back shortly; the reason.
    ComeBack(String),
    /// Some order is free, but none can be built now.
    NoneNow,
    /// There is nothing to do.
    Nothing,
    /// The builder has as many orders as it may have.
    LimitReached,
}

impl Outcome {
    /// The protocol's exit code.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Assigned(_) | Self::Explained => 0,
            Self::ComeBack(_) => 1,
            Self::NoneNow => 2,
            Self::Nothing => 3,
            Self::LimitReached => 4,
        }
    }
}

/// Runs the tool.
pub fn main(args: impl IntoIterator<Item = OsString>, _stdin: &mut dyn Read, stdout: &mut dyn Write) -> ExitCode {
    let cli: Cli = match common::cli::parse(args, stdout) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let messages = Messages::new("get-assignment", &cli.common);
    let environment = common::cli::environment();
    match run(&cli, &environment, &messages, stdout) {
        Ok(outcome) => {
            match &outcome {
                Outcome::ComeBack(reason) => messages.error(reason),
                Outcome::NoneNow => messages.note("no order can be built now"),
                Outcome::Nothing => messages.note("there is no order to hand out"),
                Outcome::LimitReached => messages.note("no more orders for this builder"),
                Outcome::Assigned(_) | Outcome::Explained => {}
            }
            ExitCode::from(outcome.code())
        }
        Err(error) => {
            messages.error(common::cli::sentence(error.chain()));
            exit_code(&error)
        }
    }
}

/// Unforeseen trouble is 1 for a builder; what the operator has to mend has a code of its own.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    if error.is::<common::cli::IdentityError>() {
        Failure::Usage.into()
    } else if common::exit::is_of_configuration(error.chain()) {
        Failure::Config.into()
    } else {
        ExitCode::from(1)
    }
}

/// Handles one request, waiting for work if it was asked to.
///
/// # Errors
/// Trouble of the master: no configuration, files that cannot be read or written.
pub fn run(
    cli: &Cli,
    environment: &Environment,
    messages: &Messages,
    stdout: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let config = common::cli::load_config(&cli.common, environment, messages)?;
    let master = Master::open(&config, environment, messages)?;
    if cli.explain {
        master.explain(cli.pkgbase.as_ref(), stdout)?;
        return Ok(Outcome::Explained);
    }
    let builder = builder(environment)?;
    let watch = match cli.wait {
        0 => None,
        seconds => {
            let deadline = Instant::now() + Duration::from_secs(seconds);
            Some(patience::Watch::begin(&master.work_dir, deadline).context("cannot watch the state directory")?)
        }
    };
    loop {
        let outcome = master.answer(cli, &builder)?;
        match (&outcome, &watch) {
            (Outcome::Assigned(answer), _) => {
                print(answer, cli, stdout).context("cannot write the assignment")?;
                return Ok(outcome);
            }
            (Outcome::NoneNow | Outcome::Nothing, Some(watch)) if watch.wait()? => {}
            _ => return Ok(outcome),
        }
    }
}

fn print(answer: &Answer, cli: &Cli, stdout: &mut dyn Write) -> anyhow::Result<()> {
    let files: &[FileName] = if cli.files { &answer.files } else { &[] };
    if cli.json {
        let mut value = serde_json::to_value(&answer.assignment)?;
        value["files"] = serde_json::to_value(files)?;
        writeln!(stdout, "{value}")?;
    } else {
        writeln!(stdout, "{}", answer.assignment)?;
        for file in files {
            writeln!(stdout, "{file}")?;
        }
    }
    Ok(stdout.flush()?)
}
