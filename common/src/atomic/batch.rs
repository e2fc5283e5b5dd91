//! Changes that last together: written one by one, seen at once, waited for once.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{FileError, filled, parent, show, sync_directory, write_unsynced};

/// Changes that are to last before something makes them visible, or are many: synced together.
#[derive(Debug, Default)]
#[must_use = "changes last when it is synced"]
pub struct Batch {
    files: BTreeSet<PathBuf>,
    directories: BTreeSet<PathBuf>,
}

/// With more than so many files and directories their whole file systems are synced, which is one call.
const SYNCED_ONE_BY_ONE: usize = 32;

impl Batch {
    /// Takes in a file, and its name in its directory.
    pub fn file(&mut self, path: &Path) {
        self.content(path);
        self.directory(parent(path));
    }

    /// Takes in the content of a file.
    pub fn content(&mut self, path: &Path) {
        self.files.insert(path.to_owned());
    }

    /// Takes in the names in a directory.
    pub fn directory(&mut self, path: &Path) {
        self.directories.insert(path.to_owned());
    }

    /// Takes in the changes of another batch.
    pub fn join(&mut self, other: Self) {
        self.files.extend(other.files);
        self.directories.extend(other.directories);
    }

    /// Replaces `path` by a file with this content. Readers see it at once and never a part of it; after a power failure
    /// before [`Batch::sync`] the old content may be back.
    ///
    /// # Errors
    /// Whatever step fails; the old content is then still there.
    pub fn write(&mut self, path: &Path, content: &[u8]) -> Result<(), FileError> {
        let file = filled(path, content)?;
        file.as_file().sync_all().map_err(FileError::at("sync", path))?;
        show(file, path)?;
        self.directory(parent(path));
        Ok(())
    }

    /// Like [`Batch::write`], for a file whose readers take an empty one for none: where there was none, it may be empty
    /// after a power failure before [`Batch::sync`]. That spares whoever holds a lock the wait for the disk.
    ///
    /// # Errors
    /// Whatever step fails; the old content is then still there.
    pub fn write_first(&mut self, path: &Path, content: &[u8]) -> Result<(), FileError> {
        if !content.is_empty() && fs::metadata(path).is_ok_and(|found| found.len() > 0) {
            return self.write(path, content);
        }
        write_unsynced(path, content)?;
        self.file(path);
        Ok(())
    }

    /// Removes a file if it is there.
    ///
    /// # Errors
    /// It is there and cannot be removed.
    pub fn remove(&mut self, path: &Path) -> Result<(), FileError> {
        match fs::remove_file(path) {
            Ok(()) => self.directory(parent(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(FileError::at("remove", path)(error)),
        }
        Ok(())
    }

    /// Renames a file within its directory if it is there; whether it was.
    ///
    /// # Errors
    /// It is there and cannot be renamed.
    pub fn rename(&mut self, from: &Path, to: &Path) -> Result<bool, FileError> {
        match fs::rename(from, to) {
            Ok(()) => {
                self.directory(parent(to));
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(FileError::at("rename", from)(error)),
        }
    }

    /// Makes everything last. What somebody else has taken away meanwhile, as a journal that was rotated, needs nothing.
    ///
    /// # Errors
    /// Something cannot be opened or synced.
    pub fn sync(self) -> Result<(), FileError> {
        let Self { files, directories } = self;
        if files.len() + directories.len() > SYNCED_ONE_BY_ONE {
            let places = files.iter().map(|file| parent(file));
            return sync_file_systems(places.chain(directories.iter().map(PathBuf::as_path)).collect());
        }
        for path in &files {
            match File::open(path).and_then(|file| file.sync_all()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                synced => synced.map_err(FileError::at("sync", path))?,
            }
        }
        directories.iter().try_for_each(|path| sync_directory(path))
    }
}

/// Syncs the file systems of some directories, each once.
fn sync_file_systems(directories: BTreeSet<&Path>) -> Result<(), FileError> {
    let mut done = BTreeSet::new();
    for path in directories {
        let directory = File::open(path).map_err(FileError::at("open", path))?;
        let device = directory.metadata().map_err(FileError::at("read", path))?.dev();
        if done.insert(device) {
            let synced = nix::unistd::syncfs(&directory).map_err(io::Error::from);
            synced.map_err(FileError::at("sync the file system of", path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::read_text;
    use super::*;

    #[test]
    fn a_first_content_is_seen_at_once_and_a_later_one_replaces_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("eurobuild3");
        for content in ["one\n", "two\n", ""] {
            let mut batch = Batch::default();
            batch.write_first(&path, content.as_bytes()).unwrap();
            assert_eq!(read_text(&path).unwrap().unwrap(), content);
            batch.sync().unwrap();
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_gone_before_the_sync_needs_none() {
        let directory = tempfile::tempdir().unwrap();
        let (journal, other) = (directory.path().join("journal"), directory.path().join("other"));
        let mut batch = Batch::default();
        batch.write(&journal, b"one\n").unwrap();
        batch.content(&journal);
        batch.write(&other, b"two\n").unwrap();
        fs::remove_file(&journal).unwrap();
        batch.sync().unwrap();
    }
}
