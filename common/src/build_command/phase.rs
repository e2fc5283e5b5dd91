//! The phases of a build, and how a log tells that one begins.
//!
//! makepkg announces its functions (`==> Starting build()...`); what it does not know, the project's build commands
//! announce in the same words: `==> Starting dependencies...`. A hostile package can print such a line, too: it then
//! misleads whoever reads its log, and nobody else.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A phase of a build, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The chroot or virtual machine is made ready.
    Setup,
    /// The PKGBUILD is read, and what it needs is installed.
    Dependencies,
    /// Sources are fetched, verified and extracted.
    Sources,
    /// prepare() and pkgver().
    Prepare,
    /// build().
    Build,
    /// check().
    Check,
    /// package(), and packing.
    Package,
    /// The packages are handed over.
    Delivery,
}

/// A word that is no phase.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no phase of a build")]
pub struct PhaseError(String);

impl Phase {
    /// All of them, in order.
    pub const ALL: [Self; 8] = [
        Self::Setup,
        Self::Dependencies,
        Self::Sources,
        Self::Prepare,
        Self::Build,
        Self::Check,
        Self::Package,
        Self::Delivery,
    ];

    /// Its stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Dependencies => "dependencies",
            Self::Sources => "sources",
            Self::Prepare => "prepare",
            Self::Build => "build",
            Self::Check => "check",
            Self::Package => "package",
            Self::Delivery => "delivery",
        }
    }

    /// The line of a log that announces it.
    #[must_use]
    pub fn announcement(self) -> String {
        format!("==> Starting {self}...")
    }

    /// The phase that a line of a log announces.
    #[must_use]
    pub fn announced_by(line: &str) -> Option<Self> {
        let line = line.strip_prefix("==> ")?.trim_end();
        if line == "Retrieving sources..." {
            return Some(Self::Sources);
        }
        if line == "Entering fakeroot environment..." {
            return Some(Self::Package);
        }
        let name = line.strip_prefix("Starting ")?.strip_suffix("...")?;
        match name.strip_suffix("()") {
            None => name.parse().ok(),
            Some("prepare" | "pkgver") => Some(Self::Prepare),
            Some("build") => Some(Self::Build),
            Some("check") => Some(Self::Check),
            Some(function) if function == "package" || function.starts_with("package_") => Some(Self::Package),
            Some(_) => None,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Phase {
    type Err = PhaseError;

    fn from_str(text: &str) -> Result<Self, PhaseError> {
        Self::ALL
            .into_iter()
            .find(|phase| phase.as_str() == text)
            .ok_or_else(|| PhaseError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_is_read_from_its_own_announcement() {
        for phase in Phase::ALL {
            assert_eq!(Phase::announced_by(&phase.announcement()), Some(phase));
            assert_eq!(phase.as_str().parse(), Ok(phase));
        }
    }

    #[test]
    fn the_lines_of_makepkg_are_known() {
        for (line, phase) in [
            ("==> Retrieving sources...", Some(Phase::Sources)),
            ("==> Starting prepare()...", Some(Phase::Prepare)),
            ("==> Starting build()...\r", Some(Phase::Build)),
            ("==> Starting check()...", Some(Phase::Check)),
            ("==> Starting package_a-doc()...", Some(Phase::Package)),
            ("==> Starting packages()...", None),
            ("  ==> Starting build()...", None),
            ("==> Making package: a 1-1", None),
        ] {
            assert_eq!(Phase::announced_by(line), phase, "{line}");
        }
    }
}
