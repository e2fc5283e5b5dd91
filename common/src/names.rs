//! Names from outside, as newtypes that are checked where they come in.
//!
//! Invariant: a value of one of these types keeps the rule of its kind (docs/formats.md, "Names"), so it can be put
//! into a file name, an argument vector or a line of a list without quoting. Copies share one text: a list of a whole
//! distribution names each package many times.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest package name in bytes.
pub const MAX_PACKAGE_NAME: usize = 128;
/// Longest file name in bytes (the limit of common file systems).
pub const MAX_FILE_NAME: usize = 255;
/// Longest name of a repository or builder in bytes.
pub const MAX_LABEL: usize = 64;

/// A name that breaks the rule of its kind.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{kind} {value:?} is refused: {rule}")]
pub struct NameError {
    kind: &'static str,
    value: String,
    rule: &'static str,
}

impl NameError {
    fn new(kind: &'static str, value: &str, rule: &'static str) -> Self {
        // Hostile input can be of any length; the message stays a line.
        let value = value.chars().take(80).collect();
        Self { kind, value, rule }
    }
}

/// The last part of a path as text, unchecked: for messages, and for names that were given here.
#[must_use]
pub fn last_part(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The bytes that a package name may have.
const IN_PACKAGE_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        #[expect(clippy::cast_possible_truncation, reason = "it is below 128")]
        let c = byte as u8;
        table[byte] = c.is_ascii_alphanumeric() || matches!(c, b'@' | b'_' | b'+' | b'.' | b'-');
        byte += 1;
    }
    table
};

/// makepkg's rule: ASCII `[A-Za-z0-9@_+][A-Za-z0-9@._+-]*`, at most [`MAX_PACKAGE_NAME`] bytes.
fn is_package_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= MAX_PACKAGE_NAME
        && bytes.first().is_some_and(|c| !matches!(c, b'.' | b'-'))
        && bytes.iter().all(|c| IN_PACKAGE_NAME[usize::from(*c)])
}

/// `[A-Za-z0-9_][A-Za-z0-9_-]*`, at most [`MAX_LABEL`] bytes.
fn is_label(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    let bytes = text.as_bytes();
    bytes.len() <= MAX_LABEL
        && bytes.first().is_some_and(|c| plain(*c))
        && bytes.iter().all(|c| plain(*c) || *c == b'-')
}

fn is_revision(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

/// A branch in git's rules (git-check-ref-format(1)) as far as it is plain: labels and dots between single slashes.
fn is_branch(text: &str) -> bool {
    let is_part = |part: &str| {
        let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.' | b'+');
        part.bytes().all(plain)
            && part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && !part.contains("..")
            && !part.ends_with('.')
            && !part.ends_with(".lock")
    };
    text.len() <= MAX_FILE_NAME && text.split('/').all(is_part)
}

/// Printable ASCII without `/` and blanks, at most [`MAX_FILE_NAME`] bytes, and not a name of the directory itself.
fn is_file_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_FILE_NAME
        && text != "."
        && text != ".."
        && text.bytes().all(|c| c.is_ascii_graphic() && c != b'/')
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $check:ident, $rule:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// Whether a text keeps the rule.
            #[must_use]
            pub fn accepts(text: &str) -> bool {
                $check(text)
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                if $check(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(NameError::new($kind, text, $rule))
                }
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.as_str().to_owned()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<std::path::Path> for $type {
            fn as_ref(&self) -> &std::path::Path {
                std::path::Path::new(self.as_str())
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// The unit of building, PKGBUILD(5).
    PkgBase, "package base", is_package_name,
    "a package name is at most 128 of the characters A-Z a-z 0-9 @ . _ + - and begins with none of . and -"
);
name!(
    /// The unit of installing, PKGBUILD(5).
    PkgName, "package name", is_package_name,
    "a package name is at most 128 of the characters A-Z a-z 0-9 @ . _ + - and begins with none of . and -"
);
name!(
    /// A package repository (`core`) or a git repository (`packages`).
    Repository, "repository", is_label,
    "a repository name is at most 64 of the characters A-Z a-z 0-9 _ - and does not begin with -"
);
name!(
    /// A machine that builds.
    Builder, "builder", is_label,
    "a builder name is at most 64 of the characters A-Z a-z 0-9 _ - and does not begin with -"
);
name!(
    /// An architecture in makepkg's words: `x86_64`, `i686`, `any`.
    Arch, "architecture", is_label,
    "an architecture is at most 64 of the characters A-Z a-z 0-9 _ -"
);
name!(
    /// A git commit.
    Revision, "revision", is_revision,
    "a revision is 40 lower-case hexadecimal digits"
);
name!(
    /// A branch of a git repository.
    BranchName, "branch", is_branch,
    "a branch is of the characters A-Z a-z 0-9 . _ + - and /, and no part of it begins with . or - or ends with . or .lock"
);
name!(
    /// The name of one file without any directory.
    FileName, "file name", is_file_name,
    "a file name is at most 255 printable ASCII characters without blank and /"
);

/// A map from names that is looked into tens of thousands of times in one request.
pub type NameMap<K, V> = HashMap<K, V, BuildHasherDefault<NameHasher>>;

/// Hashes names fast. Not for what strangers send: it does not resist collisions that are made on purpose.
#[derive(Debug, Clone, Copy, Default)]
pub struct NameHasher(u64);

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    /// The end of a text, which needs no mark: a map has texts of one kind only.
    fn write_u8(&mut self, _end: u8) {}

    fn write_u64(&mut self, word: u64) {
        // The multiplier of FxHash; the shift brings the mixed upper bits down.
        let mixed = (self.0 ^ word).wrapping_mul(0xf135_7aea_2e62_a9c5);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn finish(&self) -> u64 {
        let mixed = self.0.wrapping_mul(0xf135_7aea_2e62_a9c5);
        mixed ^ (mixed >> 32)
    }
}

impl Revision {
    /// Forty zeros: the revision of a customization repository that does not exist.
    #[must_use]
    pub fn none() -> Self {
        Self("0".repeat(40).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_real_packages_are_taken() {
        for name in ["libsigc++", "lua5.1-lpeg", "gtk2+extra", "_7zip", "@x", "0ad"] {
            assert_eq!(name.parse::<PkgBase>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn names_that_could_leave_a_directory_or_a_line_are_refused() {
        let long = "a".repeat(129);
        for name in [
            "",
            ".",
            "..",
            "-x",
            ".x",
            "a/b",
            "a b",
            "a\nb",
            "a\0",
            "ä",
            "a:b",
            long.as_str(),
        ] {
            assert!(name.parse::<PkgBase>().is_err(), "{name:?}");
        }
        for name in ["", "..", ".", "a/b", "a b", "a\tb", "a\nb", "\u{7f}"] {
            assert!(name.parse::<FileName>().is_err(), "{name:?}");
        }
        for name in ["a.b", "-a", "", "a b", "a/b"] {
            assert!(name.parse::<Repository>().is_err(), "{name:?}");
            assert!(name.parse::<Builder>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_revision_is_forty_lower_case_hex_digits() {
        assert!("0".repeat(40).parse::<Revision>().is_ok());
        for text in ["0".repeat(39), "0".repeat(41), "A".repeat(40), "g".repeat(40)] {
            assert!(text.parse::<Revision>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_refusal_stays_one_short_line() {
        let error = "x\n".repeat(10_000).parse::<PkgBase>().unwrap_err().to_string();
        assert!(error.len() < 400 && !error.contains('\n'), "{error}");
    }
}
