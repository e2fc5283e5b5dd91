//! Checking detached signatures with gpg against a keyring, one file at a time.
//!
//! Accepted is a file with exactly one signature that is good, from a key that is neither expired nor revoked and that
//! the keyring trusts fully or ultimately; for a builder that `builder_keys` lists, from one of its keys. The decision
//! rests on gpg's status lines (doc/DETAILS of GnuPG), never on its exit code alone. The keyring is only read: it may
//! belong to somebody else (pacman's).

mod builder_keys;
mod packet;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

pub use builder_keys::BuilderKeys;
use packet::is_one_signature_packet;

use crate::atomic::{self, FileError};
use crate::config::{Config, ConfigError};
use crate::process::{Command, ProcessError};

/// The keyring where none is configured.
pub const PACMAN_KEYRING: &str = "/etc/pacman.d/gnupg";
/// Longest signature file in bytes; pacman takes no longer ones.
pub const MAX_SIGNATURE: u64 = 16384;

/// A key's fingerprint: 40 or 64 hexadecimal digits, kept in capitals.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint(String);

impl FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if matches!(text.len(), 40 | 64) && text.bytes().all(|c| c.is_ascii_hexdigit()) {
            Ok(Self(text.to_ascii_uppercase()))
        } else {
            Err(format!(
                "{:?} is no fingerprint",
                text.chars().take(80).collect::<String>()
            ))
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Who made a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The key that signed, perhaps a sub-key.
    pub key: Fingerprint,
    /// The primary key that it belongs to.
    pub primary: Fingerprint,
}

