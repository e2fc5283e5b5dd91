//! The build order of the orders on the list, with the edges between them.
//!
//! Edges go only between orders on the list. Inside a loop edges are relaxed when they point against the order that
//! was chosen: check edges and run-only edges then make nobody wait. An edge that is needed to build stays firm also
//! there (whoever hands out orders begins the loop with one of its members), and is reported like the others.
//!
//! What every package is built with is one more node, the chroot: everything needs it, and it needs base and base-devel.
//! So a list of a whole distribution has one such edge a package and not fifty; in the file each is written out.

use std::collections::BTreeSet;

use super::arrange::arrange;
use super::critical::urgency;
use super::dropped::{Dropped, Reason};
use super::kinds::{Kinds, Tier};
use super::needs::{Need, Needs, number};
use super::{BuildTimes, Packages};
use crate::build_graph::{BuildGraph, Edge, Force, Kind};
use crate::names::PkgBase;

/// What every package is built with.
const IMPLIED: &[&str] = &["base", "base-devel"];

/// Whether what is needed for check() counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Checks {
    /// It does.
    #[default]
    Count,
    /// It does not: packages are built without check().
    LeaveOut,
}

impl Checks {
    /// The kinds that count.
    #[must_use]
    pub fn kinds(self) -> Kinds {
        match self {
            Self::Count => Kinds::ALL,
            Self::LeaveOut => [Kind::Make, Kind::Run].into_iter().collect(),
        }
    }
}

/// How the list is ordered.
#[derive(Debug, Clone, Copy, Default)]
pub struct Policy<'t> {
    /// Whether what is needed for check() counts.
    pub checks: Checks,
    /// How long builds took: of orders that could come next the one with the longest way behind it does. Without, names
    /// decide.
    pub times: Option<&'t BuildTimes>,
}

/// The result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The build order.
    pub order: Vec<PkgBase>,
    /// The dependency loops, each sorted.
    pub loops: Vec<Vec<PkgBase>>,
    /// The edges against the order, sorted.
    pub dropped: Vec<Dropped>,
    /// The orders by name: the nodes of `needs`; one node more is the chroot.
    names: Vec<PkgBase>,
    needs: Needs,
    /// The nodes of base and base-devel.
    chroot: Vec<u32>,
    /// The place of each node in the order.
    position: Vec<u32>,
    /// For each place in the order the number of its loop.
    loop_at: Vec<Option<u32>>,
}

/// Orders the list: `orders` are on it, `packages` are all that are known.
#[must_use]
pub fn plan<'a>(packages: &Packages<'_>, orders: impl IntoIterator<Item = &'a PkgBase>, policy: &Policy<'_>) -> Plan {
    let mut names: Vec<PkgBase> = orders.into_iter().cloned().collect();
    names.sort();
    names.dedup();
    let on_list = OnList::new(packages, &names);
    let chroot = on_list.chroot(packages);
    let needs = on_list.needs(packages, policy.checks, &chroot);
    Plan::new(names, needs, chroot, policy.times)
}

impl Plan {
    /// Orders some nodes of a graph whose edges are known; `names` are those of all its nodes, `nodes` are sorted.
    #[must_use]
    pub fn of_part((names, needs): (&[PkgBase], &Needs), nodes: &[u32], policy: &Policy<'_>) -> Self {
        let counting = policy.checks.kinds();
        let mut places = vec![None; names.len()];
        for (place, node) in (0..).zip(nodes) {
            places[*node as usize] = Some(place);
        }
        let mut part = Needs::default();
        for node in nodes {
            let needs = needs.of(*node).iter();
            let counted = needs.filter(|need| !need.kinds.common(counting).is_empty());
            part.push(counted.filter_map(|need| {
                Some(Need {
                    node: places[need.node as usize]?,
                    kinds: need.kinds,
                })
            }));
        }
        let names = nodes.iter().map(|node| names[*node as usize].clone()).collect();
        Self::new(names, part, Vec::new(), policy.times)
    }

    fn new(names: Vec<PkgBase>, needs: Needs, chroot: Vec<u32>, times: Option<&BuildTimes>) -> Self {
        let mut urgencies = vec![0; needs.len()];
        let mut arrangement = arrange(&needs, &urgencies);
        if let Some(times) = times {
            // Which edges hold decides how long the ways are, and they decide the order: once round is enough.
            urgencies = urgency(&needs, &arrangement.order, |node| {
                names.get(node as usize).map_or(0, |name| times.of(name))
            });
            arrangement = arrange(&needs, &urgencies);
        }
        let order = arrangement
            .order
            .into_iter()
            .filter(|node| (*node as usize) < names.len());
        let order: Vec<u32> = order.collect();
        let mut position = vec![0; names.len()];
        for (place, node) in order.iter().enumerate() {
            position[*node as usize] = number(place);
        }
        let name_of = |node: &u32| names[*node as usize].clone();
        let mut loops = arrangement.loops;
        loops.sort_unstable();
        let mut loop_at = vec![None; names.len()];
        for (number, members) in (1..).zip(&loops) {
            for member in members {
                loop_at[position[*member as usize] as usize] = Some(number);
            }
        }
        let mut plan = Self {
            order: order.iter().map(name_of).collect(),
            loops: loops
                .iter()
                .map(|members| members.iter().map(name_of).collect())
                .collect(),
            dropped: Vec::new(),
            names,
            needs,
            chroot,
            position,
            loop_at,
        };
        plan.dropped = plan.edges_against_the_order();
        plan
    }

