//! An order that may move: its packages, where they go, and what goes because of them.

use std::collections::BTreeSet;

use common::build_list::Order;
use common::config::ConfigError;
use common::names::Repository;
use common::repository::{Arrival, Class, Classes, Contents};

use crate::decision::placement::{Effect, Placement};
use crate::decision::world::World;

/// An order that waits in one class for the next one.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) order: Order,
    /// Its packages, one of each name.
    pub(crate) packages: Vec<usize>,
    /// The repository that they go to.
    pub(crate) to: usize,
    /// New places of these and of what they replace.
    pub(crate) effect: Effect,
}

/// What candidates are made of.
pub(crate) struct Yard<'p, 'a> {
    pub(crate) classes: &'a Classes,
    pub(crate) world: &'p World<'a>,
    pub(crate) placement: &'p Placement<'a>,
}

impl Yard<'_, '_> {
    /// The packages with these files in the repositories of a class, one of each name.
    pub(crate) fn locate(&self, class: Class, files: &[String]) -> Vec<usize> {
        let mut names = BTreeSet::new();
        files
            .iter()
            .flat_map(|file| self.world.of_file(file))
            .copied()
            .filter(|package| self.placement.class_of(*package) == Some(class))
            .filter(|package| names.insert(self.world.package(*package).name.as_str()))
            .collect()
    }

    /// The candidate, with what goes when it moves to a class: older versions, and `predecessors` that nothing replaces.
    pub(crate) fn candidate(
        &self,
        order: &Order,
        packages: Vec<usize>,
        class: Class,
        predecessors: Vec<usize>,
    ) -> Result<Candidate, ConfigError> {
        let name = self.destination(order, &packages, class)?;
        let to = self.placement.number(&name).unwrap_or_default();
        let mut effect: Effect = packages.iter().map(|package| (*package, Some(to))).collect();
        for package in &packages {
            let gone = self.superseded(*package, &name);
            effect.extend(gone.into_iter().map(|other| (other, None)));
        }
        effect.extend(predecessors.into_iter().map(|other| (other, None)));
        let mut known = BTreeSet::new();
        effect.retain(|(package, _)| known.insert(*package));
        Ok(Candidate {
            order: order.clone(),
            packages,
            to,
            effect,
        })
    }

    /// A newer version of one of the packages where they would go, or where it is more stable still.
    pub(crate) fn newer(&self, candidate: &Candidate) -> Option<usize> {
        let class = self.placement.class(candidate.to);
        candidate.packages.iter().find_map(|package| {
            let own = self.world.package(*package);
            let others = self.world.named(own.name.as_str()).iter().copied();
            others
                .filter(|other| self.placement.class_of(*other).is_some_and(|of| of <= class))
                .find(|other| self.world.package(*other).version > own.version)
        })
    }

    /// Whether the packages take the place of nothing, or of something that lacks what no package has.
    pub(crate) fn replaces_nothing_that_works(&self, candidate: &Candidate) -> bool {
        let class = self.placement.class(candidate.to);
        let is_broken = |package: usize| {
            self.world.needs_of(package).iter().any(|need| {
                let need = self.world.need(*need);
                need.is_known
                    && need
                        .providers
                        .iter()
                        .all(|provider| self.placement.of(*provider).is_none())
            })
        };
        let replaced = candidate.packages.iter().flat_map(|package| {
            let own = self.world.package(*package);
            self.world.named(own.name.as_str()).iter().copied()
        });
        replaced
            .filter(|other| self.placement.class_of(*other) == Some(class))
            .all(is_broken)
    }

    /// The packages that go when this one enters a repository.
    fn superseded(&self, package: usize, to: &Repository) -> Vec<usize> {
        let entry = self.world.package(package);
        let others: Vec<(usize, &Repository)> = self
            .world
            .named(entry.name.as_str())
            .iter()
            .filter(|other| **other != package)
            .filter_map(|other| Some((*other, self.placement.name(self.placement.of(*other)?))))
            .collect();
        let mut contents = Contents::new();
        for (other, repository) in &others {
            let entries = contents.entry((*repository).clone()).or_default();
            entries.push(self.world.package(*other).clone());
        }
        let gone = if contents.is_empty() {
            Vec::new()
        } else {
            self.classes.superseded(to, &Arrival::from(entry), &contents)
        };
        let goes = |(_, repository): &&(usize, &Repository)| *repository == to || gone.contains(repository);
        others.iter().filter(goes).map(|(other, _)| *other).collect()
    }

    /// Where the packages of an order go next. A package of multilib that lies where those of extra lie was put there
    /// by `extra-from-multilib`, and goes on with them.
    fn destination(&self, order: &Order, packages: &[usize], class: Class) -> Result<Repository, ConfigError> {
        let before = match class {
            Class::Stable => Class::Testing,
            _ => Class::Staging,
        };
        let usual = self.classes.destination(&order.repository, class)?;
        let Ok(extra) = "extra".parse::<Repository>() else {
            return Ok(usual);
        };
        let lies_in = |repository: &Repository| -> Result<bool, ConfigError> {
            let place = self.placement.number(&self.classes.destination(repository, before)?);
            Ok(packages.iter().all(|package| self.placement.of(*package) == place))
        };
        if order.repository.as_str() == "multilib" && !lies_in(&order.repository)? && lies_in(&extra)? {
            return self.classes.destination(&extra, class);
        }
        Ok(usual)
    }
}