/// A signature that is not accepted, or that could not be checked.
#[derive(Debug, Error)]
pub enum SignatureError {
    /// It is not accepted, for this reason.
    #[error("the signature of {} is not accepted: {reason}", file.display())]
    Refused {
        /// The signed file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// gpg could not be run or did not work.
    #[error("the signature of {} cannot be checked: {source}", file.display())]
    Gpg {
        /// The signed file.
        file: PathBuf,
        /// The cause.
        #[source]
        source: ProcessError,
    },
    /// gpg said nothing of the signature: its home directory cannot be used, for example.
    #[error("the signature of {} cannot be checked: gpg says: {said}", file.display())]
    Unusable {
        /// The signed file.
        file: PathBuf,
        /// What gpg wrote.
        said: String,
    },
    /// There is no such keyring.
    #[error("there is no keyring {}", .0.display())]
    NoKeyring(PathBuf),
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line of `builder_keys` is wrong.
    #[error("{} line {line}: {reason}", path.display())]
    BuilderKeys {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

impl SignatureError {
    /// Whether the signature is at fault, and not the machine.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}

/// A gpg home directory with the public keys that are trusted.
#[derive(Debug, Clone)]
pub struct Keyring {
    home: PathBuf,
}

impl Keyring {
    /// The configured keyring (`keyring`), else pacman's.
    ///
    /// # Errors
    /// The path is relative.
    pub fn from_config(config: &Config) -> Result<Self, ConfigError> {
        Ok(Self::new(
            config.path("keyring")?.unwrap_or_else(|| PACMAN_KEYRING.into()),
        ))
    }

    /// The keyring in this gpg home directory.
    #[must_use]
    pub fn new(home: PathBuf) -> Self {
        Self { home }
    }

    /// Checks one detached signature.
    ///
    /// # Errors
    /// [`SignatureError::Refused`] when it is not accepted, another one when gpg does not work.
    pub fn verify(&self, file: &Path, signature: &Path) -> Result<Signer, SignatureError> {
        let refuse = |reason: String| SignatureError::Refused {
            file: file.to_owned(),
            reason,
        };
        let content = atomic::read(signature)?.ok_or_else(|| refuse("there is none".to_owned()))?;
        if content.len() as u64 > MAX_SIGNATURE || !is_one_signature_packet(&content) {
            return Err(refuse("it is not one binary signature of usual size".to_owned()));
        }
        if !self.home.is_dir() {
            return Err(SignatureError::NoKeyring(self.home.clone()));
        }
        let finished = Command::new("gpg")
            .arg("--homedir")
            .arg(&self.home)
            .args([
                "--batch",
                "--no-autostart",
                "--lock-never",
                "--no-auto-check-trustdb",
                "--no-auto-key-locate",
                "--status-fd",
                "1",
                "--verify",
            ])
            .args([signature, file])
            .timeout(Duration::from_secs(600))
            .wait()
            .map_err(|source| SignatureError::Gpg {
                file: file.to_owned(),
                source,
            })?;
        let status = String::from_utf8_lossy(&finished.stdout);
        // Killed or hindered in the middle, gpg has not judged: that is no fault of the signature.
        let is_hindered = finished.status.code().is_none() || !status.contains("[GNUPG:] ") || is_unjudged(&status);
        if is_hindered {
            return Err(SignatureError::Unusable {
                file: file.to_owned(),
                said: String::from_utf8_lossy(&finished.stderr).trim().replace('\n', "; "),
            });
        }
        judge(&status).map_err(refuse)
    }
}

/// Whether gpg ended before it said all that it says of a good signature, or that one is not good: killed, a full disk.
fn is_unjudged(status: &str) -> bool {
    const GOOD: [&str; 4] = ["NEWSIG", "GOODSIG", "VALIDSIG", "TRUST_"];
    const NOT_GOOD: [&str; 13] = [
        "TRUST_UNDEFINED",
        "TRUST_NEVER",
        "TRUST_MARGINAL",
        "BADSIG",
        "ERRSIG",
        "NO_PUBKEY",
        "EXPSIG",
        "SIGEXPIRED",
        "EXPKEYSIG",
        "REVKEYSIG",
        "NODATA",
        "UNEXPECTED",
        "BADARMOR",
    ];
    let says = |word: &&str| {
        let mut lines = status.lines().filter_map(|line| line.strip_prefix("[GNUPG:] "));
        lines.any(|line| line.starts_with(word))
    };
    !GOOD.iter().all(&says) && !NOT_GOOD.iter().any(says)
}

/// Reads gpg's status lines.
fn judge(status: &str) -> Result<Signer, String> {
    let mut signatures = 0;
    let mut good = 0;
    let mut trusted = false;
    let mut signer = None;
    for line in status.lines().filter_map(|line| line.strip_prefix("[GNUPG:] ")) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[0] {
            "NEWSIG" => signatures += 1,
            "GOODSIG" => good += 1,
            "TRUST_FULLY" | "TRUST_ULTIMATE" => trusted = true,
            "TRUST_UNDEFINED" | "TRUST_NEVER" | "TRUST_MARGINAL" => return Err("its key is not trusted".to_owned()),
            "BADSIG" => return Err("it does not belong to this file".to_owned()),
            // 9: the key is missing.
            "ERRSIG" if words.get(6).is_some_and(|code| *code != "9") => return Err("gpg cannot check it".to_owned()),
            "ERRSIG" | "NO_PUBKEY" => return Err("its key is not in the keyring".to_owned()),
            "EXPSIG" | "SIGEXPIRED" => return Err("it has expired".to_owned()),
            "EXPKEYSIG" => return Err("its key has expired".to_owned()),
            "REVKEYSIG" => return Err("its key has been revoked".to_owned()),
            // The class is of a file's bytes; that of a text leaves the ends of lines open.
            "VALIDSIG" if words.get(9) != Some(&"00") => return Err("it is not one of a file".to_owned()),
            "VALIDSIG" => signer = words.get(1).copied().zip(words.last().copied()),
            _ => {}
        }
    }
    match signer {
        Some((key, primary)) if signatures == 1 && good == 1 && trusted => Ok(Signer {
            key: key.parse()?,
            primary: primary.parse()?,
        }),
        _ if signatures > 1 => Err("there are several".to_owned()),
        _ if good == 1 => Err("its key is not trusted".to_owned()),
        _ => Err("it is none".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789ABCDEF0123456789ABCDEF01234567";

    fn status(lines: &[&str]) -> String {
        lines.iter().map(|line| format!("[GNUPG:] {line}\n")).collect()
    }

    #[test]
    fn one_good_and_trusted_signature_is_accepted() {
        let valid = format!("VALIDSIG {KEY} 2026-01-01 1 0 4 0 22 8 00 {KEY}");
        for trust in ["TRUST_FULLY 0 pgp", "TRUST_ULTIMATE 0 pgp"] {
            let signer = judge(&status(&["NEWSIG", "GOODSIG X me", &valid, trust])).unwrap();
            assert_eq!(signer.primary.to_string(), KEY);
        }
    }

    #[test]
    fn a_gpg_that_was_hindered_has_not_judged() {
        let begun = status(&["NEWSIG", "KEY_CONSIDERED", "GOODSIG 1 b"]);
        assert!(is_unjudged(&begun) && is_unjudged(""));
        let rest = status(&["VALIDSIG 1", "TRUST_FULLY 0 pgp"]);
        assert!(is_unjudged(&rest) && !is_unjudged(&format!("{begun}{rest}")));
        assert!(!is_unjudged(&status(&["NEWSIG", "BADSIG 1 b"])));
        assert!(!is_unjudged(&status(&["NODATA 4"])));
    }

    #[test]
    fn doubled_untrusted_expired_and_foreign_signatures_are_refused() {
        let valid = format!("VALIDSIG {KEY} 2026-01-01 1 0 4 0 22 8 00 {KEY}");
        for lines in [
            &["NEWSIG", "GOODSIG X me", &valid, "TRUST_MARGINAL"][..],
            &["NEWSIG", "GOODSIG X me", &valid],
            &["NEWSIG", "EXPKEYSIG X me", &valid, "TRUST_FULLY"],
            &["NEWSIG", "BADSIG X me"],
            &[
                "NEWSIG",
                "GOODSIG X me",
                &valid,
                "TRUST_FULLY",
                "NEWSIG",
                "GOODSIG X me",
                &valid,
                "TRUST_FULLY",
            ],
            &["NEWSIG", "GOODSIG X me", &valid, "TRUST_FULLY", "NEWSIG", "ERRSIG X"],
            &["NODATA 4"],
            &[],
        ] {
            assert!(judge(&status(lines)).is_err(), "{lines:?}");
        }
    }
}
