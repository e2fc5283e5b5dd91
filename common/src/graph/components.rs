//! Ordering a graph that has loops: strongly connected components, relaxed tier by tier.
//!
//! Inside a component the weakest edges are left out first; what is still a loop when only the strongest are left is
//! broken at the node whose removal leaves the fewest nodes in loops. The nodes of a component always stand together,
//! and the order of components is always respected.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

/// Above this size the node to break at is chosen by its number of edges alone.
const MAX_TRIED: usize = 256;

/// How much an edge counts, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Tier {
    /// Every package needs base-devel, and there is a version of it in the chroot.
    Implied,
    /// For tests only.
    Check,
    /// To run only.
    Run,
    /// To be built.
    Make,
}

/// The graph: for each node what it needs, and how much.
pub(super) type Needs = Vec<BTreeMap<usize, Tier>>;

/// An order of the nodes, with the loops that are in it.
#[derive(Debug, Default)]
pub(super) struct Arrangement {
    /// The nodes, what is needed first.
    pub(super) order: Vec<usize>,
    /// Components of more than one node, implied edges left out; each sorted.
    pub(super) loops: Vec<Vec<usize>>,
}

/// Arranges all nodes.
pub(super) fn arrange(needs: &Needs) -> Arrangement {
    let mut arrangement = Arrangement::default();
    let all: Vec<usize> = (0..needs.len()).collect();
    within(needs, &all, Tier::Implied, &mut arrangement);
    arrangement
}

/// Arranges some nodes by their edges from a tier on.
fn within(needs: &Needs, nodes: &[usize], tier: Tier, arrangement: &mut Arrangement) {
    for component in components(needs, nodes, tier) {
        if component.len() == 1 {
            arrangement.order.extend(component);
            continue;
        }
        if tier == Tier::Check {
            arrangement.loops.push(component.clone());
        }
        match tier {
            Tier::Implied => within(needs, &component, Tier::Check, arrangement),
            Tier::Check => within(needs, &component, Tier::Run, arrangement),
            Tier::Run => within(needs, &component, Tier::Make, arrangement),
            Tier::Make => {
                let first = breaker(needs, &component);
                arrangement.order.push(first);
                let rest: Vec<usize> = component.into_iter().filter(|node| *node != first).collect();
                within(needs, &rest, Tier::Make, arrangement);
            }
        }
    }
}

/// The strongly connected components, needed ones first, each sorted.
fn components(needs: &Needs, nodes: &[usize], tier: Tier) -> Vec<Vec<usize>> {
    let mut graph: DiGraph<usize, ()> = DiGraph::with_capacity(nodes.len(), nodes.len() * 4);
    let index: BTreeMap<usize, NodeIndex> = nodes.iter().map(|node| (*node, graph.add_node(*node))).collect();
    for (node, from) in &index {
        // petgraph walks the edges of a node from the last one on: reversed, equals come out by name.
        for (needed, strength) in needs[*node].iter().rev() {
            if let Some(to) = index.get(needed).filter(|_| *strength >= tier) {
                graph.add_edge(*from, *to, ());
            }
        }
    }
    let mut components: Vec<Vec<usize>> = tarjan_scc(&graph)
        .into_iter()
        .map(|component| component.into_iter().map(|node| graph[node]).collect())
        .collect();
    for component in &mut components {
        component.sort_unstable();
    }
    components
}

/// The node of a component to begin with, without what it needs there.
fn breaker(needs: &Needs, component: &[usize]) -> usize {
    let strong = |node: usize| {
        let edges = needs[node].iter().filter(|(_, tier)| **tier == Tier::Make);
        edges
            .map(|(needed, _)| *needed)
            .filter(|needed| component.binary_search(needed).is_ok())
    };
    let mut wanted: BTreeMap<usize, usize> = BTreeMap::new();
    for node in component {
        for needed in strong(*node) {
            *wanted.entry(needed).or_default() += 1;
        }
    }
    let still_looped = |without: usize| {
        if component.len() > MAX_TRIED {
            return 0;
        }
        let rest: Vec<usize> = component.iter().copied().filter(|node| *node != without).collect();
        let components = components(needs, &rest, Tier::Make);
        components.iter().map(Vec::len).filter(|size| *size > 1).sum()
    };
    let cost = |node: &usize| {
        let needers = wanted.get(node).copied().unwrap_or(0);
        (still_looped(*node), Reverse(needers * strong(*node).count()), *node)
    };
    // A component has nodes; the fall-back is for the type only.
    component.iter().copied().min_by_key(cost).unwrap_or_default()
}
