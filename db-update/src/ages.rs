//! Since when orders are where they are, from the journal; where it says nothing, from the time of the file that says so.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::UNIX_EPOCH;

use common::atomic::FileError;
use common::build_list::Order;
use common::journal::Event;
use common::state::State;
use common::work_dir::WorkDir;

const DAY: u64 = 86400;

/// When orders came to where they are.
pub(crate) struct Ages<'w> {
    work_dir: &'w WorkDir,
    now: u64,
    scheduled: BTreeMap<Order, u64>,
    returned: BTreeMap<Order, u64>,
    testing: BTreeMap<Order, u64>,
}

impl<'w> Ages<'w> {
    /// Reads the journal.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn read(work_dir: &'w WorkDir, now: u64) -> Result<Self, FileError> {
        let mut ages = Self {
            work_dir,
            now,
            scheduled: BTreeMap::new(),
            returned: BTreeMap::new(),
            testing: BTreeMap::new(),
        };
        for entry in work_dir.journal().read()? {
            let times = match entry.event {
                Event::Scheduled => &mut ages.scheduled,
                Event::Returned => &mut ages.returned,
                Event::Testing => &mut ages.testing,
                _ => continue,
            };
            times.insert(entry.order, entry.time);
        }
        Ok(ages)
    }

    /// For how long an order has been on the build list. Without a journal nobody knows; it is not longer than the list
    /// has been as it is.
    pub(crate) fn on_the_list(&self, order: &Order) -> u64 {
        self.since(&self.scheduled, order, &self.work_dir.build_list())
    }

    /// For how long an order has been in staging (`done`) or testing, in whole days.
    pub(crate) fn in_state(&self, order: &Order, state: State) -> u64 {
        let times = match state {
            State::Done => &self.returned,
            _ => &self.testing,
        };
        self.since(times, order, &self.work_dir.states().path(order, state))
    }

    /// Days since that time.
    fn since(&self, times: &BTreeMap<Order, u64>, order: &Order, file: &Path) -> u64 {
        let since = times.get(order).copied().unwrap_or_else(|| file_time(file, self.now));
        self.now.saturating_sub(since) / DAY
    }
}

fn file_time(path: &Path, otherwise: u64) -> u64 {
    path.metadata()
        .and_then(|metadata| metadata.modified())
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .map_or(otherwise, |since| since.as_secs())
}
