//! Which packages may move: the largest set after which no package of any repository lacks what it needs to run and has now.
//!
//! Groups of packages move as a whole. All packages and needs are numbered once ([`world`]), with their places
//! ([`placement`]); what has to hold for users of stable, of testing, of staging and of each standalone repository is
//! written down as conditions on the groups ([`conditions`]); the largest set that keeps them is looked for
//! ([`search`]), and what stays is explained ([`reasons`]). Nothing of the disk is touched.

mod conditions;
pub(crate) mod placement;
mod reasons;
mod search;
pub(crate) mod world;

use std::collections::BTreeSet;

use common::names::PkgBase;
use common::repository::Class;

use self::conditions::Origin;
use self::placement::{Effect, Placement};
use self::search::Condition;
use self::world::World;

/// What moves together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Group {
    /// How much it counts.
    pub(crate) weight: usize,
    /// The packages that come with it.
    pub(crate) packages: Vec<usize>,
    /// Where these and those that they replace are after it has moved.
    pub(crate) effect: Effect,
}

/// Why a group stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// One of its packages would lack a dependency there.
    Needs {
        /// The package.
        package: String,
        /// What it needs.
        dependency: String,
        /// The pkgbase that provides it somewhere, if any does in the right version.
        provider: Option<PkgBase>,
    },
    /// Another package would lose a dependency.
    Breaks {
        /// The package.
        dependent: String,
        /// Its pkgbase.
        pkgbase: PkgBase,
        /// What it would lose.
        dependency: String,
    },
}

/// Decides for every group; `None`: it moves.
pub(crate) fn decide(world: &World<'_>, placement: &Placement<'_>, groups: &[Group]) -> Vec<Option<Obstacle>> {
    let effects: Vec<Effect> = groups.iter().map(|group| group.effect.clone()).collect();
    let (conditions, origins) = conditions::conditions(world, placement, &effects);
    let weights: Vec<usize> = groups.iter().map(|group| group.weight).collect();
    let moves = search::largest(&weights, &conditions);
    let explain = |(group, reason): (usize, Option<usize>)| {
        reason.map(|number| obstacle(world, groups, group, &conditions[number], origins[number]))
    };
    let reasons = reasons::reasons(&conditions, &moves);
    reasons.into_iter().enumerate().map(explain).collect()
}

fn obstacle(world: &World<'_>, groups: &[Group], group: usize, condition: &Condition, origin: Origin) -> Obstacle {
    let entry = world.package(origin.package);
    let need = world.need(origin.need);
    let dependency = need.dependency.to_string();
    if !(origin.comes && groups[group].packages.contains(&origin.package)) {
        return Obstacle::Breaks {
            dependent: entry.name.to_string(),
            pkgbase: entry.pkgbase.clone(),
            dependency,
        };
    }
    let comes_along = |package: &&usize| {
        condition
            .moving
            .iter()
            .any(|group| groups[*group].packages.contains(package))
    };
    let provider = need.providers.iter().find(comes_along).or(need.providers.first());
    Obstacle::Needs {
        package: entry.name.to_string(),
        dependency,
        provider: provider.map(|provider| world.package(*provider).pkgbase.clone()),
    }
}

/// Which of these pkgbases may leave all repositories: those that no package of another pkgbase needs.
pub(crate) fn removable(
    world: &World<'_>,
    placement: &Placement<'_>,
    unwanted: &BTreeSet<PkgBase>,
) -> BTreeSet<PkgBase> {
    let mut leaving = unwanted.clone();
    let views: Vec<Vec<usize>> = placement
        .users()
        .into_iter()
        .map(|users| placement.visible(world, users).into_values().collect())
        .collect();
    loop {
        let mut needed = BTreeSet::new();
        for visible in &views {
            let mut is_visible = vec![false; world.len()];
            for package in visible {
                is_visible[*package] = true;
            }
            let leaves = |package: usize| {
                placement.class_of(package) != Some(Class::Standalone)
                    && leaving.contains(&world.package(package).pkgbase)
            };
            let staying = visible.iter().filter(|package| !leaves(**package));
            let needs: BTreeSet<usize> = staying.flat_map(|package| world.needs_of(*package)).copied().collect();
            for need in needs {
                let providers = world
                    .need(need)
                    .providers
                    .iter()
                    .copied()
                    .filter(|package| is_visible[*package]);
                if providers.clone().all(leaves) {
                    needed.extend(providers.map(|package| world.package(package).pkgbase.clone()));
                }
            }
        }
        if needed.is_empty() {
            return leaving;
        }
        leaving.retain(|pkgbase| !needed.contains(pkgbase));
    }
}
