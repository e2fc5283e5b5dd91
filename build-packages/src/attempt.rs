//! One attempt at a build: the build command in the source directory, with its log.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use common::build_command::{Outcome, Record};
use common::interrupt::Interrupt;
use common::process::{Cause, Command, Output};

use crate::history::End;
use crate::log::{AttemptLog, Follower, LOG_LIMIT};
use crate::settings::Settings;
use crate::straw::{Remedy, Straw};

/// The directories of one build.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// What holds them.
    pub(crate) directory: PathBuf,
    /// The directory with the PKGBUILD.
    pub(crate) source: PathBuf,
    /// Where packages go.
    pub(crate) packages: PathBuf,
    /// Where logs go.
    pub(crate) logs: PathBuf,
}

impl Places {
    /// The directories below one.
    pub(crate) fn below(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            source: directory.join("source"),
            packages: directory.join("packages"),
            logs: directory.join("logs"),
        }
    }
}

/// What an attempt is made with.
pub(crate) struct Attempt<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) places: &'a Places,
    pub(crate) straw: &'a Straw,
    /// SOURCE_DATE_EPOCH of the build.
    pub(crate) time: u64,
}

/// What came of running the build command.
pub(crate) enum Ran {
    /// It ended like this; a command of ours left a record.
    Ended(End, Option<Record>),
    /// A command of ours did not get as far as the package: usage, configuration, a bug. Another try ends the same way.
    Unusable,
}

impl Attempt<'_> {
    /// Runs the build command.
    ///
    /// # Errors
    /// The log cannot be written or the command not be started.
    pub(crate) fn run(&self, log: &mut AttemptLog, interrupt: &Interrupt) -> anyhow::Result<Ran> {
        let output = match self.settings.has_record() {
            true => Output::LogStderr(log.output()?, LOG_LIMIT),
            false => Output::Log(log.output()?, LOG_LIMIT),
        };
        let finished = match self.command()?.output(output).interrupt(interrupt).wait() {
            Ok(finished) => finished,
            Err(error) if matches!(error.cause, Cause::Interrupted) => {
                return Ok(Ran::Ended(End::of(Outcome::Interrupted), None));
            }
            Err(error) => {
                log.say(&error.to_string())?;
                return Err(error).context("cannot run build_command");
            }
        };
        let record = Record::read(&finished.stdout);
        let code = finished.status.code();
        if matches!(code, Some(64..)) && self.settings.has_record() && record.is_none() {
            return Ok(Ran::Unusable);
        }
        let end = told(Outcome::from_code(code), record.as_ref(), log.path());
        Ok(Ran::Ended(end, record))
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
            .env("SOURCE_DATE_EPOCH", self.time.to_string());
        if self.settings.has_record() {
            command = command.arg("--json");
        }
        for remedy in self.straw.remedies() {
            command = command.args(self.settings.options.get(&remedy).into_iter().flatten());
        }
        if self.straw.has(Remedy::CleanChroot) {
            command = command.arg("-c");
        }
        if self.straw.has(Remedy::WithoutCheck) {
            command = command.args(["--", "--nocheck"]);
        }
        Ok(command)
    }
}

/// How it ended, in as much detail as there is: the code is what counts, a record of the same code says more, and of a
/// foreign command the log says in which phase it was.
fn told(outcome: Outcome, record: Option<&Record>, log: &Path) -> End {
    if let Some(record) = record.filter(|record| record.outcome.code() == outcome.code()) {
        let last = record.phases.last().map(|time| time.phase);
        return End {
            outcome: record.outcome,
            phase: End::of(record.outcome).phase.or(last),
        };
    }
    let mut follower = Follower::new(log);
    follower.look();
    match outcome {
        Outcome::Failed(None) => End::of(Outcome::Failed(follower.phase)),
        outcome => End {
            outcome,
            phase: follower.phase,
        },
    }
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
    use common::build_command::{LimitKind, Phase};

    #[test]
    fn a_record_says_more_than_a_code_and_never_something_else() {
        let record = |outcome: &str| {
            let text = format!(
                "{{\"outcome\":\"{outcome}\",\"arch\":\"i686\",\"started\":1,\"milliseconds\":1,\
                 \"phases\":[{{\"phase\":\"check\",\"milliseconds\":1}}]}}"
            );
            Record::read(text.as_bytes()).unwrap()
        };
        let nowhere = Path::new("/nonexistent");
        let stalled = told(Outcome::Limit(None), Some(&record("limit-stalled")), nowhere);
        assert_eq!(stalled.outcome, Outcome::Limit(Some(LimitKind::Stalled)));
        assert_eq!(stalled.phase, Some(Phase::Check));
        let other = told(Outcome::Sources, Some(&record("built")), nowhere);
        assert_eq!(other, End::of(Outcome::Sources));
    }

    #[test]
    fn the_log_of_a_foreign_command_says_in_which_phase_it_failed() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        common::atomic::write(&log, b"==> Starting build()...\n==> Starting check()...\nno\n").unwrap();
        let end = told(Outcome::from_code(Some(255)), None, &log);
        assert_eq!(end, End::of(Outcome::Failed(Some(Phase::Check))));
    }
}
