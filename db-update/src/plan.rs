//! The plan: everything that one run does, decided before the first change.
//!
//! Deletions first, on what is there; then testing to stable, then staging to testing, each on what the step before
//! leaves. Where the packages of an order lie already where they are to go, a killed run moved them, and only the state
//! is left to change.

mod promotion;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};

use common::build_list::Order;
use common::config::ConfigError;
use common::names::{PkgBase, PkgName, Repository};
use common::repository::{Class, Classes, Entry};
use common::state::State;

use crate::candidate::Yard;
use crate::decision::placement::Placement;
use crate::decision::world::World;
use crate::decision::{Obstacle, removable};
use crate::neighbours;
use crate::situation::{Request, Situation};

/// One order's packages move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) order: Order,
    pub(crate) packages: Vec<(PkgName, Repository)>,
    pub(crate) to: Repository,
    pub(crate) class: Class,
}

/// Why an order stays where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hold {
    /// It is in testing and not approved.
    NotTested(String),
    /// Moving it would break something.
    Obstacle(Obstacle),
    /// An order that is not there yet, or that is held itself, is connected with it.
    Neighbour(neighbours::Held),
    /// Another one of the same rebuild stays.
    Rebuild(PkgBase),
    /// A newer version of one of its packages is there already.
    Newer(String),
    /// The operator asked for others only.
    NotAskedFor,
}

/// Everything that is to be done.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub(crate) moves: Vec<Move>,
    /// Older versions that go because of the moves.
    pub(crate) superseded: Vec<(Repository, PkgName)>,
    /// Packages of the deletion list that go.
    pub(crate) deleted: Vec<(Repository, Entry)>,
    /// Orders whose packages have arrived already, with the class in which they are.
    pub(crate) arrived: Vec<(Order, Class)>,
    /// Orders none of whose packages is published any more.
    pub(crate) vanished: Vec<(Order, State)>,
    /// What stays, and why.
    pub(crate) held: BTreeMap<Order, Hold>,
    /// Unwanted pkgbases that something still needs.
    pub(crate) needed: BTreeSet<PkgBase>,
    /// What a forced move breaks.
    pub(crate) broken: Vec<Obstacle>,
}

impl Plan {
    /// Decides.
    pub(crate) fn make(classes: &Classes, situation: &Situation, request: &Request) -> Result<Self, ConfigError> {
        let world = World::new(situation.contents.values().flatten(), &situation.links);
        let placement = Placement::new(classes, &situation.contents);
        let mut planner = Planner {
            classes,
            situation,
            request,
            world: &world,
            before: placement.clone(),
            placement,
            plan: Self::default(),
        };
        if request.force.is_empty() {
            planner.delete();
        }
        planner.promote(State::Tested)?;
        planner.promote(State::Done)?;
        Ok(planner.plan)
    }
}

struct Planner<'p, 'a> {
    classes: &'a Classes,
    situation: &'a Situation,
    request: &'p Request,
    world: &'p World<'a>,
    /// Where everything is.
    before: Placement<'a>,
    /// Where everything will be after the steps decided so far.
    placement: Placement<'a>,
    plan: Plan,
}

impl<'a> Planner<'_, 'a> {
    fn yard(&self) -> Yard<'_, 'a> {
        Yard {
            classes: self.classes,
            world: self.world,
            placement: &self.placement,
        }
    }

    fn delete(&mut self) {
        let wanted_away = |package: &usize| {
            self.situation.deletions.contains(&self.world.package(*package).pkgbase)
                && self
                    .placement
                    .class_of(*package)
                    .is_some_and(|class| class != Class::Standalone)
        };
        let unwanted: Vec<usize> = (0..self.world.len()).filter(wanted_away).collect();
        if unwanted.is_empty() {
            return;
        }
        let leaving = removable(self.world, &self.placement, &self.situation.deletions);
        for package in unwanted {
            let entry = self.world.package(package);
            match self.placement.of(package) {
                Some(repository) if leaving.contains(&entry.pkgbase) => {
                    let name = self.placement.name(repository).clone();
                    self.plan.deleted.push((name, entry.clone()));
                    self.placement.apply(&vec![(package, None)]);
                }
                _ => {
                    self.plan.needed.insert(entry.pkgbase.clone());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
