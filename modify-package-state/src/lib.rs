//! `modify-package-state`: what people decide about orders and packages.
//!
//! Everything that takes long (the bug list) is read before the lock; then each line of FILE is done for itself, and one
//! that is refused does not stop the others. FILE is replaced by the lines that changed something, after the states.
//!
//! Lock order: build-list, sanity-check (shared).

mod cli;
mod desk;
mod listing;
mod request;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use common::atomic;
use common::build_list::BuildList;
use common::cli::Messages;
use common::clock::Now;
use common::config::{Config, Environment};
use common::ending::failed;
use common::exit::of_listing;
use common::journal::Entry;
use common::lock::Patience;
use common::repository::Repositories;
use common::work_dir::{Scope, WorkDir};

use crate::cli::Action;
pub use crate::cli::{ActionArgs, Cli};
use crate::desk::{Desk, Effect};
use crate::listing::Format;
use crate::request::Request;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was done, or was so already.
    Done,
    /// Nothing was changed: a lock, an insane master, no bug list; why.
    Hindered(String),
    /// FILE cannot be used, and nothing was changed; why.
    BadFile(String),
    /// So many lines were refused, the others done.
    Refused(usize),
}

impl Outcome {
    /// The exit code.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Hindered(_) => 1,
            Self::BadFile(_) | Self::Refused(_) => 2,
        }
    }
}

/// Runs the tool.
pub fn main(args: impl IntoIterator<Item = OsString>, stdin: &mut dyn Read, stdout: &mut dyn Write) -> ExitCode {
    let cli: Cli = match common::cli::parse(args, stdout) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let messages = Messages::new("modify-package-state", &cli.common);
    match run(&cli, &common::cli::environment(), &messages, (stdin, stdout)) {
        Ok(outcome) => {
            match &outcome {
                Outcome::Done => {}
                Outcome::Hindered(reason) | Outcome::BadFile(reason) => messages.error(reason),
                Outcome::Refused(count) => messages.error(format_args!("lines refused: {count}")),
            }
            ExitCode::from(outcome.code())
        }
        Err(error) => failed(&messages, error.chain()),
    }
}

/// Does one run.
///
/// # Errors
/// The configuration is wrong, or a file cannot be read or written.
pub fn run(
    cli: &Cli,
    environment: &Environment,
    messages: &Messages,
    (stdin, stdout): (&mut dyn Read, &mut dyn Write),
) -> anyhow::Result<Outcome> {
    let config = common::cli::load_config(&cli.common, environment, messages)?;
    let master = Master {
        work_dir: WorkDir::open(&config)?,
        repositories: Repositories::open(&config)?,
        config: &config,
        messages,
    };
    let Some(action) = cli.action.on_file() else {
        return if cli.action.list {
            master.list(if cli.json { Format::Json } else { Format::Text }, stdout)
        } else {
            master.check_bugs()
        };
    };
    // clap has seen to it that there is one.
    let path = cli.file.as_deref().unwrap_or(Path::new("-"));
    let report = (!cli.no_report && path != Path::new("-")).then_some(path);
    match read_file(path, report, stdin) {
        Ok(text) => master.modify(action, &text, report),
        Err(reason) => Ok(Outcome::BadFile(reason)),
    }
}

/// The text of FILE, which has to be writable when a report goes there.
fn read_file(path: &Path, report: Option<&Path>, stdin: &mut dyn Read) -> Result<String, String> {
    if path == Path::new("-") {
        return io::read_to_string(stdin).map_err(|error| format!("standard input cannot be read: {error}"));
    }
    if let Some(report) = report {
        let is_regular = report.metadata().is_ok_and(|metadata| metadata.is_file());
        OpenOptions::new()
            .append(true)
            .open(report)
            .map_err(|error| format!("{} cannot be written: {error}", report.display()))?;
        if !is_regular {
            return Err(format!(
                "{} is no file to write a report to: -n leaves it as it is",
                report.display()
            ));
        }
    }
    std::fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

struct Master<'a> {
    config: &'a Config,
    messages: &'a Messages,
    work_dir: WorkDir,
    repositories: Repositories,
}

