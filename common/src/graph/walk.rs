//! Who depends on a package and what it needs, step by step, each step with the dependency that leads there.
//!
//! Who depends on something is asked of everybody who satisfies a dependency, not only of the one whom it is taken from:
//! a provider that nobody chooses today may have been chosen when a package was built.

use std::collections::BTreeMap;

use super::kinds::Kinds;
use super::needs::number;
use super::{Needs, Packages};
use crate::srcinfo::Dependency;

/// Which dependencies are followed, and how far.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// These kinds.
    pub kinds: Kinds,
    /// Every dependency, or those on shared libraries alone.
    pub names: Names,
    /// So many steps at most.
    pub depth: usize,
}

/// What dependencies may be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// On anything.
    All,
    /// On shared libraries: `libfoo.so`, with or without a version.
    Sonames,
}

/// A step to a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step<'a> {
    /// Where it leads.
    pub to: u32,
    /// What is needed there or here, in the words of who needs it; `None` where only the edge is known.
    pub dependency: Option<&'a Dependency>,
    /// What for.
    pub kinds: Kinds,
}

/// How a package was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached<'a> {
    /// From where; `None` when it was reached from what is no package.
    pub from: Option<u32>,
    /// By what.
    pub step: Step<'a>,
    /// The number of steps.
    pub depth: usize,
}

/// Follows steps, the shortest ways first; of ways of one length the first counts. The first steps come with where they
/// begin.
pub fn walk<'a>(
    first: Vec<(Option<u32>, Step<'a>)>,
    depth: usize,
    next: impl Fn(u32) -> Vec<Step<'a>>,
) -> BTreeMap<u32, Reached<'a>> {
    let mut reached: BTreeMap<u32, Reached<'a>> = BTreeMap::new();
    let mut round = first;
    for depth in 1..=depth {
        let mut fresh = Vec::new();
        for (from, step) in round {
            let to = step.to;
            match reached.get_mut(&to) {
                None => {
                    fresh.push(to);
                    reached.insert(to, Reached { from, step, depth });
                }
                // Several dependencies on the same package, or kinds of one, are one way.
                Some(known) if known.depth == depth && known.from == from => known.step.kinds.add(step.kinds),
                Some(_) => {}
            }
        }
        let steps = |from: u32| next(from).into_iter().map(move |step| (Some(from), step));
        round = fresh.into_iter().flat_map(steps).collect();
        if round.is_empty() {
            break;
        }
    }
    reached
}

/// The edges of a graph as steps.
#[must_use]
pub fn steps_along<'a>(needs: &Needs, node: u32, kinds: Kinds) -> Vec<Step<'a>> {
    let needs = needs
        .of(node)
        .iter()
        .filter(|need| !need.kinds.common(kinds).is_empty());
    let steps = needs.map(|need| Step {
        to: need.node,
        dependency: None,
        kinds: need.kinds.common(kinds),
    });
    steps.collect()
}

/// Who needs what, from both ends.
#[derive(Debug)]
pub struct Relations<'p, 'a> {
    packages: &'p Packages<'a>,
    scope: Scope,
    /// The dependencies that each package satisfies.
    satisfies: Vec<Vec<u32>>,
    /// The packages that have each dependency.
    needers: Vec<Vec<(u32, Kinds)>>,
}

impl<'p, 'a> Relations<'p, 'a> {
    /// The relations that a scope leaves.
    #[must_use]
    pub fn new(packages: &'p Packages<'a>, scope: Scope) -> Self {
        let mut relations = Self {
            packages,
            scope,
            satisfies: vec![Vec::new(); packages.names().len()],
            needers: Vec::new(),
        };
        for (number, (dependency, resolved)) in (0..).zip(packages.dependencies()) {
            relations.needers.push(Vec::new());
            if relations.is_followed(dependency) {
                for node in resolved.possible() {
                    relations.satisfies[*node as usize].push(number);
                }
            }
        }
        for node in 0..number(packages.names().len()) {
            for (dependency, kinds) in packages.wants_of(node) {
                let kinds = kinds.common(scope.kinds);
                if !kinds.is_empty() {
                    relations.needers[*dependency as usize].push((node, kinds));
                }
            }
        }
        relations
    }

    /// Steps to all who need something that a package satisfies.
    #[must_use]
    pub fn dependents(&self, node: u32) -> Vec<Step<'a>> {
        let satisfied = self.satisfies[node as usize].iter();
        satisfied.flat_map(|dependency| self.needers_of(*dependency)).collect()
    }

    /// Steps to all whose dependencies a rule accepts, which says what was asked for.
    #[must_use]
    pub fn dependents_by(&self, is_asked_for: impl Fn(&Dependency) -> bool) -> Vec<Step<'a>> {
        let dependencies = (0..).zip(self.packages.dependencies());
        let asked_for = dependencies.filter(|(_, (it, _))| self.is_followed(it) && is_asked_for(it));
        asked_for.flat_map(|(number, _)| self.needers_of(number)).collect()
    }

    /// Steps to all whom a package takes what it needs from.
    #[must_use]
    pub fn needs(&self, node: u32) -> Vec<Step<'a>> {
        let mut steps = Vec::new();
        for (number, kinds) in self.packages.wants_of(node) {
            let dependency = self.packages.dependency(*number);
            let kinds = kinds.common(self.scope.kinds);
            if self.is_followed(dependency) && !kinds.is_empty() {
                let chosen = self.packages.resolved(*number).chosen_by(node);
                steps.extend(chosen.iter().filter(|to| **to != node).map(|to| Step {
                    to: *to,
                    dependency: Some(dependency),
                    kinds,
                }));
            }
        }
        steps
    }

    fn needers_of(&self, number: u32) -> impl Iterator<Item = Step<'a>> {
        let dependency = self.packages.dependency(number);
        let resolved = self.packages.resolved(number);
        // What a package provides itself it does not need from others.
        let needers = self.needers[number as usize]
            .iter()
            .filter(|(to, _)| !resolved.is_by(*to));
        needers.map(move |(to, kinds)| Step {
            to: *to,
            dependency: Some(dependency),
            kinds: *kinds,
        })
    }

    fn is_followed(&self, dependency: &Dependency) -> bool {
        match self.scope.names {
            Names::All => true,
            Names::Sonames => dependency.is_soname(),
        }
    }
}
