//! Ordering a graph that has loops: strongly connected components, relaxed tier by tier.
//!
//! Invariants: the nodes of a component stand together, and the order of components is always respected. Inside one the
//! weakest edges stop counting first; what is still a loop when only the strongest count is broken at one node, which
//! comes first. Edges that do not count are kept where that costs nothing (module `sequence`).

use super::breaking::breaker;
use super::components::Search;
use super::kinds::Tier;
use super::needs::{Need, Needs};
use super::sequence::{Units, sequence};

/// An order of the nodes, with the loops that are in it.
#[derive(Debug, Default)]
pub(super) struct Arrangement {
    /// The nodes, what is needed first.
    pub(super) order: Vec<u32>,
    /// Components of more than one node, implied edges left out; each sorted.
    pub(super) loops: Vec<Vec<u32>>,
}

/// Arranges all nodes. Of those that could come next the most urgent does, then the one with the smallest number.
pub(super) fn arrange(needs: &Needs, urgency: &[u64]) -> Arrangement {
    let mut arranger = Arranger {
        parts: Parts::new(needs),
        urgency,
        arrangement: Arrangement::default(),
        tasks: vec![Task::Arrange(needs.nodes().collect(), Tier::Implied)],
    };
    // Loops can be as deep as they are long: no recursion.
    while let Some(task) = arranger.tasks.pop() {
        match task {
            Task::Place(node) => arranger.arrangement.order.push(node),
            Task::Arrange(nodes, tier) => arranger.arrange(&nodes, tier),
        }
    }
    arranger.arrangement
}

enum Task {
    Place(u32),
    /// By the edges from a tier on.
    Arrange(Vec<u32>, Tier),
}

/// The graph cut into parts: edges from one part to another do not count.
pub(super) struct Parts<'g> {
    pub(super) needs: &'g Needs,
    search: Search,
    part_of: Vec<u32>,
    last: u32,
    /// A number for each node, for whoever looks at a part: only what was set for its nodes means anything.
    pub(super) scratch: Vec<u32>,
}

impl<'g> Parts<'g> {
    pub(super) fn new(needs: &'g Needs) -> Self {
        Self {
            needs,
            search: Search::new(needs.len()),
            part_of: vec![0; needs.len()],
            last: 0,
            scratch: vec![0; needs.len()],
        }
    }

    /// Makes a part of these nodes.
    pub(super) fn cut(&mut self, nodes: &[u32]) -> u32 {
        self.last += 1;
        for node in nodes {
            self.part_of[*node as usize] = self.last;
        }
        self.last
    }

    /// Puts a node into another part, 0 for none.
    pub(super) fn put(&mut self, node: u32, part: u32) {
        self.part_of[node as usize] = part;
    }

    /// Calls `found` with the components of a part by the edges from a tier on.
    pub(super) fn components(&mut self, nodes: &[u32], (part, tier): (u32, Tier), found: impl FnMut(&[u32])) {
        let part_of = &self.part_of;
        let is_inside = |need: &Need| need.kinds.tier() >= tier && part_of[need.node as usize] == part;
        self.search.components(self.needs, nodes, is_inside, found);
    }

    /// What a node needs inside a part.
    pub(super) fn needs_inside(&self, node: u32, part: u32) -> impl Iterator<Item = &Need> {
        let needs = self.needs.of(node).iter();
        needs.filter(move |need| self.part_of[need.node as usize] == part)
    }
}

struct Arranger<'g> {
    parts: Parts<'g>,
    urgency: &'g [u64],
    arrangement: Arrangement,
    /// What is to be done, the next thing last.
    tasks: Vec<Task>,
}

impl Arranger<'_> {
    fn arrange(&mut self, nodes: &[u32], tier: Tier) {
        let part = self.parts.cut(nodes);
        let mut units = Units::default();
        let urgency = self.urgency;
        self.parts
            .components(nodes, (part, tier), |members| units.add(members, urgency));
        for unit in sequence(&units, &mut self.parts, (part, tier)).into_iter().rev() {
            match units.nodes(unit) {
                [single] => self.tasks.push(Task::Place(*single)),
                nodes => self.open_loop(nodes.to_vec(), tier),
            }
        }
    }

    /// Plans how a component is arranged in which nodes need each other by the edges from a tier on.
    fn open_loop(&mut self, nodes: Vec<u32>, tier: Tier) {
        if tier == Tier::Check {
            self.arrangement.loops.push(nodes.clone());
        }
        match tier.stronger() {
            Some(stronger) => self.tasks.push(Task::Arrange(nodes, stronger)),
            None => {
                let first = breaker(&mut self.parts, &nodes);
                let rest = nodes.into_iter().filter(|node| *node != first).collect();
                self.tasks.push(Task::Arrange(rest, tier));
                self.tasks.push(Task::Place(first));
            }
        }
    }
}
