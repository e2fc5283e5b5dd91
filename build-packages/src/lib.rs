//! `build-packages`: the builder. It asks the master for an order, builds it, signs the packages and returns them.
//!
//! The files of a builder below its `work_dir`: `builds/<order>/` (source, packages and logs of the build in progress),
//! `outbox/` (finished builds that the master has not taken yet), `refused/` (those it refused), `repos/` (clones of the
//! git repositories).

mod attempt;
mod builder;
mod cli;
mod heartbeat;
mod ladder;
mod master;
mod outbox;
mod products;
pub mod settings;
mod sources;
pub mod straw;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::ExitCode;

use anyhow::Context as _;
use common::cli::Messages;
use common::config::Environment;
use common::exit::Failure;
use common::interrupt::{Interrupt, SIGHUP, SIGINT, SIGTERM};
use common::lock::{Lock, Mode, Patience};

use crate::builder::Builder;
pub use crate::cli::Cli;
use crate::master::Connection;
use crate::outbox::Outbox;
use crate::settings::Settings;

/// How the builder ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As asked for, or there is nothing to do.
    Finished,
    /// The master refused packages, or this machine cannot build.
    Stopped,
}

/// Runs the tool.
pub fn main(args: impl IntoIterator<Item = OsString>, _stdin: &mut dyn Read, stdout: &mut dyn Write) -> ExitCode {
    let cli: Cli = match common::cli::parse(args, stdout) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let messages = Messages::new("build-packages", &cli.common);
    let environment = common::cli::environment();
    match run(&cli, &environment, &messages) {
        Ok(Outcome::Finished) => ExitCode::SUCCESS,
        Ok(Outcome::Stopped) => ExitCode::from(1),
        Err(error) => {
            messages.error(common::cli::sentence(error.chain()));
            if common::exit::is_of_configuration(error.chain()) {
                Failure::Config.into()
            } else {
                Failure::Io.into()
            }
        }
    }
}

/// Builds until there is a reason to end.
///
/// # Errors
/// The configuration is wrong, or the builder's own files cannot be read or written.
pub fn run(cli: &Cli, environment: &Environment, messages: &Messages) -> anyhow::Result<Outcome> {
    let config = common::cli::load_config(&cli.common, environment, messages)?;
    let mut settings = Settings::read(&config, environment)?;
    if !cli.straw.is_empty() {
        settings.straws.clone_from(&cli.straw);
    }
    common::atomic::create_directory(&settings.work_dir)?;
    let lock = settings.work_dir.join("builder.lock");
    let _alone = Lock::acquire(&lock, Mode::Exclusive, Patience::Never)
        .context("another build-packages works with the same work_dir")?;
    let builder = Builder {
        connection: Connection::new(&settings),
        outbox: Outbox::open(&settings.work_dir)?,
        settings: &settings,
        config: &config,
        messages,
        drain: Interrupt::on(&[SIGTERM, SIGHUP])?,
        abort: Interrupt::on(&[SIGINT])?,
    };
    builder.work(cli)
}
