//! Where a loop of build dependencies begins: at the node whose absence leaves the fewest nodes in loops.

use std::cmp::Reverse;

use super::arrange::Parts;
use super::kinds::Tier;

/// Edges that may be walked to choose one node. Who has many edges on both sides is tried first; in a loop of a dozen
/// all are tried, in one of thousands only the first. On Arch's loops more effort finds no better set.
const EFFORT: usize = 3_000;

/// The node of a component to begin with, without what it needs there.
pub(super) fn breaker(parts: &mut Parts<'_>, component: &[u32]) -> u32 {
    let part = parts.cut(component);
    let (mut candidates, edges) = by_degree(parts, component, part);
    candidates.truncate((EFFORT / edges.max(1)).max(1));
    if let [only] = candidates[..] {
        return only;
    }
    let mut left_in_loops = |without: u32| {
        parts.put(without, 0);
        let rest: Vec<u32> = component.iter().copied().filter(|node| *node != without).collect();
        let mut count = 0;
        parts.components(&rest, (part, Tier::Make), |members| {
            if members.len() > 1 {
                count += members.len();
            }
        });
        parts.put(without, part);
        count
    };
    let mut best = (usize::MAX, 0);
    for candidate in candidates {
        let left = left_in_loops(candidate);
        // Among equals the one with more edges stays.
        if left < best.0 {
            best = (left, candidate);
        }
    }
    best.1
}

/// All nodes, those through which most paths of two edges go first; and the number of edges.
fn by_degree(parts: &mut Parts<'_>, component: &[u32], part: u32) -> (Vec<u32>, usize) {
    for (place, node) in (0..).zip(component) {
        parts.scratch[*node as usize] = place;
    }
    let mut wanted = vec![0_usize; component.len()];
    let mut wants = vec![0_usize; component.len()];
    for (place, node) in component.iter().enumerate() {
        for need in parts.needs_inside(*node, part) {
            if need.kinds.tier() == Tier::Make {
                wants[place] += 1;
                wanted[parts.scratch[need.node as usize] as usize] += 1;
            }
        }
    }
    let mut places: Vec<usize> = (0..component.len()).collect();
    places.sort_by_key(|place| Reverse(wanted[*place] * wants[*place]));
    let nodes = places.into_iter().map(|place| component[place]).collect();
    (nodes, wants.iter().sum())
}
