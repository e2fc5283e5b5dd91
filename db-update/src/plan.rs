//! The plan: everything that one run does, decided before the first change.
//!
//! Deletions first, on what is there; then testing to stable, then staging to testing, each on what the step before
//! leaves. Where the packages of an order lie already where they are to go, a killed run moved them, and only the state
//! is left to change.

use std::collections::{BTreeMap, BTreeSet};

use common::build_list::Order;
use common::config::ConfigError;
use common::names::{PkgBase, PkgName, Repository};
use common::repository::{Arrival, Class, Classes, Contents, Entry};
use common::state::State;

use crate::decision::{Group, Index, Obstacle, View, hold_back, removable};

/// What is known before the decision.
#[derive(Debug, Clone)]
pub(crate) struct Situation {
    /// The packages of all repositories that are not standalone.
    pub(crate) contents: Contents,
    /// Orders with their package files, by state: `done`, `testing`, `tested`.
    pub(crate) orders: BTreeMap<Order, (State, Vec<String>)>,
    /// Orders in testing that are approved in this run.
    pub(crate) approved: BTreeSet<Order>,
    /// Why the others in testing are not.
    pub(crate) unapproved: BTreeMap<Order, String>,
    /// Pkgbases that are to leave the repositories.
    pub(crate) deletions: BTreeSet<PkgBase>,
}

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
}

impl Plan {
    /// Decides.
    pub(crate) fn make(classes: &Classes, situation: &Situation) -> Result<Self, ConfigError> {
        let mut planner = Planner {
            classes,
            situation,
            contents: situation.contents.clone(),
            plan: Self::default(),
        };
        planner.delete();
        planner.promote(State::Tested)?;
        planner.promote(State::Done)?;
        Ok(planner.plan)
    }
}

struct Planner<'a> {
    classes: &'a Classes,
    situation: &'a Situation,
    /// What will be there after the steps decided so far.
    contents: Contents,
    plan: Plan,
}

impl Planner<'_> {
    fn delete(&mut self) {
        let (stable, testing, staging) = (
            self.view(Class::Stable),
            self.view(Class::Testing),
            self.view(Class::Staging),
        );
        let unwanted = self.situation.deletions.iter().collect();
        let leaving: BTreeSet<PkgBase> = removable(&[&stable, &testing, &staging], &unwanted)
            .into_iter()
            .cloned()
            .collect();
        for (repository, entries) in &mut self.contents {
            let (gone, kept) = std::mem::take(entries)
                .into_iter()
                .partition::<Vec<Entry>, _>(|entry| leaving.contains(&entry.pkgbase));
            *entries = kept;
            self.plan
                .deleted
                .extend(gone.into_iter().map(|entry| (repository.clone(), entry)));
        }
        let left = self.contents.values().flatten().map(|entry| &entry.pkgbase);
        self.plan.needed = left
            .filter(|base| self.situation.deletions.contains(*base))
            .cloned()
            .collect();
    }

    /// What users of a class see: its packages over those of the more stable ones.
    fn view(&self, class: Class) -> View<'_> {
        let mut view = View::new();
        for (repository, of) in self.classes.all() {
            if of > class {
                continue;
            }
            for entry in self.contents.get(repository).into_iter().flatten() {
                view.insert(entry.name.as_str(), entry);
            }
        }
        view
    }

    /// Moves what may move out of one state.
    fn promote(&mut self, state: State) -> Result<(), ConfigError> {
        let (from, to) = match state {
            State::Done => (Class::Staging, Class::Testing),
            _ => (Class::Testing, Class::Stable),
        };
        let candidates = self.candidates(state, from, to);
        let contents = self.contents.clone();
        let located: Vec<(&Order, Vec<(&Repository, &Entry)>)> = candidates
            .iter()
            .map(|(order, files)| (order, locate(&contents, self.classes, from, files)))
            .collect();
        let groups: Vec<Group<'_>> = located
            .iter()
            .map(|(_, packages)| packages.iter().map(|(_, entry)| *entry).collect())
            .collect();
        let held = hold_back(&self.view(to), &groups, &Index::new(contents.values().flatten()));
        for (number, (order, packages)) in located.iter().enumerate() {
            match held.get(&number) {
                Some(obstacle) => {
                    self.plan
                        .held
                        .insert((*order).clone(), Hold::Obstacle(obstacle.clone()));
                }
                None => self.move_packages(order, packages, to)?,
            }
        }
        Ok(())
    }

    /// The orders that are to leave a class, and notes of those that have left it already.
    fn candidates(&mut self, wanted: State, from: Class, to: Class) -> Vec<(Order, Vec<String>)> {
        let mut candidates = Vec::new();
        for (order, (state, files)) in &self.situation.orders {
            let is_approved = *state == State::Testing && self.situation.approved.contains(order);
            let effective = if is_approved { State::Tested } else { *state };
            let is_in_testing = wanted == State::Tested && matches!(state, State::Testing | State::Tested);
            if effective != wanted && !is_in_testing {
                continue;
            }
            if !locate(&self.contents, self.classes, from, files).is_empty() {
                if effective == State::Testing {
                    let reason = self.situation.unapproved.get(order).cloned().unwrap_or_default();
                    self.plan.held.insert(order.clone(), Hold::NotTested(reason));
                } else {
                    candidates.push((order.clone(), files.clone()));
                }
            } else if !locate(&self.situation.contents, self.classes, to, files).is_empty() {
                self.plan.arrived.push((order.clone(), to));
            } else {
                self.plan.vanished.push((order.clone(), *state));
            }
        }
        candidates
    }

    fn move_packages(
        &mut self,
        order: &Order,
        packages: &[(&Repository, &Entry)],
        class: Class,
    ) -> Result<(), ConfigError> {
        let to = self.destination(order, packages, class)?;
        for (from, entry) in packages {
            for repository in self.classes.superseded(&to, &Arrival::from(*entry), &self.contents) {
                let is_own_source = repository == **from;
                take(&mut self.contents, &repository, &entry.name);
                if !is_own_source {
                    self.plan.superseded.push((repository, entry.name.clone()));
                }
            }
            take(&mut self.contents, from, &entry.name);
            take(&mut self.contents, &to, &entry.name);
            self.contents.entry(to.clone()).or_default().push((*entry).clone());
        }
        if class == Class::Testing {
            self.drop_predecessors(order, packages);
        }
        self.plan.moves.push(Move {
            order: order.clone(),
            packages: packages
                .iter()
                .map(|(from, entry)| (entry.name.clone(), (*from).clone()))
                .collect(),
            to,
            class,
        });
        Ok(())
    }
}

