//! The `archbuild` command as a library: one package in a clean chroot, without root.
//!
//! Two processes. The one outside (`outside`) has the caller's rights: it reads configuration, PKGBUILD directory and
//! keyring, and writes packages. The one inside a user namespace with subordinate ids (`inside`) runs as the caller,
//! or as an unprivileged account when the caller is root: it alone touches chroots. Nothing of a build has kernel uid 0.

mod build;
mod call;
mod cgroup;
mod clean;
mod cli;
mod command;
mod copy;
mod databases;
mod dependencies;
mod emulation;
mod inside;
mod kept;
mod layers;
mod layout;
mod list;
mod outcome;
mod outside;
mod pacman;
pub mod pacman_conf;
pub mod payload;
mod processes;
mod products;
mod progress;
mod reproduce;
mod request;
mod roots;
mod sandbox;
mod session;
mod settings;
mod sources;
pub mod srcinfo;
mod terminal;
mod usage;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::ExitCode;

use anyhow::Context;
use common::account::AccountError;
use common::cli::Messages;
use common::config::ConfigError;
use common::exit::Failure;
use common::interrupt::Interrupt;

use crate::call::{Call, Refusal};
use crate::cli::Action;
pub use crate::cli::Cli;
use crate::pacman_conf::PacmanConfError;

/// Saves makepkg hundreds of processes, which is half a minute where it is emulated: to be put into libmakepkg's lint_pkgbuild directory.
pub const QUICK_LINT: &str = include_str!("quick-lint.sh");

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
            let call = Call {
                cli: &cli,
                environment: &environment,
                directory: std::env::current_dir().context("the working directory cannot be found")?,
                program: common::process::own_program().context("this program cannot be found")?,
                interrupt,
            };
            call.carry_out(stdout)
        });
    match ended {
        Ok(outcome) => ExitCode::from(outcome.code()),
        Err(error) => {
            messages.error(common::cli::sentence(error.chain()));
            exit_code(&error)
        }
    }
}

fn exit_code(error: &anyhow::Error) -> ExitCode {
    if error.is::<Refusal>() {
        Failure::Usage.into()
    } else if error.is::<ConfigError>() || error.is::<PacmanConfError>() || error.is::<AccountError>() {
        Failure::Config.into()
    } else {
        ExitCode::from(outcome::of(error).code())
    }
}
