//! Which shared libraries the ELF files of a package need and provide, in makepkg's words: `libfoo.so=1-64`.
//!
//! What PKGBUILDs declare is not enough: in Arch one package in twenty names a soname at all. So the names are read out
//! of the files ([`elf`]) while a package is read ([`crate::package`]), written beside each package by builders, and kept
//! for every published one ([`crate::repository::SonameLists`]). Both lists are complete: what a package needs of itself is in both.
//!
//! Format: `needed libc.so=6-64` or `provided libfoo.so=1-64`, one a line, sorted.

pub(crate) mod elf;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::srcinfo::Dependency;

/// Longest soname in bytes.
const MAX_SONAME: usize = 255;

/// A text that is no soname.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no soname of the form libfoo.so=1-64")]
pub struct SonameError(String);

/// A shared library as dependencies of packages name it, `libfoo.so=1-64`: what is before the version in its DT_SONAME,
/// the version, and 32 or 64 for the class of the ELF file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Soname(String);

impl Soname {
    /// makepkg's name for the DT_SONAME or DT_NEEDED of a file: `libfoo.so.1` is `libfoo.so=1-64`, and a name without a
    /// version is its own version (`libfoo.so=libfoo.so-64`), find_libprovides of makepkg(8). `None` when the name cannot
    /// stand in a list.
    #[must_use]
    pub fn from_elf(name: &str, bits: u8) -> Option<Self> {
        // ld.so takes a path as it is; packages provide names only.
        let name = name.rsplit('/').next().unwrap_or(name);
        let is_plain = |c: u8| c.is_ascii_graphic() && !b"<>=:".contains(&c);
        if name.is_empty() || name.len() > MAX_SONAME || !name.bytes().all(is_plain) {
            return None;
        }
        Some(Self(match name.rsplit_once(".so.") {
            Some((stem, version)) if !stem.is_empty() && !version.is_empty() => format!("{stem}.so={version}-{bits}"),
            _ => format!("{name}={name}-{bits}"),
        }))
    }

    /// The soname as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The library without its version: `libfoo.so`.
    #[must_use]
    pub fn library(&self) -> &str {
        self.0.split_once('=').map_or(self.as_str(), |(library, _)| library)
    }

    /// The soname as `provides` and `depends` of a package have it.
    #[must_use]
    pub fn to_dependency(&self) -> Dependency {
        Dependency::parse(&self.0)
    }
}

impl FromStr for Soname {
    type Err = SonameError;

    fn from_str(text: &str) -> Result<Self, SonameError> {
        let parts = text.split_once('=').and_then(|(name, rest)| {
            let (version, bits) = rest.rsplit_once('-')?;
            Some((name, version, bits))
        });
        let is_plain = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_graphic() && c != b'=');
        match parts {
            Some((name, version, "32" | "64"))
                if is_plain(name) && is_plain(version) && text.len() <= 2 * MAX_SONAME + 4 =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err(SonameError(text.chars().take(80).collect())),
        }
    }
}

impl TryFrom<String> for Soname {
    type Error = SonameError;

    fn try_from(text: String) -> Result<Self, SonameError> {
        text.parse()
    }
}

impl From<Soname> for String {
    fn from(soname: Soname) -> Self {
        soname.0
    }
}

impl fmt::Display for Soname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What the ELF files of one package need and provide.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Sonames {
    /// What they are linked against (DT_NEEDED).
    pub needed: BTreeSet<Soname>,
    /// What they are (DT_SONAME; the file's name for one without that lies where the linker looks).
    pub provided: BTreeSet<Soname>,
}

impl FromStr for Sonames {
    type Err = SonameError;

    fn from_str(text: &str) -> Result<Self, SonameError> {
        let mut sonames = Self::default();
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("needed", soname)) => sonames.needed.insert(soname.parse()?),
                Some(("provided", soname)) => sonames.provided.insert(soname.parse()?),
                _ => return Err(SonameError(line.chars().take(80).collect())),
            };
        }
        Ok(sonames)
    }
}

impl fmt::Display for Sonames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, sonames) in [("needed", &self.needed), ("provided", &self.provided)] {
            for soname in sonames {
                writeln!(f, "{kind} {soname}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sonames_are_written_as_makepkg_writes_them() {
        for (name, bits, expected) in [
            ("libfoo.so.1", 64, "libfoo.so=1-64"),
            ("libfoo.so.1.2.3", 32, "libfoo.so=1.2.3-32"),
            ("ld-linux-x86-64.so.2", 64, "ld-linux-x86-64.so=2-64"),
            ("libstdc++.so.6", 64, "libstdc++.so=6-64"),
            ("libfoo-1.2.so", 64, "libfoo-1.2.so=libfoo-1.2.so-64"),
            ("/opt/x/libbar.so", 64, "libbar.so=libbar.so-64"),
        ] {
            let soname = Soname::from_elf(name, bits).unwrap();
            assert_eq!(soname.as_str(), expected);
            assert_eq!(expected.parse::<Soname>().unwrap(), soname);
            assert_eq!(soname.to_dependency().to_string(), expected);
        }
        assert_eq!("libfoo.so=1-64".parse::<Soname>().unwrap().library(), "libfoo.so");
    }

    #[test]
    fn what_cannot_stand_in_a_list_is_no_soname() {
        let long = "l".repeat(256);
        for name in ["", "a b", "a\nb", "lib=1.so", "a>b", "dir/", long.as_str(), "ä"] {
            assert_eq!(Soname::from_elf(name, 64), None, "{name:?}");
        }
        for text in [
            "libfoo.so",
            "libfoo.so=1",
            "libfoo.so=1-16",
            "=1-64",
            "a b=1-64",
            "a=-64",
        ] {
            assert!(text.parse::<Soname>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let text = "needed libc.so=6-64\nneeded libm.so=6-64\nprovided libfoo.so=1-64\n";
        let sonames: Sonames = text.parse().unwrap();
        assert_eq!((sonames.needed.len(), sonames.provided.len()), (2, 1));
        assert_eq!(sonames.to_string(), text);
        assert!("needs libc.so=6-64\n".parse::<Sonames>().is_err());
    }
}
