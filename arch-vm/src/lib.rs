//! The `arch-vm` command as a library: one package in a throw-away virtual machine, without root.
//!
//! A base image (`base`, `install`) is made by archbuild and never changes. A build gets a machine over it (`machine`,
//! `session`): an overlay, qemu, one ssh connection. It goes on from a snapshot of the booted guest (`snapshot`), which
//! is told the time and given entropy first. The host decides what the guest reaches (`hardware`, `relay`), how much it
//! may use (`watch`), and what comes out of it (`delivery`). `proxy` is a cache in front of the mirrors, for all of them.

mod acceleration;
mod base;
mod build;
mod building;
mod call;
mod check;
mod cli;
mod command;
mod delivery;
mod guest;
mod hardware;
mod image;
mod install;
mod log;
mod machine;
mod machines;
mod partition;
mod place;
mod proxy;
mod qmp;
mod relay;
mod running;
mod session;
mod settings;
mod snapshot;
mod watch;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use archbuild::pacman_conf::PacmanConfError;
use common::account::AccountError;
use common::build_command::Outcome;
use common::cli::Messages;
use common::config::{ConfigError, Environment};
use common::exit::Failure;
use common::interrupt::Interrupt;
use common::names::Arch;
use thiserror::Error;

use crate::call::Call;
use crate::cli::Action;
pub use crate::cli::Cli;
use crate::hardware::UnknownArch;
use crate::machines::NoMachine;
use crate::settings::Settings;

/// Runs the tool.
pub fn main(args: impl IntoIterator<Item = OsString>, stdout: &mut dyn Write) -> ExitCode {
    let cli: Cli = match common::cli::parse(args, stdout) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    if matches!(cli.action, Action::Relay) {
        return relay::main();
    }
    let messages = Messages::new("arch-vm", &cli.common);
    let environment = common::cli::environment();
    let ended = Interrupt::on_signals()
        .context("cannot handle signals")
        .and_then(|interrupt| run(&cli, &environment, &interrupt, stdout));
    match ended {
        Ok(outcome) => outcome.code().into(),
        Err(error) => {
            messages.error(common::cli::sentence(error.chain()));
            exit_code(&error)
        }
    }
}

/// A call that makes no sense.
#[derive(Debug, Error)]
pub(crate) enum Refusal {
    /// There is nothing to build.
    #[error("there is no PKGBUILD in {}", .0.display())]
    Pkgbuild(PathBuf),
    /// The destination is no directory.
    #[error("{}: {} is not a directory", .0, .1.display())]
    Destination(&'static str, PathBuf),
    /// A file that was named is not there.
    #[error("there is no file {}", .0.display())]
    File(PathBuf),
}

fn exit_code(error: &anyhow::Error) -> ExitCode {
    match failure_of(error) {
        Some(failure) => failure.into(),
        None => outcome_of(error).code().into(),
    }
}

/// What the caller or the operator did wrong; none when it is an outcome of the protocol.
pub(crate) fn failure_of(error: &anyhow::Error) -> Option<Failure> {
    if error.is::<Refusal>() || error.is::<UnknownArch>() || error.is::<NoMachine>() {
        Some(Failure::Usage)
    } else if error.is::<ConfigError>() || error.is::<PacmanConfError>() || error.is::<AccountError>() {
        Some(Failure::Config)
    } else {
        None
    }
}

/// The outcome that an error carries; what nobody classified is trouble with the machine.
pub(crate) fn outcome_of(error: &anyhow::Error) -> Outcome {
    error.downcast_ref::<Outcome>().copied().unwrap_or(Outcome::Machine)
}

fn run(cli: &Cli, environment: &Environment, interrupt: &Interrupt, stdout: &mut dyn Write) -> Result<Outcome> {
    let messages = Messages::new("arch-vm", &cli.common);
    let directory = std::env::current_dir().context("the working directory cannot be found")?;
    let config = common::cli::load_config(&cli.common, environment, &messages)?;
    if let Action::Proxy(args) = &cli.action {
        let caller = proxy::Caller {
            config: &config,
            environment,
            interrupt,
            messages,
        };
        proxy::run(args, caller, stdout)?;
        return Ok(Outcome::Built);
    }
    let settings = Settings::new(config, &cli.place, arch_of(&cli.action), environment, &directory)?;
    let call = Call {
        place: place::Place::open(&settings)?,
        settings: &settings,
        environment,
        directory,
        program: common::process::own_program().context("this program cannot be found")?,
        config_option: cli.common.config.as_deref(),
        interrupt,
        messages,
    };
    command::run(&call, &cli.action, stdout)
}

fn arch_of(action: &Action) -> Option<&Arch> {
    match action {
        Action::Install(args) => args.arch.as_ref(),
        Action::Update(args) => args.arch.as_ref(),
        Action::Build(args) => args.arch.as_ref(),
        Action::Check(args) => args.arch.as_ref(),
        Action::Run(args) => args.arch.as_ref(),
        _ => None,
    }
}
