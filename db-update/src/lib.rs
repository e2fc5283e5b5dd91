//! `db-update`: staging to testing, testing to stable, and what is unwanted out of the repositories.
//!
//! With the locks held: complete what a killed run left, decide everything ([`plan`]), then one transaction over all
//! repositories, then the states. A run that is killed in between is completed by the next one, which finds the
//! packages where they were to go. What takes long ([`ahead`]) is read before, `publish_command` runs after, both without
//! locks.
//!
//! Lock order: build-list, package-database, sanity-check (shared).

mod ages;
mod ahead;
mod approval;
mod candidate;
mod check;
mod cli;
mod decision;
mod explain;
mod gather;
mod neighbours;
mod plan;
mod report;
mod request;
mod rollback;
mod situation;
mod transitions;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use common::bug_list;
use common::build_list::{BuildList, Order};
use common::cli::Messages;
use common::clock::Now;
use common::config::{Config, Environment};
use common::ending::failed;
use common::journal::{Entry, Event};
use common::lock::Patience;
use common::names::{FileName, NameError};
use common::repository::{Class, Repositories, RepositoryError, SonameLists, Transition};
use common::state::State;
use common::version::PackageFileName;
use common::work_dir::{Scope, WorkDir};

use crate::approval::Bugs;
pub use crate::cli::Cli;
use crate::gather::Ahead;
use crate::plan::Plan;
use crate::request::RequestError;
use crate::rollback::Extent;
use crate::situation::{Request, Situation};
use crate::transitions::Transitions;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done, or there was nothing to do.
    Done,
    /// Locked or insane: nothing was done; why.
    Hindered(String),
    /// The input is bad: nothing was done; why.
    BadInput(String),
}

impl Outcome {
    /// The exit code.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Done | Self::Hindered(_) => 0,
            Self::BadInput(_) => 2,
        }
    }
}

