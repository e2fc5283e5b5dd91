//! All packages with what they need, and who satisfies it: names first, then provisions with versions and sonames,
//! then groups.
//!
//! Every dependency that occurs is resolved once, however many packages have it. Of several packages that provide a
//! name the one of the first repository is taken, there the first by name, as pacman takes it from its databases. What a
//! package provides itself it does not need from others.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::kinds::Kinds;
use super::needs::{Need, Needs, number};
use super::resolution::{Choice, Providers, Resolved};
use crate::build_graph::Kind;
use crate::names::PkgBase;
use crate::srcinfo::{Dependency, SrcInfo};

/// All packages that are known, on the build list or not.
#[derive(Debug, Default)]
pub struct Packages<'a> {
    /// Sorted: the place of a name is its node.
    names: Vec<&'a PkgBase>,
    infos: Vec<Option<&'a SrcInfo>>,
    /// What each node needs, by the number of the dependency.
    wants: Vec<Vec<(u32, Kinds)>>,
    /// All dependencies that occur, none twice.
    dependencies: Vec<&'a Dependency>,
    /// Who satisfies each of them.
    resolved: Vec<Resolved>,
    providers: Providers<'a>,
}

impl<'a> Packages<'a> {
    /// The packages with their metadata. One without is known by its pkgbase alone: it needs nothing, and those who
    /// need it by that name wait for it.
    #[must_use]
    pub fn new(packages: impl IntoIterator<Item = (&'a PkgBase, Option<&'a SrcInfo>)>) -> Self {
        Self::ranked(packages.into_iter().map(|(pkgbase, info)| (pkgbase, info, 0)))
    }

    /// As [`Packages::new`] for packages of several repositories, with the place of each package's own.
    #[must_use]
    pub fn ranked(packages: impl IntoIterator<Item = (&'a PkgBase, Option<&'a SrcInfo>, usize)>) -> Self {
        let packages: BTreeMap<&PkgBase, (Option<&SrcInfo>, usize)> = packages
            .into_iter()
            .map(|(pkgbase, info, rank)| (pkgbase, (info, rank)))
            .collect();
        let mut all = Self::default();
        let mut numbers: HashMap<&'a Dependency, u32> = HashMap::new();
        for (node, (pkgbase, (info, rank))) in packages.into_iter().enumerate() {
            all.names.push(pkgbase);
            all.infos.push(info);
            all.providers.add(number(node), (pkgbase, info), rank);
            let mut wants: Vec<(u32, Kinds)> = Vec::new();
            for (kind, dependency) in info.into_iter().flat_map(wants_of) {
                let number = *numbers.entry(dependency).or_insert_with(|| {
                    all.dependencies.push(dependency);
                    number(all.dependencies.len() - 1)
                });
                wants.push((number, Kinds::of(kind)));
            }
            all.wants.push(wants);
        }
        all.providers.sort();
        all.resolved = all.dependencies.iter().map(|it| all.providers.resolve(it)).collect();
        all
    }

