//! `sanity-check`: looks whether the build master's files agree, and raises the flag that stops every tool where they do
//! not ([`flag`]).
//!
//! All locks are held, the sanity lock alone, so that nothing is in the middle of a change.
//!
//! Lock order: build-list, package-database, sanity-check.

mod cli;
mod examination;
mod flag;

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use anyhow::Context as _;
use common::cli::Messages;
use common::config::Environment;
use common::ending::failed;
use common::exit::of_listing;
use common::lock::Patience;
use common::repository::Repositories;
use common::work_dir::WorkDir;

pub use crate::cli::{Check, Cli};
use crate::examination::{Complaint, Examination};

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is wrong.
    Sane,
    /// Somebody holds a lock: nothing was looked at; who.
    Hindered(String),
    /// So much is wrong.
    Insane(usize),
}

impl Outcome {
    /// The exit code.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Sane | Self::Hindered(_) => 0,
            Self::Insane(_) => 1,
        }
    }
}

/// Runs the tool.
pub fn main(args: impl IntoIterator<Item = OsString>, _stdin: &mut dyn Read, stdout: &mut dyn Write) -> ExitCode {
    let cli: Cli = match common::cli::parse(args, stdout) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let messages = Messages::new("sanity-check", &cli.common);
    match run(&cli, &common::cli::environment(), &messages, stdout) {
        Ok(outcome) => {
            match &outcome {
                Outcome::Sane => {}
                Outcome::Hindered(reason) => messages.note(reason),
                Outcome::Insane(count) => {
                    messages.error(format_args!("the build master is insane: complaints: {count}"))
                }
            }
            ExitCode::from(outcome.code())
        }
        Err(error) => failed(&messages, error.chain()),
    }
}

/// Does one run.
///
/// # Errors
/// The configuration is wrong, or something cannot be looked at.
pub fn run(
    cli: &Cli,
    environment: &Environment,
    messages: &Messages,
    stdout: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let config = common::cli::load_config(&cli.common, environment, messages)?;
    let work_dir = WorkDir::open(&config)?;
    let repositories = Repositories::open(&config)?.with_environment(environment);
    let examination = Examination {
        config: &config,
        work_dir: &work_dir,
        repositories: &repositories,
    };
    let mut checks = if cli.checks.is_empty() {
        Check::ALL.to_vec()
    } else {
        cli.checks.clone()
    };
    checks.sort();
    checks.dedup();
    let findings = {
        let _locks = match work_dir.lock_everything(Patience::configured(&config)?) {
            Ok(locks) => locks,
            Err(refused) => return Ok(Outcome::Hindered(refused.hindrance()?.to_string())),
        };
        let findings = examination.make(&checks)?;
        if !cli.no_action {
            // Before anything is printed: whoever reads may have gone.
            flag::raise_or_lower(&work_dir.sanity_flag(), &checks, &findings.complaints)?;
        }
        findings
    };
    for remark in &findings.remarks {
        messages.note(format_args!("mends itself: {remark}"));
    }
    let printed = print(&findings.complaints, cli.json, stdout);
    of_listing(printed).context("the complaints cannot be written")?;
    Ok(match findings.complaints.len() {
        0 => Outcome::Sane,
        count => Outcome::Insane(count),
    })
}

fn print(complaints: &[Complaint], as_json: bool, stdout: &mut dyn Write) -> io::Result<()> {
    for complaint in complaints {
        if as_json {
            serde_json::to_writer(&mut *stdout, complaint)?;
            writeln!(stdout)?;
        } else {
            writeln!(stdout, "{}: {}", complaint.check.as_str(), complaint.complaint)?;
        }
    }
    stdout.flush()
}
