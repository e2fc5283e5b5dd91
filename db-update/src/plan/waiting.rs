//! Which orders wait for one step of the plan, with their packages: of each pkgbase the newest build.

use std::collections::BTreeMap;

use common::build_list::Order;
use common::config::ConfigError;
use common::names::PkgBase;
use common::repository::Class;
use common::state::State;

use super::{Hold, Planner};
use crate::candidate::{Candidate, Yard};

impl Planner<'_, '_> {
    /// The orders that are to leave a class with their packages, and notes of those that have left it already.
    pub(super) fn waiting(&mut self, wanted: State, from: Class, to: Class) -> Vec<(Order, Vec<usize>)> {
        let mut waiting = Vec::new();
        for (order, (state, files)) in &self.situation.orders {
            let is_in_testing = matches!(state, State::Testing | State::Tested);
            if is_in_testing != (wanted == State::Tested) {
                continue;
            }
            let yard = self.yard();
            let packages = yard.locate(from, files);
            if !packages.is_empty() {
                let is_approved = *state != State::Testing || self.situation.approved.contains(order);
                if is_approved || self.request.force.contains(order) {
                    waiting.push((order.clone(), packages));
                } else {
                    let reason = self.situation.unapproved.get(order).cloned().unwrap_or_default();
                    self.plan.held.insert(order.clone(), Hold::NotTested(reason));
                }
                continue;
            }
            let begin = Yard {
                placement: &self.before,
                ..yard
            };
            if begin.locate(to, files).is_empty() {
                self.plan.vanished.push((order.clone(), *state));
            } else {
                self.plan.arrived.push((order.clone(), to));
            }
        }
        waiting
    }

    /// The newest order of each pkgbase, with what goes when it moves.
    pub(super) fn candidates(
        &mut self,
        waiting: Vec<(Order, Vec<usize>)>,
        from: Class,
        to: Class,
    ) -> Result<Vec<Candidate>, ConfigError> {
        let mut by_pkgbase: BTreeMap<PkgBase, Vec<(Order, Vec<usize>)>> = BTreeMap::new();
        for (order, packages) in waiting {
            by_pkgbase
                .entry(order.pkgbase.clone())
                .or_default()
                .push((order, packages));
        }
        let mut candidates = Vec::new();
        for (pkgbase, mut orders) in by_pkgbase {
            let version = |packages: &[usize]| {
                packages
                    .iter()
                    .map(|package| &self.world.package(*package).version)
                    .max()
            };
            orders.sort_by(|(_, one), (_, other)| version(one).cmp(&version(other)));
            let Some((order, packages)) = orders.pop() else {
                continue;
            };
            let mut predecessors: Vec<usize> = orders.iter().flat_map(|(_, packages)| packages.clone()).collect();
            if to == Class::Testing {
                predecessors.extend(self.in_testing(&pkgbase, &order));
            }
            let yard = self.yard();
            let candidate = yard.candidate(&order, packages, to, predecessors)?;
            let newer = yard.newer(&candidate).filter(|_| self.request.force.is_empty());
            for (older, _) in orders {
                self.plan
                    .held
                    .insert(older, Hold::Newer(format!("{pkgbase} has been built again")));
            }
            match newer {
                Some(newer) => {
                    let entry = self.world.package(newer);
                    let place = self.placement.of(newer).map(|of| self.placement.name(of).to_string());
                    let reason = format!("{} {} is in {}", entry.name, entry.version, place.unwrap_or_default());
                    self.plan.held.insert(order, Hold::Newer(reason));
                }
                None => candidates.push(candidate),
            }
        }
        self.leave_rivals(&mut candidates, from);
        Ok(candidates)
    }

    /// The packages that older builds of a pkgbase brought to testing.
    fn in_testing(&self, pkgbase: &PkgBase, order: &Order) -> Vec<usize> {
        let older = self.situation.orders.iter().filter(|(other, (state, _))| {
            other.pkgbase == *pkgbase && *other != order && matches!(state, State::Testing | State::Tested)
        });
        let files: Vec<String> = older.flat_map(|(_, (_, files))| files.clone()).collect();
        self.yard().locate(Class::Testing, &files)
    }

    /// Of two orders that bring a package of one name, the first by name goes on and the other waits for the next run.
    fn leave_rivals(&mut self, candidates: &mut Vec<Candidate>, from: Class) {
        let mut owners: BTreeMap<&str, PkgBase> = BTreeMap::new();
        candidates.retain(|candidate| {
            let names = || {
                candidate
                    .effect
                    .iter()
                    .map(|(package, _)| self.world.package(*package).name.as_str())
            };
            let rival = names().find_map(|name| owners.get(name)).cloned();
            match rival {
                Some(rival) => {
                    let reason = format!("{rival} brings a package of the same name out of {from:?}").to_lowercase();
                    self.plan.held.insert(candidate.order.clone(), Hold::Newer(reason));
                    false
                }
                None => {
                    owners.extend(names().map(|name| (name, candidate.order.pkgbase.clone())));
                    true
                }
            }
        });
    }
}
