//! Handing out an order: the lease and the journal's entry written with the lock held, made to last without it.
//!
//! The line is printed only after the last `fsync`. Killed before, the lease is there and the builder, asking again, gets
//! it again; after a power failure in between the order may be free again, and nobody has been told otherwise.

use std::collections::BTreeSet;
use std::time::Duration;

use common::assignment::{Answer, Assignment};
use common::atomic::{self, Batch};
use common::build_list::Order;
use common::clock::Now;
use common::journal::{Entry, Event};
use common::lease::Lease;
use common::names::{Builder, FileName};
use common::release::Release;
use common::repository::Repositories;
use common::source::{SubPkgrel, SubRelease};
use common::state::{State, order_id};

use crate::master::Master;
use crate::sub_pkgrel;

/// Temporary files that are older were left by a tool that was killed.
const LEFT_OVER: Duration = Duration::from_secs(3600);

/// An order that has been chosen for a builder.
pub(crate) struct Handing<'a> {
    pub(crate) builder: &'a Builder,
    pub(crate) order: Order,
    /// The lease to print again, or shared; `None`: a fresh one.
    pub(crate) lease: Option<Lease>,
    /// The other leases of the builder.
    pub(crate) held: Vec<Lease>,
    /// What is recorded of earlier orders of that package.
    pub(crate) outdated: Vec<(Order, State)>,
}

impl Master<'_> {
    /// Records that the order is the builder's; `None` when it is not known what the order yields. The answer may be
    /// given when the batch is synced.
    pub(crate) fn hand_out(
        &self,
        handing: Handing<'_>,
        now: &Now,
        batch: &mut Batch,
    ) -> anyhow::Result<Option<Answer>> {
        let order = &handing.order;
        let Some(release) = Release::find(&self.work_dir.releases(), order)? else {
            return Ok(None);
        };
        let is_again = handing.lease.is_some();
        let lease = match &handing.lease {
            Some(lease) => lease.clone(),
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
            self.note(handing.builder, &lease, batch);
        }
        let assignment = lease.assignment.clone();
        self.record(handing, lease, now, batch)?;
        Ok(Some(Answer { assignment, files }))
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
    fn record(&self, handing: Handing<'_>, lease: Lease, now: &Now, batch: &mut Batch) -> anyhow::Result<()> {
        let Handing {
            builder,
            order,
            mut held,
            outdated,
            ..
        } = handing;
        atomic::sweep(self.work_dir.leases().directory(), LEFT_OVER);
        let states = self.work_dir.states();
        for (other, state) in outdated {
            if matches!(state, State::Locked | State::Broken) {
                batch.remove(&states.path(&other, state))?;
            }
        }
        let mut owners = self.owners(&order)?;
        if owners.insert(builder.to_string()) {
            states.put(&order, State::Locked, &owners, batch)?;
        }
        match held.iter_mut().find(|other| other.assignment.order == order) {
            Some(old) => {
                old.assignment = lease.assignment;
                old.attempts += 1;
                old.seen = now.clone();
            }
            None => held.push(lease),
        }
        Ok(self.work_dir.leases().put(builder, &held, batch)?)
    }

    /// The lines of `locked`, also those that name no builder.
    fn owners(&self, order: &Order) -> anyhow::Result<BTreeSet<String>> {
        let path = self.work_dir.states().path(order, State::Locked);
        let text = atomic::read_text(&path)?.unwrap_or_default();
        let mut owners = BTreeSet::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let line = line.trim_end_matches('\r');
            if line.parse::<Builder>().is_err() {
                let (file, number) = (order_id(order), index + 1);
                self.messages
                    .error(format_args!("{file}.locked line {number} is kept but names no builder"));
            }
            owners.insert(line.to_owned());
        }
        Ok(owners)
    }

    /// Writes the journal, which nothing depends on.
    fn note(&self, builder: &Builder, lease: &Lease, batch: &mut Batch) {
        let entry = Entry {
            time: lease.since,
            event: Event::Assigned,
            order: lease.assignment.order.clone(),
            builder: Some(builder.clone()),
            detail: format!("sub_pkgrel {}", lease.assignment.sub_pkgrel),
        };
        if let Err(error) = self.work_dir.journal().put(&[entry], batch) {
            self.messages.error(format_args!("warning: {error}"));
        }
    }
}
