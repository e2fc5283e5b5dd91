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
mod cli;
mod decision;
mod explain;
mod gather;
mod neighbours;
mod plan;
mod report;
mod request;
mod situation;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use common::bug_list;
use common::build_list::{BuildList, Order};
use common::cli::Messages;
use common::clock::Now;
use common::config::{Config, ConfigError, Environment};
use common::exit::Failure;
use common::journal::{Entry, Event};
use common::lock::Patience;
use common::names::{FileName, NameError};
use common::repository::{Class, Repositories, RepositoryError};
use common::state::State;
use common::work_dir::{Hindrance, Scope, WorkDir, WorkDirError};

use crate::approval::Bugs;
pub use crate::cli::Cli;
use crate::gather::Ahead;
use crate::plan::Plan;
use crate::request::RequestError;
use crate::situation::{Request, Situation};

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
        Err(error) => {
            messages.error(common::cli::sentence(error.chain()));
            exit_code(&error).into()
        }
    }
}

fn exit_code(error: &anyhow::Error) -> Failure {
    let is_of_configuration = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<ConfigError>()
            || matches!(cause.downcast_ref(), Some(WorkDirError::Config(_)))
            || matches!(cause.downcast_ref(), Some(RepositoryError::Config(_)))
            || matches!(cause.downcast_ref(), Some(RequestError::Config(_)))
    };
    if error.chain().any(is_of_configuration) {
        Failure::Config
    } else {
        Failure::Io
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
    let ahead = master.look_ahead()?;
    if cli.no_action || cli.explain.is_some() {
        return master.show(cli, &ahead, stdout);
    }
    let patience = if cli.wait {
        Patience::Bounded(Duration::from_secs(86400))
    } else {
        // Builders hold the build-list lock for moments, and all the time somebody does.
        Patience::Bounded(Duration::from_secs(config.number("lock_wait_seconds", 10)?))
    };
    let outcome = {
        let _locks = match master.work_dir.lock(Scope::Both, patience) {
            Ok(locks) => locks,
            Err(hindrance @ (Hindrance::Lock(_) | Hindrance::Insane(_))) => {
                return Ok(Outcome::Hindered(hindrance.to_string()));
            }
            Err(error) => return Err(error.into()),
        };
        master.update(cli, &ahead, stdout)?
    };
    if let Err(error) = master.repositories.publish() {
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
    fn show(&self, cli: &Cli, ahead: &Ahead, stdout: &mut dyn Write) -> anyhow::Result<Outcome> {
        let situation = self.situation(ahead)?;
        let request = match self.request(cli) {
            Err(RequestError::BadInput(reason)) => return Ok(Outcome::BadInput(reason)),
            request => request?,
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
    fn update(&self, cli: &Cli, ahead: &Ahead, stdout: &mut dyn Write) -> anyhow::Result<Outcome> {
        let patience = Patience::Bounded(Duration::from_secs(self.config.number("lock_wait_seconds", 10)?));
        match self.repositories.transaction().commit(self.now, patience) {
            Ok(commit) => self.warn(&commit.warnings),
            Err(error @ RepositoryError::Busy { .. }) => return Ok(Outcome::Hindered(error.to_string())),
            Err(error) => return Err(error.into()),
        }
        let situation = self.situation(ahead)?;
        let request = match self.request(cli) {
            Err(RequestError::BadInput(reason)) => return Ok(Outcome::BadInput(reason)),
            request => request?,
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
        match self.move_packages(&plan, patience) {
            Ok(()) => {}
            Err(error @ RepositoryError::Busy { .. }) => return Ok(Outcome::Hindered(error.to_string())),
            Err(error @ RepositoryError::Absent { .. }) => return Ok(Outcome::BadInput(error.to_string())),
            Err(error) => return Err(error.into()),
        }
        self.change_states(&plan)?;
        self.repositories.clean(self.now)?;
        if cli.json {
            report::json(&situation, &plan, stdout)?;
            stdout.flush()?;
        }
        report::notes(&plan, self.messages);
        Ok(Outcome::Done)
    }

    fn request(&self, cli: &Cli) -> Result<Request, RequestError> {
        let (list, _) = BuildList::read(&self.work_dir.build_list())?;
        let classes = self.repositories.classes();
        request::read(cli, self.config, classes, (&list, &self.work_dir.states()))
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

    fn move_packages(&self, plan: &Plan, patience: Patience) -> Result<(), RepositoryError> {
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
        if !transaction.is_empty() {
            self.warn(&transaction.commit(self.now, patience)?.warnings);
        }
        Ok(())
    }

    fn change_states(&self, plan: &Plan) -> anyhow::Result<()> {
        let states = self.work_dir.states();
        let moved = plan.moves.iter().map(|movement| (&movement.order, movement.class));
        let arrived = plan.arrived.iter().map(|(order, class)| (order, *class));
        for (order, class) in moved.chain(arrived) {
            if class == Class::Stable {
                self.note(Event::Stable, order, "");
                states.remove(order, State::Testing)?;
                states.remove(order, State::Tested)?;
                continue;
            }
            self.note(Event::Testing, order, "");
            for (other, known) in states.list()? {
                for state in [State::Testing, State::Tested] {
                    if other.pkgbase == order.pkgbase && other != *order && known.contains(&state) {
                        states.remove(&other, state)?;
                    }
                }
            }
            states.change(order, State::Done, State::Testing)?;
        }
        for (order, state) in &plan.vanished {
            states.remove(order, *state)?;
            states.remove(order, State::Tested)?;
        }
        Ok(())
    }

    /// Writes the journal; ages are taken from it, but a state file's own time is there, too.
    fn note(&self, event: Event, order: &Order, detail: &str) {
        let entry = Entry {
            time: self.now,
            event,
            order: order.clone(),
            builder: None,
            detail: detail.to_owned(),
        };
        if let Err(error) = self.work_dir.journal().append(&[entry]) {
            self.messages.error(format_args!("warning: {error}"));
        }
    }

    fn warn(&self, warnings: &[String]) {
        for warning in warnings {
            self.messages.error(format_args!("warning: {warning}"));
        }
    }
}
