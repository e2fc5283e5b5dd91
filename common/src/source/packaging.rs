//! One of upstream's git repositories, as it is configured: where its clone is, which branch of it is followed, how it
//! keeps its packages, and which of them count.
//!
//! `repo_branch__NAME` and `repo_only__NAME` together take single packages from elsewhere: a git repository that stands
//! before the others in `repo_names` and gives nothing but the packages that it is there for.

use std::collections::BTreeSet;
use std::sync::Arc;

use git2::Oid;

use super::layout::{Layout, Place};
use crate::build_list::Order;
use crate::config::{Config, ConfigError};
use crate::git::{GitError, GitRepository};
use crate::names::{Arch, PkgBase};

/// A git repository with upstream's packages.
#[derive(Debug)]
pub(super) struct Packaging {
    pub(super) git: Arc<GitRepository>,
    pub(super) layout: Layout,
    /// The packages that count; empty: all.
    only: BTreeSet<PkgBase>,
}

impl Packaging {
    /// The git repository as it is configured.
    ///
    /// # Errors
    /// A key is missing or wrong.
    pub(super) fn configured(config: &Config, git: Arc<GitRepository>) -> Result<Self, ConfigError> {
        let only = config.parsed_words(&Config::key_for("repo_only__", git.name()))?;
        Ok(Self {
            layout: Layout::configured(config, git.name())?,
            only: only.into_iter().collect(),
            git,
        })
    }

    /// What is there below a tree of all packages that count.
    pub(super) fn places(&self, tree: Oid, arch: &Arch, strange: &mut Vec<String>) -> Result<Vec<Place>, GitError> {
        let mut places = self.layout.places(&self.git, tree, arch, strange)?;
        places.retain(|place| self.counts(&place.pkgbase));
        Ok(places)
    }

    /// What an order is built from; `None` when that is elsewhere.
    pub(super) fn find(&self, tree: Oid, order: &Order, arch: &Arch) -> Result<Option<Oid>, GitError> {
        if !self.counts(&order.pkgbase) {
            return Ok(None);
        }
        self.layout.find(&self.git, tree, order, arch)
    }

    fn counts(&self, pkgbase: &PkgBase) -> bool {
        self.only.is_empty() || self.only.contains(pkgbase)
    }
}
