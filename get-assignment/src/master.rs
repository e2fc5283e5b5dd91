//! The master's side of a request: its state directory read, an order chosen, the lease recorded.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use anyhow::Context as _;
use common::assignment::{Answer, Assignment};
use common::atomic;
use common::build_list::Order;
use common::cli::Messages;
use common::clock::Now;
use common::config::{Config, Environment};
use common::journal::{Entry, Event};
use common::lease::Lease;
use common::lock::Patience;
use common::names::{Builder, FileName, PkgBase};
use common::release::Release;
use common::repository::Repositories;
use common::source::{SubPkgrel, SubRelease};
use common::state::{State, order_id};
use common::work_dir::{Hindrance, Scope, WorkDir};

use crate::basis::{Basis, Deriving};
use crate::selection::{Choice, Request, choose, loop_breakers};
use crate::standing::{LeaseClock, Situation, Standing};
use crate::{Cli, Outcome, sub_pkgrel};

/// Temporary files that are older were left by a tool that was killed.
const LEFT_OVER: Duration = Duration::from_secs(3600);

/// The master's side: its state directory and how it is configured.
pub(crate) struct Master<'a> {
    config: &'a Config,
    messages: &'a Messages,
    deriving: Deriving<'a>,
    pub(crate) work_dir: WorkDir,
    lease_seconds: u64,
    limit: u64,
    patience: Patience,
}

/// How an attempt to hand something out ended.
enum Attempt {
    Done(Outcome),
    /// What this order yields has to be found out first, without the lock.
    Describe(Order),
    /// build-graph does not know every order: it has to be derived first, without the lock.
    Derive,
}

