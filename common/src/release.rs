//! What building an order yields: a version, and the packages of that version.
//!
//! `<work_dir>/metadata/releases` says it for every order on the build list, so that one of them can be handed out
//! without a look into git: a line `pkgbase revision mod_revision repository version package…`, where a package that is
//! built once for all architectures ends in `/any`. Derived with the list and never needed: an order without a line is
//! looked up in its sources.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::path::Path;
use std::str::FromStr;

use crate::atomic::FileError;
use crate::build_list::Order;
use crate::names::{Arch, PkgName};
use crate::source::SubRelease;
use crate::srcinfo::SrcInfo;
use crate::version::{FullVersion, PackageFileName};

/// Marks a package that is built once for all architectures.
const ANY: &str = "/any";
/// The file is read in parts of so many bytes.
const PART: usize = 64 << 10;

/// What building an order yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its version, without our sub-release.
    pub version: FullVersion,
    packages: Vec<(PkgName, Scope)>,
}

/// Where a package can be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Target,
    Any,
}

impl Release {
    /// What a `.SRCINFO` says of it.
    #[must_use]
    pub fn of(info: &SrcInfo) -> Self {
        let packages = info.packages.iter().map(|package| {
            let scope = if package.is_any { Scope::Any } else { Scope::Target };
            (package.pkgname.clone(), scope)
        });
        Self {
            version: info.version.clone(),
            packages: packages.collect(),
        }
    }

    /// The names of the packages.
    #[must_use]
    pub fn pkgnames(&self) -> BTreeSet<PkgName> {
        self.packages.iter().map(|(pkgname, _)| pkgname.clone()).collect()
    }

    /// The files that a build makes, debug packages left out.
    #[must_use]
    pub fn package_files(&self, sub: SubRelease, arch: &Arch, extension: &str) -> Vec<PackageFileName> {
        let any = "any".parse::<Arch>();
        let arch_of = |scope: &Scope| match (&any, scope) {
            (Ok(any), Scope::Any) => any.clone(),
            _ => arch.clone(),
        };
        self.packages
            .iter()
            .map(|(pkgname, scope)| PackageFileName {
                pkgname: pkgname.clone(),
                version: sub.apply(&self.version),
                arch: arch_of(scope),
                extension: extension.to_owned(),
            })
            .collect()
    }

    /// Looks an order up in the file; `None` when it has no line there, or one that cannot be read.
    ///
    /// # Errors
    /// The file exists and cannot be read.
    pub fn find(path: &Path, order: &Order) -> Result<Option<Self>, FileError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(FileError::at("read", path)(error)),
        };
        let mut lines = BufReader::with_capacity(PART, file);
        let begin = format!("{order} ");
        let mut line = Vec::new();
        while lines
            .read_until(b'\n', &mut line)
            .map_err(FileError::at("read", path))?
            > 0
        {
            if let Some(rest) = line.strip_prefix(begin.as_bytes()) {
                return Ok(std::str::from_utf8(rest).ok().and_then(|rest| rest.parse().ok()));
            }
            line.clear();
        }
        Ok(None)
    }
}

/// The text of the file for these orders.
#[must_use]
pub fn listing<'a>(releases: impl IntoIterator<Item = (&'a Order, Release)>) -> String {
    let lines = releases
        .into_iter()
        .map(|(order, release)| format!("{order} {release}\n"));
    lines.collect()
}

/// What follows the order in a line.
impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.version)?;
        for (pkgname, scope) in &self.packages {
            let mark = if *scope == Scope::Any { ANY } else { "" };
            write!(f, " {pkgname}{mark}")?;
        }
        Ok(())
    }
}

impl FromStr for Release {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_ascii_whitespace();
        let version = words.next().ok_or("there is no version")?;
        let packages = words
            .map(|word| match word.strip_suffix(ANY) {
                Some(pkgname) => Ok((pkgname.parse()?, Scope::Any)),
                None => Ok((word.parse()?, Scope::Target)),
            })
            .collect::<Result<Vec<_>, crate::names::NameError>>()
            .map_err(|error| error.to_string())?;
        if packages.is_empty() {
            return Err("there is no package".to_owned());
        }
        Ok(Self {
            version: version
                .parse()
                .map_err(|error: crate::version::VersionError| error.to_string())?,
            packages,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SubPkgrel;

    fn order(pkgbase: &str) -> Order {
        format!("{pkgbase} {} {} core", "1".repeat(40), "2".repeat(40))
            .parse()
            .unwrap()
    }

    #[test]
    fn a_release_is_found_by_its_order_and_reads_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("releases");
        let gcc: Release = "1:12.1.0-2 gcc gcc-libs gcc-docs/any".parse().unwrap();
        let other: Release = "1-1 gcc-rust".parse().unwrap();
        let (of_gcc, of_other) = (order("gcc"), order("gcc-rust"));
        let text = listing([(&of_other, other), (&of_gcc, gcc.clone())]);
        crate::atomic::write(&path, text.as_bytes()).unwrap();
        assert_eq!(Release::find(&path, &of_gcc).unwrap(), Some(gcc.clone()));
        assert_eq!(Release::find(&path, &order("gc")).unwrap(), None);
        let sub = SubRelease::new(SubPkgrel::Always, 3);
        let files = gcc.package_files(sub, &"i686".parse().unwrap(), ".pkg.tar.zst");
        assert_eq!(files[1].to_string(), "gcc-libs-1:12.1.0-2.3-i686.pkg.tar.zst");
        assert_eq!(files[2].to_string(), "gcc-docs-1:12.1.0-2.3-any.pkg.tar.zst");
    }

    #[test]
    fn the_files_of_a_build_follow_from_what_its_pkgbuild_says() {
        let text = "pkgbase = a\n\tepoch = 1\n\tpkgver = 1.2\n\tpkgrel = 3\n\tarch = i686\n\npkgname = a\n\n\
                    pkgname = a-doc\n\tarch = any\n";
        let arch = "i686".parse().unwrap();
        let release = Release::of(&SrcInfo::parse(text, &arch).unwrap());
        let files = |sub| {
            let files = release.package_files(sub, &arch, ".pkg.tar.zst");
            files.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            files(SubRelease::Number(0)),
            ["a-1:1.2-3.0-i686.pkg.tar.zst", "a-doc-1:1.2-3.0-any.pkg.tar.zst"]
        );
        assert_eq!(files(SubRelease::None)[0], "a-1:1.2-3-i686.pkg.tar.zst");
    }

    #[test]
    fn an_absent_file_and_a_torn_line_say_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("releases");
        assert_eq!(Release::find(&path, &order("a")).unwrap(), None);
        crate::atomic::write(&path, format!("{} 1-1", order("a")).as_bytes()).unwrap();
        assert_eq!(Release::find(&path, &order("a")).unwrap(), None);
    }
}
