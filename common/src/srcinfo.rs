//! `.SRCINFO`: what a PKGBUILD says, as `makepkg --printsrcinfo` writes it.
//!
//! Lines `key = value`; a section begins with `pkgbase` or `pkgname`. What a package's section says replaces what the
//! first section says, key by key, an empty value by nothing. Keys with an architecture (`depends_i686`) count for
//! that target only, in addition. Keys that nobody here needs are passed over. An own parser: the format is a few
//! lines, and a crate's model would have to be turned into our names and the target's view of it anyway.

mod dependency;

pub use dependency::{Comparison, Dependency};

use std::collections::HashSet;

use thiserror::Error;

use crate::names::{Arch, NameError, PkgBase, PkgName};
use crate::version::{FullVersion, VersionError};

/// Most packages of one PKGBUILD.
const MAX_PACKAGES: usize = 2_000;

/// A text that is no `.SRCINFO`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SrcInfoError {
    /// A line is not of the form.
    #[error("line {0} has not the form `key = value`")]
    Line(usize),
    /// A key is missing.
    #[error("there is no {0}")]
    Missing(&'static str),
    /// There is something twice, or too much of it.
    #[error("line {line}: {reason}")]
    Structure {
        /// The line.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// A name breaks its rule.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The version is none.
    #[error(transparent)]
    Version(#[from] VersionError),
}

/// What is built from one PKGBUILD, as one target architecture sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SrcInfo {
    /// The unit of building.
    pub pkgbase: PkgBase,
    /// Its version, without our sub-release and without a fraction of upstream's pkgrel.
    pub version: FullVersion,
    /// Needed to build.
    pub makedepends: Vec<Dependency>,
    /// Needed by its tests.
    pub checkdepends: Vec<Dependency>,
    /// Needed to build and to run by all packages (those of the first section).
    pub depends: Vec<Dependency>,
    /// The packages, at least one.
    pub packages: Vec<Package>,
}

/// One of the packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// The unit of installing.
    pub pkgname: PkgName,
    /// Whether it is built once for all architectures.
    pub is_any: bool,
    /// Needed to run.
    pub depends: Vec<Dependency>,
    /// What it provides besides its name.
    pub provides: Vec<Dependency>,
    /// What it cannot be installed with.
    pub conflicts: Vec<Dependency>,
    /// What it takes the place of.
    pub replaces: Vec<Dependency>,
    /// Groups that it belongs to.
    pub groups: Vec<String>,
}

/// The keys that count; those of lists count for single architectures, too (`depends_i686`).
const SINGLE: &[&str] = &["pkgver", "pkgrel", "epoch", "arch", "groups"];
const LISTS: &[&str] = &[
    "depends",
    "makedepends",
    "checkdepends",
    "provides",
    "conflicts",
    "replaces",
];

/// One section: keys and values that count, in their order.
#[derive(Default)]
struct Section<'t> {
    name: &'t str,
    values: Vec<(&'t str, &'t str)>,
}

impl<'t> Section<'t> {
    fn add(&mut self, key: &'t str, value: &'t str) {
        let is_of_list = |list: &&str| {
            let rest = key.strip_prefix(*list);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        };
        if SINGLE.contains(&key) || LISTS.iter().any(is_of_list) {
            self.values.push((key, value));
        }
    }

    fn of<'s>(&'s self, key: &'s str) -> impl Iterator<Item = &'t str> + 's {
        self.values
            .iter()
            .filter(move |(k, _)| *k == key)
            .map(|(_, value)| *value)
    }
}

impl SrcInfo {
    /// Reads the text for a target architecture.
    ///
    /// # Errors
    /// It is no `.SRCINFO`.
    pub fn parse(text: &str, arch: &Arch) -> Result<Self, SrcInfoError> {
        let (base, packages) = sections(text)?;
        let text_of = |key| base.of(key).next();
        let version = text_of("pkgver").ok_or(SrcInfoError::Missing("pkgver"))?;
        let pkgrel = text_of("pkgrel").ok_or(SrcInfoError::Missing("pkgrel"))?;
        // As in our PKGBUILDs: the fraction is for our sub-release.
        let pkgrel = pkgrel.split_once('.').map_or(pkgrel, |(whole, _)| whole);
        let epoch = text_of("epoch").map_or_else(String::new, |epoch| format!("{epoch}:"));
        if packages.is_empty() {
            return Err(SrcInfoError::Missing("pkgname"));
        }
        let nothing = Section::default();
        Ok(Self {
            pkgbase: base.name.parse()?,
            version: format!("{epoch}{version}-{pkgrel}").parse()?,
            makedepends: dependencies(&base, &nothing, "makedepends", arch),
            checkdepends: dependencies(&base, &nothing, "checkdepends", arch),
            depends: dependencies(&base, &nothing, "depends", arch),
            packages: packages
                .iter()
                .map(|section| package(&base, section, arch))
                .collect::<Result<_, _>>()?,
        })
    }

    /// `[epoch:]pkgver-pkgrel`, without our sub-release.
    #[must_use]
    pub fn full_version(&self) -> &FullVersion {
        &self.version
    }

