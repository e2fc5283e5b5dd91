//! Who satisfies a dependency: names first, then provisions with versions and sonames, then groups.
//!
//! Of several packages that provide a name the first by name is taken, as pacman takes the first of a database. What
//! a package provides itself it does not need from others.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::PkgBase;
use crate::srcinfo::{Dependency, SrcInfo};

/// One way of satisfying a name.
#[derive(Debug, Clone)]
struct Provider<'a> {
    pkgbase: &'a PkgBase,
    pkgname: &'a str,
    /// The version that goes with the name: the package's own, or that of the provision.
    version: Option<&'a str>,
}

/// All packages that are known, on the build list or not.
#[derive(Debug, Default)]
pub struct Packages<'a> {
    infos: BTreeMap<&'a PkgBase, Option<&'a SrcInfo>>,
    named: BTreeMap<&'a str, Vec<Provider<'a>>>,
    provided: BTreeMap<&'a str, Vec<Provider<'a>>>,
    groups: BTreeMap<&'a str, BTreeSet<&'a PkgBase>>,
}

impl<'a> Packages<'a> {
    /// The packages with their metadata. One without is known by its pkgbase alone: it needs nothing, and those who
    /// need it by that name wait for it.
    #[must_use]
    pub fn new(packages: impl IntoIterator<Item = (&'a PkgBase, Option<&'a SrcInfo>)>) -> Self {
        let mut all = Self {
            infos: packages.into_iter().collect(),
            ..Self::default()
        };
        for (pkgbase, info) in all.infos.clone() {
            match info {
                Some(info) => all.add(pkgbase, info),
                None => all.named.entry(pkgbase.as_str()).or_default().push(Provider {
                    pkgbase,
                    pkgname: pkgbase.as_str(),
                    version: None,
                }),
            }
        }
        for providers in all.named.values_mut().chain(all.provided.values_mut()) {
            providers.sort_by_key(|provider| (provider.pkgname, provider.pkgbase));
        }
        all
    }

    /// The metadata of a package.
    #[must_use]
    pub fn info(&self, pkgbase: &PkgBase) -> Option<&'a SrcInfo> {
        self.infos.get(pkgbase).copied().flatten()
    }

    /// All packages, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'a PkgBase> {
        self.infos.keys().copied()
    }

    /// Every package that satisfies a dependency, whoever needs it.
    #[must_use]
    pub fn satisfying(&self, dependency: &Dependency) -> BTreeSet<&'a PkgBase> {
        let named = self.named_by(dependency).chain(self.providing(dependency));
        let mut all: BTreeSet<&PkgBase> = named.map(|provider| provider.pkgbase).collect();
        if dependency.version.is_none() {
            all.extend(self.groups.get(dependency.name.as_str()).into_iter().flatten());
        }
        all
    }

    /// The packages that a dependency of `needer` is taken from: one, or all members of a group; none when nobody
    /// known satisfies it or `needer` does so itself.
    #[must_use]
    pub fn chosen(&self, needer: &PkgBase, dependency: &Dependency) -> Vec<&'a PkgBase> {
        let candidates: Vec<&Provider<'a>> = self.named_by(dependency).chain(self.providing(dependency)).collect();
        if candidates.iter().any(|provider| provider.pkgbase == needer) {
            return Vec::new();
        }
        if let Some(first) = candidates.first() {
            return vec![first.pkgbase];
        }
        if dependency.version.is_some() {
            return Vec::new();
        }
        let members = self.groups.get(dependency.name.as_str()).into_iter().flatten();
        members.copied().filter(|member| *member != needer).collect()
    }

    /// The members of a group, and what a package of that name consists of when it is not to be waited for itself.
    pub(super) fn members(&self, name: &str) -> BTreeSet<&'a PkgBase> {
        let mut members: BTreeSet<&PkgBase> = self.groups.get(name).into_iter().flatten().copied().collect();
        for provider in self.named.get(name).into_iter().flatten() {
            for package in self.info(provider.pkgbase).into_iter().flat_map(|info| &info.packages) {
                if package.pkgname.as_str() == name {
                    let needs = package.depends.iter();
                    members.extend(needs.flat_map(|dependency| self.chosen(provider.pkgbase, dependency)));
                }
            }
        }
        members
    }

    /// The package that builds a pkgname.
    pub(super) fn builder_of(&self, pkgname: &str) -> Option<&'a PkgBase> {
        Some(self.named.get(pkgname)?.first()?.pkgbase)
    }

    fn named_by<'s>(&'s self, dependency: &'s Dependency) -> impl Iterator<Item = &'s Provider<'a>> {
        let named = self.named.get(dependency.name.as_str()).into_iter().flatten();
        // Without metadata the version is not known, and waiting is the safe side.
        named.filter(|provider| {
            provider
                .version
                .is_none_or(|version| dependency.accepts_version(version))
        })
    }

    fn providing<'s>(&'s self, dependency: &'s Dependency) -> impl Iterator<Item = &'s Provider<'a>> {
        let provided = self.provided.get(dependency.name.as_str()).into_iter().flatten();
        provided.filter(|provider| match provider.version {
            Some(version) => dependency.accepts_version(version),
            None => dependency.version.is_none(),
        })
    }

    fn add(&mut self, pkgbase: &'a PkgBase, info: &'a SrcInfo) {
        for package in &info.packages {
            let pkgname = package.pkgname.as_str();
            let version = Some(info.version.as_str());
            self.named.entry(pkgname).or_default().push(Provider {
                pkgbase,
                pkgname,
                version,
            });
            for provision in &package.provides {
                let version = provision.version.as_ref().map(|(_, version)| version.as_str());
                self.provided.entry(&provision.name).or_default().push(Provider {
                    pkgbase,
                    pkgname,
                    version,
                });
            }
            for group in &package.groups {
                self.groups.entry(group).or_default().insert(pkgbase);
            }
        }
    }
}
