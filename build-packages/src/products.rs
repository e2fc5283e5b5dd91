//! What a build made: the expected packages, each with what belongs beside it (module `companions`) and its signature.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use common::cli::Messages;
use common::names::FileName;
use common::version::PackageFileName;

use crate::companions;
use crate::settings::Settings;
use crate::signing;

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

/// What becomes of the packages of a build: companions and signatures beside them; all files that are to be returned.
///
/// # Errors
/// An expected package is missing, or one cannot be read or signed.
pub(crate) fn finish(
    directory: &Path,
    expected: &[FileName],
    settings: &Settings,
    messages: &Messages,
) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for package in choose(directory, expected)? {
        files.extend(companions::make(&package, settings, messages)?);
        files.extend(signing::sign(&package, settings)?);
        files.push(package);
    }
    files.sort();
    Ok(files)
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
