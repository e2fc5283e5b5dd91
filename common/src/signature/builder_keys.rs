//! `builder_keys`: which keys each builder may sign with.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Fingerprint, SignatureError, Signer};
use crate::atomic::FileError;
use crate::names::Builder;

/// Which keys each builder may sign with: a file of `builder fingerprint…` lines, `#` begins a comment.
#[derive(Debug, Clone, Default)]
pub struct BuilderKeys {
    keys: BTreeMap<Builder, BTreeSet<Fingerprint>>,
}

impl BuilderKeys {
    /// Reads the configured file (`builder_keys`); without one nobody is listed.
    ///
    /// # Errors
    /// The file cannot be read or has a line that is wrong: a slip must not let everybody in.
    pub fn read(path: &Path) -> Result<Self, SignatureError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return Err(FileError::at("read", path)(error).into()),
        };
        let mut keys: BTreeMap<Builder, BTreeSet<Fingerprint>> = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let wrong = |reason: String| SignatureError::BuilderKeys {
                path: path.to_owned(),
                line: index + 1,
                reason,
            };
            let line = line.split_once('#').map_or(line, |(before, _)| before);
            let mut words = line.split_ascii_whitespace();
            let Some(builder) = words.next() else {
                continue;
            };
            let builder = builder.parse().map_err(|error| wrong(format!("{error}")))?;
            let fingerprints = words
                .map(str::parse)
                .collect::<Result<BTreeSet<_>, _>>()
                .map_err(wrong)?;
            keys.entry(builder).or_default().extend(fingerprints);
        }
        Ok(Self { keys })
    }

    /// Whether this builder may sign with this key; one that is not listed may with any.
    #[must_use]
    pub fn allow(&self, builder: &Builder, signer: &Signer) -> bool {
        self.keys
            .get(builder)
            .is_none_or(|keys| keys.contains(&signer.key) || keys.contains(&signer.primary))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::atomic;

    const KEY: &str = "0123456789ABCDEF0123456789ABCDEF01234567";

    #[test]
    fn listed_builders_are_bound_to_their_keys_and_a_slip_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("builder-keys");
        atomic::write(
            &path,
            format!("# ours\nb1 {} # laptop\n", KEY.to_lowercase()).as_bytes(),
        )
        .unwrap();
        let keys = BuilderKeys::read(&path).unwrap();
        let signer = |text: &str| Signer {
            key: text.parse().unwrap(),
            primary: text.parse().unwrap(),
        };
        let other = "F".repeat(40);
        let b1 = "b1".parse().unwrap();
        assert!(keys.allow(&b1, &signer(KEY)) && !keys.allow(&b1, &signer(&other)));
        assert!(keys.allow(&"b2".parse().unwrap(), &signer(&other)));
        atomic::write(&path, b"b1 nonsense\n").unwrap();
        assert!(BuilderKeys::read(&path).unwrap_err().to_string().contains("line 1"));
    }
}
