//! Signing packages with the builder's key, by gpg.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use common::process::{Command, ProcessError};

use crate::settings::{Settings, Signing};

/// Longest time for one signature.
const LIMIT: Duration = Duration::from_secs(300);

/// Signs a package: `FILE.sig` beside it, detached and binary; none where packages are not signed.
///
/// # Errors
/// gpg cannot sign.
pub(crate) fn sign(package: &Path, settings: &Settings) -> anyhow::Result<Option<PathBuf>> {
    let Signing::Key(key) = &settings.signing else {
        return Ok(None);
    };
    let mut signature = package.to_owned().into_os_string();
    signature.push(".sig");
    let signature = PathBuf::from(signature);
    let signed = gpg(key, settings).arg("--output").arg(&signature).arg(package).run();
    signed.with_context(|| format!("cannot sign {}", package.display()))?;
    Ok(Some(signature))
}

/// Signs nothing at all, to see whether the key can.
///
/// # Errors
/// gpg cannot sign.
pub(crate) fn try_key(settings: &Settings) -> Result<(), ProcessError> {
    if let Signing::Key(key) = &settings.signing {
        gpg(key, settings).run()?;
    }
    Ok(())
}

fn gpg(key: &str, settings: &Settings) -> Command {
    let mut gpg = Command::new("gpg")
        .args(["--batch", "--yes", "--no-tty", "--no-armor"])
        .args(["--local-user", key, "--detach-sign"])
        .timeout(LIMIT);
    for (variable, value) in &settings.environment {
        gpg = gpg.env(variable, value);
    }
    gpg
}
