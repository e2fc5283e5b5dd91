//! What is asked for: one file of one repository. Names from the network become types here, or are refused.

use std::fmt;
use std::path::PathBuf;

use common::names::{Arch, FileName, Repository};

/// One file of one repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wanted {
    pub(super) repository: Repository,
    pub(super) arch: Arch,
    pub(super) file: FileName,
}

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A package: never changes under its name, and the database says what it is.
    Package,
    /// The signature of a package.
    Signature,
    /// A database, or anything else: asked for each time.
    Passing,
}

impl Wanted {
    /// `None`: no name of a file in a repository.
    pub(super) fn parse(repository: &str, arch: &str, file: &str) -> Option<Self> {
        Some(Self {
            repository: repository.parse().ok()?,
            arch: arch.parse().ok()?,
            // Hidden files are ours, and no mirror has any.
            file: file.parse().ok().filter(|_| !file.starts_with('.'))?,
        })
    }

    pub(super) fn kind(&self) -> Kind {
        let name = self.file.as_str();
        let is_package = |name: &str| name.parse::<common::version::PackageFileName>().is_ok();
        match name.strip_suffix(".sig") {
            Some(package) if is_package(package) => Kind::Signature,
            None if is_package(name) => Kind::Package,
            _ => Kind::Passing,
        }
    }

    /// Where it lies below the cache and below a mirror's usual tree.
    pub(super) fn path(&self) -> PathBuf {
        [self.repository.as_str(), "os", self.arch.as_str(), self.file.as_str()]
            .iter()
            .collect()
    }

    /// The database that says what its packages are.
    pub(super) fn database(&self) -> Option<Self> {
        Self::parse(
            self.repository.as_str(),
            self.arch.as_str(),
            &format!("{}.db", self.repository),
        )
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path().display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_and_their_signatures_are_told_from_what_changes() {
        let kind = |file| Wanted::parse("core", "x86_64", file).unwrap().kind();
        assert_eq!(kind("libsigc++-3.4.0-1-x86_64.pkg.tar.zst"), Kind::Package);
        assert_eq!(kind("a-1:2-1-any.pkg.tar.xz.sig"), Kind::Signature);
        for file in [
            "core.db",
            "core.db.sig",
            "core.files",
            "core.db.tar.gz",
            "lastsync",
            "x.pkg.tar.zst",
        ] {
            assert_eq!(kind(file), Kind::Passing, "{file}");
        }
    }

    #[test]
    fn what_leads_out_of_the_cache_is_refused() {
        for (repository, arch, file) in [
            ("..", "x86_64", "core.db"),
            ("core", "..", "core.db"),
            ("core", "x86_64", ".."),
            ("core", "x86_64", ".portsmith-x"),
            ("core", "x86_64", "a/b"),
            ("core", "x86_64", "a b"),
            ("", "x86_64", "core.db"),
        ] {
            assert_eq!(
                Wanted::parse(repository, arch, file),
                None,
                "{repository} {arch} {file}"
            );
        }
    }
}
