//! What cannot be built because something that it needs is excluded: the closure to the fixed point.
//!
//! A dependency is lost when somebody is known to satisfy it and all of those are excluded; one that nobody is known
//! to satisfy is never lost. A package that needs something lost, to be built, tested or run, is excluded too.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Packages;
use crate::names::PkgBase;
use crate::srcinfo::{Dependency, SrcInfo};

/// Why a package is not built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exclusion {
    /// A list says so, with this entry.
    Listed(String),
    /// It needs something that only excluded packages satisfy.
    Needs {
        /// What it needs.
        dependency: String,
        /// The excluded packages.
        lost: Vec<PkgBase>,
    },
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listed(entry) => write!(f, "blacklisted by {entry}"),
            Self::Needs { dependency, lost } => {
                let lost: Vec<&str> = lost.iter().map(PkgBase::as_str).collect();
                write!(f, "needs {dependency}, which only {} would provide", lost.join(", "))
            }
        }
    }
}

/// The dependencies of a package that somebody is known to satisfy, with all who do.
type Needs<'a> = Vec<(&'a Dependency, BTreeSet<&'a PkgBase>)>;

/// All excluded packages with the reason of each: `listed` ones and what follows from them.
#[must_use]
pub fn closure(packages: &Packages<'_>, listed: BTreeMap<PkgBase, String>) -> BTreeMap<PkgBase, Exclusion> {
    let mut excluded: BTreeMap<PkgBase, Exclusion> = listed
        .into_iter()
        .map(|(pkgbase, entry)| (pkgbase, Exclusion::Listed(entry)))
        .collect();
    if excluded.is_empty() {
        return excluded;
    }
    let mut needs: Vec<(&PkgBase, Needs<'_>)> = packages
        .names()
        .filter_map(|pkgbase| {
            let needs = needs(packages.info(pkgbase)?)
                .into_iter()
                .map(|dependency| (dependency, packages.satisfying(dependency)))
                .filter(|(_, satisfying)| !satisfying.is_empty());
            Some((pkgbase, needs.collect()))
        })
        .collect();
    loop {
        let mut added = BTreeMap::new();
        needs.retain(|(pkgbase, _)| !excluded.contains_key(*pkgbase));
        for (pkgbase, dependencies) in &needs {
            let is_lost = |satisfying: &BTreeSet<&PkgBase>| satisfying.iter().all(|p| excluded.contains_key(*p));
            if let Some((dependency, satisfying)) = dependencies.iter().find(|(_, s)| is_lost(s)) {
                let reason = Exclusion::Needs {
                    dependency: dependency.to_string(),
                    lost: satisfying.iter().map(|lost| (*lost).clone()).collect(),
                };
                added.insert((*pkgbase).clone(), reason);
            }
        }
        if added.is_empty() {
            return excluded;
        }
        excluded.extend(added);
    }
}

fn needs(info: &SrcInfo) -> BTreeSet<&Dependency> {
    let of_packages = info.packages.iter().flat_map(|package| &package.depends);
    info.makedepends
        .iter()
        .chain(&info.checkdepends)
        .chain(&info.depends)
        .chain(of_packages)
        .collect()
}
