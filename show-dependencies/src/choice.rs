//! Who is excluded without packages, and whom a package takes its dependencies from.

use std::collections::BTreeSet;
use std::fmt;

use common::build_graph::Kind;
use common::graph::{Choice, closure};
use common::names::PkgBase;
use serde::Serialize;

use crate::answer::Answer;
use crate::{Asked, Unanswerable};

/// A package that is excluded.
#[derive(Serialize)]
struct Excluded<'a> {
    pkgbase: &'a PkgBase,
    why: Vec<(PkgBase, String)>,
    #[serde(skip)]
    sentence: String,
}

impl fmt::Display for Excluded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pkgbase, self.sentence)
    }
}

/// What cannot be built without these packages.
pub(crate) fn excluded(asked: &Asked<'_>, names: &[PkgBase]) -> anyhow::Result<Answer> {
    let packages = asked.view.packages.as_ref().ok_or(Unanswerable::NoWords)?;
    if let Some(unknown) = names.iter().find(|name| packages.node(name).is_none()) {
        return Err(Unanswerable::Unknown(unknown.to_string()).into());
    }
    let listed = names.iter().map(|name| (name.clone(), name.to_string())).collect();
    let exclusions = closure(packages, listed, asked.policy.checks);
    let mut answer = Answer::new(asked.form);
    for pkgbase in exclusions.names() {
        let chain = exclusions.chain(pkgbase);
        answer.add(&Excluded {
            pkgbase,
            why: chain
                .into_iter()
                .map(|(name, why)| (name.clone(), why.to_string()))
                .collect(),
            sentence: exclusions.explain(pkgbase),
        })?;
        answer.nodes.extend(packages.node(pkgbase));
    }
    Ok(answer)
}

/// One dependency of a package.
#[derive(Serialize)]
struct Taken<'a> {
    kind: Kind,
    dependency: String,
    #[serde(flatten)]
    choice: Choice<'a>,
}

impl fmt::Display for Taken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |names: &[&PkgBase]| names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" ");
        let (kind, dependency, how) = (self.kind.as_str(), &self.dependency, self.choice.how);
        write!(f, "{dependency} ({kind}) {how}")?;
        if !self.choice.from.is_empty() {
            write!(f, ": {}", join(&self.choice.from))?;
        }
        if !self.choice.others.is_empty() {
            write!(f, "; also: {}", join(&self.choice.others))?;
        }
        Ok(())
    }
}

/// Whom a package takes what it needs from.
pub(crate) fn providers(asked: &Asked<'_>, pkgbase: &PkgBase) -> anyhow::Result<Answer> {
    let packages = asked.view.packages.as_ref().ok_or(Unanswerable::NoWords)?;
    if packages.node(pkgbase).is_none() {
        return Err(Unanswerable::Unknown(pkgbase.to_string()).into());
    }
    let mut answer = Answer::new(asked.form);
    let mut seen = BTreeSet::new();
    // What all packages of a pkgbase need is said by each of them.
    for (kind, dependency) in packages.wants(pkgbase).filter(|want| seen.insert(*want)) {
        let choice = packages.choice(pkgbase, dependency);
        answer
            .nodes
            .extend(choice.from.iter().filter_map(|name| packages.node(name)));
        answer.add(&Taken {
            kind,
            dependency: dependency.to_string(),
            choice,
        })?;
    }
    answer.nodes.extend(packages.node(pkgbase));
    Ok(answer)
}
