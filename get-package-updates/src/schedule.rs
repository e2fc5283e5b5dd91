//! The next state out of the present one and what the sources say: pure, so that it can be done with the locks held.
//!
//! Blocks: `build-manually` blocks an order when it comes onto the list or gets new commits, `update-once` lifts every
//! block; an operator's block goes over to the new commits of its package. An order whose PKGBUILD cannot be evaluated
//! stays on the list, blocked with a reason that begins with `metadata:`, until it can.

use std::collections::{BTreeMap, BTreeSet};

use common::build_list::{BuildList, Order};
use common::cli::one_line;
use common::graph::{Exclusions, Packages, Plan, closure, plan};
use common::names::PkgBase;
use common::release::{self, Release};
use common::source::{Heads, Sources};

use crate::changes::Why;
use crate::gather::Gathered;
use crate::stages::Stages;

/// Beginning of the reason of orders whose metadata cannot be had.
pub(crate) const HELD: &str = "metadata: ";
/// The reason of orders that `build-manually` names.
pub(crate) const MANUAL: &str = "build-manually: listed in the customization repository";

/// What the work directory says.
#[derive(Debug, Default)]
pub(crate) struct Present {
    /// The build list.
    pub(crate) list: BuildList,
    /// The deletion list.
    pub(crate) deletion_list: BTreeSet<PkgBase>,
    /// Blocked orders with their reasons, also orders that are no longer on the list.
    pub(crate) blocked: BTreeMap<Order, String>,
    /// The loops that are built twice.
    pub(crate) stages: Stages,
}

/// What is asked for beside what changed.
#[derive(Debug, Default)]
pub(crate) struct Wish {
    /// To be excluded as if it were blacklisted.
    pub(crate) excluded: Option<PkgBase>,
    /// To be built although nothing changed, with the reason of each.
    pub(crate) requested: BTreeMap<PkgBase, String>,
}

/// What it shall say.
#[derive(Debug, Default)]
pub(crate) struct Next {
    /// The commits that have been processed then.
    pub(crate) heads: Heads,
    /// The build list.
    pub(crate) list: BuildList,
    /// The deletion list.
    pub(crate) deletion_list: BTreeSet<PkgBase>,
    /// Blocked orders of the list with their reasons.
    pub(crate) blocked: BTreeMap<Order, String>,
    /// Order, edges and loops.
    pub(crate) plan: Plan,
    /// What each order of the list yields, as far as it is known ([`common::release`]).
    pub(crate) releases: String,
    /// Orders that are new or have new commits.
    pub(crate) scheduled: Vec<(Order, Why)>,
    /// Packages that come onto the deletion list.
    pub(crate) deleted: Vec<(Order, String)>,
    /// The loops that are built twice.
    pub(crate) stages: Stages,
}

/// Computes the next state.
pub(crate) fn schedule(sources: &Sources, gathered: &Gathered, present: &Present, wish: &Wish) -> Next {
    let excluded = closure(
        &Packages::new(gathered.known()),
        listed(gathered, wish.excluded.as_ref()),
        gathered.ordering.checks,
    );
    let pending: BTreeMap<&PkgBase, &Order> = present.list.orders().map(|order| (&order.pkgbase, order)).collect();
    let due = match gathered.ordering.is_two_stage {
        true => present.stages.due(|name| pending.contains_key(name)),
        false => BTreeMap::new(),
    };
    let mut orders: BTreeMap<PkgBase, Order> = BTreeMap::new();
    let mut scheduled: BTreeMap<PkgBase, Why> = BTreeMap::new();
    for (pkgbase, package) in gathered.view.iter() {
        if excluded.contains(pkgbase) {
            continue;
        }
        let before = pending.get(pkgbase).copied();
        let requested = || {
            let reason = wish.requested.get(pkgbase).or_else(|| due.get(pkgbase))?;
            Some(Why::Requested(reason.clone()))
        };
        let why = why(gathered, present, pkgbase, before.is_some());
        match why.or_else(|| requested().filter(|_| before.is_none())) {
            Some(why) => {
                orders.insert(pkgbase.clone(), sources.order(&gathered.new_heads, pkgbase, package));
                scheduled.insert(pkgbase.clone(), why);
            }
            None => orders.extend(before.map(|order| (pkgbase.clone(), order.clone()))),
        }
    }
    let blocked = orders
        .values()
        .filter_map(|order| {
            Some((
                order.clone(),
                block(
                    gathered,
                    present,
                    (order, pending.get(&order.pkgbase).copied()),
                    scheduled.contains_key(&order.pkgbase),
                )?,
            ))
        })
        .collect();
    let deletions = deletions(sources, gathered, present, &excluded);
    let remaining = Packages::new(gathered.known().filter(|(name, _)| !excluded.contains(name)));
    let plan = plan(&remaining, orders.keys(), &gathered.ordering.policy());
    let stages = match gathered.ordering.is_two_stage {
        true => present.stages.after(
            &plan.loops,
            |name| pending.contains_key(name),
            |name| orders.contains_key(name),
        ),
        false => Stages::default(),
    };
    let mut list = present.list.clone();
    list.replace_orders(plan.order.iter().filter_map(|name| orders.get(name)).cloned());
    // What a run that was killed has scheduled already is no news.
    scheduled.retain(|name, _| pending.get(name).copied() != orders.get(name));
    Next {
        heads: gathered.new_heads.clone(),
        scheduled: list
            .orders()
            .filter_map(|order| Some((order.clone(), scheduled.remove(&order.pkgbase)?)))
            .collect(),
        deleted: deletions
            .iter()
            .filter(|(name, _)| !present.deletion_list.contains(*name))
            .filter_map(|(_, deletion)| deletion.clone())
            .collect(),
        deletion_list: deletions.into_keys().collect(),
        releases: releases(gathered, &list),
        stages,
        list,
        blocked,
        plan,
    }
}

