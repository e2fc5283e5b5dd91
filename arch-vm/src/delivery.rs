//! What a guest hands out: packages and logs, as a tar stream of `pkgdest/` and `logdest/`.
//!
//! A stranger wrote it. Only regular files with a package's or a log's name are taken, whatever else is in it is passed
//! over, and the files are made here, under names that were looked at.

use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use common::atomic;
use common::names::FileName;
use common::version::PackageFileName;
use tempfile::NamedTempFile;

/// Bytes of one log.
const LONGEST_LOG: u64 = 1 << 30;
/// Files of one delivery.
const MOST_FILES: usize = 10_000;

/// Files that arrived, not yet under their names.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    packages: Vec<(FileName, NamedTempFile)>,
    logs: Vec<(FileName, NamedTempFile)>,
}

/// Takes them into temporary files beside their places.
pub(crate) fn receive(from: impl Read, packages: &Path, logs: &Path) -> Result<Delivery> {
    let mut delivery = Delivery::default();
    let mut archive = tar::Archive::new(from);
    for (number, entry) in archive.entries()?.enumerate() {
        ensure!(number < MOST_FILES, "the guest hands out more than {MOST_FILES} files");
        let mut entry = entry.context("what the guest hands out cannot be read")?;
        let path = entry.path()?.into_owned();
        if !entry.header().entry_type().is_file() {
            continue;
        }
        if let Some(name) = name_in("pkgdest", &path)
            && let Ok(parts) = name.as_str().parse::<PackageFileName>()
        {
            ensure!(!parts.pkgname.as_str().is_empty(), "a package has no name");
            delivery.packages.push((name, take(&mut entry, packages)?));
        } else if let Some(name) = name_in("logdest", &path)
            && name.as_str().ends_with(".log")
        {
            delivery
                .logs
                .push((name, take(&mut (&mut entry).take(LONGEST_LOG), logs)?));
        }
    }
    Ok(delivery)
}

fn name_in(directory: &str, path: &Path) -> Option<FileName> {
    let name = path.strip_prefix(directory).ok()?.to_str()?;
    name.parse().ok().filter(|_| !name.starts_with('.'))
}

fn take(from: &mut impl Read, directory: &Path) -> Result<NamedTempFile> {
    let mut file = atomic::temporary_file(directory)?;
    io::copy(from, &mut file).with_context(|| format!("cannot write to {}", directory.display()))?;
    Ok(file)
}

impl Delivery {
    /// Gives the logs their names.
    pub(crate) fn publish_logs(&mut self, directory: &Path) -> Result<()> {
        for (name, file) in self.logs.drain(..) {
            atomic::persist(file, &directory.join(&name))?;
        }
        Ok(())
    }

    /// Gives the packages their names, without debug packages that nobody asked for.
    pub(crate) fn publish_packages(self, directory: &Path, is_wanted: &dyn Fn(&str) -> bool) -> Result<Vec<FileName>> {
        let mut names = Vec::new();
        for (name, file) in self.packages {
            let parts = name.as_str().parse::<PackageFileName>()?;
            let pkgname = parts.pkgname.as_str();
            if pkgname.ends_with("-debug") && !is_wanted(pkgname) {
                continue;
            }
            atomic::persist(file, &directory.join(&name))?;
            names.push(name);
        }
        names.sort();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tar::{Builder, EntryType, Header};

    fn stream(entries: &[(&str, EntryType)]) -> Vec<u8> {
        let mut archive = Builder::new(Vec::new());
        for (name, kind) in entries {
            let mut header = Header::new_gnu();
            header.set_size(0);
            header.set_entry_type(*kind);
            if kind.is_symlink() {
                header.set_link_name("/etc/passwd").unwrap();
            }
            archive.append_data(&mut header, name, io::empty()).unwrap();
        }
        archive.into_inner().unwrap()
    }

    #[test]
    fn packages_and_logs_are_taken_and_nothing_else() {
        let (packages, logs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let stream = stream(&[
            ("pkgdest/a-1-1-any.pkg.tar.zst", EntryType::Regular),
            ("pkgdest/a-debug-1-1-any.pkg.tar.zst", EntryType::Regular),
            ("pkgdest/b-1-1-any.pkg.tar.zst", EntryType::Symlink),
            ("pkgdest/d/c-1-1-any.pkg.tar.zst", EntryType::Regular),
            ("pkgdest/notes", EntryType::Regular),
            ("logdest/a-1-1-any-build.log", EntryType::Regular),
            ("logdest/.x.log", EntryType::Regular),
            ("etc/passwd", EntryType::Regular),
        ]);
        let mut delivery = receive(stream.as_slice(), packages.path(), logs.path()).unwrap();
        delivery.publish_logs(logs.path()).unwrap();
        let names = delivery.publish_packages(packages.path(), &|_| false).unwrap();
        assert_eq!(
            names.iter().map(FileName::as_str).collect::<Vec<_>>(),
            ["a-1-1-any.pkg.tar.zst"]
        );
        let listed = |directory: &Path| std::fs::read_dir(directory).unwrap().count();
        assert_eq!((listed(packages.path()), listed(logs.path())), (1, 1));
    }
}
