//! What cannot be built because something that it needs is excluded: the closure to the fixed point.
//!
//! A dependency is lost when somebody is known to satisfy it and all of those are excluded; one that nobody is known
//! to satisfy is never lost. A package that needs something lost, to be built, tested or run, is excluded too. It is done
//! in rounds, so each reason names only what was excluded before, and following the reasons ends at a list.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::{Checks, Packages};
use crate::names::PkgBase;

/// Why a package is not built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
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

/// All excluded packages, with the reason of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exclusions(BTreeMap<PkgBase, Exclusion>);

impl Exclusions {
    /// Whether a package is excluded.
    #[must_use]
    pub fn contains(&self, pkgbase: &PkgBase) -> bool {
        self.0.contains_key(pkgbase)
    }

    /// The excluded packages, sorted.
    pub fn names(&self) -> impl Iterator<Item = &PkgBase> {
        self.0.keys()
    }

    /// Why a package is excluded, step by step down to an entry of a list: each step is a package with its reason, the
    /// next one a package that is lost to it. Empty when it is not excluded.
    #[must_use]
    pub fn chain(&self, pkgbase: &PkgBase) -> Vec<(&PkgBase, &Exclusion)> {
        let mut chain = Vec::new();
        let mut next = self.0.get_key_value(pkgbase);
        while let Some((pkgbase, exclusion)) = next {
            chain.push((pkgbase, exclusion));
            next = match exclusion {
                Exclusion::Listed(_) => None,
                Exclusion::Needs { lost, .. } => lost.first().and_then(|lost| self.0.get_key_value(lost)),
            };
        }
        chain
    }

    /// The chain as one sentence.
    #[must_use]
    pub fn explain(&self, pkgbase: &PkgBase) -> String {
        let mut text = String::new();
        for (step, (pkgbase, exclusion)) in self.chain(pkgbase).into_iter().enumerate() {
            match step {
                0 => text.push_str(&exclusion.to_string()),
                _ => text.push_str(&format!("; {pkgbase} {}{exclusion}", exclusion.verb())),
            }
        }
        text
    }
}

impl Exclusion {
    /// What stands between a package's name and its reason in a sentence.
    const fn verb(&self) -> &'static str {
        match self {
            Self::Listed(_) => "is ",
            Self::Needs { .. } => "",
        }
    }
}

/// All excluded packages with the reason of each: `listed` ones and what follows from them.
#[must_use]
pub fn closure(packages: &Packages<'_>, listed: BTreeMap<PkgBase, String>, checks: Checks) -> Exclusions {
    let mut exclusions: BTreeMap<PkgBase, Exclusion> = BTreeMap::new();
    let mut state = State::new(packages, checks);
    let mut round: Vec<u32> = Vec::new();
    for (pkgbase, entry) in listed {
        if let Some(node) = packages.node(&pkgbase) {
            state.is_excluded[node as usize] = true;
            round.push(node);
        }
        exclusions.insert(pkgbase, Exclusion::Listed(entry));
    }
    while !round.is_empty() {
        round = state.follow(&round);
        for node in &round {
            let name = packages.names()[*node as usize].clone();
            exclusions.insert(name, state.reason(*node));
        }
        for node in &round {
            state.is_excluded[*node as usize] = true;
        }
    }
    Exclusions(exclusions)
}

struct State<'p, 'a> {
    packages: &'p Packages<'a>,
    checks: Checks,
    is_excluded: Vec<bool>,
    /// The dependencies that each package satisfies.
    satisfies: Vec<Vec<u32>>,
    /// The packages that have each dependency.
    needers: Vec<Vec<u32>>,
}

impl<'p, 'a> State<'p, 'a> {
    fn new(packages: &'p Packages<'a>, checks: Checks) -> Self {
        let count = packages.names().len();
        let mut satisfies = vec![Vec::new(); count];
        let mut needers = Vec::new();
        for (dependency, (_, resolved)) in (0..).zip(packages.dependencies()) {
            resolved
                .all()
                .for_each(|node| satisfies[node as usize].push(dependency));
            needers.push(Vec::new());
        }
        for node in 0..count {
            let node = super::needs::number(node);
            for (dependency, kinds) in packages.wants_of(node) {
                if !kinds.common(checks.kinds()).is_empty() {
                    needers[*dependency as usize].push(node);
                }
            }
        }
        Self {
            packages,
            checks,
            is_excluded: vec![false; count],
            satisfies,
            needers,
        }
    }

    fn is_lost(&self, dependency: u32) -> bool {
        let mut all = self.packages.resolved(dependency).all().peekable();
        all.peek().is_some() && all.all(|node| self.is_excluded[node as usize])
    }

    /// Who is excluded because these are, sorted.
    fn follow(&self, round: &[u32]) -> Vec<u32> {
        let satisfied = round.iter().flat_map(|node| &self.satisfies[*node as usize]);
        let lost = satisfied.filter(|dependency| self.is_lost(**dependency));
        let needers = lost.flat_map(|dependency| &self.needers[*dependency as usize]);
        let mut next: Vec<u32> = needers
            .copied()
            .filter(|node| !self.is_excluded[*node as usize])
            .collect();
        next.sort_unstable();
        next.dedup();
        next
    }

    /// The first lost dependency of a package.
    fn reason(&self, node: u32) -> Exclusion {
        let wants = self.packages.wants_of(node).iter();
        let counting = wants.filter(|(_, kinds)| !kinds.common(self.checks.kinds()).is_empty());
        let lost = counting
            .map(|(dependency, _)| *dependency)
            .filter(|it| self.is_lost(*it));
        let names = self.packages.names();
        let first = lost.map(|it| (self.packages.dependency(it), it)).min();
        let (dependency, number) = first.expect("who is excluded here needs something that is lost");
        let mut lost: Vec<u32> = self.packages.resolved(number).all().collect();
        lost.sort_unstable();
        lost.dedup();
        Exclusion::Needs {
            dependency: dependency.to_string(),
            lost: lost.iter().map(|node| names[*node as usize].clone()).collect(),
        }
    }
}
