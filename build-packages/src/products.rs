//! What a build made: the expected packages, signed, as one archive for the master.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use common::names::FileName;
use common::process::Command;
use common::version::PackageFileName;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::settings::{Settings, Signing};

/// The package files to return: those that are expected, or, when the master did not say, all but debug packages.
///
/// # Errors
/// An expected one was not made; the message names it.
pub(crate) fn choose(directory: &Path, expected: &[FileName]) -> anyhow::Result<Vec<PathBuf>> {
    let mut made = BTreeMap::new();
    let read = || format!("cannot read {}", directory.display());
    for entry in std::fs::read_dir(directory).with_context(read)? {
        let name = entry.with_context(read)?.file_name();
        if let Some(file) = name.to_str().and_then(|name| name.parse::<PackageFileName>().ok()) {
            made.insert(identity(&file), file);
        }
    }
    if expected.is_empty() {
        made.retain(|_, file| !file.pkgname.as_str().ends_with("-debug"));
        if made.is_empty() {
            bail!("the build made no package");
        }
        return Ok(made.values().map(|file| directory.join(file.to_string())).collect());
    }
    let mut chosen = Vec::new();
    for name in expected {
        let file: PackageFileName = name.as_str().parse().context("the master expects a strange file")?;
        let Some(file) = made.get(&identity(&file)) else {
            let made: Vec<String> = made.values().map(ToString::to_string).collect();
            bail!("the build did not make {name}, it made: {}", made.join(" "));
        };
        chosen.push(directory.join(file.to_string()));
    }
    Ok(chosen)
}

/// A package whatever its compression.
fn identity(file: &PackageFileName) -> (String, String, String) {
    (
        file.pkgname.to_string(),
        file.version.to_string(),
        file.arch.to_string(),
    )
}

/// Signs each package with the builder's key; returns all files that belong into the archive.
///
/// # Errors
/// gpg fails.
pub(crate) fn sign(packages: Vec<PathBuf>, settings: &Settings) -> anyhow::Result<Vec<PathBuf>> {
    let Signing::Key(key) = &settings.signing else {
        return Ok(packages);
    };
    let mut files = Vec::new();
    for package in packages {
        let mut signature = package.clone().into_os_string();
        signature.push(".sig");
        let mut gpg = Command::new("gpg")
            .args(["--batch", "--yes", "--no-tty", "--no-armor", "--local-user", key])
            .arg("--output")
            .arg(&signature)
            .arg("--detach-sign")
            .arg(&package)
            .timeout(Duration::from_secs(300));
        for (variable, value) in &settings.environment {
            gpg = gpg.env(variable, value);
        }
        gpg.run().context("cannot sign")?;
        files.extend([package, PathBuf::from(signature)]);
    }
    Ok(files)
}

/// Compresses the logs; returns the compressed ones.
///
/// # Errors
/// A file cannot be read or written.
pub(crate) fn compress_logs(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let read = || format!("cannot read {}", directory.display());
    let mut compressed = Vec::new();
    for entry in std::fs::read_dir(directory).with_context(read)? {
        let path = entry.with_context(read)?.path();
        if path.extension().is_none_or(|extension| extension != "build-log") {
            continue;
        }
        let mut target = path.clone().into_os_string();
        target.push(".gz");
        let target = PathBuf::from(target);
        let mut encoder = GzEncoder::new(File::create(&target)?, Compression::default());
        std::io::copy(&mut File::open(&path)?, &mut encoder)
            .and_then(|_| encoder.finish())
            .with_context(|| format!("cannot compress {}", path.display()))?;
        compressed.push(target);
    }
    compressed.sort();
    Ok(compressed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path, expected: &[&str]) -> anyhow::Result<Vec<String>> {
        let expected: Vec<FileName> = expected.iter().map(|name| name.parse().unwrap()).collect();
        let chosen = choose(directory, &expected)?;
        Ok(chosen
            .iter()
            .map(|p| p.file_name().unwrap().to_str().unwrap().to_owned())
            .collect())
    }

    #[test]
    fn only_what_is_expected_is_returned_and_what_is_missing_is_named() {
        let directory = tempfile::tempdir().unwrap();
        for name in [
            "a-1-1.0-any.pkg.tar.xz",
            "a-debug-1-1.0-any.pkg.tar.xz",
            "notes",
            "z-1-1.0-any.pkg.tar.xz",
        ] {
            common::atomic::write(&directory.path().join(name), b"").unwrap();
        }
        let chosen = names(directory.path(), &["a-1-1.0-any.pkg.tar.zst"]).unwrap();
        assert_eq!(chosen, ["a-1-1.0-any.pkg.tar.xz"], "any extension will do");
        let all = names(directory.path(), &[]).unwrap();
        assert_eq!(all, ["a-1-1.0-any.pkg.tar.xz", "z-1-1.0-any.pkg.tar.xz"]);
        let error = names(directory.path(), &["b-1-1.0-any.pkg.tar.zst"])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("b-1-1.0-any") && error.contains("z-1-1.0-any"),
            "{error}"
        );
    }
}
