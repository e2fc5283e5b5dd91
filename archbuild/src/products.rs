//! The package files that a build made, on their way out of the namespace: a tar stream of flat names.
//!
//! Whatever lies in the product directory was made by hostile code. Only regular files with a package's name travel,
//! and the receiver, which may be root, trusts neither names nor types: it makes new files of its own.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use common::atomic;
use common::names::FileName;
use common::version::PackageFileName;
use tar::{Builder, Header};
use tempfile::NamedTempFile;

use crate::outcome::Class;
use crate::payload::open_regular;

/// Packages that arrived, not yet under their names.
#[derive(Debug, Default)]
pub(crate) struct Products(Vec<(FileName, NamedTempFile)>);

/// Sends the packages in `directory`, without debug packages that nobody asked for. Returns their names.
pub(crate) fn send(directory: &Path, asked_for: &BTreeSet<String>, to: &mut dyn Write) -> Result<Vec<FileName>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let text = entry?.file_name();
        let Some((name, parts)) = text.to_str().and_then(package_name) else {
            continue;
        };
        let pkgname = parts.pkgname.as_str();
        if !pkgname.ends_with("-debug") || asked_for.contains(pkgname) {
            names.push(name);
        }
    }
    names.sort();
    let mut archive = Builder::new(to);
    for name in &names {
        let file = open_regular(&directory.join(name))
            .with_context(|| format!("cannot read {name}"))
            .context(Class::Failed)?;
        let mut header = Header::new_gnu();
        let size = file.metadata()?.len();
        header.set_size(size);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, file.take(size))?;
    }
    archive.into_inner()?.flush()?;
    Ok(names)
}

fn package_name(text: &str) -> Option<(FileName, PackageFileName)> {
    Some((text.parse().ok()?, text.parse().ok()?))
}

/// Takes packages into temporary files in `directory`. A stream that is empty or ends early holds none: whether the
/// build went well is told elsewhere.
pub(crate) fn receive(from: impl Read, directory: &Path) -> Result<Products> {
    let mut products = Products::default();
    let mut archive = tar::Archive::new(from);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let name = path.to_str().and_then(package_name);
        let (name, _) = name.with_context(|| format!("the build returned {path:?}, which is no package"))?;
        ensure!(
            entry.header().entry_type().is_file(),
            "the build returned {path:?}, which is no regular file"
        );
        let mut file = atomic::temporary_file(directory)?;
        io::copy(&mut entry, &mut file).with_context(|| format!("cannot write to {}", directory.display()))?;
        products.0.push((name, file));
    }
    Ok(products)
}

impl Products {
    /// Gives the packages their names in `directory`.
    pub(crate) fn publish(self, directory: &Path) -> Result<Vec<FileName>> {
        let mut names = Vec::new();
        for (name, file) in self.0 {
            atomic::persist(file, &directory.join(&name))?;
            names.push(name);
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const NAME: &str = "a-1-1-any.pkg.tar.zst";

    #[test]
    fn packages_travel_and_debug_packages_do_not() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for name in [NAME, "a-debug-1-1-any.pkg.tar.zst", "notes", "-x.pkg.tar.zst"] {
            atomic::write(&from.path().join(name), b"content").unwrap();
        }
        let mut stream = Vec::new();
        send(from.path(), &BTreeSet::new(), &mut stream).unwrap();
        let products = receive(stream.as_slice(), to.path()).unwrap();
        assert!(!to.path().join(NAME).exists());
        let names = products.publish(to.path()).unwrap();
        assert_eq!(names.iter().map(FileName::as_str).collect::<Vec<_>>(), [NAME]);
        assert_eq!(fs::read(to.path().join(NAME)).unwrap(), b"content");
    }

    #[test]
    fn a_link_in_the_place_of_a_package_is_not_followed() {
        let from = tempfile::tempdir().unwrap();
        symlink("/etc/passwd", from.path().join(NAME)).unwrap();
        assert!(send(from.path(), &BTreeSet::new(), &mut Vec::new()).is_err());
    }

    #[test]
    fn a_stream_with_other_names_or_types_is_refused() {
        let to = tempfile::tempdir().unwrap();
        for (name, kind) in [
            ("x", tar::EntryType::Regular),
            ("d/a-1-1-any.pkg.tar.zst", tar::EntryType::Regular),
            (NAME, tar::EntryType::Symlink),
            (NAME, tar::EntryType::Directory),
        ] {
            let mut archive = Builder::new(Vec::new());
            let mut header = Header::new_gnu();
            header.set_size(0);
            header.set_entry_type(kind);
            if kind.is_symlink() {
                header.set_link_name("/etc/passwd").unwrap();
            }
            archive.append_data(&mut header, name, io::empty()).unwrap();
            let stream = archive.into_inner().unwrap();
            assert!(receive(stream.as_slice(), to.path()).is_err(), "{name} {kind:?}");
        }
    }
}
