//! One attempt at a build: the build command in a fresh source directory, its log, and what its end means.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use common::clock::{Now, format_utc};
use common::interrupt::Interrupt;
use common::process::{Cause, Command, Output};

use crate::settings::Settings;
use crate::straw::{Remedy, Straw};

/// Largest log in bytes.
const LOG_LIMIT: u64 = 64 << 20;

/// What the end of a build command means, the table of exit codes of `archbuild build`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// 0: built.
    Built,
    /// 1 and every code that is not listed: a function of the package failed.
    Function,
    /// 2: dependencies cannot be installed.
    Dependencies,
    /// 3: sources cannot be had or are not what they should be.
    Sources,
    /// 4: a limit was reached.
    Limit,
    /// 5: trouble of the chroot or machine; no fault of the package.
    Machine,
    /// 6, or this process was asked to end.
    Interrupted,
}

impl Class {
    /// The class of an exit code.
    #[must_use]
    pub(crate) const fn of(code: Option<i32>) -> Self {
        match code {
            Some(0) => Self::Built,
            Some(2) => Self::Dependencies,
            Some(3) => Self::Sources,
            Some(4) => Self::Limit,
            Some(5) => Self::Machine,
            Some(6) => Self::Interrupted,
            _ => Self::Function,
        }
    }

    /// The class in words, for logs and messages.
    #[must_use]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Built => "built",
            Self::Function => "a function of the package failed",
            Self::Dependencies => "dependencies cannot be installed",
            Self::Sources => "sources cannot be had",
            Self::Limit => "a limit was reached",
            Self::Machine => "trouble with the chroot",
            Self::Interrupted => "interrupted",
        }
    }
}

/// The directories of one build.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The directory with the PKGBUILD.
    pub(crate) source: PathBuf,
    /// Where packages go.
    pub(crate) packages: PathBuf,
    /// Where logs go.
    pub(crate) logs: PathBuf,
}

/// What an attempt is made with.
pub(crate) struct Attempt<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) places: &'a Places,
    pub(crate) straw: &'a Straw,
    /// From 1.
    pub(crate) number: usize,
    /// SOURCE_DATE_EPOCH of the build.
    pub(crate) commit_time: u64,
}

impl Attempt<'_> {
    /// Runs the build command.
    ///
    /// # Errors
    /// The log cannot be written or the command not be started.
    pub(crate) fn run(&self, interrupt: &Interrupt) -> anyhow::Result<Class> {
        let began = Now::read().unix;
        let path = self.log_path(began);
        let mut log = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot make the log {}", path.display()))?;
        writeln!(log, "==> {} attempt {} with {}", utc(began), self.number, self.straw)?;
        let output = Output::Log(log.try_clone()?, LOG_LIMIT);
        let class = match self.command()?.output(output).interrupt(interrupt).wait() {
            Ok(finished) => Class::of(finished.status.code()),
            Err(error) if matches!(error.cause, Cause::Interrupted) => Class::Interrupted,
            Err(error) => {
                writeln!(log, "==> {error}")?;
                return Err(error).context("cannot run build_command");
            }
        };
        let ended = Now::read().unix;
        writeln!(
            log,
            "==> {} {} after {} s",
            utc(ended),
            class.as_str(),
            ended.saturating_sub(began)
        )?;
        Ok(class)
    }

    fn command(&self) -> anyhow::Result<Command> {
        let (program, first) = self
            .settings
            .build_command
            .split_first()
            .context("build_command is empty")?;
        let mut command = Command::new(common::process::sibling(program))
            .args(first)
            .directory(&self.places.source);
        for (key, value) in &self.settings.environment {
            command = command.env(key, value);
        }
        command = command
            .env("PKGDEST", &self.places.packages)
            .env("SOURCE_DATE_EPOCH", self.commit_time.to_string());
        if self.straw.has(Remedy::CleanChroot) {
            command = command.arg("-c");
        }
        if self.straw.has(Remedy::WithoutCheck) {
            command = command.args(["--", "--nocheck"]);
        }
        Ok(command)
    }

    /// `2018-01-29T12:00:00.1.build-log`: the number keeps two attempts within one second apart.
    fn log_path(&self, began: u64) -> PathBuf {
        self.places
            .logs
            .join(format!("{}.{}.build-log", utc(began), self.number))
    }
}

fn utc(unix: u64) -> String {
    format_utc(unix, "%Y-%m-%dT%H:%M:%S")
}

/// Whether a straw makes sense after an attempt that ended like this: sources that cannot be had need sources from
/// elsewhere, and nothing else does.
pub(crate) fn is_worth_trying(straw: &Straw, last: Option<Class>) -> bool {
    match last {
        None => !straw.is_about_sources(),
        Some(class) => straw.is_about_sources() == (class == Class::Sources),
    }
}

/// The last messages in the youngest log, on one line: what the build command said before it gave up.
pub(crate) fn last_words(logs: &Path) -> String {
    let paths = std::fs::read_dir(logs)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let text = paths
        .max()
        .and_then(|path| std::fs::read(path).ok())
        .map(|content| String::from_utf8_lossy(&content).into_owned())
        .unwrap_or_default();
    let said: Vec<&str> = text.lines().filter(|line| !line.starts_with("==> 2")).collect();
    said[said.len().saturating_sub(3)..].join(" / ")
}

/// Makes a directory anew.
pub(crate) fn empty_directory(path: &Path) -> anyhow::Result<()> {
    remove_directory(path)?;
    std::fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))
}

/// Removes a directory if it is there.
pub(crate) fn remove_directory(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_commands_codes_count_as_a_failed_function() {
        assert_eq!(Class::of(Some(0)), Class::Built);
        for code in [Some(1), Some(7), Some(255), None] {
            assert_eq!(Class::of(code), Class::Function);
        }
        assert_eq!(Class::of(Some(5)), Class::Machine);
    }

    #[test]
    fn the_class_of_a_failure_decides_which_straws_make_sense() {
        let straw = |text: &str| text.parse::<Straw>().unwrap();
        assert!(is_worth_trying(&straw(":"), None));
        assert!(!is_worth_trying(&straw(":mirrored_source:"), None));
        assert!(is_worth_trying(&straw(":clean_chroot:"), Some(Class::Function)));
        assert!(!is_worth_trying(&straw(":clean_chroot:"), Some(Class::Sources)));
        assert!(is_worth_trying(
            &straw(":mirrored_source_by_hash:"),
            Some(Class::Sources)
        ));
        assert!(!is_worth_trying(&straw(":mirrored_source:"), Some(Class::Function)));
    }
}
