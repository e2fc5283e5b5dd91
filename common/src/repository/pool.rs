//! The pool: every published file once, and hard links to it from the repositories.
//!
//! A file of the pool is never replaced by another one while any generation names it. What a killed transaction left
//! there, and no generation names, gives way.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::directory::Directory;
use super::{Repositories, RepositoryError, database, directory};
use crate::atomic::{self, FileError, TEMPORARY_PREFIX};
use crate::names::FileName;

/// Whether a step changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It did.
    Changed,
    /// It was done already.
    Same,
}

impl Repositories {
    /// Brings a file into the pool under its name; the caller makes it last.
    pub(super) fn put_into_pool(&self, source: &Path, name: &FileName) -> Result<Step, RepositoryError> {
        let target = self.pool().join(name);
        if fs::hard_link(source, &target).is_err() {
            if target.exists() {
                if has_same_content(source, &target)? {
                    return Ok(Step::Same);
                }
                if self.is_named(name)? {
                    return Err(RepositoryError::Differs(name.clone()));
                }
            }
            // What is in the way, or on another file system.
            let temporary = self.pool().join(format!("{TEMPORARY_PREFIX}pool"));
            atomic::remove(&temporary)?;
            if fs::hard_link(source, &temporary).is_err() {
                fs::copy(source, &temporary).map_err(FileError::at("copy into the pool", source))?;
            }
            fs::rename(&temporary, &target).map_err(FileError::at("rename", &temporary))?;
        }
        let readable = fs::Permissions::from_mode(0o644);
        let metadata = fs::metadata(&target).map_err(FileError::at("read", &target))?;
        if metadata.permissions().mode() & 0o7777 != readable.mode() {
            fs::set_permissions(&target, readable).map_err(FileError::at("set the mode of", &target))?;
        }
        Ok(Step::Changed)
    }

    /// Whether the pool has this file with the content of `path`.
    ///
    /// # Errors
    /// One of the files cannot be read.
    pub fn has_published(&self, name: &FileName, path: &Path) -> Result<bool, FileError> {
        match self.published(name) {
            Some(published) => has_same_content(&published, path),
            None => Ok(false),
        }
    }

    /// Links a file of the pool into a repository; the caller makes that last.
    pub(super) fn link_from_pool(&self, directory: &Directory, name: &FileName) -> Result<Step, RepositoryError> {
        let source = self.pool().join(name);
        let target = directory.path.join(name);
        let linked = match fs::hard_link(&source, &target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if is_same_file(&source, &target) {
                    return Ok(Step::Same);
                }
                let temporary = directory.path.join(format!("{TEMPORARY_PREFIX}link"));
                atomic::remove(&temporary)?;
                fs::hard_link(&source, &temporary).and_then(|()| fs::rename(&temporary, &target))
            }
            linked => linked,
        };
        match linked {
            Ok(()) => Ok(Step::Changed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(RepositoryError::Absent {
                repository: directory.repository.clone(),
                file: name.clone(),
            }),
            Err(error) => Err(FileError::at("link", source)(error).into()),
        }
    }

    /// Whether any generation of any repository names this file (or the file that this one is the signature of).
    fn is_named(&self, name: &FileName) -> Result<bool, RepositoryError> {
        let package = name.as_str().trim_end_matches(".sig");
        for (repository, _) in self.classes.all() {
            let directory = self.directory(repository);
            let mut databases: Vec<PathBuf> = directory.database(directory::Kind::Db)?.into_iter().collect();
            for number in directory.generations()? {
                databases.push(
                    directory
                        .generation(number)
                        .join(directory.database_name(directory::Kind::Db)),
                );
            }
            for path in databases.iter().filter(|path| path.exists()) {
                if database::read(path)?
                    .values()
                    .any(|record| record.file_name.as_str() == package)
                {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    match (fs::symlink_metadata(one), fs::symlink_metadata(other)) {
        (Ok(one), Ok(other)) => one.dev() == other.dev() && one.ino() == other.ino(),
        _ => false,
    }
}

/// Compares two files byte for byte.
///
/// # Errors
/// One of them cannot be read.
fn has_same_content(one: &Path, other: &Path) -> Result<bool, FileError> {
    let open = |path: &Path| File::open(path).map_err(FileError::at("open", path));
    if is_same_file(one, other) {
        return Ok(true);
    }
    let (mut first, mut second) = (open(one)?, open(other)?);
    let length = |file: &File, path: &Path| {
        file.metadata()
            .map(|metadata| metadata.len())
            .map_err(FileError::at("read", path))
    };
    if length(&first, one)? != length(&second, other)? {
        return Ok(false);
    }
    let (mut a, mut b) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let got = first.read(&mut a).map_err(FileError::at("read", one))?;
        if got == 0 {
            return Ok(true);
        }
        second.read_exact(&mut b[..got]).map_err(FileError::at("read", other))?;
        if a[..got] != b[..got] {
            return Ok(false);
        }
    }
}
