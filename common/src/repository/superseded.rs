//! Which packages go when others enter a repository, archlinux32's table.
//!
//! | package enters | older versions go from | the same or older ones go from |
//! |---|---|---|
//! | standalone | that repository | |
//! | staging | that repository | other staging ones |
//! | testing | all staging ones, that repository | other testing ones |
//! | stable | all staging and testing ones, that repository | other stable ones |
//!
//! The same version counts as older where it changed between `any` and one architecture.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::{Class, Classes, Entry};
use crate::names::{Arch, PkgName, Repository};
use crate::version::FullVersion;

/// A package that enters a repository.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The package.
    pub name: PkgName,
    /// Its version.
    pub version: FullVersion,
    /// Its architecture.
    pub arch: Arch,
}

impl From<&Entry> for Arrival {
    fn from(entry: &Entry) -> Self {
        Self {
            name: entry.name.clone(),
            version: entry.version.clone(),
            arch: entry.arch.clone(),
        }
    }
}

/// The packages of repositories, as [`super::Repositories::packages`] gives them.
pub type Contents = BTreeMap<Repository, Vec<Entry>>;

impl Classes {
    /// The repositories that can lose packages when some enter `to`, `to` itself included.
    pub fn affected_by<'a>(&'a self, to: &'a Repository) -> impl Iterator<Item = &'a Repository> {
        let entered = self.class_of(to);
        self.all()
            .filter(move |(name, class)| {
                *name == to || entered.is_some_and(|entered| loses(entered, *class) != Loss::None)
            })
            .map(|(name, _)| name)
    }

    /// The packages that go when this one enters `to`. What has its name in `to` itself is replaced and not listed.
    #[must_use]
    pub fn superseded(&self, to: &Repository, arrival: &Arrival, contents: &Contents) -> Vec<Repository> {
        let Some(entered) = self.class_of(to) else {
            return Vec::new();
        };
        contents
            .iter()
            .filter(|(repository, entries)| {
                let loss = self
                    .class_of(repository)
                    .map_or(Loss::None, |class| loses(entered, class));
                *repository != to
                    && entries
                        .iter()
                        .any(|entry| entry.name == arrival.name && loss.includes(entry, arrival))
            })
            .map(|(repository, _)| repository.clone())
            .collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    None,
    Older,
    SameOrOlder,
}

impl Loss {
    fn includes(self, entry: &Entry, arrival: &Arrival) -> bool {
        let any_changed = (entry.arch.as_str() == "any") != (arrival.arch.as_str() == "any");
        match (self, entry.version.cmp(&arrival.version)) {
            (Self::None, _) | (_, Ordering::Greater) => false,
            (Self::Older, Ordering::Equal) => any_changed,
            _ => true,
        }
    }
}

/// What another repository of class `other` loses when a package enters one of class `entered`.
fn loses(entered: Class, other: Class) -> Loss {
    match (entered, other) {
        (Class::Standalone, _) | (_, Class::Standalone) => Loss::None,
        _ if entered == other => Loss::SameOrOlder,
        // Less stable ones lose what is older.
        _ if entered < other => Loss::Older,
        _ => Loss::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn entry(version: &str, arch: &str) -> Entry {
        Entry::parse(&format!(
            "%FILENAME%\na-{version}-{arch}.pkg.tar.zst\n\n%NAME%\na\n\n%VERSION%\n{version}\n\n%ARCH%\n{arch}\n\n"
        ))
        .unwrap()
    }

    fn superseded(to: &str, version: &str, there: &[(&str, &str)]) -> Vec<String> {
        let classes = Classes::from_config(&Config::from_text("").unwrap()).unwrap();
        let contents = there
            .iter()
            .map(|(repository, version)| (repository.parse().unwrap(), vec![entry(version, "x86_64")]))
            .collect();
        let arrival = Arrival::from(&entry(version, "x86_64"));
        classes
            .superseded(&to.parse().unwrap(), &arrival, &contents)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn less_stable_repositories_lose_older_versions_and_the_same_class_the_same_ones() {
        let all = |version| {
            [
                "core",
                "extra",
                "testing",
                "community-testing",
                "staging",
                "build-support",
            ]
            .map(|name| (name, version))
        };
        assert_eq!(superseded("staging", "2-1", &all("1-1")), Vec::<String>::new());
        assert_eq!(superseded("community-staging", "2-1", &all("2-1")), ["staging"]);
        assert_eq!(
            superseded("testing", "2-1", &all("1-1")),
            ["community-testing", "staging"]
        );
        assert_eq!(superseded("testing", "2-1", &all("2-1")), ["community-testing"]);
        assert_eq!(
            superseded("core", "2-1", &all("1-1")),
            ["community-testing", "extra", "staging", "testing"]
        );
        assert_eq!(superseded("core", "2-1", &all("2-1")), ["extra"]);
        assert!(superseded("core", "2-1", &all("10-1")).is_empty());
        assert!(superseded("build-support", "2-1", &all("1-1")).is_empty());
    }

    #[test]
    fn a_change_between_any_and_an_architecture_counts_as_older() {
        let classes = Classes::from_config(&Config::from_text("").unwrap()).unwrap();
        let contents = BTreeMap::from([("staging".parse().unwrap(), vec![entry("1-1", "any")])]);
        let to = "testing".parse().unwrap();
        assert_eq!(
            classes
                .superseded(&to, &Arrival::from(&entry("1-1", "x86_64")), &contents)
                .len(),
            1
        );
        assert!(
            classes
                .superseded(&to, &Arrival::from(&entry("1-1", "any")), &contents)
                .is_empty()
        );
    }
}
