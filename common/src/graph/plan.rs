//! The build order of the orders on the list, with the edges between them.
//!
//! Edges go only between orders on the list. Inside a loop edges are relaxed when they point against the order that
//! was chosen: check edges and run-only edges then make nobody wait. An edge that is needed to build stays firm also
//! there (whoever hands out orders begins the loop with one of its members), and is reported like the others.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::Packages;
use super::components::{Needs, Tier, arrange};
use crate::build_graph::{BuildGraph, Edge, Force, Kind};
use crate::names::PkgBase;
use crate::srcinfo::Dependency;

/// What every package is built with.
const IMPLIED: &[&str] = &["base", "base-devel"];

/// Why an edge does not hold in the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Everything is built with base-devel, and a member of it cannot wait for itself.
    Implied,
    /// It is for tests only.
    Check,
    /// It is to run only.
    Run,
    /// The loop is broken at this order.
    Break,
}

/// An edge against the order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Dropped {
    /// Who needs.
    pub pkgbase: PkgBase,
    /// Whom.
    pub needs: PkgBase,
    /// Why it does not hold.
    pub reason: Reason,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.reason {
            Reason::Implied => "as a part of what everything is built with",
            Reason::Check => "for its tests only",
            Reason::Run => "to run only",
            Reason::Break => "and the loop has to begin somewhere",
        };
        write!(
            f,
            "{} is built before {}, which it needs {why}",
            self.pkgbase, self.needs
        )
    }
}

/// The result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The build order.
    pub order: Vec<PkgBase>,
    /// The edges.
    pub graph: BuildGraph,
    /// The dependency loops, each sorted.
    pub loops: Vec<Vec<PkgBase>>,
    /// The edges against the order, sorted.
    pub dropped: Vec<Dropped>,
}

/// Orders the list: `orders` are on it, `packages` are all that are known.
#[must_use]
pub fn plan<'a>(packages: &Packages<'_>, orders: impl IntoIterator<Item = &'a PkgBase>) -> Plan {
    let orders: BTreeSet<&PkgBase> = orders.into_iter().collect();
    let names: Vec<&PkgBase> = orders.iter().copied().collect();
    let edges: Vec<Edges<'_>> = names.iter().map(|name| Edges::of(packages, name, &orders)).collect();
    let index: BTreeMap<&PkgBase, usize> = names.iter().enumerate().map(|(index, name)| (*name, index)).collect();
    let needs: Needs = edges
        .iter()
        .map(|edges| {
            edges
                .0
                .iter()
                .map(|(needed, kinds)| (index[needed], kinds.tier()))
                .collect()
        })
        .collect();
    let arrangement = arrange(&needs);
    let mut position = vec![0; names.len()];
    for (place, node) in arrangement.order.iter().enumerate() {
        position[*node] = place;
    }
    let mut plan = Plan {
        order: arrangement.order.iter().map(|node| names[*node].clone()).collect(),
        ..Plan::default()
    };
    let mut loops: Vec<Vec<PkgBase>> = arrangement
        .loops
        .iter()
        .map(|members| members.iter().map(|node| names[*node].clone()).collect())
        .collect();
    loops.sort();
    plan.loops = loops;
    for (node, edges) in edges.iter().enumerate() {
        let name = names[node];
        plan.graph.add_order(name.clone());
        for (needed, kinds) in &edges.0 {
            let is_kept = position[index[needed]] < position[node];
            let reason = kinds.reason();
            let force = if is_kept || reason == Reason::Break {
                Force::Firm
            } else {
                Force::Relaxed
            };
            for kind in &kinds.0 {
                let needs = (*needed).clone();
                plan.graph.add_edge(
                    name.clone(),
                    Edge {
                        kind: *kind,
                        needs,
                        force,
                    },
                );
            }
            if kinds.0.is_empty() {
                let (kind, needs) = (Kind::Make, (*needed).clone());
                plan.graph.add_edge(name.clone(), Edge { kind, needs, force });
            }
            if !is_kept {
                plan.dropped.push(Dropped {
                    pkgbase: name.clone(),
                    needs: (*needed).clone(),
                    reason,
                });
            }
        }
    }
    plan.dropped.sort();
    plan
}

/// The kinds of one edge; none when it is implied.
#[derive(Debug, Default)]
struct Kinds(BTreeSet<Kind>);

impl Kinds {
    fn tier(&self) -> Tier {
        match self.reason() {
            Reason::Implied => Tier::Implied,
            Reason::Check => Tier::Check,
            Reason::Run => Tier::Run,
            Reason::Break => Tier::Make,
        }
    }

    /// What is said when it does not hold.
    fn reason(&self) -> Reason {
        if self.0.contains(&Kind::Make) {
            Reason::Break
        } else if self.0.contains(&Kind::Run) {
            Reason::Run
        } else if self.0.contains(&Kind::Check) {
            Reason::Check
        } else {
            Reason::Implied
        }
    }
}

/// The edges of one order to others on the list.
struct Edges<'a>(BTreeMap<&'a PkgBase, Kinds>);

impl<'a> Edges<'a> {
    fn of(packages: &Packages<'_>, pkgbase: &PkgBase, orders: &BTreeSet<&'a PkgBase>) -> Self {
        let mut edges = Self(BTreeMap::new());
        if let Some(info) = packages.info(pkgbase) {
            let mut add = |dependencies: &[Dependency], kind| {
                for dependency in dependencies {
                    for needed in packages.chosen(pkgbase, dependency) {
                        if let Some(needed) = orders.get(needed) {
                            edges.0.entry(needed).or_default().0.insert(kind);
                        }
                    }
                }
            };
            add(&info.makedepends, Kind::Make);
            add(&info.checkdepends, Kind::Check);
            add(&info.depends, Kind::Run);
            for package in &info.packages {
                add(&package.depends, Kind::Run);
            }
        }
        for name in IMPLIED {
            // The package of that name waits for its members itself.
            let on_list = packages.builder_of(name).filter(|builder| orders.contains(builder));
            let members = match on_list {
                Some(builder) => BTreeSet::from([builder]),
                None => packages.members(name),
            };
            for member in members {
                if let Some(needed) = orders.get(member).filter(|needed| **needed != pkgbase) {
                    edges.0.entry(needed).or_default();
                }
            }
        }
        edges
    }
}
