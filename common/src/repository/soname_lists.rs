//! The soname lists of the published packages: `metadata/sonames/FILE`, FILE being the package's file name.
//!
//! Format: `sha256 HEX`, the package file that was read, then the list ([`crate::soname`]). Derived: one that is missing, cannot be
//! read, or is of another file than the database names is made again out of the published package, so deleting them costs
//! time only. Each is written atomically and needs no lock.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::{Entry, Repositories};
use crate::atomic::{self, FileError};
use crate::names::FileName;
use crate::package::{Cause, PackageError, PackageFile};
use crate::soname::Sonames;

/// The directory of the lists.
#[derive(Debug, Clone)]
pub struct SonameLists {
    directory: PathBuf,
}

impl SonameLists {
    /// The lists in this directory, which is made when it is needed.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Keeps the list of a package that was read: call it when the package has been published.
    ///
    /// # Errors
    /// The list cannot be written.
    pub fn write(&self, package: &PackageFile) -> Result<(), FileError> {
        atomic::create_directory(&self.directory)?;
        let text = format!("sha256 {}\n{}", package.sha256, package.sonames);
        atomic::write(&self.directory.join(package.file_name.to_string()), text.as_bytes())
    }

    /// The sonames of a published package; where there is no list they are read out of the package file, and kept.
    ///
    /// # Errors
    /// There is no list, and the package file cannot be read; or the list cannot be written.
    pub fn of(&self, repositories: &Repositories, entry: &Entry) -> Result<Sonames, PackageError> {
        let path = self.directory.join(&entry.file_name);
        let at = |source| PackageError {
            path: path.clone(),
            cause: Cause::File(source),
        };
        if let Some(text) = atomic::read_text(&path).map_err(at)?
            && let Some(sonames) = parse(&text, &entry.sha256)
        {
            return Ok(sonames);
        }
        let published = repositories.published(&entry.file_name).ok_or_else(|| PackageError {
            path: entry.file_name.as_str().into(),
            cause: Cause::Info("the pool has no such file, so its sonames are not known".to_owned()),
        })?;
        let package = PackageFile::read(&published)?;
        self.write(&package).map_err(at)?;
        Ok(package.sonames)
    }

    /// Removes the lists of packages that are not among these.
    ///
    /// # Errors
    /// The directory cannot be read, or a list cannot be removed.
    pub fn keep_only(&self, published: &BTreeSet<FileName>) -> Result<(), FileError> {
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(FileError::at("read", &self.directory)(error)),
        };
        for entry in entries {
            let name = entry.map_err(FileError::at("read", &self.directory))?.file_name();
            let is_kept = name.to_str().is_some_and(|name| published.contains(name));
            if !is_kept {
                atomic::remove(&self.directory.join(name))?;
            }
        }
        Ok(())
    }
}

/// A list, when it is of the file with this checksum; an entry that names none is content with any.
fn parse(text: &str, sha256: &str) -> Option<Sonames> {
    let (heading, list) = text.split_once('\n')?;
    let of = heading.strip_prefix("sha256 ")?;
    (sha256.is_empty() || of == sha256).then(|| list.parse().ok())?
}
