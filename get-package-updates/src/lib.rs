//! The `get-package-updates` command as a library.
//!
//! Gathers without a lock (fetch, trees, metadata), then takes the build-list lock, looks whether another run was
//! faster, computes the next state and commits it.

mod changes;
mod cli;
mod commit;
mod date;
pub mod derive;
mod gather;
mod last_good;
mod lists;
mod ordering;
mod pattern;
mod report;
pub mod request;
mod schedule;
mod stages;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use common::cli::Messages;
use common::clock::Now;
use common::config::{Config, Environment};
use common::exit::Failure;
use common::git::GitError;
use common::lock::Patience;
use common::metadata::{Metadata, MetadataError};
use common::repository::Repositories;
use common::source::{Heads, SourceError, Sources};
use common::work_dir::{Hindrance, Locks, Refused, Scope, WorkDir};
use thiserror::Error;

pub use cli::Cli;
use gather::{Gathered, processed_heads};
use schedule::{HELD, Next, Present, Wish, schedule};

const TOOL: &str = "get-package-updates";
/// Exit code: a repository cannot be fetched or read, or the input makes no sense.
const BAD_INPUT: u8 = 2;
/// Exit code: the emergency brake.
const BRAKE: u8 = 3;
/// How long `--wait` waits for the locks.
const WAIT: Duration = Duration::from_secs(3600);
/// How often it is begun again because another run was faster.
const ATTEMPTS: usize = 3;

/// Input that makes no sense, where no more special error says so.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct BadInput(String);

impl BadInput {
    pub(crate) fn from_error(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// How a run ended.
enum Outcome {
    /// Done, or nothing was to be done.
    Done,
    /// The locks are held, or the master is insane.
    Hindered(Hindrance),
    /// More deletions than `max_deletions`; nothing was changed.
    TooManyDeletions { count: usize, limit: u64 },
}

/// Runs the tool.
pub fn main(args: impl IntoIterator<Item = OsString>, _stdin: &mut dyn Read, stdout: &mut dyn Write) -> ExitCode {
    let args: Cli = match common::cli::parse(args, stdout) {
        Ok(args) => args,
        Err(code) => return code,
    };
    let messages = Messages::new(TOOL, &args.common);
    let environment = common::cli::environment();
    let result = common::cli::load_config(&args.common, &environment, &messages)
        .map_err(anyhow::Error::from)
        .and_then(|mut config| {
            if args.no_check {
                config.set(ordering::CHECKS, "no");
            }
            make_repositories(&config, &environment, &args, &messages)?;
            run(&config, &args, &messages, stdout)
        });
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Hindered(hindrance)) => {
            messages.note(format_args!("nothing done: {hindrance}"));
            ExitCode::SUCCESS
        }
        Ok(Outcome::TooManyDeletions { count, limit }) => {
            messages.error(format_args!(
                "nothing changed: {count} packages would be on the deletion list, more than {limit} (max_deletions)"
            ));
            ExitCode::from(BRAKE)
        }
        Err(error) => {
            if common::exit::is_closed_pipe(error.chain()) {
                return ExitCode::SUCCESS;
            }
            messages.error(common::cli::sentence(error.chain()));
            exit_code(&error)
        }
    }
}

fn run(config: &Config, args: &Cli, messages: &Messages, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    if args.test_exclusion.len() > 1 {
        return Err(BadInput("-x can be given once only".to_owned()).into());
    }
    let max_deletions = config.number("max_deletions", 1000)?;
    let work_dir = WorkDir::open(config)?;
    let metadata = Metadata::open(config, &work_dir)?;
    if let Some(hindrance) = work_dir.insanity()? {
        return Ok(Outcome::Hindered(hindrance));
    }
    if !args.no_pull {
        metadata.sources().fetch()?;
    }
    let run = Run {
        config,
        args,
        messages,
        work_dir,
        metadata,
        max_deletions,
    };
    for _ in 0..ATTEMPTS {
        if let Some(outcome) = run.attempt(out)? {
            return Ok(outcome);
        }
        messages.note("another run was faster; beginning again");
    }
    messages.note("nothing done: other runs were faster each time");
    Ok(Outcome::Done)
}

/// One run, when the sources have been fetched.
struct Run<'a> {
    config: &'a Config,
    args: &'a Cli,
    messages: &'a Messages,
    work_dir: WorkDir,
    metadata: Metadata,
    max_deletions: u64,
}

