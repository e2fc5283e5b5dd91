//! What a package is built from, by the ids of git's trees.

use std::fmt;
use std::str::FromStr;

use git2::Oid;
use sha2::{Digest, Sha256};

use crate::names::Arch;

/// Changed whenever what is made of the same content changes.
const FORMAT: u32 = 1;

/// Identifies the content of a package's directory, both parts of it, for one target architecture: twenty bytes, written
/// as hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId(Oid);

impl ContentId {
    fn of(text: &str) -> Self {
        let digest = Sha256::digest(text.as_bytes());
        Self(Oid::from_bytes(&digest[..20]).expect("an id has twenty bytes"))
    }

    #[cfg(test)]
    pub(crate) fn for_test(name: &str) -> Self {
        Self::of(name)
    }
}

impl FromStr for ContentId {
    type Err = git2::Error;

    fn from_str(text: &str) -> Result<Self, git2::Error> {
        text.parse().map(Self)
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The two parts of a package's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    id: ContentId,
    /// The git repository, by its place among upstream's, and the tree in it; in the layout `state` the state file.
    pub(super) upstream: Option<(usize, Oid)>,
    pub(super) customization: Option<Oid>,
}

impl Content {
    pub(super) fn new(upstream: Option<(usize, Oid)>, customization: Option<Oid>, arch: &Arch) -> Self {
        let text = |tree: Option<Oid>| tree.map_or_else(|| "-".to_owned(), |tree| tree.to_string());
        let (first, second) = (text(upstream.map(|part| part.1)), text(customization));
        Self {
            id: ContentId::of(&format!("{FORMAT} {arch} {first} {second}")),
            upstream,
            customization,
        }
    }

    /// What identifies it, wherever it lies.
    #[must_use]
    pub fn id(&self) -> &ContentId {
        &self.id
    }
}
