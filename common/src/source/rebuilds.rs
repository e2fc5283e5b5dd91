//! Which orders upstream released together: by one commit, or by commits within a few seconds, as somebody makes them who
//! rebuilds everything against a new library.
//!
//! An order's revision is the head of its git repository when it was scheduled; what released it is the last commit before
//! that, or that one, which changed its package. Only the last [`MOST_COMMITS`] commits are looked at.

use std::collections::{BTreeMap, BTreeSet};

use super::{Packaging, Sources};
use crate::build_list::Order;
use crate::git::{Change, GitError};
use crate::names::{PkgBase, Repository};

/// Commits of a git repository that are looked at: of Arch's some days.
const MOST_COMMITS: usize = 500;
/// Commits whose times differ by no more are of one rebuild, archlinux32's rule.
const SECONDS: u64 = 10;

impl Sources {
    /// A word for every order that was released recently, the same for those that were released together.
    ///
    /// # Errors
    /// A clone cannot be read.
    pub fn rebuilds(&self, orders: &BTreeSet<Order>) -> Result<BTreeMap<Order, String>, GitError> {
        let mut rebuilds = BTreeMap::new();
        for Packaging { git, layout, .. } in &self.packaging {
            let changes = git.recent_changes(MOST_COMMITS)?;
            let words = words(&changes);
            let mut pending: BTreeMap<(Repository, PkgBase), Vec<&Order>> = BTreeMap::new();
            for (change, word) in changes.iter().zip(words) {
                for order in orders.iter().filter(|order| order.revision == change.revision) {
                    let package = (order.repository.clone(), order.pkgbase.clone());
                    pending.entry(package).or_default().push(order);
                }
                for package in change.paths.iter().filter_map(|path| layout.owner(path)) {
                    for order in pending.remove(&package).into_iter().flatten() {
                        rebuilds.insert(order.clone(), word.clone());
                    }
                }
            }
        }
        Ok(rebuilds)
    }
}

/// The commit that begins each change's rebuild.
fn words(changes: &[Change]) -> Vec<String> {
    let mut words: Vec<String> = Vec::with_capacity(changes.len());
    for (index, change) in changes.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|index| changes.get(index));
        let word = match (before, words.last()) {
            (Some(younger), Some(word)) if younger.time.abs_diff(change.time) <= SECONDS => word.clone(),
            _ => change.revision.to_string(),
        };
        words.push(word);
    }
    words
}
