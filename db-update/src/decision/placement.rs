//! Where every package is, now and after what has been decided so far, and who sees it.
//!
//! A user of some repositories sees one package of each name: that of the least stable one, as pacman does when those
//! stand first in pacman.conf, and within a class that of the first one in the configured order. Users follow stable,
//! testing or staging (each with the more stable classes), or stable with one standalone repository in front.

use std::collections::HashMap;

use common::names::Repository;
use common::repository::{Class, Classes, Contents};

use super::world::World;

/// New places of packages: a repository, or none for what goes.
pub(crate) type Effect = Vec<(usize, Option<usize>)>;

/// The repository that each package lies in.
#[derive(Debug, Clone)]
pub(crate) struct Placement<'a> {
    /// The most stable ones first, else in configured order.
    repositories: Vec<(&'a Repository, Class)>,
    places: Vec<Option<usize>>,
}

/// Users that see the same packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Users {
    /// Those of a class and of the more stable ones.
    Of(Class),
    /// Those of one standalone repository and of stable.
    OfStandalone(usize),
}

impl<'a> Placement<'a> {
    /// The places of the packages of these contents, numbered as [`Contents`] lists them.
    pub(crate) fn new(classes: &'a Classes, contents: &'a Contents) -> Self {
        let repositories: Vec<(&Repository, Class)> = classes.all().collect();
        let mut places = Vec::new();
        for (name, entries) in contents {
            let place = repositories.iter().position(|(known, _)| *known == name);
            places.extend(entries.iter().map(|_| place));
        }
        Self { repositories, places }
    }

    /// The repository of a package.
    pub(crate) fn of(&self, package: usize) -> Option<usize> {
        self.places[package]
    }

    /// The name of a repository.
    pub(crate) fn name(&self, repository: usize) -> &'a Repository {
        self.repositories[repository].0
    }

    /// The class of a repository.
    pub(crate) fn class(&self, repository: usize) -> Class {
        self.repositories[repository].1
    }

    /// The number of a repository.
    pub(crate) fn number(&self, name: &Repository) -> Option<usize> {
        self.repositories.iter().position(|(known, _)| *known == name)
    }

    /// The class in which a package lies.
    pub(crate) fn class_of(&self, package: usize) -> Option<Class> {
        self.of(package).map(|repository| self.class(repository))
    }

    /// Carries out what was decided.
    pub(crate) fn apply(&mut self, effect: &Effect) {
        for (package, place) in effect {
            self.places[*package] = *place;
        }
    }

    /// All kinds of users.
    pub(crate) fn users(&self) -> Vec<Users> {
        let standalone = (0..self.repositories.len()).filter(|number| self.class(*number) == Class::Standalone);
        [Class::Stable, Class::Testing, Class::Staging]
            .into_iter()
            .map(Users::Of)
            .chain(standalone.map(Users::OfStandalone))
            .collect()
    }

    /// How early these users' pacman looks into a repository: the smallest number wins, `None` is never.
    fn rank(&self, users: Users, repository: usize) -> Option<(u8, usize)> {
        let class = self.class(repository);
        let step = match (users, class) {
            (Users::OfStandalone(own), _) if own == repository => 0,
            (_, Class::Standalone) => return None,
            (Users::OfStandalone(_), Class::Stable) => 1,
            (Users::OfStandalone(_), _) => return None,
            (Users::Of(least), _) if class > least => return None,
            (Users::Of(_), Class::Staging) => 0,
            (Users::Of(_), Class::Testing) => 1,
            (Users::Of(_), Class::Stable) => 2,
        };
        Some((step, repository))
    }

    /// The packages that these users see, by name.
    pub(crate) fn visible<'w>(&self, world: &World<'w>, users: Users) -> HashMap<&'w str, usize> {
        let mut visible: HashMap<&str, usize> = HashMap::with_capacity(world.len());
        let ranks: Vec<_> = (0..self.repositories.len())
            .map(|number| self.rank(users, number))
            .collect();
        let rank = |package: usize| self.of(package).and_then(|repository| ranks[repository]);
        for package in 0..world.len() {
            let Some(own) = rank(package) else {
                continue;
            };
            visible
                .entry(world.package(package).name.as_str())
                .and_modify(|known| {
                    if rank(*known).is_some_and(|known| own < known) {
                        *known = package;
                    }
                })
                .or_insert(package);
        }
        visible
    }

    /// The package of a name that these users see when some packages have new places.
    pub(crate) fn seen_after(&self, world: &World<'_>, users: Users, name: &str, effect: &Effect) -> Option<usize> {
        let place = |package: usize| match effect.iter().find(|(changed, _)| *changed == package) {
            Some((_, place)) => *place,
            None => self.of(package),
        };
        world
            .named(name)
            .iter()
            .copied()
            .filter_map(|package| Some((self.rank(users, place(package)?)?, package)))
            .min()
            .map(|(_, package)| package)
    }
}
