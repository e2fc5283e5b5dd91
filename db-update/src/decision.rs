//! Which packages may move: the largest set after which no package lacks what it needs to run.
//!
//! All packages of an order move together. A dependency counts when any package of the port's repositories has or
//! provides its name: others come from elsewhere. Two kinds of obstacles are taken away until none is left: a package
//! that stays would lose what it has now (then what would replace its provider is held), and a package that moves
//! would lack something (then it is held). What a package lacks already, and nobody's move mends, holds nothing. At the
//! end whoever could move after all, alone or with others that are held, is let go again ([`release`]).

mod release;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use common::names::PkgBase;
use common::repository::Entry;
use common::srcinfo::Dependency;

/// Packages that move together.
pub(crate) type Group<'a> = Vec<&'a Entry>;

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
    /// A package that stays would lose a dependency.
    Breaks {
        /// The package that stays.
        dependent: String,
        /// Its pkgbase.
        pkgbase: PkgBase,
        /// What it would lose.
        dependency: String,
    },
}

/// Packages by what they are called and what they provide.
#[derive(Debug, Default)]
pub(crate) struct Index<'a> {
    by_name: HashMap<&'a str, Vec<&'a Entry>>,
}

impl<'a> Index<'a> {
    pub(crate) fn new(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut index = Self::default();
        for entry in entries {
            let provided = entry.provides.iter().map(|provision| provision.name.as_str());
            let names: BTreeSet<&str> = std::iter::once(entry.name.as_str()).chain(provided).collect();
            for name in names {
                index.by_name.entry(name).or_default().push(entry);
            }
        }
        index
    }

    /// The packages that meet a dependency.
    pub(crate) fn providers(&self, dependency: &'a Dependency) -> impl Iterator<Item = &'a Entry> {
        self.by_name
            .get(dependency.name.as_str())
            .into_iter()
            .flatten()
            .copied()
            .filter(move |entry| entry.meets(dependency))
    }

    fn knows_name(&self, dependency: &Dependency) -> bool {
        self.by_name.contains_key(dependency.name.as_str())
    }
}

/// The packages that a user of some repositories sees: one of each name.
pub(crate) type View<'a> = BTreeMap<&'a str, &'a Entry>;

/// Decides which groups enter a view; returns what holds each of the others, by the group's number.
pub(crate) fn hold_back<'a>(
    view: &View<'a>,
    groups: &[Group<'a>],
    everything: &Index<'a>,
) -> BTreeMap<usize, Obstacle> {
    let problem = Problem {
        view,
        groups,
        everything,
        present: Index::new(view.values().copied()),
        arriving: Index::new(groups.iter().flat_map(|group| group.iter().copied())),
        group_of: groups
            .iter()
            .enumerate()
            .flat_map(|(number, group)| group.iter().map(move |entry| (entry.name.as_str(), number)))
            .collect(),
    };
    let mut held = BTreeMap::new();
    loop {
        let mut found = problem.losses(&held);
        if found.is_empty() {
            found = problem.lacks(&held);
        }
        if found.is_empty() {
            problem.release(&mut held);
            return held;
        }
        held.extend(found);
    }
}

struct Problem<'p, 'a> {
    view: &'p View<'a>,
    groups: &'p [Group<'a>],
    everything: &'p Index<'a>,
    present: Index<'a>,
    arriving: Index<'a>,
    group_of: HashMap<&'a str, usize>,
}

type Held = BTreeMap<usize, Obstacle>;

/// Which groups stay: those that are held, but for some.
#[derive(Clone, Copy)]
struct Standing<'s> {
    held: &'s Held,
    released: &'s BTreeSet<usize>,
}

impl<'s> Standing<'s> {
    const NOBODY: &'static BTreeSet<usize> = &BTreeSet::new();

    const fn of(held: &'s Held) -> Self {
        Self {
            held,
            released: Self::NOBODY,
        }
    }

    fn holds(self, number: usize) -> bool {
        self.held.contains_key(&number) && !self.released.contains(&number)
    }
}

