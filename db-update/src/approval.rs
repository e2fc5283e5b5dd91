//! Which orders in testing are approved: those that were there long enough and have no open bug.

use std::collections::{BTreeMap, BTreeSet};
use std::time::UNIX_EPOCH;

use common::atomic::FileError;
use common::build_list::Order;
use common::config::{Config, ConfigError};
use common::journal::Event;
use common::state::State;
use common::work_dir::WorkDir;

const DAY: u64 = 86400;

/// What was decided on every order in testing that is not approved yet.
#[derive(Debug, Default)]
pub(crate) struct Approvals {
    pub(crate) approved: BTreeSet<Order>,
    /// Why the others are not.
    pub(crate) waiting: BTreeMap<Order, String>,
}

/// How the bug tracker's list was read: the names in it, or why nobody knows.
pub(crate) type Bugs = Result<BTreeSet<String>, String>;

/// Decides. Days are counted from the journal, and where it says nothing from the state file's time.
pub(crate) fn decide(config: &Config, work_dir: &WorkDir, bugs: &Bugs, now: u64) -> Result<Approvals, ApprovalError> {
    let days = config.number("max_package_age_testing", 7)?;
    let arrivals: BTreeMap<Order, u64> = work_dir
        .journal()
        .read()?
        .into_iter()
        .filter(|entry| entry.event == Event::Testing)
        .map(|entry| (entry.order, entry.time))
        .collect();
    let mut approvals = Approvals::default();
    for order in work_dir.states().with(State::Testing)? {
        let since = arrivals
            .get(&order)
            .copied()
            .unwrap_or_else(|| file_time(work_dir, &order));
        let age = now.saturating_sub(since);
        let reason = match bugs {
            _ if age < days * DAY => format!("it has been in testing for {} of {days} days", age / DAY),
            Ok(names) if names.contains(order.pkgbase.as_str()) => "it has an open bug".to_owned(),
            Ok(_) => {
                approvals.approved.insert(order);
                continue;
            }
            Err(error) => error.clone(),
        };
        approvals.waiting.insert(order, reason);
    }
    Ok(approvals)
}

/// Approvals could not be decided.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApprovalError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    File(#[from] FileError),
}

fn file_time(work_dir: &WorkDir, order: &Order) -> u64 {
    let path = work_dir.states().path(order, State::Testing);
    path.metadata()
        .and_then(|metadata| metadata.modified())
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .map_or(0, |since| since.as_secs())
}
