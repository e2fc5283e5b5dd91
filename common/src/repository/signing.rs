//! Signing databases with `repo_key`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{Config, ConfigError, Environment};
use crate::process::{Command, ProcessError};

/// The key that databases are signed with, and where gpg finds it.
#[derive(Debug, Clone)]
pub(super) struct Signing {
    key: String,
    home: Option<PathBuf>,
}

impl Signing {
    /// The configured key; none when databases are not signed.
    pub(super) fn from_config(config: &Config) -> Result<Option<Self>, ConfigError> {
        let home = config.path("gnupg_home")?;
        match config.text("repo_key") {
            None => Ok(None),
            Some(key) if key.starts_with('-') => Err(config.refuse("repo_key", "it has to be a key of gpg")),
            Some(key) => Ok(Some(Self {
                key: key.to_owned(),
                home,
            })),
        }
    }

    /// Takes gpg's home directory from the environment, unless it is configured.
    pub(super) fn with_environment(mut self, environment: &Environment) -> Self {
        let default = || environment.get("HOME").map(|home| Path::new(home).join(".gnupg"));
        self.home = self
            .home
            .or_else(|| environment.get("GNUPGHOME").map(PathBuf::from))
            .or_else(default);
        self
    }

    /// Makes `path.sig`; returns its path.
    pub(super) fn sign(&self, path: &Path) -> Result<PathBuf, ProcessError> {
        let signature = signature_path(path);
        self.gpg()
            .args(["--batch", "--yes", "--quiet", "--no-armor", "--local-user", &self.key])
            .arg("--output")
            .arg(&signature)
            .arg("--detach-sign")
            .arg(path)
            .timeout(Duration::from_secs(120))
            .run()?;
        Ok(signature)
    }

    /// Whether `path.sig` is a good signature of `path`.
    pub(super) fn verify(&self, path: &Path) -> Result<(), ProcessError> {
        self.gpg()
            .args(["--batch", "--quiet", "--verify"])
            .arg(signature_path(path))
            .arg(path)
            .timeout(Duration::from_secs(120))
            .run()?;
        Ok(())
    }

    fn gpg(&self) -> Command {
        let command = Command::new("gpg");
        match &self.home {
            Some(home) => command.arg("--homedir").arg(home),
            None => command,
        }
    }
}

fn signature_path(path: &Path) -> PathBuf {
    let mut signature = path.as_os_str().to_owned();
    signature.push(".sig");
    signature.into()
}
