//! Whether an order is this builder's to return: one predicate over build list, `locked` and leases.

use common::atomic::FileError;
use common::build_list::Order;
use common::names::Builder;
use common::state::State;
use common::work_dir::WorkDir;

use crate::cli::BuildResult;

/// What the state says of an order that comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It is on the list and this builder's.
    Own,
    /// It is not on the list: returned before, outdated, or never there.
    NotListed,
    /// It is on the list, but not this builder's to return like this; why.
    Foreign(String),
}

/// Looks at one order; `listed` is that of the same package on the list. The number that the packages have is compared with the one fixed in a lease: the builder's own
/// one, also when it has expired, else that of another builder on the same order, since sharers have the same.
pub(crate) fn examine(
    work_dir: &WorkDir,
    listed: Option<&Order>,
    order: &Order,
    builder: &Builder,
    result: BuildResult,
) -> Result<Claim, FileError> {
    if listed != Some(order) {
        return Ok(Claim::NotListed);
    }
    let owners = work_dir.states().read(order, State::Locked)?.unwrap_or_default();
    if !owners.iter().any(|owner| owner == builder.as_str()) {
        return Ok(Claim::Foreign(format!("{} is not {builder}'s order", order.pkgbase)));
    }
    let BuildResult::Built(number) = result else {
        return Ok(Claim::Own);
    };
    let leases = work_dir.leases().all()?;
    let own = leases.get(builder).into_iter().flatten();
    let all = own.chain(leases.values().flatten());
    let fixed = all
        .map(|lease| &lease.assignment)
        .find(|assignment| assignment.order == *order)
        .map(|assignment| assignment.sub_pkgrel);
    Ok(match fixed {
        Some(fixed) if fixed != number => Claim::Foreign(format!(
            "{} was to be built with sub_pkgrel {fixed}, not {number}",
            order.pkgbase
        )),
        _ => Claim::Own,
    })
}

/// The pkgbase's order on the list, for messages.
pub(crate) fn describe_absence(listed: Option<&Order>, order: &Order) -> String {
    match listed {
        Some(other) => format!("{} is outdated: {} is on the list", order.pkgbase, other),
        None => format!("{} is not on the build list", order.pkgbase),
    }
}
