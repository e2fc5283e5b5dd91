//! Strongly connected components: Tarjan's algorithm without recursion, on a part of the graph.
//!
//! petgraph's goes one call deep a node, which a chain of all packages of a distribution would not survive on a
//! thread's stack, and wants a graph of its own for each part; the parts of a loop are looked at hundreds of times.

use std::ops::Range;

use super::needs::{Need, Needs, number};

/// Not reached yet.
const UNSEEN: u32 = 0;
/// Its component has been found.
const DONE: u32 = u32::MAX;

/// What is known of a node.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// When it was reached, from 1 on.
    reached: u32,
    /// The earliest node that can be reached from it.
    low: u32,
}

/// A node on the path from the root.
#[derive(Debug)]
struct Visit {
    node: u32,
    /// Which of its edges comes next, and where they end.
    edges: Range<usize>,
}

/// The working memory, kept from one search to the next.
#[derive(Debug)]
pub(super) struct Search {
    seen: Vec<Seen>,
    /// Reached nodes whose component is not complete.
    open: Vec<u32>,
    path: Vec<Visit>,
    count: u32,
}

impl Search {
    /// For a graph of so many nodes.
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            seen: vec![Seen::default(); nodes],
            open: Vec::new(),
            path: Vec::new(),
            count: 0,
        }
    }

    /// Calls `found` with every component of the part that consists of `nodes` and the edges that `is_inside` accepts (it
    /// must refuse those that leave the part). What is needed comes first.
    pub(super) fn components(
        &mut self,
        needs: &Needs,
        nodes: &[u32],
        is_inside: impl Fn(&Need) -> bool,
        mut found: impl FnMut(&[u32]),
    ) {
        self.count = 0;
        for root in nodes {
            if self.seen[*root as usize].reached == UNSEEN {
                self.enter(needs, *root);
                self.follow(needs, &is_inside, &mut found);
            }
        }
        for node in nodes {
            self.seen[*node as usize].reached = UNSEEN;
        }
    }

    fn enter(&mut self, needs: &Needs, node: u32) {
        self.count += 1;
        self.seen[node as usize] = Seen {
            reached: self.count,
            low: self.count,
        };
        self.open.push(node);
        self.path.push(Visit {
            node,
            edges: needs.places_of(node),
        });
    }

    fn follow(&mut self, needs: &Needs, is_inside: &impl Fn(&Need) -> bool, found: &mut impl FnMut(&[u32])) {
        while let Some(visit) = self.path.last_mut() {
            let node = visit.node as usize;
            let mut low = self.seen[node].low;
            let mut unseen = None;
            for need in visit
                .edges
                .by_ref()
                .map(|place| needs.at(place))
                .filter(|need| is_inside(need))
            {
                match self.seen[need.node as usize].reached {
                    UNSEEN => {
                        unseen = Some(need.node);
                        break;
                    }
                    DONE => {}
                    earlier => low = low.min(earlier),
                }
            }
            self.seen[node].low = low;
            match unseen {
                Some(next) => self.enter(needs, next),
                None => self.leave(found),
            }
        }
    }

    /// Goes back from a node all of whose edges have been followed.
    fn leave(&mut self, found: &mut impl FnMut(&[u32])) {
        let Some(Visit { node, .. }) = self.path.pop() else {
            return;
        };
        let Seen { reached, low } = self.seen[node as usize];
        if let Some(parent) = self.path.last() {
            let parent = &mut self.seen[parent.node as usize].low;
            *parent = low.min(*parent);
        }
        if low == reached {
            let begin = self.open.iter().rposition(|open| *open == node).unwrap_or_default();
            for member in &self.open[begin..] {
                self.seen[*member as usize].reached = DONE;
            }
            found(&self.open[begin..]);
            self.open.truncate(begin);
        }
    }
}

/// Which component each node is in, and the members of each; what is needed comes first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Components {
    of: Vec<u32>,
    members: Vec<Vec<u32>>,
}

impl Components {
    /// The strongly connected components of a graph.
    #[must_use]
    pub fn new(needs: &Needs) -> Self {
        let nodes: Vec<u32> = needs.nodes().collect();
        let mut components = Self {
            of: vec![0; nodes.len()],
            members: Vec::new(),
        };
        Search::new(nodes.len()).components(
            needs,
            &nodes,
            |_| true,
            |members| {
                for member in members {
                    components.of[*member as usize] = number(components.members.len());
                }
                let mut members = members.to_vec();
                members.sort_unstable();
                components.members.push(members);
            },
        );
        components
    }

    /// The component of a node.
    #[must_use]
    pub fn of(&self, node: u32) -> u32 {
        self.of[node as usize]
    }

    /// The nodes of a component, sorted.
    #[must_use]
    pub fn members(&self, component: u32) -> &[u32] {
        &self.members[component as usize]
    }

    /// The number of components.
    #[must_use]
    pub fn count(&self) -> u32 {
        number(self.members.len())
    }

    /// Those of more than one node, each sorted, by their first nodes.
    #[must_use]
    pub fn loops(&self) -> Vec<&[u32]> {
        let mut loops: Vec<&[u32]> = self.members.iter().map(Vec::as_slice).filter(|m| m.len() > 1).collect();
        loops.sort_unstable();
        loops
    }
}