/// Runs the tool.
pub fn main(args: impl IntoIterator<Item = OsString>, _stdin: &mut dyn Read, stdout: &mut dyn Write) -> ExitCode {
    let cli: Cli = match common::cli::parse(args, stdout) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let messages = Messages::new("db-update", &cli.common);
    match run(&cli, &common::cli::environment(), &messages, stdout) {
        Ok(outcome) => {
            match &outcome {
                Outcome::Done => {}
                Outcome::Hindered(reason) => messages.note(reason),
                Outcome::BadInput(reason) => messages.error(reason),
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
    stdout: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let config = common::cli::load_config(&cli.common, environment, messages)?;
    let master = Master {
        work_dir: WorkDir::open(&config)?,
        repositories: Repositories::open(&config)?.with_environment(environment),
        config: &config,
        messages,
        now: Now::read().unix,
    };
    let patience = if cli.wait {
        Patience::Bounded(Duration::from_secs(86400))
    } else {
        // Builders hold the build-list lock for moments, and all the time somebody does.
        Patience::configured(&config)?
    };
    let outcome = master.perform(cli, patience, stdout)?;
    if !cli.no_action
        && let Err(error) = master.repositories.publish()
    {
        messages.error(format_args!("warning: {error}"));
    }
    Ok(outcome)
}

struct Master<'a> {
    work_dir: WorkDir,
    repositories: Repositories,
    config: &'a Config,
    messages: &'a Messages,
    now: u64,
}

impl Master<'_> {
    /// Does what is asked for: what only reads without locks, what takes long before them or after them.
    fn perform(&self, cli: &Cli, patience: Patience, stdout: &mut dyn Write) -> anyhow::Result<Outcome> {
        let locked = |work: &mut dyn FnMut() -> anyhow::Result<Outcome>| {
            let _locks = match self.work_dir.lock(Scope::Both, patience) {
                Ok(locks) => locks,
                Err(refused) => return Ok(Outcome::Hindered(refused.hindrance()?.to_string())),
            };
            work()
        };
        if let Some(since) = cli.rollback {
            let extent = since.map_or(Extent::Newest, Extent::Since);
            if cli.no_action {
                return self.show_rollback(extent, stdout);
            }
            return locked(&mut || self.roll_back(extent, patience));
        }
        if cli.check || cli.repair {
            let mut found = {
                // An insane master is looked at and mended, too.
                let _locks = match self.work_dir.lock_everything(patience) {
                    Ok(locks) => locks,
                    Err(refused) => return Ok(Outcome::Hindered(refused.hindrance()?.to_string())),
                };
                if cli.repair
                    && let Some(hindered) = self.repair(patience)?
                {
                    return Ok(hindered);
                }
                self.check()?
            };
            found.extend(self.check_files()?);
            return check::report(&found, stdout);
        }
        let mut ahead = self.look_ahead()?;
        if cli.no_action || cli.explain.is_some() {
            return self.show(cli, ahead, stdout);
        }
        locked(&mut || self.update(cli, std::mem::take(&mut ahead), stdout))
    }

    /// The bug list, if anything waits for it.
    fn bugs(&self) -> anyhow::Result<Bugs> {
        if self.work_dir.states().with(State::Testing)?.is_empty() {
            return Ok(Ok(std::collections::BTreeSet::new()));
        }
        Ok(bug_list::reported(self.config).map_err(|error| {
            let reason = format!("{error:#}");
            self.messages
                .error(format_args!("nothing is approved by age: {reason}"));
            reason
        }))
    }

    /// `-n` and `--explain`: reads without a lock, since every file is whole at any time.
    fn show(&self, cli: &Cli, ahead: Ahead, stdout: &mut dyn Write) -> anyhow::Result<Outcome> {
        let situation = self.situation(ahead)?;
        let request = match self.request(cli)? {
            Ok(request) => request,
            Err(reason) => return Ok(Outcome::BadInput(reason)),
        };
        let plan = Plan::make(self.repositories.classes(), &situation, &request)?;
        match &cli.explain {
            Some(name) => {
                let (list, _) = BuildList::read(&self.work_dir.build_list())?;
                for line in explain::chain(name, &situation, &plan, &list) {
                    writeln!(stdout, "{line}")?;
                }
            }
            None if cli.json => report::json(&situation, &plan, stdout)?,
            None => report::text(&plan, stdout)?,
        }
        stdout.flush()?;
        Ok(Outcome::Done)
    }

    /// The real run, with the locks held.
    fn update(&self, cli: &Cli, ahead: Ahead, stdout: &mut dyn Write) -> anyhow::Result<Outcome> {
        let patience = Patience::configured(self.config)?;
        if let Some(outcome) = self.complete(patience)? {
            return Ok(outcome);
        }
        let situation = self.situation(ahead)?;
        let request = match self.request(cli)? {
            Ok(request) => request,
            Err(reason) => return Ok(Outcome::BadInput(reason)),
        };
        let plan = Plan::make(self.repositories.classes(), &situation, &request)?;
        if let Some(file) = self.absent_file(&situation, &plan)? {
            return Ok(Outcome::BadInput(format!(
                "nothing is moved: {file} is absent from the pool"
            )));
        }
        for order in &situation.approved {
            self.work_dir.states().change(order, State::Testing, State::Tested)?;
            self.note(Event::Tested, order, "by age");
        }
        let transitions = Transitions::of(&plan, &self.work_dir.states())?;
        let number = match self.move_packages(&plan, &transitions, patience) {
            Ok(number) => number,
            Err(error @ RepositoryError::Busy { .. }) => return Ok(Outcome::Hindered(error.to_string())),
            Err(error @ RepositoryError::Absent { .. }) => return Ok(Outcome::BadInput(error.to_string())),
            Err(error) => return Err(error.into()),
        };
        self.note_arrivals(&plan);
        Transition::apply_all(&transitions.moved, &self.work_dir)?;
        Transition::apply_all(&transitions.left, &self.work_dir)?;
        if let Some(number) = number {
            self.repositories.settle(number)?;
        }
        if self.repositories.clean(self.now)? > 0 {
            let left = self.repositories.file_names()?;
            let left = left
                .iter()
                .map(PackageFileName::to_file_name)
                .collect::<Result<_, _>>()?;
            SonameLists::new(self.work_dir.soname_lists()).keep_only(&left)?;
        }
        if cli.json {
            report::json(&situation, &plan, stdout)?;
            stdout.flush()?;
        }
        report::notes(&plan, self.messages);
        Ok(Outcome::Done)
    }

    /// What is asked for, or why that cannot be done.
    fn request(&self, cli: &Cli) -> anyhow::Result<Result<Request, String>> {
        let (list, _) = BuildList::read(&self.work_dir.build_list())?;
        let classes = self.repositories.classes();
        match request::read(cli, self.config, classes, (&list, &self.work_dir.states())) {
            Ok(request) => Ok(Ok(request)),
            Err(RequestError::BadInput(reason)) => Ok(Err(reason)),
            Err(RequestError::Config(error)) => Err(error.into()),
            Err(RequestError::File(error)) => Err(error.into()),
        }
    }

    /// A package that is to move and whose file, or signature, is gone.
    fn absent_file(&self, situation: &Situation, plan: &Plan) -> anyhow::Result<Option<FileName>> {
        let are_signed = self.config.switch("require_signatures", true)?;
        for (name, from) in plan.moves.iter().flat_map(|movement| &movement.packages) {
            let entries = situation.contents.get(from).into_iter().flatten();
            for entry in entries.filter(|entry| entry.name == *name) {
                let signature: Result<FileName, NameError> = format!("{}.sig", entry.file_name).parse();
                let files = std::iter::once(entry.file_name.clone()).chain(are_signed.then_some(signature?));
                if let Some(absent) = files
                    .into_iter()
                    .find(|file| self.repositories.published(file).is_none())
                {
                    return Ok(Some(absent));
                }
            }
        }
        Ok(None)
    }

    /// Completes what a killed run left: databases that were to be flipped, and states that were to be changed.
    fn complete(&self, patience: Patience) -> anyhow::Result<Option<Outcome>> {
        match self.repositories.transaction().commit(self.now, patience) {
            Ok(commit) => self.warn(&commit.warnings),
            Err(error @ RepositoryError::Busy { .. }) => return Ok(Some(Outcome::Hindered(error.to_string()))),
            Err(error) => return Err(error.into()),
        }
        for record in self.repositories.unsettled()? {
            let events = transitions::events(&record.transitions).into_iter();
            let entries = events.map(|(event, order, detail)| self.entry(event, order, &detail));
            self.journal(&entries.collect::<Vec<_>>());
            Transition::apply_all(&record.transitions, &self.work_dir)?;
            self.repositories.settle(record.number)?;
            let number = record.number;
            self.warn(&[format!("the states of transaction {number} were completed")]);
        }
        Ok(None)
    }

    /// One transaction, and its number.
    fn move_packages(
        &self,
        plan: &Plan,
        transitions: &Transitions,
        patience: Patience,
    ) -> Result<Option<u64>, RepositoryError> {
        let mut transaction = self.repositories.transaction();
        for movement in &plan.moves {
            for (name, from) in &movement.packages {
                transaction.move_package(name, from, &movement.to);
            }
        }
        for (repository, name) in &plan.superseded {
            transaction.remove(repository, name);
        }
        for (repository, entry) in &plan.deleted {
            transaction.remove(repository, &entry.name);
        }
        if transaction.is_empty() {
            return Ok(None);
        }
        transaction.note_transitions(transitions.moved.iter().cloned());
        let commit = transaction.commit(self.now, patience)?;
        self.warn(&commit.warnings);
        Ok(commit.number)
    }

    fn note_arrivals(&self, plan: &Plan) {
        let moved = plan.moves.iter().map(|movement| (&movement.order, movement.class));
        let arrived = plan.arrived.iter().map(|(order, class)| (order, *class));
        let entries = moved.chain(arrived).map(|(order, class)| match class {
            Class::Stable => self.entry(Event::Stable, order, ""),
            _ => self.entry(Event::Testing, order, ""),
        });
        self.journal(&entries.collect::<Vec<_>>());
    }

    fn note(&self, event: Event, order: &Order, detail: &str) {
        self.journal(&[self.entry(event, order, detail)]);
    }

    fn entry(&self, event: Event, order: &Order, detail: &str) -> Entry {
        Entry {
            time: self.now,
            event,
            order: order.clone(),
            builder: None,
            detail: detail.to_owned(),
        }
    }

    /// Writes the journal; ages are taken from it, but a state file's own time is there, too.
    fn journal(&self, entries: &[Entry]) {
        if let Err(error) = self.work_dir.journal().append(entries) {
            self.messages.error(format_args!("warning: {error}"));
        }
    }

    fn warn(&self, warnings: &[String]) {
        for warning in warnings {
            self.messages.error(format_args!("warning: {warning}"));
        }
    }
}