impl Master<'_> {
    fn list(&self, format: Format, stdout: &mut dyn Write) -> anyhow::Result<Outcome> {
        let facts = listing::gather(&self.work_dir.states())?;
        of_listing(listing::print(&facts, format, stdout)).context("the listing cannot be written")?;
        Ok(Outcome::Done)
    }

    fn modify(&self, action: Action, text: &str, report: Option<&Path>) -> anyhow::Result<Outcome> {
        let requests = request::parse(text);
        let mut refused = 0;
        let bugs = match action {
            Action::Approve => match self.bugs() {
                Ok(bugs) => bugs,
                Err(reason) => return Ok(Outcome::Hindered(reason)),
            },
            _ => BTreeSet::new(),
        };
        let mut changed = String::new();
        let done = self.at_desk(bugs, |desk| {
            let mut effects = Vec::new();
            for request in &requests {
                let effect = match request {
                    Ok(request) => desk.act(action, request)?,
                    Err(error) => Effect::Refused(error.clone()),
                };
                match (&effect, request) {
                    (Effect::Changed { .. }, Ok(Request { line, .. })) => changed.push_str(&format!("{line}\n")),
                    (Effect::Held(reason), _) => self.messages.error(reason),
                    (Effect::Refused(reason), _) => {
                        refused += 1;
                        self.messages.error(reason);
                    }
                    _ => {}
                }
                effects.push(effect);
            }
            Ok(effects)
        })?;
        if let Err(reason) = done {
            return Ok(Outcome::Hindered(reason));
        }
        if let Some(report) = report {
            atomic::write(report, changed.as_bytes())?;
        }
        Ok(if refused == 0 {
            Outcome::Done
        } else {
            Outcome::Refused(refused)
        })
    }

    fn check_bugs(&self) -> anyhow::Result<Outcome> {
        let bugs = match self.bugs() {
            Ok(bugs) => bugs,
            Err(reason) => return Ok(Outcome::Hindered(reason)),
        };
        let done = self.at_desk(bugs, |desk| desk.condemn_all_with_bugs())?;
        Ok(done.map_or_else(Outcome::Hindered, |()| Outcome::Done))
    }

    /// Changes states with the lock held, and writes them into the journal; says why where it is not to be had.
    fn at_desk(
        &self,
        bugs: BTreeSet<String>,
        work: impl FnOnce(&Desk<'_>) -> anyhow::Result<Vec<Effect>>,
    ) -> anyhow::Result<Result<(), String>> {
        let patience = Patience::configured(self.config)?;
        let _locks = match self.work_dir.lock(Scope::BuildList, patience) {
            Ok(locks) => locks,
            Err(refused) => return Ok(Err(refused.hindrance()?.to_string())),
        };
        let (list, complaints) = BuildList::read(&self.work_dir.build_list())?;
        for complaint in complaints {
            self.messages.error(complaint);
        }
        let effects = work(&Desk {
            states: self.work_dir.states(),
            list,
            repositories: &self.repositories,
            bugs,
        })?;
        self.note(effects);
        Ok(Ok(()))
    }

    /// Writes the journal, which nothing depends on.
    fn note(&self, effects: Vec<Effect>) {
        let now = Now::read().unix;
        let mut entries = Vec::new();
        for effect in effects {
            if let Effect::Changed { event, order, detail } = effect {
                self.messages
                    .note(format_args!("{}: {}", order.pkgbase, event.as_str()));
                entries.push(Entry {
                    time: now,
                    event,
                    order,
                    builder: None,
                    detail,
                });
            }
        }
        if let Err(error) = self.work_dir.journal().append(&entries) {
            self.messages.error(format_args!("warning: {error}"));
        }
    }

    /// Names with an open bug, or why nobody knows.
    fn bugs(&self) -> Result<BTreeSet<String>, String> {
        common::bug_list::reported(self.config).map_err(|error| format!("nothing is approved: {error}"))
    }
}