    /// The loop that the order at a place of the build order is in, by its number among the loops from 1 on.
    #[must_use]
    pub fn loop_at(&self, place: usize) -> Option<usize> {
        self.loop_at[place].map(|number| number as usize)
    }

    /// The edges between the orders, as they are written to the disk.
    #[must_use]
    pub fn graph(&self) -> BuildGraph {
        let mut graph = BuildGraph::default();
        for (node, name) in (0..).zip(&self.names) {
            graph.add_order(name.clone());
            for need in self.all_needs(node) {
                let force = if self.is_kept(node, &need) || need.kinds.tier() == Tier::Make {
                    Force::Firm
                } else {
                    Force::Relaxed
                };
                let implied = need.kinds.is_empty().then_some(Kind::Make);
                for kind in need.kinds.iter().chain(implied) {
                    let needs = self.names[need.node as usize].clone();
                    graph.add_edge(name.clone(), Edge { kind, needs, force });
                }
            }
        }
        graph
    }

    /// What an order needs in its own words; sorted.
    fn declared(&self, node: u32) -> &[Need] {
        match self.needs.of(node) {
            // The chroot is the last node of all.
            [declared @ .., last] if last.node as usize == self.names.len() => declared,
            declared => declared,
        }
    }

    /// What an order needs, base-devel included; sorted.
    fn all_needs(&self, node: u32) -> Vec<Need> {
        let declared = self.declared(node);
        let is_declared = |member: &u32| declared.binary_search_by_key(member, |need| need.node).is_ok();
        let implied = self
            .chroot
            .iter()
            .filter(|member| **member != node && !is_declared(member));
        let implied = implied.map(|member| Need {
            node: *member,
            kinds: Kinds::IMPLIED,
        });
        let mut all: Vec<Need> = declared.iter().copied().chain(implied).collect();
        all.sort_unstable();
        all
    }

    fn is_kept(&self, node: u32, need: &Need) -> bool {
        self.position[need.node as usize] < self.position[node as usize]
    }

    fn edges_against_the_order(&self) -> Vec<Dropped> {
        // Behind the last of what everything is built with nobody is built before any of it.
        let members = self.chroot.iter().map(|member| self.position[*member as usize]);
        let chroot_is_complete = members.max().unwrap_or(0);
        let mut dropped = Vec::new();
        for node in 0..number(self.names.len()) {
            let with_implied;
            let needs = if self.position[node as usize] < chroot_is_complete {
                with_implied = self.all_needs(node);
                &with_implied
            } else {
                self.declared(node)
            };
            for need in needs.iter().filter(|need| !self.is_kept(node, need)) {
                let loop_number = self.loop_at(self.position[node as usize] as usize);
                dropped.push(Dropped {
                    pkgbase: self.names[node as usize].clone(),
                    needs: self.names[need.node as usize].clone(),
                    kinds: need.kinds.iter().collect(),
                    loop_number: loop_number.filter(|_| !need.kinds.is_empty()),
                    reason: Reason::of(need.kinds),
                });
            }
        }
        dropped
    }
}

/// Which of all packages are on the list.
struct OnList {
    /// For each package its place on the list of names.
    places: Vec<Option<u32>>,
    /// For each name on the list its package; an order without one needs nothing.
    nodes: Vec<Option<u32>>,
}

impl OnList {
    fn new(packages: &Packages<'_>, names: &[PkgBase]) -> Self {
        let mut known = (0..).zip(packages.names()).peekable();
        let mut places = vec![None; packages.names().len()];
        let mut nodes = vec![None; names.len()];
        // Both are sorted.
        for (place, name) in names.iter().enumerate() {
            while known.next_if(|(_, package)| **package < name).is_some() {}
            if let Some((node, _)) = known.next_if(|(_, package)| **package == name) {
                places[node as usize] = Some(number(place));
                nodes[place] = Some(node);
            }
        }
        Self { places, nodes }
    }

    /// What the orders need of each other and of the chroot, which is the last node, if any of them builds a part of it.
    fn needs(&self, packages: &Packages<'_>, checks: Checks, chroot: &[u32]) -> Needs {
        let counting = checks.kinds();
        let implied = |node| Need {
            node,
            kinds: Kinds::IMPLIED,
        };
        let to_chroot = (!chroot.is_empty()).then(|| implied(number(self.nodes.len())));
        let mut needs = Needs::default();
        for node in &self.nodes {
            let wants = node.map_or(&[][..], |node| packages.wants_of(node));
            let wants = wants.iter().filter(|(_, kinds)| !kinds.common(counting).is_empty());
            let declared = wants.flat_map(|(dependency, kinds)| {
                let chosen = packages.resolved(*dependency).chosen_by(node.unwrap_or(u32::MAX));
                let places = chosen.iter().filter_map(|chosen| self.places[*chosen as usize]);
                places.map(|node| Need { node, kinds: *kinds })
            });
            needs.push(declared.chain(to_chroot));
        }
        if to_chroot.is_some() {
            needs.push(chroot.iter().copied().map(implied));
        }
        needs
    }

    /// The orders that build what every package is built with, sorted.
    fn chroot(&self, packages: &Packages<'_>) -> Vec<u32> {
        let place = |node: u32| self.places[node as usize];
        let mut members = BTreeSet::new();
        for name in IMPLIED {
            // The package of that name waits for its members itself.
            match packages.builder_of(name).and_then(place) {
                Some(builder) => members.extend([builder]),
                None => members.extend(packages.members(name).into_iter().filter_map(place)),
            }
        }
        members.into_iter().collect()
    }
}
