//! `repo-copy`: published packages into a standalone repository, such as build-support, which helps other builds.
//!
//! Everything is decided with the lock held, then copied in one transaction; `publish_command` runs after it, without.
//!
//! Lock order: package-database, sanity-check (shared).

mod cli;
mod plan;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::ExitCode;

use anyhow::Context as _;
use common::cli::Messages;
use common::clock::Now;
use common::config::Environment;
use common::ending::failed;
use common::lock::Patience;
use common::repository::{Repositories, RepositoryError};
use common::work_dir::{Scope, WorkDir};

pub use crate::cli::Cli;
use crate::plan::PlanError;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Copied, or it was there already.
    Done,
    /// Locked or insane: nothing was changed; why.
    Hindered(String),
    /// There is no such package or repository: nothing was changed; which.
    BadInput(String),
}

impl Outcome {
    /// The exit code.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Hindered(_) => 1,
            Self::BadInput(_) => 2,
        }
    }
}

/// Runs the tool.
pub fn main(args: impl IntoIterator<Item = OsString>, _stdin: &mut dyn Read, stdout: &mut dyn Write) -> ExitCode {
    let cli: Cli = match common::cli::parse(args, stdout) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let messages = Messages::new("repo-copy", &cli.common);
    match run(&cli, &common::cli::environment(), &messages, stdout) {
        Ok(outcome) => {
            if let Outcome::Hindered(reason) | Outcome::BadInput(reason) = &outcome {
                messages.error(reason);
            }
            ExitCode::from(outcome.code())
        }
        Err(error) => failed(&messages, error.chain()),
    }
}

/// Does one run; prints `FILE FROM` for every package that is copied.
///
/// # Errors
/// The configuration is wrong, or a file cannot be read or written.
pub fn run(
    cli: &Cli,
    environment: &Environment,
    messages: &Messages,
    stdout: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let config = common::cli::load_config(&cli.common, environment, messages)?;
    let work_dir = WorkDir::open(&config)?;
    let repositories = Repositories::open(&config)?.with_environment(environment);
    let patience = Patience::configured(&config)?;
    let locks = match work_dir.lock(Scope::PackageDatabase, patience) {
        Ok(locks) => locks,
        Err(refused) => return Ok(Outcome::Hindered(refused.hindrance()?.to_string())),
    };
    let copies = match plan::decide(&repositories, cli) {
        Ok(copies) => copies,
        Err(PlanError::Repository(error)) => return Err(error.into()),
        Err(error) => return Ok(Outcome::BadInput(error.to_string())),
    };
    if !cli.no_action && !copies.is_empty() {
        let mut transaction = repositories.transaction();
        for copy in &copies {
            transaction.copy_package(&copy.entry.name, &copy.from, &cli.to);
        }
        let commit = match transaction.commit(Now::read().unix, patience) {
            Err(error @ RepositoryError::Busy { .. }) => return Ok(Outcome::Hindered(error.to_string())),
            commit => commit.context("the packages cannot be copied")?,
        };
        for warning in commit.warnings {
            messages.error(format_args!("warning: {warning}"));
        }
    }
    drop(locks);
    if !cli.no_action
        && let Err(error) = repositories.publish()
    {
        messages.error(format_args!("warning: {error}"));
    }
    for copy in &copies {
        writeln!(stdout, "{} {}", copy.entry.file_name, copy.from).context("the answer cannot be written")?;
    }
    stdout.flush().context("the answer cannot be written")?;
    Ok(Outcome::Done)
}
