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
}

/// Orders the list: `orders` are on it, `packages` are all that are known.
#[must_use]
pub fn plan<'a>(packages: &Packages<'_>, orders: impl IntoIterator<Item = &'a PkgBase>, policy: &Policy<'_>) -> Plan {
    let names: BTreeSet<&PkgBase> = orders.into_iter().collect();
    let names: Vec<PkgBase> = names.into_iter().cloned().collect();
    let on_list = OnList::new(packages, &names);
    let chroot = on_list.chroot(packages);
    let needs = on_list.needs(packages, policy.checks, &chroot);
    Plan::new(names, needs, chroot, policy.times)
}

impl Plan {
    /// Orders some nodes of a graph whose edges are known: `all` are the names of its nodes, sorted, as are `orders`.
    #[must_use]
    pub fn of_part(all: &[PkgBase], needs: &Needs, (orders, policy): (&[PkgBase], &Policy<'_>)) -> Self {
        let counting = policy.checks.kinds();
        let place = |name| orders.binary_search(name).ok().map(number);
        let places: Vec<Option<u32>> = all.iter().map(place).collect();
        let mut part = Needs::default();
        for node in orders.iter().filter_map(|name| all.binary_search(name).ok()) {
            let counted = needs
                .of(number(node))
                .iter()
                .filter(|need| !need.kinds.common(counting).is_empty());
            part.push(counted.filter_map(|need| {
                Some(Need {
                    node: places[need.node as usize]?,
                    kinds: need.kinds,
                })
            }));
        }
        Self::new(orders.to_vec(), part, Vec::new(), policy.times)
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
        };
        plan.dropped = plan.edges_against_the_order(&loops);
        plan
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

    /// What an order needs, base-devel included; sorted.
    fn all_needs(&self, node: u32) -> Vec<Need> {
        let with_chroot = self.needs.of(node);
        let count = with_chroot.partition_point(|need| (need.node as usize) < self.names.len());
        let declared = &with_chroot[..count];
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

    fn edges_against_the_order(&self, loops: &[Vec<u32>]) -> Vec<Dropped> {
        let mut loop_of = vec![None; self.names.len()];
        for (index, members) in loops.iter().enumerate() {
            members
                .iter()
                .for_each(|member| loop_of[*member as usize] = Some(index + 1));
        }
        let mut dropped = Vec::new();
        for node in 0..number(self.names.len()) {
            for need in self
                .all_needs(node)
                .into_iter()
                .filter(|need| !self.is_kept(node, need))
            {
                dropped.push(Dropped {
                    pkgbase: self.names[node as usize].clone(),
                    needs: self.names[need.node as usize].clone(),
                    kinds: need.kinds.iter().collect(),
                    loop_number: loop_of[node as usize].filter(|_| !need.kinds.is_empty()),
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
