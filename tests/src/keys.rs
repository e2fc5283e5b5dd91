//! gpg homes with keys of builders, and a keyring that trusts them.
//!
//! gpg's sockets fail with paths over 107 bytes, so homes lie below /tmp, and their agents are ended with them.

use std::path::Path;

use common::process::{Command, Input};
use tempfile::TempDir;

use crate::tool::must;

/// A gpg home directory; its agent ends with it.
pub struct GpgHome {
    directory: TempDir,
}

impl Default for GpgHome {
    fn default() -> Self {
        Self::new()
    }
}

impl GpgHome {
    /// An empty one.
    ///
    /// # Panics
    /// /tmp cannot be written.
    #[must_use]
    pub fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("pg")
            .tempdir_in("/tmp")
            .expect("/tmp can be written");
        Self { directory }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Runs gpg in it; returns standard output.
    ///
    /// # Panics
    /// gpg fails.
    #[track_caller]
    pub fn gpg(&self, arguments: &[&str]) -> String {
        must(self.command(arguments))
    }

    /// Makes a key without a passphrase; returns its fingerprint.
    ///
    /// # Panics
    /// gpg fails.
    #[track_caller]
    pub fn make_key(&self, name: &str) -> String {
        let user = format!("{name} <{name}@port.example>");
        self.gpg(&[
            "--passphrase",
            "",
            "--quick-generate-key",
            &user,
            "ed25519",
            "sign,cert",
            "never",
        ]);
        let listing = self.gpg(&["--with-colons", "--list-keys", &user]);
        listing
            .lines()
            .find_map(|line| line.strip_prefix("fpr:::::::::"))
            .expect("a key has a fingerprint")
            .trim_end_matches(':')
            .to_owned()
    }

    /// Takes the public keys of another home in.
    ///
    /// # Panics
    /// gpg fails.
    #[track_caller]
    pub fn import(&self, other: &Self) {
        let keys = other.gpg(&["--armor", "--export"]);
        must(self.command(&["--import"]).input(Input::Bytes(keys.into_bytes())));
    }

    /// Certifies a key with this home's own, so that it is fully trusted.
    ///
    /// # Panics
    /// gpg fails.
    #[track_caller]
    pub fn certify(&self, fingerprint: &str) {
        self.gpg(&["--yes", "--quick-lsign-key", fingerprint]);
        self.gpg(&["--check-trustdb"]);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        Command::new("gpg")
            .args(["--batch", "--no-tty", "--pinentry-mode", "loopback"])
            .args(arguments)
            .env("GNUPGHOME", self.path())
            .env("HOME", self.path())
    }
}

impl Drop for GpgHome {
    fn drop(&mut self) {
        let killed = Command::new("gpgconf")
            .args(["--kill", "all"])
            .env("GNUPGHOME", self.path())
            .run();
        drop(killed);
    }
}