    /// The metadata of a package.
    #[must_use]
    pub fn info(&self, pkgbase: &PkgBase) -> Option<&'a SrcInfo> {
        self.infos[self.node(pkgbase)? as usize]
    }

    /// All packages, sorted.
    #[must_use]
    pub fn names(&self) -> &[&'a PkgBase] {
        &self.names
    }

    /// The node of a package: its place among [`Packages::names`].
    #[must_use]
    pub fn node(&self, pkgbase: &PkgBase) -> Option<u32> {
        self.names.binary_search(&pkgbase).ok().map(number)
    }

    /// Every package that satisfies a dependency, whoever needs it.
    #[must_use]
    pub fn satisfying(&self, dependency: &Dependency) -> BTreeSet<&'a PkgBase> {
        let resolved = self.providers.resolve(dependency);
        resolved.all().map(|node| self.names[node as usize]).collect()
    }

    /// The packages that satisfy a dependency alone, not as members of a group.
    #[must_use]
    pub fn satisfied_singly(&self, dependency: &Dependency) -> Vec<&'a PkgBase> {
        let resolved = self.providers.resolve(dependency);
        resolved.singly().map(|node| self.names[node as usize]).collect()
    }

    /// The packages that a dependency of `needer` is taken from, and why those.
    #[must_use]
    pub fn choice(&self, needer: &PkgBase, dependency: &Dependency) -> Choice<'a> {
        let resolved = self.providers.resolve(dependency);
        Choice::of(&resolved, self.node(needer), &self.names)
    }

    /// What a package needs in its own words, each with its kind.
    pub fn wants(&self, pkgbase: &PkgBase) -> impl Iterator<Item = (Kind, &'a Dependency)> {
        self.info(pkgbase).into_iter().flat_map(wants_of)
    }

    /// The packages that build a pkgname.
    #[must_use]
    pub fn builders_of(&self, pkgname: &str) -> Vec<&'a PkgBase> {
        self.providers
            .named(pkgname)
            .map(|node| self.names[node as usize])
            .collect()
    }

    /// Whom each package needs when every dependency is taken from the packages of its choice.
    #[must_use]
    pub fn chosen(&self) -> Needs {
        self.edges(|resolved, node| resolved.chosen_by(node))
    }

    /// Whom each package needs when every package that satisfies a dependency counts: what a change may reach.
    #[must_use]
    pub fn possible(&self) -> Needs {
        self.edges(|resolved, node| if resolved.is_by(node) { &[] } else { resolved.possible() })
    }

    fn edges(&self, taken: impl Fn(&Resolved, u32) -> &[u32]) -> Needs {
        let mut needs = Needs::default();
        for (node, wants) in self.wants.iter().enumerate() {
            needs.push(wants.iter().flat_map(|(dependency, kinds)| {
                let from = taken(&self.resolved[*dependency as usize], number(node));
                from.iter().map(|node| Need {
                    node: *node,
                    kinds: *kinds,
                })
            }));
        }
        needs
    }

    /// What a node needs, by the number of the dependency.
    pub(super) fn wants_of(&self, node: u32) -> &[(u32, Kinds)] {
        &self.wants[node as usize]
    }

    /// The dependencies that occur, with those who satisfy each.
    pub(super) fn dependencies(&self) -> impl Iterator<Item = (&'a Dependency, &Resolved)> {
        self.dependencies.iter().copied().zip(&self.resolved)
    }

    /// The dependency of this number.
    pub(super) fn dependency(&self, number: u32) -> &'a Dependency {
        self.dependencies[number as usize]
    }

    /// Who satisfies the dependency of this number.
    pub(super) fn resolved(&self, dependency: u32) -> &Resolved {
        &self.resolved[dependency as usize]
    }

    /// The members of a group, and what a package of that name consists of when it is not to be waited for itself.
    pub(super) fn members(&self, name: &str) -> BTreeSet<u32> {
        let mut members: BTreeSet<u32> = self.providers.group(name).iter().copied().collect();
        for builder in self.providers.named(name) {
            let packages = self.infos[builder as usize].into_iter().flat_map(|info| &info.packages);
            for dependency in packages.filter(|p| p.pkgname.as_str() == name).flat_map(|p| &p.depends) {
                members.extend(self.providers.resolve(dependency).chosen_by(builder));
            }
        }
        members
    }

    /// The package that builds a pkgname.
    pub(super) fn builder_of(&self, pkgname: &str) -> Option<u32> {
        self.providers.named(pkgname).next()
    }
}

/// What a package needs in its own words.
fn wants_of(info: &SrcInfo) -> impl Iterator<Item = (Kind, &Dependency)> {
    let of_packages = info.packages.iter().flat_map(|package| &package.depends);
    let run = info.depends.iter().chain(of_packages);
    let make = info.makedepends.iter().map(|dependency| (Kind::Make, dependency));
    let check = info.checkdepends.iter().map(|dependency| (Kind::Check, dependency));
    make.chain(check).chain(run.map(|dependency| (Kind::Run, dependency)))
}
