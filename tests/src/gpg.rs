//! gpg home directories with a key of their own, for tests. Short paths: gpg's sockets allow 107 bytes.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use common::process::{Command, Input};
use tempfile::TempDir;

/// A home directory with one secret key without passphrase. Dropping it ends its agent.
#[derive(Debug)]
pub struct GpgHome {
    directory: TempDir,
    fingerprint: String,
}

impl GpgHome {
    /// Makes the directory and the key.
    ///
    /// # Errors
    /// gpg does not work.
    pub fn new(name: &str) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("pg-").tempdir_in("/tmp")?;
        let mut home = Self {
            directory,
            fingerprint: String::new(),
        };
        home.gpg()
            .args([
                "--passphrase",
                "",
                "--pinentry-mode",
                "loopback",
                "--quick-generate-key",
            ])
            .args([&format!("{name} <{name}@example.org>"), "ed25519", "sign,cert", "never"])
            .run()?;
        let keys = home.gpg().args(["--with-colons", "--list-secret-keys"]).run()?.text();
        home.fingerprint = keys
            .lines()
            .find_map(|line| line.strip_prefix("fpr:"))
            .map(|rest| rest.trim_matches(':').to_owned())
            .context("gpg lists no key")?;
        Ok(home)
    }

    /// The directory; as a keyring it trusts its own key ultimately.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The key's fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Makes `file.sig`.
    ///
    /// # Errors
    /// gpg does not work.
    pub fn sign(&self, file: &Path) -> Result<PathBuf> {
        let signature = PathBuf::from(format!("{}.sig", file.display()));
        self.gpg()
            .args(["--yes", "--no-armor", "--output"])
            .arg(&signature)
            .arg("--detach-sign")
            .arg(file)
            .run()?;
        Ok(signature)
    }

    /// Takes another home's public key into this keyring, untrusted.
    ///
    /// # Errors
    /// gpg does not work.
    pub fn import(&self, other: &Self) -> Result<()> {
        let key = other.gpg().arg("--export").run()?.stdout;
        self.gpg().arg("--import").input(Input::Bytes(key)).run()?;
        Ok(())
    }

    /// Certifies an imported key with this home's own: it is then fully trusted.
    ///
    /// # Errors
    /// gpg does not work.
    pub fn trust(&self, other: &Self) -> Result<()> {
        self.gpg().args(["--quick-lsign-key", &other.fingerprint]).run()?;
        self.gpg().arg("--check-trustdb").run()?;
        Ok(())
    }

    /// gpg on this home directory.
    #[must_use]
    pub fn gpg(&self) -> Command {
        Command::new("gpg")
            .arg("--homedir")
            .arg(self.path())
            .args(["--batch", "--quiet"])
    }
}

impl Drop for GpgHome {
    fn drop(&mut self) {
        let killed = Command::new("gpgconf")
            .arg("--homedir")
            .arg(self.directory.path())
            .args(["--kill", "all"])
            .run();
        // The directory goes all the same, and the agent ends itself when its socket is gone.
        drop(killed);
    }
}
