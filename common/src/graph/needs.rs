//! The graph in numbers: which node needs which others, and what for.
//!
//! Nodes are 0, 1, 2 …, in the order of the names that they stand for. All edges lie in one vector, those of a node
//! side by side, sorted, none twice and none to itself: a distribution's graph is walked in microseconds.

use std::ops::Range;

use super::kinds::Kinds;

/// One edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// The node that is needed.
    pub node: u32,
    /// What for.
    pub kinds: Kinds,
}

/// What every node needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// Where the edges of each node begin, and at the end where the last ones end.
    starts: Vec<u32>,
    edges: Vec<Need>,
}

impl Default for Needs {
    fn default() -> Self {
        Self {
            starts: vec![0],
            edges: Vec::new(),
        }
    }
}

/// A place in a vector of nodes or edges as it is kept here.
///
/// # Panics
/// There are more than four billion.
pub(super) fn number(place: usize) -> u32 {
    u32::try_from(place).expect("a graph has fewer than four billion nodes and edges")
}

/// What a place holds before its edge is put there.
const NO_NEED: Need = Need {
    node: 0,
    kinds: Kinds::IMPLIED,
};

/// Makes of numbers of edges, each one place behind its node, the places where the edges begin.
pub(super) fn add_up(counts: &mut [u32]) {
    let mut sum = 0;
    for count in counts {
        sum += *count;
        *count = sum;
    }
}

impl Needs {
    /// A graph of so many nodes out of edges in any order, each with who needs.
    #[must_use]
    pub(super) fn of_edges(nodes: usize, edges: &[(u32, Need)]) -> Self {
        let mut starts = vec![0_u32; nodes + 1];
        edges.iter().for_each(|(needer, _)| starts[*needer as usize + 1] += 1);
        add_up(&mut starts);
        let mut next = starts.clone();
        let mut sorted = vec![NO_NEED; edges.len()];
        for (needer, need) in edges {
            let place = &mut next[*needer as usize];
            sorted[*place as usize] = *need;
            *place += 1;
        }
        let mut needs = Self {
            starts: Vec::with_capacity(starts.len()),
            edges: Vec::with_capacity(edges.len()),
        };
        needs.starts.push(0);
        for ends in starts.windows(2) {
            needs.push(sorted[ends[0] as usize..ends[1] as usize].iter().copied());
        }
        needs
    }

    /// Adds the next node with what it needs, in any order; kinds of edges to the same node are united.
    pub fn push(&mut self, needs: impl IntoIterator<Item = Need>) {
        let node = number(self.len());
        let begin = self.edges.len();
        self.edges.extend(needs.into_iter().filter(|need| need.node != node));
        self.edges[begin..].sort_unstable_by_key(|need| need.node);
        let mut kept = begin;
        for place in begin..self.edges.len() {
            let need = self.edges[place];
            if kept > begin && self.edges[kept - 1].node == need.node {
                self.edges[kept - 1].kinds.add(need.kinds);
            } else {
                self.edges[kept] = need;
                kept += 1;
            }
        }
        self.edges.truncate(kept);
        self.starts.push(number(kept));
    }

    /// The number of nodes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether there is no node.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of edges.
    #[must_use]
    pub fn edge_count(&self) -> usize {
        self.edges.len()
    }

    /// All nodes.
    #[must_use]
    pub fn nodes(&self) -> Range<u32> {
        0..number(self.len())
    }

    /// What a node needs, sorted.
    #[must_use]
    pub fn of(&self, node: u32) -> &[Need] {
        &self.edges[self.places_of(node)]
    }

    /// The places of a node's edges among all.
    pub(super) fn places_of(&self, node: u32) -> Range<usize> {
        let node = node as usize;
        self.starts[node] as usize..self.starts[node + 1] as usize
    }

    /// The edge at a place.
    pub(super) fn at(&self, place: usize) -> &Need {
        &self.edges[place]
    }

    /// The same edges the other way round: who needs a node.
    #[must_use]
    pub fn reversed(&self) -> Self {
        let mut starts = vec![0_u32; self.len() + 1];
        for need in &self.edges {
            starts[need.node as usize + 1] += 1;
        }
        add_up(&mut starts);
        let mut next = starts.clone();
        let mut edges = vec![NO_NEED; self.edges.len()];
        for node in self.nodes() {
            for need in self.of(node) {
                let place = &mut next[need.node as usize];
                edges[*place as usize] = Need {
                    node,
                    kinds: need.kinds,
                };
                *place += 1;
            }
        }
        Self { starts, edges }
    }

    /// The edges of some kinds alone.
    #[must_use]
    pub fn restricted_to(&self, kinds: Kinds) -> Self {
        let mut restricted = Self::default();
        for node in self.nodes() {
            let of_kinds = self.of(node).iter().map(|need| Need {
                node: need.node,
                kinds: need.kinds.common(kinds),
            });
            restricted.push(of_kinds.filter(|need| !need.kinds.is_empty()));
        }
        restricted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build_graph::Kind;

    fn need(node: u32, kind: Kind) -> Need {
        Need {
            node,
            kinds: Kinds::of(kind),
        }
    }

    #[test]
    fn edges_are_sorted_united_and_never_to_oneself() {
        let mut needs = Needs::default();
        needs.push([
            need(2, Kind::Run),
            need(0, Kind::Make),
            need(1, Kind::Check),
            need(2, Kind::Make),
        ]);
        needs.push([]);
        needs.push([need(1, Kind::Make)]);
        let both = Need {
            node: 2,
            kinds: [Kind::Make, Kind::Run].into_iter().collect(),
        };
        assert_eq!(needs.of(0), [need(1, Kind::Check), both]);
        assert_eq!((needs.of(1), needs.of(2)), (&[][..], &[need(1, Kind::Make)][..]));
        assert_eq!(needs.reversed().of(1), [need(0, Kind::Check), need(2, Kind::Make)]);
        assert_eq!(needs.reversed().reversed(), needs);
        assert_eq!(needs.restricted_to(Kinds::of(Kind::Run)).of(0), [need(2, Kind::Run)]);
    }
}
