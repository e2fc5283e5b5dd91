//! Which orders in testing are approved: those that were there long enough and have no open bug.

use std::collections::{BTreeMap, BTreeSet};

use common::build_list::Order;
use common::config::{Config, ConfigError};
use common::state::State;

use crate::ages::Ages;

/// What was decided on every order in testing that is not approved yet.
#[derive(Debug, Default)]
pub(crate) struct Approvals {
    pub(crate) approved: BTreeSet<Order>,
    /// Why the others are not.
    pub(crate) waiting: BTreeMap<Order, String>,
}

/// How the bug tracker's list was read: the names in it, or why nobody knows.
pub(crate) type Bugs = Result<BTreeSet<String>, String>;

/// Decides on these orders, all in testing.
///
/// # Errors
/// `max_package_age_testing` is no number.
pub(crate) fn decide(
    config: &Config,
    orders: Vec<Order>,
    ages: &Ages<'_>,
    bugs: &Bugs,
) -> Result<Approvals, ConfigError> {
    let days = config.number("max_package_age_testing", 7)?;
    let mut approvals = Approvals::default();
    for order in orders {
        let age = ages.in_state(&order, State::Testing);
        let reason = match bugs {
            _ if age < days => format!("it has been in testing for {age} of {days} days"),
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
