//! Full versions, `[epoch:]pkgver-pkgrel`, and the sub-release that this port adds to pkgrel.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::names::{Arch, FileName, NameError, PkgName};
use crate::vercmp::vercmp;

/// A text that is no full version.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no version of the form [epoch:]pkgver-pkgrel")]
pub struct VersionError(String);

/// `[epoch:]pkgver-pkgrel`. Ordered as pacman orders versions; equality is that of the order.
#[derive(Debug, Clone)]
pub struct FullVersion {
    text: String,
}

impl FullVersion {
    /// The version as text, epoch included when it is not 0.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// This version with `.sub` after its pkgrel.
    #[must_use]
    pub fn with_sub_pkgrel(&self, sub: u32) -> Self {
        Self {
            text: format!("{}.{sub}", self.text),
        }
    }

    /// The sub-release of `self` over `base`: 2 for 1.0-1.2 over 1.0-1.
    #[must_use]
    pub fn sub_pkgrel_over(&self, base: &Self) -> Option<u32> {
        self.text.strip_prefix(base.as_str())?.strip_prefix('.')?.parse().ok()
    }
}

impl FromStr for FullVersion {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let error = || VersionError(text.chars().take(80).collect());
        let (epoch, rest) = text.split_once(':').unwrap_or(("0", text));
        let (pkgver, pkgrel) = rest.split_once('-').ok_or_else(error)?;
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
        let good = is_number(epoch)
            && !pkgver.is_empty()
            && pkgver.bytes().all(|c| c.is_ascii_graphic() && !b"/:-<>=".contains(&c))
            && !pkgrel.is_empty()
            && pkgrel.split('.').all(is_number)
            && text.len() <= 160;
        if !good {
            return Err(error());
        }
        // makepkg leaves an epoch of 0 out of names.
        let text = match text.strip_prefix("0:") {
            Some(rest) => rest.to_owned(),
            None => text.to_owned(),
        };
        Ok(Self { text })
    }
}

impl fmt::Display for FullVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl PartialEq for FullVersion {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for FullVersion {}

impl PartialOrd for FullVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for FullVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        vercmp(&self.text, &other.text)
    }
}

/// The parts of a package's file name: `pkgname-[epoch:]pkgver-pkgrel-arch.pkg.tar[.compression]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageFileName {
    /// The package.
    pub pkgname: PkgName,
    /// Its version.
    pub version: FullVersion,
    /// Its architecture, `any` included.
    pub arch: Arch,
    /// From `.pkg.tar` on.
    pub extension: String,
}

/// A file name that is none of a package.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PackageFileNameError {
    /// It has not the four parts and the extension.
    #[error("{0:?} is not the file name of a package")]
    Form(String),
    /// A part breaks the rule of its kind.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The version is none.
    #[error(transparent)]
    Version(#[from] VersionError),
}

impl FromStr for PackageFileName {
    type Err = PackageFileNameError;

    /// Read from the right, since a package's name may contain what looks like a version.
    fn from_str(text: &str) -> Result<Self, PackageFileNameError> {
        let form = || PackageFileNameError::Form(text.chars().take(80).collect());
        let end = text.rfind(".pkg.tar").ok_or_else(form)?;
        let extension = &text[end..];
        if !PACKAGE_EXTENSIONS.contains(&extension) {
            return Err(form());
        }
        let mut parts = text[..end].rsplitn(4, '-');
        let mut part = || parts.next().ok_or_else(form);
        let (arch, pkgrel, pkgver, pkgname) = (part()?, part()?, part()?, part()?);
        Ok(Self {
            pkgname: pkgname.parse()?,
            version: format!("{pkgver}-{pkgrel}").parse()?,
            arch: arch.parse()?,
            extension: extension.to_owned(),
        })
    }
}

impl PackageFileName {
    /// The name as a file name.
    ///
    /// # Errors
    /// It is longer than a file name may be.
    pub fn to_file_name(&self) -> Result<FileName, NameError> {
        self.to_string().parse()
    }
}

impl fmt::Display for PackageFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}{}", self.pkgname, self.version, self.arch, self.extension)
    }
}

/// The extensions that makepkg.conf(5) knows for PKGEXT.
pub const PACKAGE_EXTENSIONS: &[&str] = &[
    ".pkg.tar",
    ".pkg.tar.gz",
    ".pkg.tar.bz2",
    ".pkg.tar.xz",
    ".pkg.tar.zst",
    ".pkg.tar.lzo",
    ".pkg.tar.lrz",
    ".pkg.tar.lz4",
    ".pkg.tar.lz",
    ".pkg.tar.Z",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_pacman_orders_them() {
        let version = |text: &str| text.parse::<FullVersion>().unwrap();
        assert!(version("1:1.0-1") > version("2.0-1"));
        assert!(version("1.0-1.1") > version("1.0-1"));
        assert!(version("1.0rc1-1") < version("1.0-1"));
        assert!(version("1.10-1") > version("1.9-1"));
        assert_eq!(version("0:1.0-1").as_str(), "1.0-1");
    }

    #[test]
    fn a_sub_pkgrel_is_added_and_read_back() {
        let base: FullVersion = "1:1.2-3".parse().unwrap();
        let sub = base.with_sub_pkgrel(2);
        assert_eq!(sub.as_str(), "1:1.2-3.2");
        assert_eq!(sub.sub_pkgrel_over(&base), Some(2));
        assert_eq!("1:1.2-31".parse::<FullVersion>().unwrap().sub_pkgrel_over(&base), None);
    }

    #[test]
    fn package_file_names_are_read_from_the_right() {
        for text in [
            "gtk-2-foo-1:1.0-1.0-i686.pkg.tar.xz",
            "a-1-1-any.pkg.tar",
            "libsigc++-2.0+r1+gabc-1-x86_64.pkg.tar.zst",
        ] {
            let name: PackageFileName = text.parse().unwrap();
            assert_eq!(name.to_string(), text);
        }
        let name: PackageFileName = "gtk-2-foo-1:1.0-1.0-i686.pkg.tar.xz".parse().unwrap();
        assert_eq!(name.pkgname.as_str(), "gtk-2-foo");
        assert_eq!(name.version.as_str(), "1:1.0-1.0");
    }

    #[test]
    fn other_file_names_are_refused() {
        for text in [
            "a.pkg.tar.zst",
            "a-1-x86_64.pkg.tar.zst",
            "a-1-1-any.tar.zst",
            "a-1-1-any.pkg.tar.zst.sig",
            "-1-1-1-any.pkg.tar",
        ] {
            assert!(text.parse::<PackageFileName>().is_err(), "{text}");
        }
    }

    #[test]
    fn text_that_is_no_version_is_refused() {
        for text in [
            "", "1", "-1", "1-", "a:1-1", "1-a", "1/2-1", "1 -1", "1-1-1", "1-1.", ":1-1",
        ] {
            assert!(text.parse::<FullVersion>().is_err(), "{text:?}");
        }
    }
}