impl Run<'_> {
    /// Gathers without a lock, and commits with it; `None` when somebody else has committed in between.
    fn attempt(&self, out: &mut dyn Write) -> anyhow::Result<Option<Outcome>> {
        let heads = heads(&self.work_dir, self.metadata.sources(), self.args)?;
        let mut repositories = self.metadata.sources().repositories();
        if let Some(unknown) = repositories.find(|git| heads.1.of(git.name()).is_none()) {
            self.messages.note(format_args!(
                "nothing done: nothing of {} has been processed yet",
                unknown.name()
            ));
            return Ok(Some(Outcome::Done));
        }
        if is_up_to_date(&self.work_dir, &heads, self.args, self.messages)? {
            self.messages.note("nothing new");
            return Ok(Some(Outcome::Done));
        }
        let gathered = Gathered::read(&self.metadata, self.config, heads, self.messages)?;
        let _locks = match self.locks() {
            Ok(locks) => locks,
            Err(refused) => return Ok(Some(Outcome::Hindered(refused.hindrance()?))),
        };
        if processed_heads(&self.work_dir, self.metadata.sources())? != gathered.old_heads {
            return Ok(None);
        }
        self.finish(&gathered, out).map(Some)
    }

    /// Whoever only looks needs none.
    fn locks(&self) -> Result<Option<Locks>, Refused> {
        if self.args.dry_run || !self.args.test_exclusion.is_empty() {
            return Ok(None);
        }
        let patience = if self.args.wait {
            Patience::Bounded(WAIT)
        } else {
            Patience::Never
        };
        self.work_dir.lock(Scope::BuildList, patience).map(Some)
    }

    fn finish(&self, gathered: &Gathered, out: &mut dyn Write) -> anyhow::Result<Outcome> {
        let args = self.args;
        let present = Present::read(&self.work_dir, self.messages)?;
        let wish = Wish {
            excluded: args.test_exclusion.first().cloned(),
            ..Wish::default()
        };
        let next = schedule(self.metadata.sources(), gathered, &present, &wish);
        if !args.test_exclusion.is_empty() {
            report::write_difference(&present, &next, args.json, out)?;
            return Ok(Outcome::Done);
        }
        let (count, limit) = (next.deletion_list.len(), self.max_deletions);
        if u64::try_from(count).is_ok_and(|count| count > limit) {
            return Ok(Outcome::TooManyDeletions { count, limit });
        }
        if !args.dry_run {
            commit::commit(&self.work_dir, &present, &next, &Now::read())?;
        }
        tell(&next, self.messages);
        report::write(&next, args.json, out)?;
        Ok(Outcome::Done)
    }
}

/// Makes the published repositories that are missing, empty: builders install from them before anything is built. When
/// somebody else works on them, the next run will.
fn make_repositories(
    config: &Config,
    environment: &Environment,
    args: &Cli,
    messages: &Messages,
) -> anyhow::Result<()> {
    if config.text("repo_dir").is_none() || args.dry_run || !args.test_exclusion.is_empty() {
        return Ok(());
    }
    let repositories = Repositories::open(config)?.with_environment(environment);
    if repositories.are_made()? {
        return Ok(());
    }
    match WorkDir::open(config)?.lock(Scope::PackageDatabase, Patience::Never) {
        Ok(_locks) => {
            repositories.transaction().commit(Now::read().unix, Patience::Never)?;
            messages.note("the repositories have been made");
        }
        Err(hindrance) => messages.note(format_args!("the repositories are not made now: {hindrance}")),
    }
    Ok(())
}

/// What was processed last, and what is to be processed now.
fn heads(work_dir: &WorkDir, sources: &Sources, args: &Cli) -> anyhow::Result<(Heads, Heads)> {
    let old = processed_heads(work_dir, sources)?;
    let new = match args.date {
        _ if args.no_pull => old.clone(),
        Some(date) => sources.heads_before(date)?,
        None => sources.heads()?,
    };
    Ok((old, new))
}

/// Whether nothing can differ from the last run, which ended well: the same commits, all derived files there, and no
/// order that waits for its metadata.
fn is_up_to_date(
    work_dir: &WorkDir,
    (old, new): &(Heads, Heads),
    args: &Cli,
    messages: &Messages,
) -> anyhow::Result<bool> {
    if old != new || args.no_pull || !args.test_exclusion.is_empty() {
        return Ok(false);
    }
    let present = Present::read(work_dir, messages)?;
    let is_held = present.blocked.values().any(|reason| reason.starts_with(HELD));
    let is_on_list = |name: &common::names::PkgBase| present.list.orders().any(|order| order.pkgbase == *name);
    let is_due = !present.stages.due(is_on_list).is_empty();
    Ok(!is_held && !is_due && work_dir.build_graph().exists())
}

fn tell(next: &Next, messages: &Messages) {
    for (order, why) in &next.scheduled {
        messages.detail(format_args!("{}: {why}", order.pkgbase));
    }
    for (order, why) in &next.deleted {
        messages.note(format_args!("{} is to be deleted: {why}", order.pkgbase));
    }
    for (order, reason) in &next.blocked {
        messages.note(format_args!("{} is blocked: {reason}", order.pkgbase));
    }
    for members in &next.plan.loops {
        let names: Vec<&str> = members.iter().map(|name| name.as_str()).collect();
        messages.note(format_args!("dependency loop: {}", names.join(" ")));
    }
    for dropped in &next.plan.dropped {
        messages.detail(dropped);
    }
    messages.note(format_args!(
        "{} orders are new or changed, {} on the list, {} packages to be deleted",
        next.scheduled.len(),
        next.list.orders().count(),
        next.deletion_list.len()
    ));
}

/// The one table from errors to exit codes.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    if common::exit::is_of_configuration(error.chain()) {
        return Failure::Config.into();
    }
    for cause in error.chain() {
        let of_source = match cause.downcast_ref::<MetadataError>() {
            Some(MetadataError::Source(source)) => Some(source),
            _ => cause.downcast_ref::<SourceError>(),
        };
        let is_input = cause.is::<GitError>()
            || cause.is::<BadInput>()
            || of_source.is_some_and(|source| !matches!(source, SourceError::File(_)));
        if is_input {
            return ExitCode::from(BAD_INPUT);
        }
    }
    Failure::Io.into()
}
