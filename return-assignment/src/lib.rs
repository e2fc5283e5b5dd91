//! `return-assignment`: takes packages or logs back from a builder.
//!
//! First everything that needs no lock: the whole upload into a temporary directory, signatures, metadata, package
//! files. Then, with the locks held: is it this builder's order ([`claim`]), and only then publish and change the state,
//! or note the failure. A tool killed in between leaves a state from which the same upload again leads to the same end:
//! what is published is published again without effect, and the order leaves the build list last but for its leases.
//!
//! Lock order: build-list, package-database, sanity-check (shared).

mod attempt;
mod claim;
mod cli;
mod destination;
mod downgrade;
mod expected;
mod inspection;
mod logs;
mod master;
mod origin;
mod trust;
mod upload;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::ExitCode;

use common::archive::ArchiveError;
use common::cli::{Messages, builder};
use common::config::{ConfigError, Environment};
use common::exit::Failure;
use common::repository::RepositoryError;
use common::signature::SignatureError;
use common::work_dir::WorkDirError;

pub use crate::cli::{BuildResult, Cli};
use crate::inspection::Refusal;
use crate::master::Master;
use crate::upload::{Cargo, Upload};

/// What the builder is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was taken.
    Accepted,
    /// Retry later; the reason.
    RetryLater(String),
    /// Outdated, unknown or not this builder's; the reason.
    Outdated(String),
    /// A signature is missing or not trusted; which one.
    Untrusted(String),
    /// Not the expected set of packages, or a limit exceeded; the difference.
    Unexpected(String),
}

impl Outcome {
    /// The protocol's exit code.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Accepted => 0,
            Self::RetryLater(_) => 1,
            Self::Outdated(_) => 2,
            Self::Untrusted(_) => 3,
            Self::Unexpected(_) => 4,
        }
    }

    const fn reason(&self) -> Option<&String> {
        match self {
            Self::Accepted => None,
            Self::RetryLater(reason) | Self::Outdated(reason) | Self::Untrusted(reason) | Self::Unexpected(reason) => {
                Some(reason)
            }
        }
    }
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Untrusted(reason) => Self::Untrusted(reason),
            Refusal::Unexpected(reason) => Self::Unexpected(reason),
        }
    }
}

/// Runs the tool.
pub fn main(args: impl IntoIterator<Item = OsString>, stdin: &mut dyn Read, stdout: &mut dyn Write) -> ExitCode {
    let cli: Cli = match common::cli::parse(args, stdout) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let messages = Messages::new("return-assignment", &cli.common);
    match run(&cli, &common::cli::environment(), &messages, stdin) {
        Ok(outcome) => {
            if let Some(reason) = outcome.reason() {
                messages.error(reason);
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
    let is_of_configuration = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref().is_some_and(ConfigError::is_of_the_operator)
            || matches!(cause.downcast_ref(), Some(WorkDirError::Config(_)))
            || matches!(cause.downcast_ref(), Some(RepositoryError::Config(_)))
            || matches!(cause.downcast_ref(), Some(SignatureError::BuilderKeys { .. }))
    };
    if error.is::<common::cli::IdentityError>() {
        Failure::Usage.into()
    } else if error.chain().any(is_of_configuration) {
        Failure::Config.into()
    } else {
        ExitCode::from(1)
    }
}

/// Takes one upload.
///
/// # Errors
/// Trouble of the master: no configuration, files that cannot be read or written.
pub fn run(cli: &Cli, environment: &Environment, messages: &Messages, stdin: &mut dyn Read) -> anyhow::Result<Outcome> {
    let builder = builder(environment)?;
    let config = common::cli::load_config(&cli.common, environment, messages)?;
    let master = Master::open(&config, environment, messages)?;
    let cargo = match cli.result {
        BuildResult::Built(_) => Cargo::Packages,
        BuildResult::Failed => Cargo::Logs,
    };
    let limit = config.number("upload_limit_mib", 16 << 10)? << 20;
    let upload = match Upload::receive(stdin, cargo, master.work_dir().root(), limit) {
        Ok(upload) => Ok(upload),
        Err(error @ (ArchiveError::Limit(_) | ArchiveError::Refused(_))) => {
            Err(Refusal::Unexpected(format!("the upload: {error}")))
        }
        Err(error) => return Ok(Outcome::RetryLater(format!("the upload cannot be read: {error}"))),
    };
    let order = cli.order();
    match cli.result {
        BuildResult::Failed => master.take_failure(&order, &builder, upload.as_ref()),
        BuildResult::Built(number) => master.take_packages(&order, &builder, number, upload),
    }
}
