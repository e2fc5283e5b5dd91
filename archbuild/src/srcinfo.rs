//! What `makepkg --printsrcinfo` says about building: the section of the package base.
//!
//! The text comes from a hostile PKGBUILD. Names are checked; dependencies go to pacman as operands after `--`.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use common::names::{FileName, PkgBase, PkgName};

/// Longest dependency that is passed on.
const MAX_DEPENDENCY: usize = 300;

/// What a build needs to know.
#[derive(Debug, PartialEq, Eq)]
pub struct SrcInfo {
    /// The package base.
    pub pkgbase: PkgBase,
    /// Its packages.
    pub pkgnames: BTreeSet<String>,
    /// Needed to build and to run.
    pub dependencies: BTreeSet<String>,
    /// Needed for check().
    pub check_dependencies: BTreeSet<String>,
    /// Names under which makepkg looks for sources that are there already.
    pub sources: BTreeSet<FileName>,
}

impl SrcInfo {
    /// Reads the text for one architecture.
    pub fn parse(text: &str, arch: &str) -> Result<Self> {
        let mut pkgbase = None;
        let mut pkgnames = BTreeSet::new();
        let (mut dependencies, mut check_dependencies) = (BTreeSet::new(), BTreeSet::new());
        let mut sources = BTreeSet::new();
        for line in text.lines() {
            let Some((key, value)) = line.trim().split_once(" = ") else {
                continue;
            };
            let key = key
                .strip_suffix(arch)
                .and_then(|key| key.strip_suffix('_'))
                .unwrap_or(key);
            match key {
                "pkgbase" => pkgbase = Some(value.parse::<PkgBase>()?),
                "pkgname" => {
                    pkgnames.insert(value.parse::<PkgName>()?.to_string());
                }
                // What follows a pkgname is that package's own, for running it.
                _ if !pkgnames.is_empty() => {}
                "depends" | "makedepends" => {
                    dependencies.insert(dependency(value)?);
                }
                "checkdepends" => {
                    check_dependencies.insert(dependency(value)?);
                }
                "source" => sources.extend(source_name(value)),
                _ => {}
            }
        }
        Ok(Self {
            pkgbase: pkgbase.context("makepkg names no package base")?,
            pkgnames,
            dependencies,
            check_dependencies,
            sources,
        })
    }

    /// What has to be installed.
    pub fn wanted(&self, check: bool) -> Vec<String> {
        let mut all = self.dependencies.clone();
        if check {
            all.extend(self.check_dependencies.iter().cloned());
        }
        all.into_iter().collect()
    }
}

/// `name::url`, or the last part of the URL or path.
fn source_name(text: &str) -> Option<FileName> {
    let name = match text.split_once("::") {
        Some((name, _)) => name,
        None => text.rsplit('/').next().unwrap_or(text),
    };
    name.parse().ok()
}

fn dependency(text: &str) -> Result<String> {
    // An optional reason is for people.
    let name = text.split(": ").next().unwrap_or(text);
    let is_sound = !name.is_empty()
        && name.len() <= MAX_DEPENDENCY
        && !name.starts_with('-')
        && name.chars().all(|c| c.is_ascii_graphic());
    ensure!(
        is_sound,
        "the dependency {text:?} has characters that no package's name has"
    );
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "pkgbase = a\n\tpkgver = 1\n\tarch = x86_64\n\tcheckdepends = which\n\tmakedepends = flex>=2\n\t\
                        makedepends_x86_64 = nasm\n\tmakedepends_i686 = yasm\n\tdepends = glibc\n\tsource = a.tar.gz::https://host/1\n\tsource = https://host/b.tgz\n\
                        \tsource = x/../..\n\npkgname = a\n\
                        \tdepends = only-to-run\n\npkgname = a-doc\n";

    #[test]
    fn what_building_needs_is_read_and_what_running_needs_is_not() {
        let info = SrcInfo::parse(TEXT, "x86_64").unwrap();
        assert_eq!(info.pkgbase.as_str(), "a");
        assert_eq!(info.wanted(false), ["flex>=2", "glibc", "nasm"]);
        assert_eq!(info.wanted(true), ["flex>=2", "glibc", "nasm", "which"]);
        assert_eq!(info.pkgnames.iter().collect::<Vec<_>>(), ["a", "a-doc"]);
        let sources: Vec<&str> = info.sources.iter().map(FileName::as_str).collect();
        assert_eq!(sources, ["a.tar.gz", "b.tgz"]);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "pkgbase = ../a\n",
            "pkgbase = a\ndepends = --root=/\n",
            "pkgbase = a\ndepends = a b\n",
            "pkgbase = a\npkgname = a/b\n",
        ] {
            assert!(SrcInfo::parse(text, "x86_64").is_err(), "{text:?}");
        }
    }
}
