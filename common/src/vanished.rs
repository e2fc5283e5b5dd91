//! Orders that have left the build list: what concerns only orders on it is forgotten, with the build-list lock held.

use std::collections::BTreeSet;

use crate::atomic::{Batch, FileError};
use crate::build_list::Order;
use crate::names::Builder;
use crate::state::State;
use crate::work_dir::WorkDir;

/// States that concern only orders on the list.
const OF_PENDING: [State; 3] = [State::Locked, State::Broken, State::Blocked];

/// What is known of orders that are not among those on the list.
///
/// # Errors
/// The states cannot be read.
pub fn states(work_dir: &WorkDir, listed: &BTreeSet<&Order>) -> Result<Vec<(Order, State)>, FileError> {
    let mut found = Vec::new();
    for (order, known) in work_dir.states().list()? {
        if !listed.contains(&order) {
            let of_pending = known.into_iter().filter(|state| OF_PENDING.contains(state));
            found.extend(of_pending.map(|state| (order.clone(), state)));
        }
    }
    Ok(found)
}

/// Forgets a state, and ends the leases of an order that is locked; that lasts only when the batch is synced.
///
/// # Errors
/// A file cannot be read, written or removed.
pub fn forget(work_dir: &WorkDir, (order, state): &(Order, State), batch: &mut Batch) -> Result<(), FileError> {
    let states = work_dir.states();
    if *state == State::Locked {
        let lines = states.read(order, State::Locked)?.unwrap_or_default();
        let builders: Vec<Builder> = lines.iter().filter_map(|line| line.parse().ok()).collect();
        work_dir.leases().end(order, &builders, batch)?;
    }
    batch.remove(&states.path(order, *state))
}
