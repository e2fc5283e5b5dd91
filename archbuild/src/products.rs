//! The package files that a build made, on their way out of the namespace: a tar stream of flat names, and at its end the
//! record of the build.
//!
//! Whatever lies in the product directory was made by hostile code. Only regular files with a package's name travel,
//! and the receiver, which may be root, trusts neither names nor types: it makes new files of its own.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use common::atomic;
use common::build_command::{Outcome, Phase, Record};
use common::names::FileName;
use common::version::PackageFileName;
use tar::{Builder, Header};
use tempfile::NamedTempFile;

use crate::payload::open_regular;

/// Name of the member with the record; no package's name begins like that.
const RECORD: &str = ".record";
/// Largest record in bytes.
const LONGEST_RECORD: u64 = 1 << 20;
/// A temporary file of ours that nobody touched for so long belongs to a receiver that was killed.
const LEFT_OVER: Duration = Duration::from_secs(86400);

/// What arrived: packages, not yet under their names, and the record.
#[derive(Debug, Default)]
pub(crate) struct Products {
    packages: Vec<(FileName, NamedTempFile)>,
    /// What the inside says about the build.
    pub(crate) record: Option<Record>,
}

/// The sending end.
pub(crate) struct Delivery<W: Write>(Builder<W>);

impl<W: Write> Delivery<W> {
    /// A stream with nothing in it yet.
    pub(crate) fn new(to: W) -> Self {
        Self(Builder::new(to))
    }

    /// Sends packages.
    pub(crate) fn packages(&mut self, directory: &Path, names: &[FileName]) -> Result<()> {
        for name in names {
            let file = open_regular(&directory.join(name))
                .with_context(|| format!("cannot read {name}"))
                .context(Outcome::Failed(Some(Phase::Package)))?;
            let mut header = Header::new_gnu();
            let size = file.metadata()?.len();
            header.set_size(size);
            header.set_mode(0o644);
            self.0.append_data(&mut header, name, file.take(size))?;
        }
        Ok(())
    }

    /// Sends the record and ends the stream.
    pub(crate) fn finish(mut self, record: &Record) -> Result<()> {
        let text = serde_json::to_vec(record)?;
        let mut header = Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        self.0.append_data(&mut header, RECORD, text.as_slice())?;
        self.0.into_inner()?.flush()?;
        Ok(())
    }
}

/// The packages in `directory`, without debug packages that nobody asked for.
pub(crate) fn find(directory: &Path, is_wanted: &dyn Fn(&str) -> bool) -> Result<Vec<FileName>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let text = entry?.file_name();
        let Some((name, parts)) = text.to_str().and_then(package_name) else {
            continue;
        };
        let pkgname = parts.pkgname.as_str();
        if !pkgname.ends_with("-debug") || is_wanted(pkgname) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn package_name(text: &str) -> Option<(FileName, PackageFileName)> {
    Some((text.parse().ok()?, text.parse().ok()?))
}

/// Takes packages into temporary files in `directory`. A stream that is empty or ends early holds none: whether the
/// build went well is told elsewhere.
pub(crate) fn receive(from: impl Read, directory: &Path) -> Result<Products> {
    let mut products = Products::default();
    atomic::sweep(directory, LEFT_OVER);
    let mut archive = tar::Archive::new(from);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        if path == Path::new(RECORD) {
            let mut text = Vec::new();
            entry.take(LONGEST_RECORD).read_to_end(&mut text)?;
            products.record = Some(serde_json::from_slice(&text).context("the build returned no sound record")?);
            continue;
        }
        let name = path.to_str().and_then(package_name);
        let (name, _) = name.with_context(|| format!("the build returned {path:?}, which is no package"))?;
        ensure!(
            entry.header().entry_type().is_file(),
            "the build returned {path:?}, which is no regular file"
        );
        let mut file = atomic::temporary_file(directory)?;
        io::copy(&mut entry, &mut file).with_context(|| format!("cannot write to {}", directory.display()))?;
        products.packages.push((name, file));
    }
    Ok(products)
}

impl Products {
    /// Gives the packages their names in `directory`.
    pub(crate) fn publish(self, directory: &Path) -> Result<Vec<FileName>> {
        let mut names = Vec::new();
        for (name, file) in self.packages {
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

    fn record() -> Record {
        serde_json::from_str(r#"{"outcome":"built","arch":"any","started":1,"milliseconds":2}"#).unwrap()
    }

    #[test]
    fn packages_travel_and_debug_packages_do_not() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for name in [NAME, "a-debug-1-1-any.pkg.tar.zst", "notes", "-x.pkg.tar.zst"] {
            atomic::write(&from.path().join(name), b"content").unwrap();
        }
        let mut stream = Vec::new();
        let names = find(from.path(), &|_| false).unwrap();
        let mut delivery = Delivery::new(&mut stream);
        delivery.packages(from.path(), &names).unwrap();
        delivery.finish(&record()).unwrap();
        let products = receive(stream.as_slice(), to.path()).unwrap();
        assert!(!to.path().join(NAME).exists());
        assert_eq!(products.record, Some(record()));
        let names = products.publish(to.path()).unwrap();
        assert_eq!(names.iter().map(FileName::as_str).collect::<Vec<_>>(), [NAME]);
        assert_eq!(fs::read(to.path().join(NAME)).unwrap(), b"content");
        assert_eq!(find(from.path(), &|name| name == "a-debug").unwrap().len(), 2);
    }

    #[test]
    fn a_link_in_the_place_of_a_package_is_not_followed() {
        let from = tempfile::tempdir().unwrap();
        symlink("/etc/passwd", from.path().join(NAME)).unwrap();
        let names = [NAME.parse().unwrap()];
        assert!(Delivery::new(Vec::new()).packages(from.path(), &names).is_err());
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
