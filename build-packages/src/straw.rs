//! Straws: the ways of building that are tried one after the other until one of them works.
//!
//! A straw is a string of remedies between colons, `:clean_chroot:mirrored_source:`; a single colon is the plain way.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The ladder where none is configured: plain, clean, with the source archive, and that clean.
pub const DEFAULT_LADDER: &str = ": :clean_chroot: :mirrored_source: :mirrored_source:clean_chroot:";

/// One thing that is done differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remedy {
    /// Begin with an updated root (`-c`).
    CleanChroot,
    /// Fetch sources by their checksum from `source_by_hash_mirror`.
    MirroredSourceByHash,
    /// Fetch the whole source archive from `source_archive_mirror`.
    MirroredSource,
    /// Leave check() out.
    WithoutCheck,
}

impl Remedy {
    const ALL: [Self; 4] = [
        Self::CleanChroot,
        Self::MirroredSourceByHash,
        Self::MirroredSource,
        Self::WithoutCheck,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::CleanChroot => "clean_chroot",
            Self::MirroredSourceByHash => "mirrored_source_by_hash",
            Self::MirroredSource => "mirrored_source",
            Self::WithoutCheck => "without_check",
        }
    }

    const fn is_about_sources(self) -> bool {
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
    #[error("{0:?} is no remedy; known are clean_chroot, mirrored_source_by_hash, mirrored_source and without_check")]
    Remedy(String),
}

impl Straw {
    /// Whether this remedy belongs to it.
    #[must_use]
    pub fn has(&self, remedy: Remedy) -> bool {
        self.remedies.contains(&remedy)
    }

    /// Whether it gets sources from elsewhere.
    #[must_use]
    pub fn is_about_sources(&self) -> bool {
        self.remedies.iter().any(|remedy| remedy.is_about_sources())
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
                    .ok_or_else(|| StrawError::Remedy(word.to_owned()))
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
        for text in [":", ":clean_chroot:", ":clean_chroot:mirrored_source:"] {
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
