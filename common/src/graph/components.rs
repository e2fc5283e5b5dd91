//! Strongly connected components: Tarjan's algorithm without recursion, on a part of the graph.
//!
//! petgraph's goes one call deep a node, which a chain of all packages of a distribution would not survive on a
//! thread's stack, and wants a graph of its own for each part; the parts of a loop are looked at hundreds of times.

use super::needs::{Need, Needs, number};

/// Not reached yet.
const UNSEEN: u32 = 0;
/// Its component has been found.
const DONE: u32 = u32::MAX;

/// The working memory, kept from one search to the next.
#[derive(Debug)]
pub(super) struct Search {
    /// When a node was reached, from 1 on.
    reached: Vec<u32>,
    /// The earliest node that can be reached from it.
    low: Vec<u32>,
    /// Reached nodes whose component is not complete.
    open: Vec<u32>,
    /// The path from the root: a node and which of its edges comes next.
    path: Vec<(u32, usize)>,
}

impl Search {
    /// For a graph of so many nodes.
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            reached: vec![UNSEEN; nodes],
            low: vec![0; nodes],
            open: Vec::new(),
            path: Vec::new(),
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
        let mut count = 0;
        for root in nodes {
            if self.reached[*root as usize] == UNSEEN {
                self.enter(*root, &mut count);
                self.follow(needs, &is_inside, &mut count, &mut found);
            }
        }
        for node in nodes {
            self.reached[*node as usize] = UNSEEN;
        }
    }

    fn enter(&mut self, node: u32, count: &mut u32) {
        *count += 1;
        self.reached[node as usize] = *count;
        self.low[node as usize] = *count;
        self.open.push(node);
        self.path.push((node, 0));
    }

    fn follow(
        &mut self,
        needs: &Needs,
        is_inside: &impl Fn(&Need) -> bool,
        count: &mut u32,
        found: &mut impl FnMut(&[u32]),
    ) {
        while let Some((node, next)) = self.path.last_mut() {
            let node = *node;
            if let Some(need) = needs.of(node).get(*next) {
                *next += 1;
                if is_inside(need) {
                    match self.reached[need.node as usize] {
                        UNSEEN => self.enter(need.node, count),
                        DONE => {}
                        earlier => self.low[node as usize] = self.low[node as usize].min(earlier),
                    }
                }
                continue;
            }
            self.path.pop();
            let low = self.low[node as usize];
            if let Some((parent, _)) = self.path.last() {
                let parent = &mut self.low[*parent as usize];
                *parent = low.min(*parent);
            }
            if low == self.reached[node as usize] {
                let begin = self.open.iter().rposition(|open| *open == node).unwrap_or_default();
                for member in &self.open[begin..] {
                    self.reached[*member as usize] = DONE;
                }
                found(&self.open[begin..]);
                self.open.truncate(begin);
            }
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
