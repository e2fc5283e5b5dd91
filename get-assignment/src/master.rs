//! The master's side of a request: its state directory read, and an order chosen.

use std::collections::BTreeSet;
use std::io::Write;

use anyhow::Context as _;
use common::assignment::Assignment;
use common::atomic::Batch;
use common::build_list::Order;
use common::cli::Messages;
use common::clock::Now;
use common::config::{Config, Environment};
use common::lease::Lease;
use common::lock::Patience;
use common::names::{Builder, PkgBase};
use common::work_dir::{Locks, Scope, WorkDir};

use crate::basis::{Basis, Deriving};
use crate::glance::{Ready, Seen};
use crate::handing_out::Handing;
use crate::selection::{Choice, Request, choose, loop_breakers};
use crate::standing::{LeaseClock, Standing};
use crate::{Cli, Outcome};

/// The master's side: its state directory and how it is configured.
pub(crate) struct Master<'a> {
    pub(crate) config: &'a Config,
    pub(crate) messages: &'a Messages,
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
            patience: Patience::configured(config)?,
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
        if cli.pkgbase.is_none()
            && let Some(outcome) = self.usual(builder)?
        {
            return Ok(outcome);
        }
        let mut passed_over = BTreeSet::new();
        let mut is_described = false;
        // Read without the lock, which others wait for; whether it still holds is seen with the lock.
        let mut basis = Basis::default();
        basis.read(&self.work_dir)?;
        loop {
            let locks = match self.lock()? {
                Ok(locks) => locks,
                Err(hindrance) => return Ok(Outcome::ComeBack(hindrance)),
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
            let mut batch = Batch::default();
            let attempt = self.attempt(&request, &mut basis, &now, &mut batch)?;
            drop(locks);
            match attempt {
                Attempt::Done(outcome) => {
                    batch.sync()?;
                    // The process ends soon: giving back ten thousands of names one by one is a tenth of a request.
                    std::mem::forget(basis);
                    return Ok(outcome);
                }
                Attempt::Derive => basis.derive(&self.deriving, &self.work_dir)?,
                Attempt::Describe(order) => {
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

    /// The answer of [`crate::glance`]; `None` when somebody has to look at everything.
    fn usual(&self, builder: &Builder) -> anyhow::Result<Option<Outcome>> {
        let Some(ready) = Ready::read(&self.work_dir)? else {
            return Ok(None);
        };
        let locks = match self.lock()? {
            Ok(locks) => locks,
            Err(hindrance) => return Ok(Some(Outcome::ComeBack(hindrance))),
        };
        let ready = match ready {
            ready if ready.still_holds(&self.work_dir) => Some(ready),
            _ => Ready::read(&self.work_dir)?,
        };
        let now = Now::read();
        let seen = Seen::read(&self.work_dir)?;
        let first = ready.and_then(|ready| ready.first(&seen, builder, &self.clock(&now)));
        let Some(order) = first else {
            return Ok(None);
        };
        let handing = Handing {
            builder,
            lease: None,
            held: Vec::new(),
            outdated: seen.others_of(&order),
            order,
        };
        let mut batch = Batch::default();
        let answer = self.hand_out(handing, &now, &mut batch)?;
        drop(locks);
        batch.sync()?;
        Ok(answer.map(Outcome::Assigned))
    }

    /// The locks, or why the builder has to come back.
    fn lock(&self) -> anyhow::Result<Result<Locks, String>> {
        match self.work_dir.lock(Scope::BuildList, self.patience) {
            Ok(locks) => Ok(Ok(locks)),
            Err(refused) => Ok(Err(refused.hindrance()?.to_string())),
        }
    }

    /// One look at the state with the lock held, and if something can be handed out, the lease recorded.
    fn attempt(
        &self,
        request: &Request<'_>,
        basis: &mut Basis,
        now: &Now,
        batch: &mut Batch,
    ) -> anyhow::Result<Attempt> {
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
        let handing = Handing {
            builder: request.builder,
            lease,
            held: situation.held_by(request.builder),
            outdated: situation.others_of(&order),
            order: order.clone(),
        };
        Ok(match self.hand_out(handing, now, batch)? {
            Some(answer) => Attempt::Done(Outcome::Assigned(answer)),
            None => Attempt::Describe(order),
        })
    }

    fn clock<'n>(&self, now: &'n Now) -> LeaseClock<'n> {
        LeaseClock {
            now,
            lease_seconds: self.lease_seconds,
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
