//! What a package is built from, by the ids of git's trees.

use std::fmt;

use git2::Oid;
use sha2::{Digest, Sha256};

use crate::names::Arch;

/// Changed whenever what is made of the same content changes.
const FORMAT: u32 = 1;

/// Identifies the content of a package's directory, both parts of it, for one target architecture.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContentId(String);

#[cfg(test)]
impl ContentId {
    /// Some content.
    pub(crate) fn for_test(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
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
        let digest = Sha256::digest(format!("{FORMAT} {arch} {first} {second}").as_bytes());
        Self {
            id: ContentId(digest.iter().take(20).map(|byte| format!("{byte:02x}")).collect()),
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
