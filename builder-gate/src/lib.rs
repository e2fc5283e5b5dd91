//! `builder-gate NAME`: the forced command of a builder's key in `authorized_keys`.
//!
//! It reads the command line that the builder sent (`SSH_ORIGINAL_COMMAND`), refuses with 42 what is not of the
//! grammar in [`request`], and replaces itself by the tool, whose exit code is passed through. The tool gets an
//! environment with nothing but PATH and the builder's name, and the gate's own configuration: a builder can choose
//! neither. No shell is involved.
//!
//! `ping-from-builder PHASE`, in [`ping`], is the sign of life that keeps a lease.

mod log;
pub mod ping;
pub mod request;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::ExitCode;

use clap::Parser;
use common::cli::{self, CommonArgs, Messages};
use common::clock::Now;
use common::config::{Config, Environment};
use common::exit::Failure;
use common::names::Builder;
use common::process::{Command, sibling};

use crate::request::{Request, parse};

/// The variable in which sshd passes on what the builder sent.
const COMMAND: &str = "SSH_ORIGINAL_COMMAND";
/// PATH of a tool where sshd sets none.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What the gate answers when it refuses a request.
pub const REFUSED: u8 = 42;

/// Let one builder call the tools that are meant for builders
#[derive(Debug, Parser)]
#[command(
    name = "builder-gate",
    version,
    after_long_help = "Example line of authorized_keys:\n  \
        restrict,command=\"builder-gate eurobuild3\" ssh-ed25519 AAAA… eurobuild3"
)]
pub struct Cli {
    #[command(flatten)]
    common: CommonArgs,
    /// The builder that this key belongs to
    name: Builder,
}

/// Runs the gate; returns only when the request is refused or the tool cannot be started.
pub fn main(args: impl IntoIterator<Item = OsString>, _stdin: &mut dyn Read, stdout: &mut dyn Write) -> ExitCode {
    let cli: Cli = match cli::parse(args, stdout) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let messages = Messages::new("builder-gate", &cli.common);
    let mut environment = cli::environment();
    // What is not UTF-8 is refused and logged, and not taken for no command at all.
    if let Some(command) = std::env::var_os(COMMAND) {
        environment.insert(COMMAND.to_owned(), command.to_string_lossy().into_owned());
    }
    let config = match cli::load_config(&cli.common, &environment, &messages) {
        Ok(config) => config,
        Err(error) => {
            let is_of_the_operator = error.is_of_the_operator();
            messages.error(error);
            return if is_of_the_operator {
                Failure::Config.into()
            } else {
                ExitCode::from(1)
            };
        }
    };
    match admit(&config, &environment, &cli.name, &messages) {
        Ok(request) => {
            messages.error(start(&request, &config, &environment, &cli.name));
            // The builder has done nothing wrong: it may come back.
            ExitCode::from(1)
        }
        Err(refusal) => {
            messages.error(format_args!("refused: {refusal}"));
            ExitCode::from(REFUSED)
        }
    }
}

/// Reads and logs the request of a builder.
fn admit(
    config: &Config,
    environment: &Environment,
    builder: &Builder,
    messages: &Messages,
) -> Result<Request, request::Refusal> {
    let command = environment.get(COMMAND).map_or("", String::as_str);
    let request = parse(command);
    let logged = match &request {
        Ok(_) => command.to_owned(),
        Err(refusal) => format!("{command} (refused: {refusal})"),
    };
    if let Ok(work_dir) = config.required_path("work_dir") {
        let path = work_dir.join("ssh-log");
        if let Err(error) = log::append(&path, &Now::read(), builder, &logged) {
            messages.error(format_args!("cannot write {}: {error}", path.display()));
        }
    }
    request
}

/// Replaces this process by the tool; returns why that failed.
fn start(
    request: &Request,
    config: &Config,
    environment: &Environment,
    builder: &Builder,
) -> impl std::fmt::Display + use<> {
    let path = environment.get("PATH").map_or(DEFAULT_PATH, String::as_str);
    let mut command = Command::new(sibling(request.tool.program()))
        .env_clear()
        .env("PATH", path)
        .env("PORTSMITH_BUILDER", builder.as_str());
    if let Some(file) = config.file() {
        command = command.arg("--config").arg(file);
    }
    command.args(&request.arguments).exec()
}