impl<'a> Master<'a> {
    pub(crate) fn open(
        config: &'a Config,
        environment: &'a Environment,
        messages: &'a Messages,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            work_dir: WorkDir::open(config)?,
            lease_seconds: config.number("lease_seconds", 3600)?,
            limit: config.number("max_parallel_builds_per_builder", 0)?,
            patience: Patience::Bounded(Duration::from_secs(config.number("lock_wait_seconds", 10)?)),
            deriving: Deriving {
                config,
                environment,
                messages,
            },
            config,
            messages,
        })
    }

    pub(crate) fn answer(&self, cli: &Cli, builder: &Builder) -> anyhow::Result<Outcome> {
        let mut passed_over = BTreeSet::new();
        let mut is_described = false;
        // Read without the lock, which others wait for; whether it still holds is seen with the lock.
        let mut basis = Basis::default();
        basis.read(&self.work_dir)?;
        loop {
            let locks = match self.work_dir.lock(Scope::BuildList, self.patience) {
                Ok(locks) => locks,
                Err(hindrance @ (Hindrance::Lock(_) | Hindrance::Insane(_))) => {
                    return Ok(Outcome::ComeBack(hindrance.to_string()));
                }
                Err(error) => return Err(error.into()),
            };
            let now = Now::read();
            let request = Request {
                builder,
                wanted: cli.pkgbase.as_ref(),
                have: &cli.have,
                limit: self.limit,
                passed_over: &passed_over,
            };
            if !basis.still_holds(&self.work_dir) {
                basis.read(&self.work_dir)?;
            }
            for complaint in basis.complaints.drain(..) {
                self.messages.error(complaint);
            }
            match self.attempt(&request, &mut basis, &now)? {
                Attempt::Done(outcome) => {
                    // The process ends soon: giving back ten thousands of names one by one is a tenth of a request.
                    std::mem::forget(basis);
                    return Ok(outcome);
                }
                Attempt::Derive => {
                    drop(locks);
                    basis.derive(&self.deriving, &self.work_dir)?;
                }
                Attempt::Describe(order) => {
                    drop(locks);
                    if !std::mem::replace(&mut is_described, true) {
                        self.deriving.derive_releases(&self.work_dir)?;
                    } else {
                        let pkgbase = &order.pkgbase;
                        self.messages.error(format_args!(
                            "{pkgbase} cannot be handed out: there is no metadata of it"
                        ));
                        passed_over.insert(order);
                    }
                }
            }
        }
    }

    /// One look at the state with the lock held, and if something can be handed out, the lease recorded.
    fn attempt(&self, request: &Request<'_>, basis: &mut Basis, now: &Now) -> anyhow::Result<Attempt> {
        let clock = self.clock(now);
        let Some(situation) = &mut basis.situation else {
            return Ok(Attempt::Derive);
        };
        situation.read_facts(&self.work_dir, &clock)?;
        for complaint in &situation.complaints {
            self.messages.error(complaint);
        }
        let mut choice = choose(situation, request, &clock);
        let is_broken = |order| situation.standing(order).is_some_and(Standing::is_broken);
        if matches!(&choice, Choice::Fresh(order) if is_broken(order)) {
            // It is the turn of those that failed, and only now it counts when.
            situation.read_histories(&self.work_dir.states())?;
            choice = choose(situation, request, &clock);
        }
        let (order, lease) = match choice {
            Choice::Nothing => return Ok(Attempt::Done(Outcome::Nothing)),
            Choice::NoneNow => return Ok(Attempt::Done(Outcome::NoneNow)),
            Choice::LimitReached => return Ok(Attempt::Done(Outcome::LimitReached)),
            Choice::Again(lease) => (lease.assignment.order.clone(), Some(lease)),
            Choice::Share(order, sub_pkgrel) => {
                let assignment = Assignment {
                    order: order.clone(),
                    sub_pkgrel,
                };
                (order, Some(Lease::new(assignment, now)))
            }
            Choice::Fresh(order) => (order, None),
        };
        let Some(release) = Release::find(&self.work_dir.releases(), &order)? else {
            return Ok(Attempt::Describe(order));
        };
        let is_again = lease.is_some();
        let lease = match lease {
            Some(lease) => lease,
            None => {
                let pkgnames = release.pkgnames();
                let cache = self.work_dir.published_files();
                let published = Repositories::open(self.config)?.file_names_of(&pkgnames, &cache)?;
                let sub_pkgrel = sub_pkgrel::next(&published, &pkgnames, &release.version);
                let assignment = Assignment {
                    order: order.clone(),
                    sub_pkgrel,
                };
                Lease::new(assignment, now)
            }
        };
        let files = self.expected_files(&release, lease.assignment.sub_pkgrel)?;
        // Before the lease: killed in between, the journal says it twice, and never not at all.
        if !is_again {
            self.note(request.builder, &lease, now);
        }
        self.record(request.builder, &lease, situation, now)?;
        let answer = Answer {
            assignment: lease.assignment,
            files,
        };
        Ok(Attempt::Done(Outcome::Assigned(answer)))
    }

    fn clock<'n>(&self, now: &'n Now) -> LeaseClock<'n> {
        LeaseClock {
            now,
            lease_seconds: self.lease_seconds,
        }
    }

    fn expected_files(&self, release: &Release, sub_pkgrel: u32) -> anyhow::Result<Vec<FileName>> {
        let sub = SubRelease::new(SubPkgrel::configured(self.config)?, sub_pkgrel);
        let arch = self.config.arch()?;
        let pkgext = self.config.text("pkgext").unwrap_or(".pkg.tar.zst");
        release
            .package_files(sub, &arch, pkgext)
            .iter()
            .map(|file| Ok(file.to_file_name()?))
            .collect()
    }

    /// Records a lease: first in `locked`, which decides who may return the order, then in the builder's own file,
    /// which makes it live. Killed in between, the builder's name in `locked` hinders nobody.
    fn record(&self, builder: &Builder, lease: &Lease, situation: &Situation, now: &Now) -> anyhow::Result<()> {
        let order = &lease.assignment.order;
        atomic::sweep(self.work_dir.leases().directory(), LEFT_OVER);
        let states = self.work_dir.states();
        for (other, known) in &situation.facts {
            let is_outdated = other.pkgbase == order.pkgbase && other != order;
            for state in [State::Locked, State::Broken] {
                if is_outdated && known.contains(&state) {
                    states.remove(other, state)?;
                }
            }
        }
        let mut owners = BTreeSet::new();
        let text = atomic::read_text(&states.path(order, State::Locked))?.unwrap_or_default();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let line = line.trim_end_matches('\r');
            if line.parse::<Builder>().is_err() {
                let (file, number) = (order_id(order), index + 1);
                self.messages
                    .error(format_args!("{file}.locked line {number} is kept but names no builder"));
            }
            owners.insert(line.to_owned());
        }
        if owners.insert(builder.to_string()) {
            states.write(order, State::Locked, &owners)?;
        }
        let mut held = situation.leases.get(builder).cloned().unwrap_or_default();
        held.retain(|other| situation.standing(&other.assignment.order).is_some());
        match held.iter_mut().find(|other| other.assignment.order == *order) {
            Some(old) => {
                old.assignment = lease.assignment.clone();
                old.attempts += 1;
                old.seen = now.clone();
            }
            None => held.push(lease.clone()),
        }
        Ok(self.work_dir.leases().write(builder, &held)?)
    }

    /// Writes the journal, which nothing depends on.
    fn note(&self, builder: &Builder, lease: &Lease, now: &Now) {
        let entry = Entry {
            time: now.unix,
            event: Event::Assigned,
            order: lease.assignment.order.clone(),
            builder: Some(builder.clone()),
            detail: format!("sub_pkgrel {}", lease.assignment.sub_pkgrel),
        };
        if let Err(error) = self.work_dir.journal().append(&[entry]) {
            self.messages.error(format_args!("warning: {error}"));
        }
    }

    /// Prints `pkgbase: standing` for every order, or for one. Reads without a lock: every file is whole at any time.
    pub(crate) fn explain(&self, only: Option<&PkgBase>, stdout: &mut dyn Write) -> anyhow::Result<()> {
        let mut basis = Basis::default();
        basis.read(&self.work_dir)?;
        if basis.situation.is_none() {
            basis.derive(&self.deriving, &self.work_dir)?;
        }
        let mut situation = basis
            .situation
            .context("the build list changed while its graph was derived")?;
        let now = Now::read();
        situation.read_facts(&self.work_dir, &self.clock(&now))?;
        for complaint in basis.complaints.iter().chain(&situation.complaints) {
            self.messages.error(complaint);
        }
        situation.read_histories(&self.work_dir.states())?;
        for ((order, standing), breaker) in situation.entries().zip(loop_breakers(&situation)) {
            if only.is_none_or(|pkgbase| order.pkgbase == *pkgbase) {
                let in_spite = match breaker {
                    Some(_) if standing.is_pending() => "; can be built to break its loop",
                    _ => "",
                };
                let standing = situation.describe(standing);
                writeln!(stdout, "{}: {standing}{in_spite}", order.pkgbase)?;
            }
        }
        Ok(stdout.flush()?)
    }
}
