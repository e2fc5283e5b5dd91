//! Why a package is where it is: the chain of what holds it back, a line each.

use std::collections::BTreeSet;

use common::build_list::BuildList;
use common::names::PkgBase;

use crate::decision::Obstacle;
use crate::neighbours::{Direction, Held};
use crate::plan::{Hold, Plan};
use crate::situation::Situation;

/// The chain for a package or pkgbase.
pub(crate) fn chain(name: &str, situation: &Situation, plan: &Plan, list: &BuildList) -> Vec<String> {
    let entries = || situation.contents.values().flatten();
    let base = entries()
        .find(|entry| entry.name.as_str() == name)
        .map(|entry| entry.pkgbase.clone())
        .or_else(|| name.parse().ok());
    let mut lines = Vec::new();
    let mut seen = BTreeSet::new();
    let mut next = base;
    while let Some(base) = next.take().filter(|base| seen.insert(base.clone())) {
        let (line, follow) = link(&base, situation, plan, list);
        lines.push(format!("{base}: {line}"));
        next = follow;
    }
    lines
}

/// What is to be said of one pkgbase, and which one explains it further.
fn link(base: &PkgBase, situation: &Situation, plan: &Plan, list: &BuildList) -> (String, Option<PkgBase>) {
    if let Some(movement) = plan.moves.iter().find(|movement| movement.order.pkgbase == *base) {
        return (format!("moves to {}", movement.to), None);
    }
    if let Some((_, hold)) = plan.held.iter().find(|(order, _)| order.pkgbase == *base) {
        return held(hold);
    }
    if plan.deleted.iter().any(|(_, entry)| entry.pkgbase == *base) {
        return ("is on the deletion list and leaves".to_owned(), None);
    }
    if plan.needed.contains(base) {
        return ("is on the deletion list, but something needs it".to_owned(), None);
    }
    if list.order_of(base).is_some() {
        return ("is on the build list".to_owned(), None);
    }
    let places: Vec<String> = situation
        .contents
        .iter()
        .filter(|(_, entries)| entries.iter().any(|entry| entry.pkgbase == *base))
        .map(|(repository, _)| repository.to_string())
        .collect();
    match &places[..] {
        [] => ("is in no repository and not on the build list".to_owned(), None),
        _ => (format!("is in {} and waits for nothing", places.join(", ")), None),
    }
}

/// Why something stays, and which pkgbase explains it further.
fn held(hold: &Hold) -> (String, Option<PkgBase>) {
    match hold {
        Hold::NotTested(reason) => (format!("is in testing and not approved: {reason}"), None),
        Hold::Obstacle(found) => (format!("waits: {}", obstacle(found)), other_side(found)),
        Hold::Neighbour(reason) => (format!("waits: {}", neighbour(reason)), Some(reason.by.clone())),
        Hold::Rebuild(other) => (
            format!("waits: it was rebuilt together with {other}, which stays"),
            Some(other.clone()),
        ),
        Hold::Newer(reason) => (format!("stays: {reason}"), None),
        Hold::NotAskedFor => ("stays: it was not asked for".to_owned(), None),
    }
}

/// One link between neighbours.
fn neighbour(reason: &Held) -> String {
    let Held {
        by,
        name,
        direction,
        standing,
    } = reason;
    let link = match direction {
        Direction::Needs => format!("it needs {name} of {by}"),
        Direction::NeededBy => format!("{by} needs {name}"),
    };
    match standing.as_str() {
        "" => format!("{link}, which waits"),
        standing => format!("{link}, which {standing}"),
    }
}

/// Why something stays, in one line.
pub(crate) fn reason(hold: &Hold) -> String {
    held(hold).0
}

/// What is in the way.
pub(crate) fn obstacle(obstacle: &Obstacle) -> String {
    match obstacle {
        Obstacle::Needs {
            package,
            dependency,
            provider: Some(provider),
        } => format!("{package} needs {dependency}, which {provider} provides"),
        Obstacle::Needs {
            package,
            dependency,
            provider: None,
        } => format!("{package} needs {dependency}, which nothing provides yet"),
        Obstacle::Breaks {
            dependent, dependency, ..
        } => format!("{dependent} would lose {dependency}"),
    }
}

fn other_side(obstacle: &Obstacle) -> Option<PkgBase> {
    match obstacle {
        Obstacle::Needs { provider, .. } => provider.clone(),
        Obstacle::Breaks { pkgbase, .. } => Some(pkgbase.clone()),
    }
}
