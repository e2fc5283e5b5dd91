//! Letting go again: a group was held because of others that turned out to stay, too, or it can only move together with
//! others that are held.
//!
//! Each held group is tried with all that it draws along: what provides its needs, and newer versions of what would lose
//! something. Only what it touches is looked at, so this costs little where nothing can be let go.

use std::collections::{BTreeSet, HashMap};

use common::repository::Entry;
use common::srcinfo::Dependency;

use super::{Held, Problem, Standing};

/// Packages by the names that they depend on.
type Users<'a> = HashMap<&'a str, Vec<&'a Entry>>;

impl<'a> Problem<'_, 'a> {
    /// Takes out of `held` whatever can move after all.
    pub(super) fn release(&self, held: &mut Held) {
        let mut users = Users::new();
        let everybody = self.view.values().copied().chain(self.groups.iter().flatten().copied());
        for user in everybody {
            for dependency in &user.depends {
                users.entry(dependency.name.as_str()).or_default().push(user);
            }
        }
        let mut is_changed = true;
        while is_changed {
            is_changed = false;
            for number in held.keys().copied().collect::<Vec<_>>() {
                if held.contains_key(&number)
                    && let Some(released) = self.convoy(number, held, &users)
                {
                    held.retain(|number, _| !released.contains(number));
                    is_changed = true;
                }
            }
        }
    }

    /// The groups that have to move with this one, if they can.
    fn convoy(&self, number: usize, held: &Held, users: &Users<'a>) -> Option<BTreeSet<usize>> {
        let mut released = BTreeSet::from([number]);
        loop {
            let standing = Standing {
                held,
                released: &released,
            };
            let mut helper = None;
            for entry in released.iter().flat_map(|number| &self.groups[*number]) {
                if let Some(complaint) = self.complaint(entry, standing, users) {
                    helper = Some(complaint.helper?);
                    break;
                }
            }
            match helper {
                Some(helper) => released.insert(helper),
                None => return Some(released),
            };
        }
    }

    /// The first thing that is wrong when this package moves.
    fn complaint(&self, entry: &'a Entry, standing: Standing<'_>, users: &Users<'a>) -> Option<Complaint> {
        let lacking = entry
            .depends
            .iter()
            .find(|dependency| self.is_lacking(dependency, standing));
        if let Some(dependency) = lacking {
            return Some(self.lack(dependency, standing));
        }
        let old = self.view.get(entry.name.as_str())?;
        let provided = old.provides.iter().map(|provision| provision.name.as_str());
        for name in std::iter::once(old.name.as_str()).chain(provided) {
            for user in users.get(name).into_iter().flatten() {
                let lost = user
                    .depends
                    .iter()
                    .find(|dependency| old.meets(dependency) && !self.is_met(dependency, standing));
                let Some(dependency) = lost else {
                    continue;
                };
                let group = self.group_of.get(user.name.as_str()).copied();
                let is_moving = group.is_some_and(|number| !standing.holds(number));
                let is_there = self
                    .view
                    .get(user.name.as_str())
                    .is_some_and(|known| std::ptr::eq(*known, *user));
                if is_there && !is_moving {
                    // A newer version of the user may do without.
                    return Some(match group {
                        Some(number) => Complaint { helper: Some(number) },
                        None => self.lack(dependency, standing),
                    });
                }
                if !is_there && is_moving {
                    return Some(self.lack(dependency, standing));
                }
            }
        }
        None
    }

    fn is_lacking(&self, dependency: &'a Dependency, standing: Standing<'_>) -> bool {
        self.everything.knows_name(dependency) && !self.is_met(dependency, standing)
    }

    /// What is wrong when a dependency is not met: a held group may bring it.
    fn lack(&self, dependency: &'a Dependency, standing: Standing<'_>) -> Complaint {
        Complaint {
            helper: self
                .arriving
                .providers(dependency)
                .filter_map(|entry| self.group_of.get(entry.name.as_str()).copied())
                .find(|number| standing.holds(*number)),
        }
    }
}

/// Something is wrong; perhaps a held group that moves along would mend it.
struct Complaint {
    helper: Option<usize>,
}
