//! Everything that is reached from a node: transitive closures by the thousand.
//!
//! The nodes of a component reach the same, so each component keeps one row of bits, one bit a component, made once out
//! of the rows of those that it leads to: for all packages of a distribution some megabytes.

use super::components::Components;
use super::needs::{Needs, number};

/// What is reached from every node of a graph.
#[derive(Debug, Clone)]
pub struct Closures {
    components: Components,
    nodes: usize,
    /// Words a row.
    width: usize,
    rows: Vec<u64>,
    /// Whether the component is reached from itself: its nodes are in a loop.
    is_loop: Vec<bool>,
}

impl Closures {
    /// Follows the edges of a graph from every node.
    #[must_use]
    pub fn new(needs: &Needs) -> Self {
        let components = Components::new(needs);
        let count = components.count() as usize;
        let width = count.div_ceil(64);
        let mut rows = vec![0_u64; count * width];
        // What a component leads to comes before it.
        for component in 0..components.count() {
            let begin = component as usize * width;
            let (before, own) = rows.split_at_mut(begin);
            for node in components.members(component) {
                for need in needs.of(*node) {
                    let next = components.of(need.node);
                    if next != component && own[next as usize / 64] & (1 << (next % 64)) == 0 {
                        own[next as usize / 64] |= 1 << (next % 64);
                        let row = &before[next as usize * width..][..width];
                        own.iter_mut().zip(row).for_each(|(own, word)| *own |= word);
                    }
                }
            }
        }
        let is_loop = (0..components.count())
            .map(|it| components.members(it).len() > 1)
            .collect();
        Self {
            components,
            nodes: needs.len(),
            width,
            rows,
            is_loop,
        }
    }

    /// Everything that is reached from some nodes in one step or more, sorted.
    #[must_use]
    pub fn of(&self, nodes: &[u32]) -> Vec<u32> {
        let mut reached = vec![0_u64; self.width];
        for node in nodes {
            let component = self.components.of(*node);
            let row = &self.rows[component as usize * self.width..][..self.width];
            reached.iter_mut().zip(row).for_each(|(all, word)| *all |= word);
            if self.is_loop[component as usize] {
                reached[component as usize / 64] |= 1 << (component % 64);
            }
        }
        let mut is_member = vec![0_u64; self.nodes.div_ceil(64)];
        for component in ones(&reached) {
            for node in self.components.members(component) {
                is_member[*node as usize / 64] |= 1 << (node % 64);
            }
        }
        ones(&is_member).collect()
    }
}

/// The places of the bits that are set, in their order.
fn ones(words: &[u64]) -> impl Iterator<Item = u32> {
    words.iter().enumerate().flat_map(|(place, word)| {
        let mut left = *word;
        std::iter::from_fn(move || {
            let bit = (left != 0).then(|| left.trailing_zeros())?;
            left &= left - 1;
            Some(number(place * 64) + bit)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build_graph::Kind;
    use crate::graph::{Kinds, Need};

    #[test]
    fn a_node_reaches_itself_only_through_a_loop() {
        let mut needs = Needs::default();
        for targets in [&[1][..], &[2, 3], &[1], &[], &[0]] {
            needs.push(targets.iter().map(|node| Need {
                node: *node,
                kinds: Kinds::of(Kind::Make),
            }));
        }
        let closures = Closures::new(&needs);
        assert_eq!(closures.of(&[0]), [1, 2, 3]);
        assert_eq!(closures.of(&[1]), [1, 2, 3]);
        assert_eq!(closures.of(&[4]), [0, 1, 2, 3]);
        assert!(closures.of(&[3]).is_empty());
        assert_eq!(closures.of(&[3, 2]), [1, 2, 3]);
    }
}
