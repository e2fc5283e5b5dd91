//! What is wished for, by names and patterns, and which pkgbases that is.
//!
//! Invariant: a wish is resolved as a whole or not at all. A name that no package has is an error, since a rebuild that
//! lacks a package is found out too late; a pattern may match nothing.

use std::collections::{BTreeMap, BTreeSet};

use common::metadata::Infos;
use common::names::{PkgBase, PkgName};
use regex_lite::Regex;
use thiserror::Error;

/// Names that no package has.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("no package is called {}", .0.join(", "))]
pub(crate) struct UnknownNames(Vec<String>);

/// What is wished for, each with its reason.
#[derive(Debug, Default)]
pub(crate) struct Wish {
    /// Names of packages or pkgbases.
    pub(crate) names: Vec<(PkgName, String)>,
    /// Patterns for them.
    pub(crate) patterns: Vec<(Regex, String)>,
    /// What is left out, by a name of a package or its pkgbase.
    pub(crate) ignored: Vec<PkgName>,
}

impl Wish {
    /// Whether nothing is wished for.
    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.patterns.is_empty()
    }

    /// The pkgbases, each with the first reason that was given for it.
    pub(crate) fn resolve(&self, infos: &Infos) -> Result<BTreeMap<PkgBase, String>, UnknownNames> {
        let index = index(infos);
        let mut chosen: BTreeMap<&PkgBase, &str> = BTreeMap::new();
        let mut unknown = BTreeSet::new();
        for (name, reason) in &self.names {
            match index.get(name.as_str()) {
                Some(pkgbases) => chosen.extend(news(pkgbases, &chosen, reason)),
                None if self.ignored.contains(name) => {}
                None => drop(unknown.insert(name.to_string())),
            }
        }
        if !unknown.is_empty() {
            return Err(UnknownNames(unknown.into_iter().collect()));
        }
        for (pattern, reason) in &self.patterns {
            let matching = index.iter().filter(|(name, _)| pattern.is_match(name));
            for (_, pkgbases) in matching {
                chosen.extend(news(pkgbases, &chosen, reason));
            }
        }
        let ignored = self.ignored.iter().filter_map(|name| index.get(name.as_str()));
        for pkgbase in ignored.flatten() {
            chosen.remove(*pkgbase);
        }
        Ok(chosen
            .into_iter()
            .map(|(pkgbase, reason)| (pkgbase.clone(), reason.to_owned()))
            .collect())
    }
}

/// Those that have no reason yet, with this one.
fn news<'a>(
    pkgbases: &BTreeSet<&'a PkgBase>,
    chosen: &BTreeMap<&'a PkgBase, &'a str>,
    reason: &'a str,
) -> Vec<(&'a PkgBase, &'a str)> {
    let is_new = |pkgbase: &&&PkgBase| !chosen.contains_key(**pkgbase);
    pkgbases
        .iter()
        .filter(is_new)
        .map(|pkgbase| (*pkgbase, reason))
        .collect()
}

/// Every pkgbase by its name and by those of its packages. One without metadata has its own name only.
fn index(infos: &Infos) -> BTreeMap<&str, BTreeSet<&PkgBase>> {
    let mut index: BTreeMap<&str, BTreeSet<&PkgBase>> = BTreeMap::new();
    for (pkgbase, info) in infos {
        index.entry(pkgbase.as_str()).or_default().insert(pkgbase);
        for pkgname in info.iter().flat_map(|info| info.pkgnames()) {
            index.entry(pkgname.as_str()).or_default().insert(pkgbase);
        }
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::srcinfo::SrcInfo;

    fn infos() -> Infos {
        let arch = "x86_64".parse().unwrap();
        ["a: a a-libs", "b: b", "c: c-one c-two"]
            .iter()
            .map(|text| {
                let (pkgbase, pkgnames) = text.split_once(": ").unwrap();
                let packages: String = pkgnames.split(' ').map(|name| format!("pkgname = {name}\n")).collect();
                let text = format!("pkgbase = {pkgbase}\npkgver = 1\npkgrel = 1\n{packages}");
                (pkgbase.parse().unwrap(), Ok(SrcInfo::parse(&text, &arch).unwrap()))
            })
            .collect()
    }

    fn resolve(names: &[&str], patterns: &[&str], ignored: &[&str]) -> Result<String, UnknownNames> {
        let reasoned = |name: &&str| (name.parse().unwrap(), format!("as {name}"));
        let wish = Wish {
            names: names.iter().map(reasoned).collect(),
            patterns: patterns
                .iter()
                .map(|text| (Regex::new(text).unwrap(), format!("by {text}")))
                .collect(),
            ignored: ignored.iter().map(|name| name.parse().unwrap()).collect(),
        };
        let found = wish.resolve(&infos())?;
        let words: Vec<String> = found.iter().map(|(name, reason)| format!("{name} {reason}")).collect();
        Ok(words.join(", "))
    }

    #[test]
    fn a_split_package_is_found_by_any_of_its_names() {
        assert_eq!(resolve(&["a-libs", "c"], &[], &[]).unwrap(), "a as a-libs, c as c");
        assert_eq!(resolve(&[], &["^c-t"], &[]).unwrap(), "c by ^c-t");
    }

    #[test]
    fn the_first_reason_stays() {
        let found = resolve(&["a-libs", "a"], &["a", "^b$"], &[]).unwrap();
        assert_eq!(found, "a as a-libs, b by ^b$");
    }

    #[test]
    fn what_is_ignored_is_left_out_by_any_name() {
        assert_eq!(resolve(&["a"], &["^b"], &["a-libs"]).unwrap(), "b by ^b");
        assert_eq!(resolve(&["gone"], &["^b"], &["gone"]).unwrap(), "b by ^b");
    }

    #[test]
    fn unknown_names_are_all_named_and_patterns_may_match_nothing() {
        let error = resolve(&["y", "b", "x", "y"], &[], &[]).unwrap_err();
        assert_eq!(error.to_string(), "no package is called x, y");
        assert_eq!(resolve(&[], &["nothing"], &[]).unwrap(), "");
    }
}
