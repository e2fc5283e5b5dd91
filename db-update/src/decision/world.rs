//! All packages of the port by number, what each of them needs, and who provides it: resolved once, whatever moves.
//!
//! A need is a dependency as the package's metadata has it (name, version) or a soname that its ELF files are linked
//! against. Where a group `base` takes the place of a package of that name, needing `base` is needing its members.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use common::repository::Entry;
use common::soname::Sonames;
use common::srcinfo::Dependency;

/// The group that stands for its members.
const BASE: &str = "base";

/// The sonames of packages, by the name of the package file. A package without is not known to be linked.
pub(crate) type Links = HashMap<String, Sonames>;

/// What some package needs.
#[derive(Debug)]
pub(crate) struct Need {
    /// As it is written.
    pub(crate) dependency: Dependency,
    /// The packages that meet it, wherever they are.
    pub(crate) providers: Vec<usize>,
    /// Whether any package is called so, in whatever version: if none is, it comes from elsewhere.
    pub(crate) is_known: bool,
}

/// The packages of all repositories; a package is known by its number.
#[derive(Debug, Default)]
pub(crate) struct World<'a> {
    packages: Vec<&'a Entry>,
    needs_of: Vec<Vec<usize>>,
    needs: Vec<Need>,
    by_name: HashMap<&'a str, Vec<usize>>,
    by_file: HashMap<&'a str, Vec<usize>>,
}

impl<'a> World<'a> {
    /// Numbers the packages in this order.
    pub(crate) fn new(entries: impl IntoIterator<Item = &'a Entry>, links: &'a Links) -> Self {
        let mut world = Self {
            packages: entries.into_iter().collect(),
            ..Self::default()
        };
        for (number, entry) in world.packages.iter().enumerate() {
            world.by_name.entry(entry.name.as_str()).or_default().push(number);
            world.by_file.entry(entry.file_name.as_str()).or_default().push(number);
        }
        let provisions = Provisions::new(&world.packages, links);
        let mut known: HashMap<Cow<'a, Dependency>, usize> = HashMap::new();
        for entry in world.packages.iter().copied() {
            let mut numbers = Vec::with_capacity(entry.depends.len());
            for dependency in provisions.wanted(entry, links) {
                let number = match known.get(&dependency) {
                    Some(number) => *number,
                    None => {
                        world.needs.push(provisions.resolve(dependency.clone().into_owned()));
                        known.insert(dependency, world.needs.len() - 1);
                        world.needs.len() - 1
                    }
                };
                numbers.push(number);
            }
            numbers.sort_unstable();
            numbers.dedup();
            world.needs_of.push(numbers);
        }
        world
    }

    /// How many packages there are.
    pub(crate) fn len(&self) -> usize {
        self.packages.len()
    }

    /// A package.
    pub(crate) fn package(&self, number: usize) -> &'a Entry {
        self.packages[number]
    }

    /// The numbers of a package's needs.
    pub(crate) fn needs_of(&self, package: usize) -> &[usize] {
        &self.needs_of[package]
    }

    /// A need.
    pub(crate) fn need(&self, number: usize) -> &Need {
        &self.needs[number]
    }

    /// How many different needs there are.
    pub(crate) fn count_of_needs(&self) -> usize {
        self.needs.len()
    }

    /// The packages of this name in all repositories.
    pub(crate) fn named(&self, name: &str) -> &[usize] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// The packages with this file in all repositories.
    pub(crate) fn of_file(&self, file: &str) -> &[usize] {
        self.by_file.get(file).map_or(&[], Vec::as_slice)
    }
}

/// Who provides which name, in which version; sonames included.
struct Provisions<'a> {
    by_name: HashMap<&'a str, Vec<(usize, Provision<'a>)>>,
    /// The members of the group `base`, unless a package has or provides that name.
    base: BTreeSet<&'a str>,
}

enum Provision<'a> {
    Name(&'a Entry),
    Provided(&'a Dependency),
    Library(Dependency),
}

impl Provision<'_> {
    fn meets(&self, wanted: &Dependency) -> bool {
        match self {
            Self::Name(entry) => wanted.accepts_version(entry.version.as_str()),
            Self::Provided(provision) => wanted.accepts(provision),
            Self::Library(provision) => wanted.accepts(provision),
        }
    }
}

impl<'a> Provisions<'a> {
    fn new(packages: &[&'a Entry], links: &'a Links) -> Self {
        let mut by_name: HashMap<&'a str, Vec<(usize, Provision<'a>)>> = HashMap::new();
        let mut base = BTreeSet::new();
        for (number, entry) in packages.iter().copied().enumerate() {
            let mut add = |name: &'a str, provision| by_name.entry(name).or_default().push((number, provision));
            add(entry.name.as_str(), Provision::Name(entry));
            for provision in &entry.provides {
                add(provision.name.as_str(), Provision::Provided(provision));
            }
            for soname in links
                .get(entry.file_name.as_str())
                .into_iter()
                .flat_map(|of| &of.provided)
            {
                add(soname.library(), Provision::Library(soname.to_dependency()));
            }
            if entry.groups.iter().any(|group| group == BASE) {
                base.insert(entry.name.as_str());
            }
        }
        if by_name.contains_key(BASE) {
            base.clear();
        }
        Self { by_name, base }
    }

    /// Everything that a package needs.
    fn wanted(&self, entry: &'a Entry, links: &'a Links) -> Vec<Cow<'a, Dependency>> {
        let mut wanted = Vec::with_capacity(entry.depends.len());
        for dependency in &entry.depends {
            if dependency.name == BASE && dependency.version.is_none() && !self.base.is_empty() {
                wanted.extend(self.base.iter().map(|member| Cow::Owned(Dependency::parse(member))));
            } else {
                wanted.push(Cow::Borrowed(dependency));
            }
        }
        let linked = links
            .get(entry.file_name.as_str())
            .into_iter()
            .flat_map(|of| &of.needed);
        wanted.extend(linked.map(|soname| Cow::Owned(soname.to_dependency())));
        wanted
    }

    fn resolve(&self, dependency: Dependency) -> Need {
        let called = self
            .by_name
            .get(dependency.name.as_str())
            .map_or(&[][..], Vec::as_slice);
        let mut providers: Vec<usize> = called
            .iter()
            .filter(|(_, provision)| provision.meets(&dependency))
            .map(|(number, _)| *number)
            .collect();
        providers.dedup();
        Need {
            providers,
            is_known: !called.is_empty(),
            dependency,
        }
    }
}