    /// The names of the packages.
    pub fn pkgnames(&self) -> impl Iterator<Item = &PkgName> {
        self.packages.iter().map(|package| &package.pkgname)
    }
}

/// The first section and those of the packages.
fn sections(text: &str) -> Result<(Section<'_>, Vec<Section<'_>>), SrcInfoError> {
    let mut base: Option<Section<'_>> = None;
    let mut packages: Vec<Section<'_>> = Vec::new();
    let mut names: HashSet<&str> = HashSet::new();
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // An empty value is written with and without the blank behind the sign.
        let (key, value) = line.split_once('=').ok_or(SrcInfoError::Line(line_number))?;
        let (key, value) = (key.trim_end(), value.trim_start());
        let structure = |reason| SrcInfoError::Structure {
            line: line_number,
            reason,
        };
        let fresh = |name| Section {
            name,
            values: Vec::new(),
        };
        match (key, &mut base) {
            ("pkgbase", None) => base = Some(fresh(value)),
            ("pkgbase", Some(_)) => return Err(structure("there is a pkgbase already")),
            (_, None) => return Err(structure("the first key is not pkgbase")),
            ("pkgname", Some(_)) => {
                if !names.insert(value) {
                    return Err(structure("there is a package of this name already"));
                }
                if packages.len() >= MAX_PACKAGES {
                    return Err(structure("there are too many packages"));
                }
                packages.push(fresh(value));
            }
            (_, Some(base)) => {
                packages.last_mut().unwrap_or(base).add(key, value);
            }
        }
    }
    Ok((base.ok_or(SrcInfoError::Missing("pkgbase"))?, packages))
}

fn package(base: &Section<'_>, section: &Section<'_>, arch: &Arch) -> Result<Package, SrcInfoError> {
    let of = |key| dependencies(base, section, key, arch);
    Ok(Package {
        pkgname: section.name.parse()?,
        is_any: values(base, section, "arch").next() == Some("any"),
        depends: of("depends"),
        provides: of("provides"),
        conflicts: of("conflicts"),
        replaces: of("replaces"),
        groups: values(base, section, "groups").map(str::to_owned).collect(),
    })
}

/// The values of a key that hold for a package; an empty one says that there are none.
fn values<'s>(base: &'s Section<'_>, section: &'s Section<'_>, key: &'s str) -> impl Iterator<Item = &'s str> {
    let says = section.of(key).next().is_some();
    let from = if says { section } else { base };
    from.of(key).filter(|value| !value.is_empty())
}

fn dependencies(base: &Section<'_>, section: &Section<'_>, key: &str, arch: &Arch) -> Vec<Dependency> {
    let of_arch = format!("{key}_{arch}");
    let mut seen: HashSet<&str> = HashSet::new();
    values(base, section, key)
        .chain(values(base, section, &of_arch))
        .filter(|text| seen.insert(text))
        .map(Dependency::parse)
        .filter(|dependency| !dependency.name.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Generated by makepkg 6.0.2\npkgbase = a\n\tpkgdesc = x = y\n\tpkgver = 1.2\n\tpkgrel = 3\n\
        \tepoch = 1\n\tarch = x86_64\n\tmakedepends = m\n\tmakedepends_i686 = m32\n\tcheckdepends = c>=2\n\
        \tdepends = d\n\tgroups = g\n\npkgname = a\n\tprovides = liba.so=1-64\n\npkgname = a-doc\n\tarch = any\n\
        \tdepends = \n\tgroups =\n\nsome = thing\n";

    fn parse(arch: &str) -> SrcInfo {
        SrcInfo::parse(TEXT, &arch.parse().unwrap()).unwrap()
    }

    #[test]
    fn packages_inherit_and_replace() {
        let info = parse("i686");
        assert_eq!(info.full_version().as_str(), "1:1.2-3");
        let [a, doc] = &info.packages[..] else { panic!() };
        assert_eq!(
            (a.depends.len(), a.groups.len(), a.provides.len(), a.is_any),
            (1, 1, 1, false)
        );
        assert_eq!(
            (doc.depends.len(), doc.groups.len(), doc.provides.len(), doc.is_any),
            (0, 0, 0, true)
        );
        assert_eq!(info.makedepends.len(), 2);
        assert_eq!(parse("x86_64").makedepends.len(), 1);
    }

    #[test]
    fn other_texts_are_refused() {
        let arch = "i686".parse().unwrap();
        for text in [
            "",
            "pkgname = a\n",
            "pkgbase = a\n\tpkgver = 1\n\tpkgrel = 1\n",
            "pkgbase = a\n\tpkgver = 1\npkgname = a\n",
            "pkgbase = ../a\n\tpkgver = 1\n\tpkgrel = 1\npkgname = a\n",
            "pkgbase = a\n\tpkgver = 1\n\tpkgrel = 1\npkgname = a\npkgname = a\n",
            "pkgbase = a\njunk\n",
        ] {
            assert!(SrcInfo::parse(text, &arch).is_err(), "{text:?}");
        }
    }
}
