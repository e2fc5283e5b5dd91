//! The `archbuild` command as a library: one package in a clean chroot, without root.
//!
//! Two processes. The one outside (`outside`) has the caller's rights: it reads configuration, PKGBUILD directory and
//! keyring, and writes packages. The one inside a user namespace with subordinate ids (`inside`) runs as the caller,
//! or as an unprivileged account when the caller is root: it alone touches chroots. Nothing of a build has kernel uid 0.

mod build;
mod cli;
mod copy;
mod inside;
mod layout;
mod outcome;
mod outside;
mod pacman;
mod pacman_conf;
mod payload;
mod products;
mod request;
mod roots;
mod sandbox;
mod session;
mod settings;
mod sources;
mod srcinfo;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use common::account::AccountError;
use common::cli::Messages;
use common::config::{ConfigError, Environment};
use common::exit::Failure;
use common::interrupt::Interrupt;
use thiserror::Error;

use crate::cli::{Action, BuildArgs, Cli};
use crate::outcome::Class;
use crate::outside::Outside;
use crate::pacman_conf::PacmanConfError;
use crate::payload::Payload;
use crate::request::{BuildTask, Extent, RunTask, Task};
use crate::settings::Settings;

/// Runs the tool.
pub fn main(args: impl IntoIterator<Item = OsString>, stdin: &mut dyn Read, stdout: &mut dyn Write) -> ExitCode {
    let cli: Cli = match common::cli::parse(args, stdout) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let messages = Messages::new("archbuild", &cli.common);
    if matches!(cli.action, Action::Inside) {
        return inside::main(stdin, stdout);
    }
    let environment = common::cli::environment();
    let ended = Interrupt::on_signals()
        .context("cannot handle signals")
        .and_then(|interrupt| {
            let place = Place {
                directory: std::env::current_dir().context("the working directory cannot be found")?,
                program: std::env::current_exe().context("this program cannot be found")?,
            };
            run(&cli, &environment, &place, interrupt, stdout)
        });
    match ended {
        Ok(class) => ExitCode::from(class.code()),
        Err(error) => {
            messages.error(common::cli::sentence(error.chain()));
            exit_code(&error)
        }
    }
}

/// Where this process is.
struct Place {
    /// The working directory.
    directory: PathBuf,
    /// This program.
    program: PathBuf,
}

/// A call that makes no sense.
#[derive(Debug, Error)]
enum Refusal {
    /// There is nothing to build.
    #[error("there is no PKGBUILD in {}", .0.display())]
    Pkgbuild(PathBuf),
    /// The destination is no directory.
    #[error("PKGDEST: {} is not a directory", .0.display())]
    Destination(PathBuf),
    /// A package to install is not there.
    #[error("there is no package file {}", .0.display())]
    Package(PathBuf),
}

fn exit_code(error: &anyhow::Error) -> ExitCode {
    if error.is::<Refusal>() {
        Failure::Usage.into()
    } else if error.is::<ConfigError>() || error.is::<PacmanConfError>() || error.is::<AccountError>() {
        Failure::Config.into()
    } else {
        ExitCode::from(Class::of(error).code())
    }
}

fn run(
    cli: &Cli,
    environment: &Environment,
    place: &Place,
    interrupt: Interrupt,
    stdout: &mut dyn Write,
) -> Result<Class> {
    let messages = Messages::new("archbuild", &cli.common);
    let config = common::cli::load_config(&cli.common, environment, &messages)?;
    let settings = Settings::new(config, &cli.chroot, environment, &place.directory)?;
    let outside = Outside {
        program: place.program.clone(),
        settings: &settings,
        common: &cli.common,
        messages,
        interrupt,
    };
    let keyring = Payload {
        keyring: settings.keyring.clone(),
        ..Payload::default()
    };
    match &cli.action {
        Action::Create => outside.run(Task::Create(settings.parts(&[])?), &keyring),
        Action::Update => outside.run(Task::Update(settings.parts(&[])?), &keyring),
        Action::Run(args) => {
            let task = RunTask {
                network: args.network,
                command: args.command.clone(),
            };
            outside.run(Task::Run(settings.parts(&[])?, task), &keyring)
        }
        Action::Clean(args) => {
            let extent = if args.all { Extent::Everything } else { Extent::Remains };
            outside.run(Task::Clean(extent), &Payload::default())
        }
        Action::Build(args) => {
            let destination = environment
                .get("PKGDEST")
                .filter(|path| !path.is_empty())
                .map_or_else(|| place.directory.clone(), |path| place.directory.join(path));
            let payload = build_payload(args, &place.directory, keyring)?;
            if !destination.is_dir() {
                return Err(Refusal::Destination(destination).into());
            }
            let task = Task::Build(settings.parts(&args.repositories)?, build_task(args, &settings));
            let (class, names) = outside.build(task, &payload, &destination)?;
            for name in names {
                writeln!(stdout, "{name}").context("cannot write the answer")?;
            }
            stdout.flush().context("cannot write the answer")?;
            Ok(class)
        }
        Action::Inside => Ok(Class::Chroot),
    }
}

fn build_payload(args: &BuildArgs, directory: &Path, keyring: Payload) -> Result<Payload, Refusal> {
    if !directory.join("PKGBUILD").is_file() {
        return Err(Refusal::Pkgbuild(directory.to_owned()));
    }
    let install: Vec<PathBuf> = args.install.iter().map(|path| directory.join(path)).collect();
    if let Some(missing) = install.iter().find(|path| !path.is_file()) {
        return Err(Refusal::Package(missing.clone()));
    }
    Ok(Payload {
        start: Some(directory.to_owned()),
        install,
        ..keyring
    })
}

fn build_task(args: &BuildArgs, settings: &Settings) -> BuildTask {
    let mut makepkg = args.makepkg.clone();
    let is_unchecked = args.nocheck || makepkg.iter().any(|argument| argument == "--nocheck");
    if args.nocheck {
        makepkg.push("--nocheck".into());
    }
    BuildTask {
        clean: args.clean,
        check: !is_unchecked,
        makepkg,
        srcdest: settings.srcdest.clone(),
        environment: settings.variables.clone(),
        time_limit: args.time_limit,
    }
}