impl Planner<'_> {
    /// Where the packages of an order go next. A package of multilib that lies where those of extra lie was put there
    /// by `extra-from-multilib`, and goes on with them.
    fn destination(
        &self,
        order: &Order,
        packages: &[(&Repository, &Entry)],
        class: Class,
    ) -> Result<Repository, ConfigError> {
        let before = match class {
            Class::Stable => Class::Testing,
            _ => Class::Staging,
        };
        let usual = self.classes.destination(&order.repository, class)?;
        let Ok(extra) = "extra".parse::<Repository>() else {
            return Ok(usual);
        };
        let lies_in = |repository: &Repository| -> Result<bool, ConfigError> {
            let place = self.classes.destination(repository, before)?;
            Ok(packages.iter().all(|(from, _)| **from == place))
        };
        if order.repository.as_str() == "multilib" && !lies_in(&order.repository)? && lies_in(&extra)? {
            return self.classes.destination(&extra, class);
        }
        Ok(usual)
    }

    /// Takes out of testing what an older build of the pkgbase made and this one does not.
    fn drop_predecessors(&mut self, order: &Order, packages: &[(&Repository, &Entry)]) {
        let older = self.situation.orders.iter().filter(|(other, (state, _))| {
            other.pkgbase == order.pkgbase && *other != order && matches!(state, State::Testing | State::Tested)
        });
        let files: Vec<String> = older.flat_map(|(_, (_, files))| files.clone()).collect();
        let left: Vec<(Repository, PkgName)> = locate(&self.contents, self.classes, Class::Testing, &files)
            .into_iter()
            .filter(|(_, entry)| packages.iter().all(|(_, moved)| moved.name != entry.name))
            .map(|(repository, entry)| (repository.clone(), entry.name.clone()))
            .collect();
        for (repository, name) in left {
            take(&mut self.contents, &repository, &name);
            self.plan.superseded.push((repository, name));
        }
    }
}

fn take(contents: &mut Contents, repository: &Repository, name: &PkgName) {
    if let Some(entries) = contents.get_mut(repository) {
        entries.retain(|entry| entry.name != *name);
    }
}

/// The packages with these file names in the repositories of a class.
fn locate<'c>(
    contents: &'c Contents,
    classes: &Classes,
    class: Class,
    files: &[String],
) -> Vec<(&'c Repository, &'c Entry)> {
    contents
        .iter()
        .filter(|(repository, _)| classes.class_of(repository) == Some(class))
        .flat_map(|(repository, entries)| entries.iter().map(move |entry| (repository, entry)))
        .filter(|(_, entry)| files.iter().any(|file| file == entry.file_name.as_str()))
        .collect()
}
