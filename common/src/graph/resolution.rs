//! Who satisfies one dependency, and whom of those a package takes it from.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use crate::names::PkgBase;
use crate::srcinfo::{Dependency, SrcInfo};

/// One way of satisfying a name.
#[derive(Debug, Clone, Copy)]
struct Provider<'a> {
    node: u32,
    /// The place of its repository.
    rank: usize,
    pkgname: &'a str,
    /// The version that goes with the name: the package's own, or that of the provision.
    version: Option<&'a str>,
}

/// Everything that satisfies a name, by the name.
#[derive(Debug, Default)]
pub(super) struct Providers<'a> {
    named: HashMap<&'a str, Vec<Provider<'a>>>,
    provided: HashMap<&'a str, Vec<Provider<'a>>>,
    groups: HashMap<&'a str, Vec<u32>>,
}

impl<'a> Providers<'a> {
    /// Adds a package; nodes come in their order.
    pub(super) fn add(&mut self, node: u32, (pkgbase, info): (&'a PkgBase, Option<&'a SrcInfo>), rank: usize) {
        let provider = |pkgname, version| Provider {
            node,
            rank,
            pkgname,
            version,
        };
        let Some(info) = info else {
            let name = pkgbase.as_str();
            self.named.entry(name).or_default().push(provider(name, None));
            return;
        };
        for package in &info.packages {
            let pkgname = package.pkgname.as_str();
            let own = provider(pkgname, Some(info.version.as_str()));
            self.named.entry(pkgname).or_default().push(own);
            for provision in &package.provides {
                let version = provision.version.as_ref().map(|(_, version)| version.as_str());
                let by_provision = self.provided.entry(&provision.name).or_default();
                by_provision.push(provider(pkgname, version));
            }
            for group in &package.groups {
                let members = self.groups.entry(group).or_default();
                if members.last() != Some(&node) {
                    members.push(node);
                }
            }
        }
    }

    /// Puts those of each name into the order in which they are taken.
    pub(super) fn sort(&mut self) {
        let all = self.named.values_mut().chain(self.provided.values_mut());
        all.for_each(|providers| providers.sort_by_key(|provider| (provider.rank, provider.pkgname, provider.node)));
    }

    /// The packages that build a pkgname.
    pub(super) fn named(&self, pkgname: &str) -> impl Iterator<Item = u32> {
        self.named
            .get(pkgname)
            .into_iter()
            .flatten()
            .map(|provider| provider.node)
    }

    /// The members of a group.
    pub(super) fn group(&self, name: &str) -> &[u32] {
        self.groups.get(name).map_or(&[], Vec::as_slice)
    }

    /// Who satisfies a dependency.
    pub(super) fn resolve(&self, dependency: &Dependency) -> Resolved {
        let name = dependency.name.as_str();
        // Without metadata the version is not known, and waiting is the safe side.
        let named = self.named.get(name).into_iter().flatten().filter(|provider| {
            let version = provider.version;
            version.is_none_or(|version| dependency.accepts_version(version))
        });
        let provided = self.provided.get(name).into_iter().flatten();
        let provided = provided.filter(|provider| match provider.version {
            Some(version) => dependency.accepts_version(version),
            None => dependency.version.is_none(),
        });
        let mut resolved = Resolved::default();
        resolved.nodes.extend(named.map(|provider| provider.node));
        resolved.by_name = resolved.nodes.len();
        resolved.nodes.extend(provided.map(|provider| provider.node));
        resolved.single = resolved.nodes.len();
        if dependency.version.is_none() {
            resolved.nodes.extend(self.group(name));
        }
        resolved
    }
}

/// The packages that satisfy one dependency, in the order in which they are taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Resolved {
    /// By name, then by provision, then as members of a group; one can be there more than once.
    nodes: Vec<u32>,
    /// So many have the name.
    by_name: usize,
    /// So many satisfy it alone; the others are members of a group, which is wanted whole.
    single: usize,
}

impl Resolved {
    /// All who satisfy it, whoever needs it.
    pub(super) fn all(&self) -> impl Iterator<Item = u32> {
        self.nodes.iter().copied()
    }

    /// All who satisfy it alone.
    pub(super) fn singly(&self) -> impl Iterator<Item = u32> {
        self.nodes[..self.single].iter().copied()
    }

    /// All who satisfy it, or the members of the group when it is one.
    pub(super) fn possible(&self) -> &[u32] {
        match self.single {
            0 => &self.nodes,
            single => &self.nodes[..single],
        }
    }

    /// Whether the package itself satisfies it.
    pub(super) fn is_by(&self, node: u32) -> bool {
        self.nodes[..self.single].contains(&node)
    }

    /// Whom the package takes it from: one, or all members of a group; nobody when it satisfies it itself.
    pub(super) fn chosen_by(&self, node: u32) -> &[u32] {
        match self.single {
            0 => &self.nodes,
            _ if self.is_by(node) => &[],
            _ => &self.nodes[..1],
        }
    }
}

/// How somebody satisfies a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// The package that needs it provides it.
    Itself,
    /// A package has the name.
    Name,
    /// A package provides the name.
    Provision,
    /// It is a group; all its members are meant.
    Group,
    /// Nobody who is known satisfies it.
    Nobody,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Itself => "provided by itself",
            Self::Name => "by name",
            Self::Provision => "by provision",
            Self::Group => "by group",
            Self::Nobody => "nobody known",
        })
    }
}

/// Whom a package takes a dependency from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Choice<'a> {
    /// How they satisfy it.
    pub how: How,
    /// One, or all members of a group; none when the package satisfies it itself or nobody does.
    pub from: Vec<&'a PkgBase>,
    /// Who would satisfy it, too, in the order in which they would be taken.
    pub others: Vec<&'a PkgBase>,
}

impl<'a> Choice<'a> {
    pub(super) fn of(resolved: &Resolved, needer: Option<u32>, names: &[&'a PkgBase]) -> Self {
        let is_itself = needer.is_some_and(|needer| resolved.is_by(needer));
        let how = match resolved.single {
            _ if is_itself => How::Itself,
            0 if resolved.nodes.is_empty() => How::Nobody,
            0 => How::Group,
            _ if resolved.by_name > 0 => How::Name,
            _ => How::Provision,
        };
        let chosen = resolved.chosen_by(needer.unwrap_or(u32::MAX));
        let name_of = |node: &u32| names[*node as usize];
        let mut others: Vec<&PkgBase> = Vec::new();
        for node in resolved.possible().iter().filter(|node| !chosen.contains(node)) {
            let name = name_of(node);
            if Some(*node) != needer && !others.contains(&name) {
                others.push(name);
            }
        }
        Self {
            how,
            from: chosen
                .iter()
                .filter(|node| Some(**node) != needer)
                .map(name_of)
                .collect(),
            others,
        }
    }
}
