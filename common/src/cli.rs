//! The command line and the messages that all tools share.
//!
//! stdout carries only the answer; messages go to stderr, one line each, `tool: what: cause`, without control
//! characters. Usage errors are 64, help and version go to stdout with 0.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser};
use thiserror::Error;

use crate::config::{Config, ConfigError, Environment};
use crate::exit::Failure;
use crate::names::{Builder, NameError};

/// Options of every tool.
#[derive(Debug, Clone, Args)]
pub struct CommonArgs {
    /// Read this configuration instead of the default one
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Say more
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Say only what went wrong
    #[arg(short, long, conflicts_with = "verbose", global = true)]
    pub quiet: bool,
}

/// Parses a command line.
///
/// # Errors
/// The exit code to end with: 0 after help or version, 64 after a usage error, which has been printed.
pub fn parse<T: Parser>(args: impl IntoIterator<Item = OsString>, stdout: &mut dyn Write) -> Result<T, ExitCode> {
    T::try_parse_from(args).map_err(|error| {
        if error.use_stderr() {
            drop(write!(std::io::stderr().lock(), "{error}"));
            Failure::Usage.into()
        } else {
            match write!(stdout, "{error}").and_then(|()| stdout.flush()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => Failure::Io.into(),
            }
        }
    })
}

/// The environment of this process; what is not UTF-8 is left out. Only `main` calls this.
#[must_use]
pub fn environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// The caller's identity: `PORTSMITH_BUILDER`, which builder-gate sets, or `slave`, as the originals call it. Never from
/// an argument.
///
/// # Errors
/// Neither is set, or the value is no builder's name: 64.
pub fn builder(environment: &Environment) -> Result<Builder, IdentityError> {
    ["PORTSMITH_BUILDER", "slave"]
        .into_iter()
        .find_map(|key| environment.get(key))
        .ok_or(IdentityError::Missing)?
        .parse()
        .map_err(IdentityError::Name)
}

/// A caller without a name.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The environment does not say who calls.
    #[error("PORTSMITH_BUILDER does not say which builder calls: builder-gate sets it")]
    Missing,
    /// The name breaks its rule.
    #[error(transparent)]
    Name(NameError),
}

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Errors and warnings.
    Quiet,
    /// What changed, too.
    Normal,
    /// Details.
    Verbose,
}

/// Writes messages of one tool to standard error.
#[derive(Debug, Clone, Copy)]
pub struct Messages {
    tool: &'static str,
    level: Level,
}

impl Messages {
    /// Messages of `tool`, as much as its options want.
    #[must_use]
    pub fn new(tool: &'static str, args: &CommonArgs) -> Self {
        let level = match (args.quiet, args.verbose) {
            (true, _) => Level::Quiet,
            (false, 0) => Level::Normal,
            (false, _) => Level::Verbose,
        };
        Self { tool, level }
    }

    /// An error or a warning: always said.
    pub fn error(&self, message: impl Display) {
        self.say(Level::Quiet, &message);
    }

    /// What happened: not said with `-q`.
    pub fn note(&self, message: impl Display) {
        self.say(Level::Normal, &message);
    }

    /// A detail: said with `-v`.
    pub fn detail(&self, message: impl Display) {
        self.say(Level::Verbose, &message);
    }

    /// What the person can do about the last error.
    pub fn hint(&self, message: impl Display) {
        self.say(Level::Quiet, &format_args!("hint: {message}"));
    }

    /// Whether something of this level is said.
    #[must_use]
    pub fn is_said(&self, level: Level) -> bool {
        level <= self.level
    }

    fn say(&self, level: Level, message: &dyn Display) {
        if self.is_said(level) {
            let text = one_line(&message.to_string());
            let mut stderr = std::io::stderr().lock();
            // On a terminal a line of progress may stand where the message comes.
            let clear = if stderr.is_terminal() { "\r\x1b[K" } else { "" };
            // There is nobody to tell that stderr is gone.
            drop(writeln!(stderr, "{clear}{}: {text}", self.tool));
        }
    }
}

/// An error and its causes as one sentence; a cause that the words before it name already is left out. Give it the whole
/// chain.
#[must_use]
pub fn sentence<'a>(causes: impl IntoIterator<Item = &'a (dyn std::error::Error + 'static)>) -> String {
    let mut said = String::new();
    for cause in causes.into_iter().map(ToString::to_string) {
        if said.is_empty() {
            said = cause;
        } else if !said.contains(&cause) {
            said = format!("{said}: {cause}");
        }
    }
    said
}

/// Untrusted text on one line, without what a terminal would act on.
#[must_use]
pub fn one_line(text: &str) -> String {
    text.trim_end()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Loads the configuration and warns of unknown keys.
///
/// # Errors
/// As [`Config::load`].
pub fn load_config(args: &CommonArgs, environment: &Environment, messages: &Messages) -> Result<Config, ConfigError> {
    let config = Config::load(args.config.as_deref(), environment)?;
    for key in config.unknown_keys() {
        messages.error(format_args!("warning: the configuration key {key} is not known"));
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let inner = std::io::Error::other("no space");
        let error = crate::atomic::FileError::at("write", "/x")(inner);
        let causes = [&error as &(dyn std::error::Error + 'static), &error.source];
        assert_eq!(sentence(causes), "cannot write /x: no space");
    }

    #[test]
    fn untrusted_text_cannot_move_the_cursor_or_begin_a_line() {
        assert_eq!(one_line("a\u{1b}[2Jb\nroot: c\r\n"), "a [2Jb root: c");
    }
}
