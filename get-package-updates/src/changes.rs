//! What changed in the sources between what was processed last and now: by comparing trees, not by parsing diffs.
//!
//! A new release is a change of a PKGBUILD (upstream's or the customization's), or a move to another repository. A
//! change of other files counts only for orders that are on the list already.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use common::build_list::Order;
use common::names::{PkgBase, Repository};
use common::source::{Heads, MergedView, Sources};

/// Why an order comes onto the list, or gets new commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Why {
    /// The package is new.
    Added,
    /// A PKGBUILD of it changed.
    Changed,
    /// It was in another repository.
    Moved(Repository),
    /// Other files of the pending order changed.
    Files,
    /// `update-once` names it.
    UpdateOnce,
    /// It is excluded no longer.
    Readmitted,
    /// Somebody asked for it, for this reason.
    Requested(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added => f.write_str("new"),
            Self::Changed => f.write_str("changed"),
            Self::Moved(from) => write!(f, "moved from {from}"),
            Self::Files => f.write_str("other files changed"),
            Self::UpdateOnce => f.write_str("update-once"),
            Self::Readmitted => f.write_str("no longer on the deletion list"),
            Self::Requested(reason) => write!(f, "requested: {reason}"),
        }
    }
}

/// All changes.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Packages with a new release.
    pub(crate) released: BTreeMap<PkgBase, Why>,
    /// Packages of which only other files changed.
    pub(crate) touched: BTreeSet<PkgBase>,
    /// Packages that are gone, as orders of the commits where they were last.
    pub(crate) deleted: BTreeMap<PkgBase, Order>,
}

impl Changes {
    /// Compares two views.
    pub(crate) fn between(sources: &Sources, old_heads: &Heads, old: &MergedView, new: &MergedView) -> Self {
        let mut changes = Self::default();
        for (pkgbase, package) in new.iter() {
            let why = match old.get(pkgbase) {
                None => Why::Added,
                Some(before) if before == package => continue,
                Some(before) if before.repository != package.repository => Why::Moved(before.repository.clone()),
                Some(before) if before.git_repository != package.git_repository => {
                    Why::Moved(before.git_repository.clone())
                }
                Some(before) if before.recipe != package.recipe => Why::Changed,
                Some(_) => {
                    changes.touched.insert(pkgbase.clone());
                    continue;
                }
            };
            changes.released.insert(pkgbase.clone(), why);
        }
        for (pkgbase, package) in old.iter() {
            if new.get(pkgbase).is_none() {
                let order = sources.order(old_heads, pkgbase, package);
                changes.deleted.insert(pkgbase.clone(), order);
            }
        }
        changes
    }
}
