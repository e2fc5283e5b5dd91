//! How urgent an order is: how long it takes until everything is built that waits for it, with builders enough.

use std::collections::BTreeMap;

use super::needs::Needs;
use crate::names::PkgBase;

/// How long builds took, in seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildTimes {
    known: BTreeMap<PkgBase, u64>,
    /// What is assumed of the others.
    usual: u64,
}

impl BuildTimes {
    /// The times that are known. What is not known is taken to be like the one in the middle; `None` when nothing is.
    #[must_use]
    pub fn new(known: BTreeMap<PkgBase, u64>) -> Option<Self> {
        let mut all: Vec<u64> = known.values().copied().collect();
        all.sort_unstable();
        let usual = *all.get(all.len() / 2)?;
        Some(Self { known, usual })
    }

    /// Seconds that the build of a package is expected to take.
    #[must_use]
    pub fn of(&self, pkgbase: &PkgBase) -> u64 {
        self.known.get(pkgbase).copied().unwrap_or(self.usual)
    }
}

/// The seconds of the longest way that begins with each node, along edges that an order respects.
pub(super) fn urgency(needs: &Needs, order: &[u32], seconds: impl Fn(u32) -> u64) -> Vec<u64> {
    let mut position = vec![0; needs.len()];
    for (place, node) in order.iter().enumerate() {
        position[*node as usize] = place;
    }
    let mut longest: Vec<u64> = vec![0; needs.len()];
    for node in order.iter().rev() {
        let own = longest[*node as usize].saturating_add(seconds(*node));
        longest[*node as usize] = own;
        for need in needs.of(*node) {
            if position[need.node as usize] < position[*node as usize] {
                let behind = &mut longest[need.node as usize];
                *behind = own.max(*behind);
            }
        }
    }
    longest
}
