//! `build-packages`: the builder. It asks the master for orders, builds them, signs the packages and returns them; with
//! `--local` it builds without a master.
//!
//! The files of a builder below its `work_dir`: `builds/<order>/` (source, packages and logs of a build in progress),
//! `outbox/` (finished builds that the master has not taken yet), `refused/` (those it refused), `logs/` (of what was
//! built lately), `repos/` (clones of the git repositories), `ssh/` (the shared connection).

mod address;
mod admission;
mod attempt;
mod builder;
mod cli;
mod companions;
mod company;
mod heartbeat;
mod history;
mod ladder;
mod local;
mod log;
mod master;
mod origin;
mod outbox;
mod pause;
mod products;
mod progress;
mod pulse;
mod readiness;
mod renewal;
mod returning;
pub mod room;
pub mod settings;
mod signing;
mod sources;
pub mod straw;
mod target;
mod upload;
mod workshop;

use std::ffi::OsString;
use std::io::{IsTerminal as _, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use common::cli::Messages;
use common::config::Environment;
use common::ending::failed;
use common::exit::Failure;
use common::interrupt::{Interrupt, SIGHUP, SIGINT, SIGTERM};
use common::lock::{Lock, Mode, Patience};

pub use crate::address::{Master, Ssh};
use crate::builder::Builder;
pub use crate::cli::Cli;
use crate::company::Company;
use crate::local::Local;
pub use crate::local::Surroundings;
use crate::master::Connection;
use crate::outbox::Outbox;
use crate::settings::Settings;
use crate::target::Target;
use crate::workshop::Workshop;

/// How the builder ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As asked for, or there is nothing to do.
    Finished,
    /// Another version of the program lies in its place: it is to go on.
    Replaced,
    /// The master refused packages, a local build failed, or this machine cannot build.
    Stopped,
}

/// Runs the tool.
pub fn main(args: impl IntoIterator<Item = OsString>, _stdin: &mut dyn Read, stdout: &mut dyn Write) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli: Cli = match common::cli::parse(args.clone(), stdout) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let messages = Messages::new("build-packages", &cli.common);
    if let Some(contradiction) = cli.contradiction() {
        messages.error(contradiction);
        return Failure::Usage.into();
    }
    let environment = common::cli::environment();
    let ended = match &cli.local {
        None => run(&cli, &environment, &messages),
        Some(target) => {
            let surroundings = surroundings(&cli, &environment);
            run_local(&cli, target, (&environment, &surroundings), &messages, stdout)
        }
    };
    match ended {
        Ok(Outcome::Finished) => ExitCode::SUCCESS,
        Ok(Outcome::Replaced) => {
            messages.note("begins anew as the version that was installed meanwhile");
            messages.error(renewal::begin_anew(&args, &environment));
            Failure::Io.into()
        }
        Ok(Outcome::Stopped) => ExitCode::from(1),
        Err(error) => failed(&messages, error.chain()),
    }
}

/// Builds for the master until there is a reason to end.
///
/// # Errors
/// The configuration is wrong, or the builder's own files cannot be read or written.
pub fn run(cli: &Cli, environment: &Environment, messages: &Messages) -> anyhow::Result<Outcome> {
    let config = common::cli::load_config(&cli.common, environment, messages)?;
    let mut settings = Settings::read(&config, environment)?;
    apply_options(cli, &mut settings);
    let employer = settings.employer.as_ref().context("there is no master")?;
    readiness::check(&settings, &config, environment)?;
    common::atomic::create_directory(&settings.work_dir)?;
    let lock = settings.work_dir.join("builder.lock");
    let _alone = Lock::acquire(&lock, Mode::Exclusive, Patience::Never)
        .context("another build-packages works with the same work_dir")?;
    let outbox = Outbox::open(&settings.work_dir)?;
    outbox.sweep();
    let builder = Builder {
        workshop: Workshop {
            connection: Connection::new(employer, &settings),
            outbox,
            company: Company::new(&settings.alone),
            settings: &settings,
            config: &config,
            messages,
            abort: Interrupt::on(&[SIGINT])?,
        },
        drain: Interrupt::on(&[SIGTERM, SIGHUP])?,
    };
    builder.work(cli)
}

/// Builds one thing without asking the master.
fn run_local(
    cli: &Cli,
    target: &Target,
    (environment, surroundings): (&Environment, &Surroundings),
    messages: &Messages,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let mut config = common::cli::load_config(&cli.common, environment, messages)?;
    let mut settings = match cli.upload {
        true => Settings::read_returning(&config, environment)?,
        false => Settings::read_local(&config, environment)?,
    };
    apply_options(cli, &mut settings);
    readiness::check(&settings, &config, environment)?;
    // The clones and the metadata lie below it, too.
    config.set("work_dir", settings.work_dir.display().to_string());
    common::atomic::create_directory(&settings.work_dir)?;
    let local = Local {
        settings: &settings,
        config: &config,
        messages,
        surroundings,
        abort: Interrupt::on_signals()?,
    };
    local.run(cli, target, out)
}

fn apply_options(cli: &Cli, settings: &mut Settings) {
    if !cli.straw.is_empty() {
        settings.straws.clone_from(&cli.straw);
    }
    if let Some(slots) = cli.slots {
        settings.slots.number = slots.into();
    }
}

fn surroundings(cli: &Cli, environment: &Environment) -> Surroundings {
    let is_dumb = environment.get("TERM").is_none_or(|term| term == "dumb");
    Surroundings {
        directory: std::env::current_dir().unwrap_or_default(),
        pkgdest: environment.get("PKGDEST").map(PathBuf::from),
        is_terminal: std::io::stderr().is_terminal() && !is_dumb && !cli.common.quiet,
        columns: environment.get("COLUMNS").and_then(|text| text.parse().ok()),
    }
}
