//! Putting units in a row: what counts is respected, and of what does not count as much as can be had for nothing.
//!
//! Of the units whose needs are all placed the one comes next that would lose the fewest weaker edges (those to run
//! count more than those for tests), then the most urgent, then the first by number.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::arrange::Parts;
use super::kinds::Tier;
use super::needs::number;

/// Nodes that are placed together.
#[derive(Debug)]
pub(super) struct Unit {
    /// The nodes, sorted.
    pub(super) nodes: Vec<u32>,
    urgency: u64,
}

impl Unit {
    pub(super) fn new(members: &[u32], urgency: &[u64]) -> Self {
        let mut nodes = members.to_vec();
        nodes.sort_unstable();
        let urgency = nodes.iter().map(|node| urgency[*node as usize]).max().unwrap_or(0);
        Self { nodes, urgency }
    }
}

/// How much is lost with an edge that does not count; `None` for one that does.
fn cost(tier: Tier, counting: Tier) -> Option<u32> {
    match tier {
        tier if tier >= counting => None,
        Tier::Run => Some(1 << 16),
        Tier::Check => Some(1),
        Tier::Implied | Tier::Make => Some(0),
    }
}

/// An edge between units: it is released when the needed one is placed.
#[derive(Debug, Clone, Copy)]
struct Release {
    needing: u32,
    cost: Option<u32>,
}

/// Puts units in a row, which are the components of a part by the edges from a tier on.
pub(super) fn sequence(units: Vec<Unit>, parts: &Parts<'_>, (part, tier): (u32, Tier)) -> Vec<Unit> {
    if units.len() < 2 {
        return units;
    }
    let (starts, releases) = releases(&units, parts, (part, tier));
    let mut waits = vec![0_u32; units.len()];
    let mut costs = vec![0_u64; units.len()];
    for release in &releases {
        match release.cost {
            None => waits[release.needing as usize] += 1,
            Some(cost) => costs[release.needing as usize] += u64::from(cost),
        }
    }
    let key = |unit: u32, costs: &[u64]| {
        let it = &units[unit as usize];
        Reverse((costs[unit as usize], Reverse(it.urgency), it.nodes[0], unit))
    };
    let all = 0..number(units.len());
    let mut ready: BinaryHeap<_> = all
        .filter(|unit| waits[*unit as usize] == 0)
        .map(|unit| key(unit, &costs))
        .collect();
    let mut row: Vec<u32> = Vec::with_capacity(units.len());
    let mut is_placed = vec![false; units.len()];
    while let Some(Reverse((_, _, _, unit))) = ready.pop() {
        // Its costs may have fallen since it was put here; then it has been here before.
        if std::mem::replace(&mut is_placed[unit as usize], true) {
            continue;
        }
        row.push(unit);
        for release in &releases[starts[unit as usize] as usize..starts[unit as usize + 1] as usize] {
            let needing = release.needing as usize;
            match release.cost {
                None => waits[needing] -= 1,
                Some(cost) => costs[needing] -= u64::from(cost),
            }
            let has_fallen = release.cost != Some(0);
            if waits[needing] == 0 && has_fallen && !is_placed[needing] {
                ready.push(key(release.needing, &costs));
            }
        }
    }
    let mut units: Vec<Option<Unit>> = units.into_iter().map(Some).collect();
    row.into_iter().filter_map(|unit| units[unit as usize].take()).collect()
}

/// For each unit those that need it: where they begin, and all of them.
fn releases(units: &[Unit], parts: &Parts<'_>, (part, tier): (u32, Tier)) -> (Vec<u32>, Vec<Release>) {
    let mut unit_of = vec![0_u32; parts.needs.len()];
    for (unit, it) in units.iter().enumerate() {
        it.nodes.iter().for_each(|node| unit_of[*node as usize] = number(unit));
    }
    let mut edges: Vec<(u32, Release)> = Vec::new();
    let mut starts = vec![0_u32; units.len() + 1];
    for (needing, it) in (0..).zip(units) {
        for need in it.nodes.iter().flat_map(|node| parts.needs_inside(*node, part)) {
            let needed = unit_of[need.node as usize];
            if needed != needing {
                let cost = cost(need.kinds.tier(), tier);
                edges.push((needed, Release { needing, cost }));
                starts[needed as usize + 1] += 1;
            }
        }
    }
    for place in 1..starts.len() {
        starts[place] += starts[place - 1];
    }
    let mut next = starts.clone();
    let mut releases = vec![Release { needing: 0, cost: None }; edges.len()];
    for (needed, release) in edges {
        let place = &mut next[needed as usize];
        releases[*place as usize] = release;
        *place += 1;
    }
    (starts, releases)
}
