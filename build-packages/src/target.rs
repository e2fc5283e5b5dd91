//! What a local build builds: `PKGBASE`, `PKGBASE.REVISION.MOD_REVISION.REPOSITORY`, or a directory.

use std::path::PathBuf;
use std::str::FromStr;

use common::names::{NameError, PkgBase, Repository, Revision};

/// The word for the files of the customization's work tree as they are.
const WORK_TREE: &str = "work-tree";

/// What is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A package at the heads of all git repositories.
    Package(PkgBase),
    /// An order.
    Order(GivenOrder),
    /// A directory with a PKGBUILD.
    Directory(PathBuf),
}

/// An order whose commits may be named by what they are just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GivenOrder {
    pub(crate) pkgbase: PkgBase,
    pub(crate) revision: GivenRevision,
    pub(crate) mod_revision: GivenRevision,
    pub(crate) repository: Repository,
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GivenRevision {
    /// This one.
    Exactly(Revision),
    /// `NAME-HEAD`: the head of this git repository.
    HeadOf(Repository),
    /// `work-tree`: what is in the customization's work tree.
    WorkTree,
}

impl FromStr for GivenRevision {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.strip_suffix("-HEAD") {
            Some(name) => Ok(Self::HeadOf(name.parse()?)),
            None if text == WORK_TREE => Ok(Self::WorkTree),
            None => Ok(Self::Exactly(text.parse()?)),
        }
    }
}

impl FromStr for Target {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.contains('/') || text == "." || text == ".." {
            return Ok(Self::Directory(PathBuf::from(text)));
        }
        Ok(match given_order(text) {
            Some(order) => Self::Order(order),
            None => Self::Package(text.parse()?),
        })
    }
}

/// Read from the right: a pkgbase may have dots.
fn given_order(text: &str) -> Option<GivenOrder> {
    let mut parts = text.rsplitn(4, '.');
    let repository = parts.next()?.parse().ok()?;
    let mod_revision = parts.next()?.parse().ok()?;
    let revision = parts.next()?.parse().ok().filter(|it| *it != GivenRevision::WorkTree)?;
    Some(GivenOrder {
        pkgbase: parts.next()?.parse().ok()?,
        revision,
        mod_revision,
        repository,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_packages_and_directories_are_told_apart() {
        let commit = "1".repeat(40);
        for (text, revision) in [
            (
                "lua5.1.packages-HEAD.work-tree.core".to_owned(),
                GivenRevision::HeadOf("packages".parse().unwrap()),
            ),
            (
                format!("lua5.1.{commit}.{commit}.core"),
                GivenRevision::Exactly(commit.parse().unwrap()),
            ),
        ] {
            let Target::Order(order) = text.parse().unwrap() else {
                unreachable!("{text} is an order");
            };
            assert_eq!((order.pkgbase.as_str(), order.revision), ("lua5.1", revision));
        }
        for text in ["zlib", "lua5.1", "a.b.c.d", "a.work-tree.work-tree.core"] {
            assert!(matches!(text.parse(), Ok(Target::Package(_))), "{text}");
        }
        for text in [".", "..", "./zlib", "/srv/zlib", "a/b"] {
            assert!(matches!(text.parse(), Ok(Target::Directory(_))), "{text}");
        }
        assert!("-x".parse::<Target>().is_err() && "".parse::<Target>().is_err());
    }
}
