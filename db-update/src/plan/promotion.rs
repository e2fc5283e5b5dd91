//! One step of the plan: what may leave testing for stable, or staging for testing.

use std::collections::{BTreeMap, BTreeSet};

use common::build_list::Order;
use common::config::ConfigError;
use common::names::PkgBase;
use common::repository::Class;
use common::state::State;

use super::{Hold, Move, Planner};
use crate::candidate::Candidate;
use crate::decision::placement::Effect;
use crate::decision::{Group, decide};
use crate::neighbours::{self, Neighbour};
use crate::situation::{Neighbours, Pace};

impl Planner<'_, '_> {
    /// Moves what may move out of one state.
    pub(super) fn promote(&mut self, state: State) -> Result<(), ConfigError> {
        let (from, to) = match state {
            State::Done => (Class::Staging, Class::Testing),
            _ => (Class::Testing, Class::Stable),
        };
        let waiting = self.waiting(state, from, to);
        let mut candidates = self.candidates(waiting, from, to)?;
        if !self.request.force.is_empty() {
            self.force(candidates, to);
            return Ok(());
        }
        let absent = self.absent(state);
        self.hold_unasked(&mut candidates);
        if self.request.neighbours == Neighbours::Hold && self.request.pace == Pace::Full {
            self.hold_neighbours(&mut candidates, &absent, state);
        }
        let groups = self.join_rebuilds(candidates, &absent);
        self.move_largest(groups, to);
        Ok(())
    }

    /// Orders that are not there yet and young enough to hold others, for this step.
    fn absent(&self, state: State) -> Vec<Neighbour> {
        let ignored = match state {
            State::Done => &self.request.unstage,
            _ => &self.request.stabilize,
        };
        let mut absent: Vec<Neighbour> = self.situation.pending.clone();
        if state == State::Tested {
            for (order, (known, files)) in &self.situation.orders {
                let (class, place) = match known {
                    State::Done => (Class::Staging, "is in staging"),
                    State::Testing => (Class::Testing, "is in testing and not approved"),
                    _ => continue,
                };
                if self.situation.stale.contains(order) || self.situation.approved.contains(order) {
                    continue;
                }
                let packages = self.yard().locate(class, files);
                let age = self.situation.ages.get(order).map(String::as_str).unwrap_or_default();
                absent.push(self.neighbour(order, &packages, format!("{place} {age}")));
            }
        }
        absent.retain(|neighbour| !ignored.contains(&neighbour.order));
        absent
    }

    fn neighbour(&self, order: &Order, packages: &[usize], standing: String) -> Neighbour {
        let mut neighbour = Neighbour {
            order: order.clone(),
            names: BTreeSet::new(),
            needs: BTreeSet::new(),
            standing: standing.trim_end().to_owned(),
        };
        for package in packages {
            let entry = self.world.package(*package);
            let provided = entry.provides.iter().map(|provision| provision.name.clone());
            neighbour.names.insert(entry.name.to_string());
            neighbour.names.extend(provided);
            let needs = self.world.needs_of(*package).iter().map(|need| self.world.need(*need));
            neighbour.needs.extend(needs.map(|need| need.dependency.name.clone()));
            if let Some(sonames) = self.situation.links.get(entry.file_name.as_str()) {
                let libraries = sonames.provided.iter().map(|soname| soname.library().to_owned());
                neighbour.names.extend(libraries);
            }
        }
        neighbour
    }

    fn hold_unasked(&mut self, candidates: &mut Vec<Candidate>) {
        let asked = &self.request.repositories;
        candidates.retain(|candidate| {
            let lies = |package: &usize| self.placement.of(*package).map(|of| self.placement.name(of));
            let is_asked = asked.is_empty()
                || candidate
                    .packages
                    .iter()
                    .filter_map(lies)
                    .all(|repository| asked.contains(repository));
            let yard = self.yard();
            let is_in_time = self.request.pace == Pace::Full || yard.replaces_nothing_that_works(candidate);
            if !(is_asked && is_in_time) {
                self.plan.held.insert(candidate.order.clone(), Hold::NotAskedFor);
            }
            is_asked && is_in_time
        });
    }