/// An order that has not got new commits has the same files at the newest ones.
fn releases(gathered: &Gathered, list: &BuildList) -> String {
    release::listing(list.orders().filter_map(|order| {
        let info = gathered.infos.get(&order.pkgbase)?.as_ref().ok()?;
        Some((order, Release::of(info)))
    }))
}

/// The packages that lists exclude, with the entry of the list.
fn listed(gathered: &Gathered, candidate: Option<&PkgBase>) -> BTreeMap<PkgBase, String> {
    let names = gathered.view.iter().map(|(pkgbase, _)| pkgbase);
    names
        .filter_map(|pkgbase| {
            let entry = match gathered.lists.blacklist.matching(pkgbase) {
                Some(entry) => entry.to_owned(),
                None if candidate == Some(pkgbase) => "-x".to_owned(),
                None => return None,
            };
            Some((pkgbase.clone(), entry))
        })
        .collect()
}

/// Why an order of the newest commits has to be on the list, if it has to.
fn why(gathered: &Gathered, present: &Present, pkgbase: &PkgBase, is_pending: bool) -> Option<Why> {
    if let Some(why) = gathered.changes.released.get(pkgbase) {
        return Some(why.clone());
    }
    if is_pending {
        return gathered.changes.touched.contains(pkgbase).then_some(Why::Files);
    }
    if gathered.lists.update_once.matching(pkgbase).is_some() {
        return Some(Why::UpdateOnce);
    }
    present.deletion_list.contains(pkgbase).then_some(Why::Readmitted)
}

/// The reason for which an order is blocked, if it is; `pending` is what the list had for its package.
fn block(
    gathered: &Gathered,
    present: &Present,
    (order, pending): (&Order, Option<&Order>),
    is_scheduled: bool,
) -> Option<String> {
    let before = present.blocked.get(order).or_else(|| present.blocked.get(pending?));
    let is_manual = gathered.lists.build_manually.matching(&order.pkgbase).is_some();
    let reason = match before.filter(|reason| !reason.starts_with(HELD)) {
        _ if gathered.lists.update_once.matching(&order.pkgbase).is_some() => None,
        Some(reason) if reason != MANUAL || is_manual => Some(reason.clone()),
        _ => (is_manual && is_scheduled).then(|| MANUAL.to_owned()),
    };
    let error = gathered.infos.get(&order.pkgbase).and_then(|info| info.as_ref().err());
    reason.or_else(|| error.map(|error| one_line(&format!("{HELD}{error}"))))
}

/// The deletion list; where it is known, with the order that names the last commits, and the reason.
fn deletions(
    sources: &Sources,
    gathered: &Gathered,
    present: &Present,
    excluded: &Exclusions,
) -> BTreeMap<PkgBase, Option<(Order, String)>> {
    let is_gone = |pkgbase: &PkgBase| gathered.view.get(pkgbase).is_none();
    let gone = "gone from the sources".to_owned();
    let mut deletions: BTreeMap<PkgBase, Option<(Order, String)>> = BTreeMap::new();
    for pkgbase in present.deletion_list.iter().filter(|name| is_gone(name)) {
        deletions.insert(pkgbase.clone(), None);
    }
    for order in present.list.orders().filter(|order| is_gone(&order.pkgbase)) {
        deletions.insert(order.pkgbase.clone(), Some((order.clone(), gone.clone())));
    }
    for (pkgbase, order) in &gathered.changes.deleted {
        deletions.insert(pkgbase.clone(), Some((order.clone(), gone.clone())));
    }
    for (pkgbase, package) in gathered.view.iter() {
        if excluded.contains(pkgbase) {
            let order = sources.order(&gathered.new_heads, pkgbase, package);
            deletions.insert(pkgbase.clone(), Some((order, excluded.explain(pkgbase))));
        }
    }
    deletions
}
