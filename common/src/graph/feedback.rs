//! The smallest set of edges whose removal leaves no loop.
//!
//! For loops of up to [`EXACT`] members it is found by trying all orders (one set of members after the other). For larger
//! ones nobody knows how: an order is improved by moving one member at a time, and edge-disjoint loops say how many edges
//! any set needs at least.

use std::collections::VecDeque;

use super::needs::Needs;

/// So many members can be put into every order.
const EXACT: usize = 16;
/// How often all members are tried to be moved.
const PASSES: usize = 10;

/// Edges that break a loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feedback {
    /// Who needs whom; without these edges there is no loop.
    pub edges: Vec<(u32, u32)>,
    /// No set has fewer edges than this.
    pub at_least: usize,
}

/// The smallest set for one component, whose members are sorted.
#[must_use]
pub fn smallest_break(needs: &Needs, members: &[u32]) -> Feedback {
    let inside = edges_inside(needs, members);
    let order = if members.len() <= EXACT {
        best_order(&inside)
    } else {
        improved_order(&inside)
    };
    let mut position = vec![0; members.len()];
    for (at, member) in order.iter().enumerate() {
        position[*member] = at;
    }
    let mut edges = Vec::new();
    for (from, needs) in inside.iter().enumerate() {
        let against = needs.iter().filter(|to| position[**to] > position[from]);
        edges.extend(against.map(|to| (members[from], members[*to])));
    }
    let at_least = if members.len() <= EXACT {
        edges.len()
    } else {
        disjoint_loops(&inside)
    };
    Feedback { edges, at_least }
}

/// What each member needs of the others, by their places among the members.
fn edges_inside(needs: &Needs, members: &[u32]) -> Vec<Vec<usize>> {
    let place = |node: &u32| members.binary_search(node).ok();
    let needs_of = |member: &u32| needs.of(*member).iter().filter_map(|need| place(&need.node)).collect();
    members.iter().map(needs_of).collect()
}

/// The order with the fewest edges against it: for every set of members how it is best placed first.
fn best_order(inside: &[Vec<usize>]) -> Vec<usize> {
    let needs: Vec<usize> = inside
        .iter()
        .map(|needs| needs.iter().map(|to| 1 << to).sum())
        .collect();
    let sets = 1_usize << inside.len();
    let mut best = vec![(u32::MAX, 0_usize); sets];
    best[0].0 = 0;
    for set in 0..sets {
        for member in (0..inside.len()).filter(|member| set & (1 << member) == 0) {
            let cost = best[set].0 + (needs[member] & !set & !(1 << member)).count_ones();
            let with = &mut best[set | (1 << member)];
            *with = (cost, member).min(*with);
        }
    }
    let mut order = Vec::new();
    let mut set = sets - 1;
    while set != 0 {
        let last = best[set].1;
        order.push(last);
        set &= !(1 << last);
    }
    order.reverse();
    order
}

/// An order that no move of a single member makes better, or the last one that was tried.
fn improved_order(inside: &[Vec<usize>]) -> Vec<usize> {
    let mut needed_by = vec![Vec::new(); inside.len()];
    for (from, needs) in inside.iter().enumerate() {
        needs.iter().for_each(|to| needed_by[*to].push(from));
    }
    let mut order: Vec<usize> = (0..inside.len()).collect();
    for _ in 0..PASSES {
        let mut has_moved = false;
        for member in 0..inside.len() {
            has_moved |= move_to_best(&mut order, member, (&inside[member], &needed_by[member]));
        }
        if !has_moved {
            break;
        }
    }
    order
}

/// Moves a member to where the fewest of its edges are against the order; whether that is somewhere else.
fn move_to_best(order: &mut Vec<usize>, member: usize, (needs, needed_by): (&[usize], &[usize])) -> bool {
    let Some(now) = order.iter().position(|it| *it == member) else {
        return false;
    };
    order.remove(now);
    let mut change = vec![0_i64; order.len() + 1];
    let mut place = vec![0; order.len() + 1];
    for (at, it) in order.iter().enumerate() {
        place[*it] = at;
    }
    // Behind what it needs, before what needs it.
    needs.iter().for_each(|it| change[place[*it] + 1] -= 1);
    needed_by.iter().for_each(|it| change[place[*it] + 1] += 1);
    let sums = change.iter().scan(0, |sum, step| {
        *sum += step;
        Some(*sum)
    });
    let costs: Vec<i64> = sums.collect();
    let best = (0..costs.len()).min_by_key(|at| costs[*at]).unwrap_or(now);
    let is_better = costs[best] < costs[now];
    order.insert(if is_better { best } else { now }, member);
    is_better
}

