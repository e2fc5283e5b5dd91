//! Writing files so that a reader sees the old content or the new, and nothing else.
//!
//! Invariant: temporary file in the same directory (its name begins with `.`), write, fsync, rename, fsync of the
//! directory ([`Batch::write_first`] alone departs from that). A tool killed at any instant leaves at most a temporary file,
//! which [`sweep`] removes later.

mod batch;
mod stamp;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::NamedTempFile;
use thiserror::Error;

pub use batch::Batch;
pub use stamp::Stamp;

/// Prefix of temporary names; readers ignore every name that begins with `.`.
pub const TEMPORARY_PREFIX: &str = ".portsmith-";

/// An input or output error with the path and what was being done.
#[derive(Debug, Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct FileError {
    /// What was being done, as a verb: `write`, `rename`.
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The cause.
    #[source]
    pub source: io::Error,
}

impl FileError {
    /// Names the path and the action for an error, for `map_err`.
    pub fn at(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self { action, path, source }
    }
}

/// Replaces `path` by a file with this content.
///
/// # Errors
/// Whatever step fails; the old content is then still there.
pub fn write(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let mut batch = Batch::default();
    batch.write(path, content)?;
    batch.sync()
}

/// As [`write()`], but does not wait for the disk: for what is of no use after a power failure, caches and working
/// directories. It may be empty then.
///
/// # Errors
/// Whatever step fails; the old content is then still there.
pub fn write_unsynced(path: &Path, content: &[u8]) -> Result<(), FileError> {
    show(filled(path, content)?, path)
}

/// Replaces `path` by a complete temporary file that lies in the same directory.
///
/// # Errors
/// Whatever step fails; the old content is then still there.
pub fn persist(file: NamedTempFile, path: &Path) -> Result<(), FileError> {
    set_mode(&file, path)?;
    file.as_file().sync_all().map_err(FileError::at("sync", path))?;
    show(file, path)?;
    sync_directory(parent(path))
}

/// A temporary file beside `path` with this content.
fn filled(path: &Path, content: &[u8]) -> Result<NamedTempFile, FileError> {
    let mut file = temporary_file(parent(path))?;
    file.write_all(content).map_err(FileError::at("write", path))?;
    set_mode(&file, path)?;
    Ok(file)
}

/// Everybody may read what was only ours while it was written.
fn set_mode(file: &NamedTempFile, path: &Path) -> Result<(), FileError> {
    let mode = fs::Permissions::from_mode(0o644);
    file.as_file()
        .set_permissions(mode)
        .map_err(FileError::at("set the mode of", path))
}

/// Gives a temporary file its name, which lasts when the directory is synced.
fn show(file: NamedTempFile, path: &Path) -> Result<(), FileError> {
    file.persist(path)
        .map_err(|error| FileError::at("replace", path)(error.error))?;
    Ok(())
}

/// An empty temporary file in `directory`, removed when it is dropped.
///
/// # Errors
/// The directory cannot be written.
pub fn temporary_file(directory: &Path) -> Result<NamedTempFile, FileError> {
    tempfile::Builder::new()
        .prefix(TEMPORARY_PREFIX)
        .tempfile_in(directory)
        .map_err(FileError::at("make a temporary file in", directory))
}

/// Renames a file within one file system and makes it last.
///
/// # Errors
/// The rename or the sync of a directory fails.
pub fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::rename(from, to).map_err(FileError::at("rename", from))?;
    sync_directory(parent(to))?;
    if parent(from) != parent(to) {
        sync_directory(parent(from))?;
    }
    Ok(())
}

/// Removes a file if it is there and makes that last.
///
/// # Errors
/// It is there and cannot be removed.
pub fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Ok(()) => sync_directory(parent(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(FileError::at("remove", path)(error)),
    }
}

/// Removes a directory with all that is in it, if it is there. A part of it may be back after a power failure.
///
/// # Errors
/// Something in it cannot be removed.
pub fn remove_tree(path: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::at("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Makes a directory and its parents, where they are missing.
///
/// # Errors
/// One of them cannot be made.
pub fn create_directory(path: &Path) -> Result<(), FileError> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(FileError::at("make directory", path))?;
    sync_directory(parent(path))
}

/// Makes the names in a directory last.
///
/// # Errors
/// The directory cannot be opened or synced.
pub fn sync_directory(path: &Path) -> Result<(), FileError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(FileError::at("sync directory", path))
}

/// The content of a file; `None` when it does not exist.
///
/// # Errors
/// It exists and cannot be read.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::at("read", path)(error)),
    }
}

/// The content of a text file, with what is not UTF-8 replaced; `None` when it does not exist.
///
/// # Errors
/// It exists and cannot be read.
pub fn read_text(path: &Path) -> Result<Option<String>, FileError> {
    let text = |content| match String::from_utf8(content) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    };
    Ok(read(path)?.map(text))
}

/// Removes temporary files that a killed tool left in `directory` more than `age` ago. Call it with the lock held that
/// guards the directory. What cannot be removed is left for the next sweep.
pub fn sweep(directory: &Path, age: Duration) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let is_ours = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(TEMPORARY_PREFIX));
        if !is_ours {
            continue;
        }
        let is_old = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|time| SystemTime::now().duration_since(time).is_ok_and(|a| a >= age));
        if is_old {
            let removed = if entry.path().is_dir() {
                fs::remove_dir_all(entry.path())
            } else {
                fs::remove_file(entry.path())
            };
            drop(removed);
        }
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_replaces_and_leaves_no_temporary_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("build-list");
        write(&path, b"one\n").unwrap();
        write(&path, b"two\n").unwrap();
        assert_eq!(read_text(&path).unwrap().unwrap(), "two\n");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    }

    #[test]
    fn a_failed_write_names_the_path_and_the_action() {
        let error = write(Path::new("/nonexistent/x"), b"").unwrap_err();
        assert!(error.to_string().contains("/nonexistent"), "{error}");
    }

    #[test]
    fn removing_what_is_absent_is_no_error() {
        let directory = tempfile::tempdir().unwrap();
        remove(&directory.path().join("x")).unwrap();
    }

    #[test]
    fn a_sweep_removes_old_temporary_files_only() {
        let directory = tempfile::tempdir().unwrap();
        let kept = directory.path().join("kept");
        write(&kept, b"").unwrap();
        let left = temporary_file(directory.path()).unwrap().keep().unwrap().1;
        sweep(directory.path(), Duration::from_secs(3600));
        assert!(left.exists());
        sweep(directory.path(), Duration::ZERO);
        assert!(!left.exists() && kept.exists());
    }
}
