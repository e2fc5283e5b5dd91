//! Putting units in a row: what counts is respected, and of what does not count as much as can be had for nothing.
//!
//! Of the units whose needs are all placed the one comes next that would lose the fewest weaker edges (those to run
//! count more than those for tests), then the most urgent, then the first by number.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use super::arrange::Parts;
use super::kinds::Tier;
use super::needs::{add_up, number};

/// Sets of nodes that are placed together, each sorted.
#[derive(Debug, Default)]
pub(super) struct Units {
    nodes: Vec<u32>,
    /// Where the nodes of each end.
    ends: Vec<u32>,
    urgency: Vec<u64>,
}

impl Units {
    pub(super) fn add(&mut self, members: &[u32], urgency: &[u64]) {
        let begin = self.nodes.len();
        self.nodes.extend(members);
        self.nodes[begin..].sort_unstable();
        self.ends.push(number(self.nodes.len()));
        let urgency = members.iter().map(|node| urgency[*node as usize]);
        self.urgency.push(urgency.max().unwrap_or(0));
    }

    pub(super) fn nodes(&self, unit: u32) -> &[u32] {
        let unit = unit as usize;
        let begin = unit.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.nodes[begin as usize..self.ends[unit] as usize]
    }

    fn all(&self) -> Range<u32> {
        0..number(self.ends.len())
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
pub(super) fn sequence(units: &Units, parts: &mut Parts<'_>, (part, tier): (u32, Tier)) -> Vec<u32> {
    let count = units.all().len();
    if count < 2 {
        return units.all().collect();
    }
    let (starts, releases) = releases(units, parts, (part, tier));
    let mut waits = vec![0_u32; count];
    let mut costs = vec![0_u64; count];
    for release in &releases {
        match release.cost {
            None => waits[release.needing as usize] += 1,
            Some(cost) => costs[release.needing as usize] += u64::from(cost),
        }
    }
    let key = |unit: u32, costs: &[u64]| {
        let urgency = units.urgency[unit as usize];
        Reverse((costs[unit as usize], Reverse(urgency), units.nodes(unit)[0], unit))
    };
    let mut ready: BinaryHeap<_> = units
        .all()
        .filter(|unit| waits[*unit as usize] == 0)
        .map(|unit| key(unit, &costs))
        .collect();
    let mut row = Vec::with_capacity(count);
    let mut is_placed = vec![false; count];
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
    row
}

/// For each unit those that need it: where they begin, and all of them.
fn releases(units: &Units, parts: &mut Parts<'_>, (part, tier): (u32, Tier)) -> (Vec<u32>, Vec<Release>) {
    for unit in units.all() {
        for node in units.nodes(unit) {
            parts.scratch[*node as usize] = unit;
        }
    }
    let unit_of = &parts.scratch;
    let mut edges: Vec<(u32, Release)> = Vec::new();
    let mut starts = vec![0_u32; units.all().len() + 1];
    for needing in units.all() {
        for need in units
            .nodes(needing)
            .iter()
            .flat_map(|node| parts.needs_inside(*node, part))
        {
            let needed = unit_of[need.node as usize];
            if needed != needing {
                let cost = cost(need.kinds.tier(), tier);
                edges.push((needed, Release { needing, cost }));
                starts[needed as usize + 1] += 1;
            }
        }
    }
    add_up(&mut starts);
    let mut next = starts.clone();
    let mut releases = vec![Release { needing: 0, cost: None }; edges.len()];
    for (needed, release) in edges {
        let place = &mut next[needed as usize];
        releases[*place as usize] = release;
        *place += 1;
    }
    (starts, releases)
}
