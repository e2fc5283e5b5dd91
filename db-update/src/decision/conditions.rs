//! What has to hold after the move, for every kind of users: what a package has now it keeps, and a package that comes
//! finds everything that it needs, unless no package of the port is called so (then it comes from elsewhere) or the
//! package that it replaces lacked the same.

use std::collections::{HashMap, HashSet};

use super::placement::{Effect, Placement, Users};
use super::search::Condition;
use super::world::World;

/// Where a condition comes from: the first package that makes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    /// The package that needs.
    pub(super) package: usize,
    /// What it needs.
    pub(super) need: usize,
    /// Whether that package comes with a group, rather than being there.
    pub(super) comes: bool,
}

/// How these users see a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Seen {
    Never,
    Always,
    /// Until this group moves.
    Before(usize),
    /// When this group has moved.
    After(usize),
}

/// Who provides a need, for some users.
#[derive(Debug, Clone)]
enum Support {
    /// Somebody, whatever moves.
    Certain,
    /// Groups that provide it by moving, and by staying.
    Depends { moving: Vec<usize>, staying: Vec<usize> },
}

/// All conditions of a move, with their origins.
pub(super) fn conditions(
    world: &World<'_>,
    placement: &Placement<'_>,
    effects: &[Effect],
) -> (Vec<Condition>, Vec<Origin>) {
    let mut all = (Vec::new(), Vec::new());
    for users in placement.users() {
        View::new(world, placement, effects, users).add_conditions(&mut all);
    }
    all
}

struct View<'v, 'a> {
    world: &'v World<'a>,
    seen: Vec<Seen>,
    /// What a package that comes takes the place of.
    replaced: HashMap<usize, usize>,
    /// By need, made when asked for.
    supports: Vec<Option<Support>>,
}

impl<'v, 'a> View<'v, 'a> {
    fn new(world: &'v World<'a>, placement: &Placement<'_>, effects: &[Effect], users: Users) -> Self {
        let visible = placement.visible(world, users);
        let is_seen = |package: &usize| visible.get(world.package(*package).name.as_str()) == Some(package);
        let seen_now = (0..world.len()).map(|package| if is_seen(&package) { Seen::Always } else { Seen::Never });
        let mut view = Self {
            world,
            seen: seen_now.collect(),
            replaced: HashMap::new(),
            supports: vec![None; world.count_of_needs()],
        };
        for (group, effect) in effects.iter().enumerate() {
            for (package, _) in effect {
                let name = world.package(*package).name.as_str();
                let before = visible.get(name).copied();
                let after = placement.seen_after(world, users, name, effect);
                if before == after {
                    continue;
                }
                if let Some(before) = before {
                    view.seen[before] = Seen::Before(group);
                }
                if let Some(after) = after {
                    view.seen[after] = Seen::After(group);
                    view.replaced.extend(before.map(|before| (after, before)));
                }
            }
        }
        view
    }

    fn add_conditions(&mut self, (conditions, origins): &mut (Vec<Condition>, Vec<Origin>)) {
        let mut known: HashSet<(usize, Seen)> = HashSet::new();
        for package in 0..self.world.len() {
            let seen = self.seen[package];
            if seen == Seen::Never {
                continue;
            }
            for need in self.world.needs_of(package) {
                if !known.insert((*need, seen)) {
                    continue;
                }
                let Some(condition) = self.condition(package, *need) else {
                    // Another package of this group may replace one that lacked nothing.
                    if matches!(seen, Seen::After(_)) {
                        known.remove(&(*need, seen));
                    }
                    continue;
                };
                conditions.push(condition);
                origins.push(Origin {
                    package,
                    need: *need,
                    comes: matches!(seen, Seen::After(_)),
                });
            }
        }
    }

    /// What has to hold for one need of one package that is seen; `None`: nothing.
    fn condition(&mut self, package: usize, need: usize) -> Option<Condition> {
        let Support::Depends {
            mut moving,
            mut staying,
        } = self.support(need)
        else {
            return None;
        };
        let is_met_now = !staying.is_empty();
        match self.seen[package] {
            Seen::Never => return None,
            Seen::Always if is_met_now => {}
            Seen::Before(group) if is_met_now => moving.push(group),
            Seen::Always | Seen::Before(_) => return None,
            Seen::After(group) => {
                let lacked = |old: &usize| !is_met_now && self.world.needs_of(*old).contains(&need);
                if !self.world.need(need).is_known || self.replaced.get(&package).is_some_and(lacked) {
                    return None;
                }
                staying.push(group);
            }
        }
        // A group that helps whether it moves or not: the condition always holds.
        if moving.iter().any(|group| staying.contains(group)) {
            return None;
        }
        Some(Condition::new(moving, staying))
    }

    fn support(&mut self, need: usize) -> Support {
        if let Some(known) = &self.supports[need] {
            return known.clone();
        }
        let support = self.new_support(need);
        self.supports[need] = Some(support.clone());
        support
    }

    fn new_support(&self, need: usize) -> Support {
        let (mut moving, mut staying) = (Vec::new(), Vec::new());
        for provider in &self.world.need(need).providers {
            match self.seen[*provider] {
                Seen::Never => {}
                Seen::Always => return Support::Certain,
                Seen::Before(group) => staying.push(group),
                Seen::After(group) => moving.push(group),
            }
        }
        if moving.iter().any(|group| staying.contains(group)) {
            return Support::Certain;
        }
        Support::Depends { moving, staying }
    }
}
