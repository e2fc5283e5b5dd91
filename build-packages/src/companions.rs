//! What goes beside a package for whoever looks at it later: `FILE.so.needs.gz` and `FILE.so.provides.gz`, the sonames of
//! its ELF files, and `FILE-namcap.log.gz` where namcap is installed.
//!
//! None of them decides anything: a package that cannot be looked into is returned without them, with a message.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use common::cli::Messages;
use common::package::PackageFile;
use common::process::{Cause, Command};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::settings::Settings;

/// How long namcap may look at one package.
const NAMCAP_LIMIT: Duration = Duration::from_secs(1800);

/// Writes the companions of a package beside it.
///
/// # Errors
/// A file cannot be written.
pub(crate) fn make(package: &Path, settings: &Settings, messages: &Messages) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    match PackageFile::read(package) {
        Ok(read) => {
            for (suffix, sonames) in [
                (".so.needs.gz", &read.sonames.needed),
                (".so.provides.gz", &read.sonames.provided),
            ] {
                let lines: String = sonames.iter().map(|soname| format!("{soname}\n")).collect();
                files.push(write(package, suffix, lines.as_bytes())?);
            }
        }
        Err(error) => messages.error(format_args!("cannot list sonames: {error}")),
    }
    if let Some(findings) = namcap(package, settings, messages) {
        files.push(write(package, "-namcap.log.gz", &findings)?);
    }
    Ok(files)
}

/// What namcap says of a package; `None` where it is not installed or does not work.
fn namcap(package: &Path, settings: &Settings, messages: &Messages) -> Option<Vec<u8>> {
    let mut namcap = Command::new("namcap").arg(package).timeout(NAMCAP_LIMIT);
    for (key, value) in &settings.environment {
        namcap = namcap.env(key, value);
    }
    match namcap.run() {
        Ok(finished) => Some(finished.stdout),
        Err(error) if matches!(&error.cause, Cause::Io(cause) if cause.kind() == std::io::ErrorKind::NotFound) => {
            messages.detail("namcap is not installed");
            None
        }
        Err(error) => {
            messages.error(error);
            None
        }
    }
}

fn write(package: &Path, suffix: &str, content: &[u8]) -> anyhow::Result<PathBuf> {
    let mut path = package.to_owned().into_os_string();
    path.push(suffix);
    let path = PathBuf::from(path);
    let file = std::fs::File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    let mut encoder = GzEncoder::new(file, Compression::default());
    let written = encoder.write_all(content).and_then(|()| encoder.finish());
    written.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