/// How many loops there are that share no edge, short ones first: each needs an edge of its own.
fn disjoint_loops(inside: &[Vec<usize>]) -> usize {
    let mut left: Vec<Vec<usize>> = inside.to_vec();
    let mut count = 0;
    for start in 0..left.len() {
        while let Some(edges) = shortest_loop(&left, start) {
            for (from, to) in edges {
                left[from].retain(|it| *it != to);
            }
            count += 1;
        }
    }
    count
}

/// The edges of the shortest loop through a member.
fn shortest_loop(left: &[Vec<usize>], start: usize) -> Option<Vec<(usize, usize)>> {
    let mut came_from = vec![usize::MAX; left.len()];
    let mut queue = VecDeque::from([start]);
    while let Some(from) = queue.pop_front() {
        for to in &left[from] {
            if *to == start {
                let mut edges = vec![(from, start)];
                let mut at = from;
                while at != start {
                    edges.push((came_from[at], at));
                    at = came_from[at];
                }
                return Some(edges);
            }
            if came_from[*to] == usize::MAX {
                came_from[*to] = from;
                queue.push_back(*to);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build_graph::Kind;
    use crate::graph::needs::number;
    use crate::graph::{Components, Kinds, Need};
    use proptest::prelude::*;

    fn graph(count: u32, edges: impl IntoIterator<Item = (u32, u32)>) -> Needs {
        let mut of = vec![Vec::new(); count as usize];
        edges.into_iter().for_each(|(from, to)| of[from as usize].push(to));
        let mut needs = Needs::default();
        for targets in of {
            needs.push(targets.into_iter().map(|node| Need {
                node,
                kinds: Kinds::of(Kind::Make),
            }));
        }
        needs
    }

    fn without(needs: &Needs, edges: &[(u32, u32)]) -> Needs {
        let kept = needs
            .nodes()
            .flat_map(|from| needs.of(from).iter().map(move |need| (from, need.node)));
        graph(number(needs.len()), kept.filter(|edge| !edges.contains(edge)))
    }

    #[test]
    fn a_ring_of_any_size_needs_one_edge() {
        for count in [2, 16, 17, 300] {
            let ring = graph(count, (0..count).map(|node| (node, (node + 1) % count)));
            let members: Vec<u32> = ring.nodes().collect();
            let feedback = smallest_break(&ring, &members);
            assert_eq!((feedback.edges.len(), feedback.at_least), (1, 1));
        }
    }

    proptest! {
        #[test]
        fn without_the_edges_there_is_no_loop_and_fewer_do_not_suffice(
            edges in prop::collection::btree_set((0..7_u32, 0..7_u32), 0..14),
        ) {
            let needs = graph(7, edges);
            for members in Components::new(&needs).loops() {
                let feedback = smallest_break(&needs, members);
                let is_open = |edges: &[(u32, u32)]| {
                    let rest = without(&needs, edges);
                    Components::new(&rest).loops().iter().all(|it| !it.iter().all(|node| members.contains(node)))
                };
                prop_assert!(is_open(&feedback.edges));
                prop_assert!(disjoint_loops(&edges_inside(&needs, members)) <= feedback.edges.len());
                let fewer = feedback.edges.len() - 1;
                let all: Vec<(u32, u32)> = members
                    .iter()
                    .flat_map(|from| needs.of(*from).iter().map(move |need| (*from, need.node)))
                    .collect();
                for chosen in (0..1_u32 << all.len()).filter(|set| set.count_ones() as usize == fewer) {
                    let edges: Vec<(u32, u32)> =
                        all.iter().enumerate().filter(|(at, _)| chosen & (1 << at) != 0).map(|(_, edge)| *edge).collect();
                    prop_assert!(!is_open(&edges));
                }
            }
        }
    }
}