impl<'a> Problem<'_, 'a> {
    /// The moving group that brings a package of this name.
    fn replacer(&self, name: &str, standing: Standing<'_>) -> Option<usize> {
        self.group_of
            .get(name)
            .copied()
            .filter(|number| !standing.holds(*number))
    }

    fn is_met(&self, dependency: &'a Dependency, standing: Standing<'_>) -> bool {
        let stays = |entry: &Entry| self.replacer(entry.name.as_str(), standing).is_none();
        self.present.providers(dependency).any(stays) || self.arriving.providers(dependency).any(|entry| !stays(entry))
    }

    /// Groups that would take from a package that stays what it has.
    fn losses(&self, held: &Held) -> Held {
        let standing = Standing::of(held);
        let mut found = Held::new();
        let staying = self
            .view
            .values()
            .filter(|entry| self.replacer(entry.name.as_str(), standing).is_none());
        for dependent in staying {
            for dependency in &dependent.depends {
                if self.is_met(dependency, standing) {
                    continue;
                }
                let replacer = self
                    .present
                    .providers(dependency)
                    .find_map(|entry| self.replacer(entry.name.as_str(), standing));
                if let Some(number) = replacer {
                    found.entry(number).or_insert_with(|| Obstacle::Breaks {
                        dependent: dependent.name.to_string(),
                        pkgbase: dependent.pkgbase.clone(),
                        dependency: dependency.to_string(),
                    });
                }
            }
        }
        found
    }

    /// Groups one of whose packages would lack something.
    fn lacks(&self, held: &Held) -> Held {
        let standing = Standing::of(held);
        let mut found = Held::new();
        for (number, group) in self.groups.iter().enumerate() {
            if held.contains_key(&number) {
                continue;
            }
            let lack = group.iter().find_map(|package| {
                let is_lacking = |dependency: &&Dependency| {
                    self.everything.knows_name(dependency) && !self.is_met(dependency, standing)
                };
                Some((*package, package.depends.iter().find(is_lacking)?))
            });
            if let Some((package, dependency)) = lack {
                let obstacle = Obstacle::Needs {
                    package: package.name.to_string(),
                    dependency: dependency.to_string(),
                    provider: self
                        .everything
                        .providers(dependency)
                        .next()
                        .map(|entry| entry.pkgbase.clone()),
                };
                found.insert(number, obstacle);
            }
        }
        found
    }
}

