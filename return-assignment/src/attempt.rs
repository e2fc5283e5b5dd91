//! The end of leases: of a finished order for everybody, of a failed attempt for one builder.

use common::atomic::Batch;
use common::build_list::Order;
use common::clock::Now;
use common::journal::Event;
use common::names::Builder;
use common::state::State;

use crate::master::Master;

impl Master<'_> {
    /// Ends everybody's lease on a finished order.
    pub(crate) fn end_order(&self, order: &Order) -> anyhow::Result<()> {
        let leases = self.work_dir().leases();
        let builders: Vec<Builder> = leases.all()?.into_keys().collect();
        let mut batch = Batch::default();
        leases.end(order, &builders, &mut batch)?;
        let states = self.work_dir().states();
        batch.remove(&states.path(order, State::Locked))?;
        batch.remove(&states.path(order, State::Broken))?;
        Ok(batch.sync()?)
    }

    /// Counts a failed attempt and ends this builder's lease; others may go on with the order. The builder's name goes
    /// last: until then the same return again completes what a killed tool began. It lasts when the batch is synced.
    pub(crate) fn end_attempt(
        &self,
        order: &Order,
        builder: &Builder,
        event: Event,
        detail: &str,
    ) -> anyhow::Result<Batch> {
        let now = Now::read();
        let mut batch = Batch::default();
        let states = self.work_dir().states();
        let mut broken = states.read(order, State::Broken)?.unwrap_or_default();
        if !self.is_counted(order, builder, &broken)? {
            broken.push(format!("{builder} {}", now.unix));
            states.put(order, State::Broken, &broken, &mut batch)?;
        }
        self.note(&now, event, order, builder, detail);
        self.work_dir().leases().end(order, [builder], &mut batch)?;
        let mut owners = states.read(order, State::Locked)?.unwrap_or_default();
        owners.retain(|owner| owner != builder.as_str());
        if owners.is_empty() {
            batch.remove(&states.path(order, State::Locked))?;
        } else {
            states.put(order, State::Locked, &owners, &mut batch)?;
        }
        Ok(batch)
    }

    /// Whether a killed tool has counted this lease's failure already; it may have ended the lease, too.
    fn is_counted(&self, order: &Order, builder: &Builder, broken: &[String]) -> anyhow::Result<bool> {
        let leases = self.work_dir().leases().of(builder)?;
        let since = leases
            .iter()
            .find(|lease| lease.assignment.order == *order)
            .map(|lease| lease.since);
        let last = broken
            .iter()
            .rev()
            .filter_map(|line| line.split_once(' '))
            .find(|(name, _)| *name == builder.as_str())
            .and_then(|(_, time)| time.parse::<u64>().ok());
        Ok(last.is_some_and(|last| since.is_none_or(|since| last > since)))
    }
}