    fn hold_neighbours(&mut self, candidates: &mut Vec<Candidate>, absent: &[Neighbour], state: State) {
        let ignored = match state {
            State::Done => &self.request.unstage,
            _ => &self.request.stabilize,
        };
        let waiting: Vec<Neighbour> = candidates
            .iter()
            .filter(|candidate| !ignored.contains(&candidate.order))
            .map(|candidate| self.neighbour(&candidate.order, &candidate.packages, String::new()))
            .collect();
        let mut held = neighbours::held(&waiting, absent);
        candidates.retain(|candidate| match held.remove(&candidate.order) {
            Some(reason) => {
                self.plan.held.insert(candidate.order.clone(), Hold::Neighbour(reason));
                false
            }
            None => true,
        });
    }

    /// Puts orders of one rebuild together; where one of them cannot come along, none moves.
    fn join_rebuilds(&mut self, candidates: Vec<Candidate>, absent: &[Neighbour]) -> Vec<Vec<Candidate>> {
        let rebuilds = &self.situation.rebuilds;
        let stopped: BTreeMap<&str, PkgBase> = absent
            .iter()
            .map(|neighbour| &neighbour.order)
            .chain(self.plan.held.keys())
            .filter_map(|order| Some((rebuilds.get(order)?.as_str(), order.pkgbase.clone())))
            .collect();
        let mut together: BTreeMap<String, Vec<Candidate>> = BTreeMap::new();
        let mut groups = Vec::new();
        for candidate in candidates {
            match rebuilds.get(&candidate.order) {
                Some(rebuild) => match stopped.get(rebuild.as_str()) {
                    Some(other) if *other != candidate.order.pkgbase => {
                        self.plan
                            .held
                            .insert(candidate.order.clone(), Hold::Rebuild(other.clone()));
                    }
                    _ => together.entry(rebuild.clone()).or_default().push(candidate),
                },
                None => groups.push(vec![candidate]),
            }
        }
        groups.extend(together.into_values());
        groups
    }

    fn move_largest(&mut self, candidates: Vec<Vec<Candidate>>, class: Class) {
        let groups: Vec<Group> = candidates.iter().map(|members| group(members)).collect();
        let decision = decide(self.world, &self.placement, &groups);
        for (members, obstacle) in candidates.into_iter().zip(decision) {
            for candidate in members {
                match &obstacle {
                    Some(obstacle) => {
                        let hold = Hold::Obstacle(obstacle.clone());
                        self.plan.held.insert(candidate.order, hold);
                    }
                    None => self.move_candidate(&candidate, class),
                }
            }
        }
    }

    /// Moves what the operator wants to move, and says what that breaks.
    fn force(&mut self, candidates: Vec<Candidate>, class: Class) {
        let (forced, others): (Vec<Candidate>, Vec<Candidate>) = candidates
            .into_iter()
            .partition(|candidate| self.request.force.contains(&candidate.order));
        for candidate in others {
            self.plan.held.insert(candidate.order, Hold::NotAskedFor);
        }
        let groups: Vec<Group> = forced
            .iter()
            .map(|candidate| group(std::slice::from_ref(candidate)))
            .collect();
        let obstacles = decide(self.world, &self.placement, &groups);
        self.plan.broken.extend(obstacles.into_iter().flatten());
        for candidate in forced {
            self.move_candidate(&candidate, class);
        }
    }

    fn move_candidate(&mut self, candidate: &Candidate, class: Class) {
        let mut packages = Vec::new();
        for (package, place) in &candidate.effect {
            let entry = self.world.package(*package);
            let Some(from) = self.placement.of(*package) else {
                continue;
            };
            let name = self.placement.name(from).clone();
            match place {
                Some(_) => packages.push((entry.name.clone(), name)),
                // What comes takes its place by itself.
                None if from == candidate.to && brings(candidate, self, entry.name.as_str()) => {}
                None => self.plan.superseded.push((name, entry.name.clone())),
            }
        }
        self.placement.apply(&candidate.effect);
        self.plan.moves.push(Move {
            order: candidate.order.clone(),
            packages,
            to: self.placement.name(candidate.to).clone(),
            class,
        });
    }
}

/// Whether a candidate has a package of this name.
fn brings(candidate: &Candidate, planner: &Planner<'_, '_>, name: &str) -> bool {
    let mut names = candidate
        .packages
        .iter()
        .map(|package| planner.world.package(*package).name.as_str());
    names.any(|own| own == name)
}

fn group(members: &[Candidate]) -> Group {
    let effect: Effect = members
        .iter()
        .flat_map(|candidate| candidate.effect.iter().copied())
        .collect();
    Group {
        weight: members.len(),
        packages: members
            .iter()
            .flat_map(|candidate| candidate.packages.iter().copied())
            .collect(),
        effect,
    }
}