/// Which of these pkgbases may leave all views: those that no package of another pkgbase needs.
pub(crate) fn removable<'a>(views: &[&View<'a>], unwanted: &BTreeSet<&'a PkgBase>) -> BTreeSet<&'a PkgBase> {
    let mut leaving = unwanted.clone();
    loop {
        let mut needed = BTreeSet::new();
        for view in views {
            let index = Index::new(view.values().copied());
            let staying = view.values().filter(|entry| !leaving.contains(&entry.pkgbase));
            for dependency in staying.flat_map(|entry| &entry.depends) {
                let providers: Vec<&Entry> = index.providers(dependency).collect();
                if providers.iter().all(|entry| leaving.contains(&entry.pkgbase)) {
                    needed.extend(providers.iter().map(|entry| &entry.pkgbase));
                }
            }
        }
        if needed.is_empty() {
            return leaving;
        }
        leaving.retain(|pkgbase| !needed.contains(pkgbase));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(name: &str, version: &str, depends: &[&str], provides: &[&str]) -> Entry {
        let block = |field: &str, values: &[&str]| match values {
            [] => String::new(),
            values => format!("%{field}%\n{}\n\n", values.join("\n")),
        };
        Entry::parse(&format!(
            "%FILENAME%\n{name}-{version}-any.pkg.tar.zst\n\n%NAME%\n{name}\n\n%VERSION%\n{version}\n\n\
             %ARCH%\nany\n\n{}{}",
            block("PROVIDES", provides),
            block("DEPENDS", depends)
        ))
        .unwrap()
    }

    /// Names of the packages that may enter a view, each of them a group of its own.
    fn moving(stable: &[Entry], arriving: &[Entry]) -> Vec<String> {
        let view: View<'_> = stable.iter().map(|entry| (entry.name.as_str(), entry)).collect();
        let groups: Vec<Group<'_>> = arriving.iter().map(|entry| vec![entry]).collect();
        let held = hold_back(&view, &groups, &Index::new(stable.iter().chain(arriving)));
        (0..groups.len())
            .filter(|number| !held.contains_key(number))
            .map(|number| arriving[number].name.to_string())
            .collect()
    }

    #[test]
    fn a_package_waits_for_what_it_needs_and_takes_it_along() {
        let arriving = [entry("a", "2-1", &["b>=2"], &[]), entry("b", "2-1", &[], &[])];
        assert_eq!(moving(&[entry("b", "1-1", &[], &[])], &arriving), ["a", "b"]);
        assert!(moving(&[entry("b", "1-1", &[], &[])], &arriving[..1]).is_empty());
        assert_eq!(moving(&[], &arriving[..1]), ["a"], "b comes from elsewhere");
    }

    #[test]
    fn a_library_waits_until_its_users_are_rebuilt() {
        let stable = [
            entry("lib", "1-1", &[], &["lib.so=1-64"]),
            entry("user", "1-1", &["lib.so=1-64"], &[]),
        ];
        let lib = entry("lib", "2-1", &[], &["lib.so=2-64"]);
        let user = entry("user", "1-2", &["lib.so=2-64"], &[]);
        assert!(moving(&stable, std::slice::from_ref(&lib)).is_empty());
        assert!(moving(&stable, std::slice::from_ref(&user)).is_empty());
        assert_eq!(moving(&stable, &[lib, user]), ["lib", "user"]);
    }

    #[test]
    fn what_is_broken_already_holds_nothing() {
        let stable = [entry("old", "1-1", &["gone"], &[])];
        assert_eq!(moving(&stable, &[entry("a", "1-1", &[], &[])]), ["a"]);
    }

    #[test]
    fn what_nothing_needs_may_be_removed_together_with_its_users() {
        let entries = [
            entry("a", "1-1", &["b"], &[]),
            entry("b", "1-1", &[], &[]),
            entry("c", "1-1", &["d"], &[]),
            entry("d", "1-1", &[], &[]),
        ];
        let view: View<'_> = entries.iter().map(|entry| (entry.name.as_str(), entry)).collect();
        let unwanted = entries
            .iter()
            .filter(|entry| entry.name.as_str() != "c")
            .map(|entry| &entry.pkgbase);
        let leaving: Vec<&str> = removable(&[&view], &unwanted.collect())
            .into_iter()
            .map(PkgBase::as_str)
            .collect();
        assert_eq!(leaving, ["a", "b"]);
    }

    /// A small world: packages p0..p4 in versions 1 (stable) and 2 (arriving), with dependencies on either.
    fn world() -> impl Strategy<Value = (Vec<Entry>, Vec<Entry>)> {
        let needs = proptest::collection::vec((0..7_usize, 0..3_usize), 0..3);
        let provides = proptest::collection::vec(5..7_usize, 0..2);
        let package = move |version: &'static str| {
            (0..5_usize, needs.clone(), provides.clone()).prop_map(move |(name, needs, provides)| {
                let needs: Vec<String> = needs
                    .iter()
                    .map(|(other, kind)| format!("p{other}{}", ["", "=1", ">=2"][*kind]))
                    .collect();
                let provides: Vec<String> = provides.iter().map(|other| format!("p{other}={version}")).collect();
                let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
                let provides: Vec<&str> = provides.iter().map(String::as_str).collect();
                entry(&format!("p{name}"), version, &needs, &provides)
            })
        };
        let unique = |entries: Vec<Entry>| {
            let by_name: BTreeMap<String, Entry> = entries.into_iter().map(|e| (e.name.to_string(), e)).collect();
            by_name.into_values().collect()
        };
        (
            proptest::collection::vec(package("1-1"), 0..6).prop_map(unique),
            proptest::collection::vec(package("2-1"), 0..6).prop_map(unique),
        )
    }

    /// Whether every package finds what it has to find when these packages enter.
    fn is_sound(stable: &[Entry], arriving: &[Entry], moved: &[&Entry]) -> bool {
        let mut after: BTreeMap<&str, &Entry> = stable.iter().map(|e| (e.name.as_str(), e)).collect();
        after.extend(moved.iter().map(|entry| (entry.name.as_str(), *entry)));
        after.values().all(|entry| {
            let is_new = moved.iter().any(|other| std::ptr::eq(*other, *entry));
            entry.depends.iter().all(|dependency| {
                let is_met = after.values().any(|other| other.meets(dependency));
                let was_met = stable.iter().any(|other| other.meets(dependency));
                let mut everything = stable.iter().chain(arriving);
                let is_known = everything.any(|other| {
                    let mut provided = other.provides.iter().map(|provision| &provision.name);
                    other.name.as_str() == dependency.name || provided.any(|name| *name == dependency.name)
                });
                is_met || !(if is_new { is_known } else { was_met })
            })
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn nothing_loses_what_it_has_and_no_more_could_move((stable, arriving) in world()) {
            let names = moving(&stable, &arriving);
            let (moved, held): (Vec<&Entry>, Vec<&Entry>) =
                arriving.iter().partition(|entry| names.contains(&entry.name.to_string()));
            prop_assert!(is_sound(&stable, &arriving, &moved));
            for subset in 1_u32..1 << held.len() {
                let chosen = held.iter().enumerate().filter(|(bit, _)| subset & (1 << bit) != 0);
                let more: Vec<&Entry> = moved.iter().copied().chain(chosen.map(|(_, entry)| *entry)).collect();
                prop_assert!(!is_sound(&stable, &arriving, &more), "{:?} could move", more.len());
            }
        }
    }
}
