//! Straws: the ways of building that are tried one after the other until one of them works.
//!
//! A straw is a string of remedies between colons, `:clean_chroot:mirrored_source:`; a single colon is the plain way.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The ladder where none is configured. A failed check() is a finding: leaving it out has to be wished for.
pub const DEFAULT_LADDER: &str = ": :clean_chroot: :mirrored_source_by_hash: :mirrored_source: \
    :mirrored_source_by_hash:clean_chroot: :mirrored_source:clean_chroot: :with_build_support: \
    :with_build_support:clean_chroot: :with_/dev/fuse:";

/// One thing that is done differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remedy {
    /// Begin with an updated root (`-c`).
    CleanChroot,
    /// Fetch sources by their checksum from `source_by_hash_mirror`.
    MirroredSourceByHash,
    /// Fetch the whole source archive from `source_archive_mirror`.
    MirroredSource,
    /// Install from the build-support repository, too.
    WithBuildSupport,
    /// Leave check() out.
    WithoutCheck,
    /// Let the build use /dev/fuse.
    WithDevFuse,
}

impl Remedy {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::CleanChroot,
        Self::MirroredSourceByHash,
        Self::MirroredSource,
        Self::WithBuildSupport,
        Self::WithoutCheck,
        Self::WithDevFuse,
    ];

    /// Its word in a straw.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CleanChroot => "clean_chroot",
            Self::MirroredSourceByHash => "mirrored_source_by_hash",
            Self::MirroredSource => "mirrored_source",
            Self::WithBuildSupport => "with_build_support",
            Self::WithoutCheck => "without_check",
            Self::WithDevFuse => "with_/dev/fuse",
        }
    }

    /// Whether it gets sources from elsewhere.
    #[must_use]
    pub const fn is_about_sources(self) -> bool {
        matches!(self, Self::MirroredSourceByHash | Self::MirroredSource)
    }
}

/// A set of remedies, all applied to one attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Straw {
    remedies: BTreeSet<Remedy>,
}

/// A text that is no straw.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StrawError {
    /// It does not begin and end with a colon.
    #[error("{0:?} is no straw: it has to begin and end with a colon")]
    Form(String),
    /// A word between colons is not known.
    #[error("{word:?} is no remedy; known are {}", known())]
    Remedy {
        /// The word.
        word: String,
    },
}

fn known() -> String {
    Remedy::ALL.map(Remedy::as_str).join(", ")
}

impl Straw {
    /// Whether this remedy belongs to it.
    #[must_use]
    pub fn has(&self, remedy: Remedy) -> bool {
        self.remedies.contains(&remedy)
    }

    /// Its remedies; none in the plain way.
    pub fn remedies(&self) -> impl Iterator<Item = Remedy> {
        self.remedies.iter().copied()
    }

    /// Whether it gets sources from elsewhere.
    #[must_use]
    pub fn is_about_sources(&self) -> bool {
        self.remedies().any(Remedy::is_about_sources)
    }
}

impl FromStr for Straw {
    type Err = StrawError;

    fn from_str(text: &str) -> Result<Self, StrawError> {
        if !(text.starts_with(':') && text.ends_with(':')) {
            return Err(StrawError::Form(text.to_owned()));
        }
        let remedies = text
            .split(':')
            .filter(|word| !word.is_empty())
            .map(|word| {
                Remedy::ALL
                    .into_iter()
                    .find(|remedy| remedy.as_str() == word)
                    .ok_or_else(|| StrawError::Remedy { word: word.to_owned() })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { remedies })
    }
}

impl fmt::Display for Straw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(":")?;
        for remedy in &self.remedies {
            write!(f, "{}:", remedy.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn straws_are_read_and_written() {
        for text in [
            ":",
            ":clean_chroot:",
            ":clean_chroot:mirrored_source:",
            ":with_/dev/fuse:",
        ] {
            assert_eq!(text.parse::<Straw>().unwrap().to_string(), text);
        }
        assert!(":".parse::<Straw>().unwrap().remedies.is_empty());
        for text in ["", "clean_chroot", ":clean_chroot", ":hope:"] {
            assert!(text.parse::<Straw>().is_err(), "{text}");
        }
        for word in DEFAULT_LADDER.split(' ') {
            assert!(word.parse::<Straw>().is_ok(), "{word}");
        }
    }
}
