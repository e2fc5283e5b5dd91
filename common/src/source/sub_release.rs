//! What this port puts behind upstream's pkgrel: `.0`, `.1` … or nothing.

use std::fmt;
use std::str::FromStr;

use crate::config::{Config, ConfigError};
use crate::names::FileName;
use crate::version::{FullVersion, PackageFileName};

/// The configured way of numbering (`sub_pkgrel`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SubPkgrel {
    /// `always`: every package has one, `.0` at first.
    #[default]
    Always,
    /// `rebuild`: 0 is not written.
    Rebuild,
}

impl SubPkgrel {
    /// The configured one.
    ///
    /// # Errors
    /// The value is neither of the two.
    pub fn configured(config: &Config) -> Result<Self, ConfigError> {
        Ok(config.parsed("sub_pkgrel")?.unwrap_or_default())
    }
}

impl FromStr for SubPkgrel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "always" => Ok(Self::Always),
            "rebuild" => Ok(Self::Rebuild),
            _ => Err("it has to be always or rebuild".to_owned()),
        }
    }
}

/// What is put behind the pkgrel of one build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubRelease {
    /// Nothing.
    None,
    /// `.N`.
    Number(u32),
}

impl SubRelease {
    /// The sub-release of a number, in the configured way.
    #[must_use]
    pub fn new(mode: SubPkgrel, number: u32) -> Self {
        match (mode, number) {
            (SubPkgrel::Rebuild, 0) => Self::None,
            (_, number) => Self::Number(number),
        }
    }

    /// The sub-release of a number, in the way of these expected package files (an assignment's); without any, in the
    /// configured way.
    #[must_use]
    pub fn of_files(number: u32, files: &[FileName], configured: SubPkgrel) -> Self {
        let parsed = files
            .iter()
            .find_map(|file| file.as_str().parse::<PackageFileName>().ok());
        let mode = match parsed {
            None => configured,
            Some(name) if name.version.as_str().ends_with(&format!(".{number}")) => SubPkgrel::Always,
            Some(_) => SubPkgrel::Rebuild,
        };
        Self::new(mode, number)
    }

    /// The full version with this sub-release.
    #[must_use]
    pub fn apply(self, version: &FullVersion) -> FullVersion {
        match self {
            Self::None => version.clone(),
            Self::Number(number) => version.with_sub_pkgrel(number),
        }
    }
}

impl fmt::Display for SubRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Number(number) => write!(f, ".{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_of_numbering_is_read_off_the_expected_files() {
        let files = |name: &str| vec![name.parse::<FileName>().unwrap()];
        let of = |number, name| SubRelease::of_files(number, &files(name), SubPkgrel::Always);
        assert_eq!(of(0, "a-1-1.0-any.pkg.tar.zst"), SubRelease::Number(0));
        assert_eq!(of(0, "a-1-1-any.pkg.tar.zst"), SubRelease::None);
        assert_eq!(of(2, "a-1-1.2-any.pkg.tar.zst"), SubRelease::Number(2));
        assert_eq!(SubRelease::of_files(0, &[], SubPkgrel::Rebuild), SubRelease::None);
        assert_eq!(SubRelease::of_files(0, &[], SubPkgrel::Always), SubRelease::Number(0));
    }
}
