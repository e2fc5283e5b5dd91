//! The packages that are kept: `REPOSITORY/os/ARCH/FILE` below the cache directory.
//!
//! Invariant: a file has its name only when it is whole and has been checked. What is on its way has a name that begins
//! with a dot. The time of last access is set on each use; cleaning removes what was not used for longest.

use std::fs::{self, File, FileTimes};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use common::atomic::{self, FileError};
use common::lock::{Lock, LockError, Mode, Patience};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use super::expected::Expected;
use super::request::Wanted;

/// Files that are on their way for longer were left by a process that was killed.
const LEFT_OVER: Duration = Duration::from_secs(6 * 3600);
/// How long another process may take for a download that this one waits for.
const OTHERS: Duration = Duration::from_secs(3600);

/// The cache.
#[derive(Debug)]
pub(super) struct Cache {
    directory: PathBuf,
    max_age: Duration,
    max_bytes: u64,
}

/// A kept file.
struct Kept {
    path: PathBuf,
    used: SystemTime,
    size: u64,
}

impl Cache {
    pub(super) fn open(directory: PathBuf, max_age: Duration, max_bytes: u64) -> Result<Self, FileError> {
        atomic::create_directory(&directory)?;
        Ok(Self {
            directory,
            max_age,
            max_bytes,
        })
    }

    pub(super) fn path(&self, wanted: &Wanted) -> PathBuf {
        self.directory.join(wanted.path())
    }

    /// Where a file is kept, if it is, and is still what it has to be. That it was used is noted.
    pub(super) fn find(&self, wanted: &Wanted, expected: Option<&Expected>) -> Option<PathBuf> {
        let path = self.path(wanted);
        let file = File::open(&path).ok()?;
        let size = file.metadata().ok().filter(fs::Metadata::is_file)?.len();
        if expected.is_some_and(|expected| expected.size != 0 && expected.size != size) {
            // Built again under the same name.
            return None;
        }
        // For cleaning only: a cache that cannot be written still serves.
        drop(file.set_times(FileTimes::new().set_accessed(SystemTime::now())));
        Some(path)
    }

    /// A file without a name for what is on its way.
    pub(super) fn begin(&self, wanted: &Wanted) -> Result<NamedTempFile, FileError> {
        let path = self.path(wanted);
        let directory = path.parent().unwrap_or(&self.directory);
        atomic::create_directory(directory)?;
        atomic::temporary_file(directory)
    }

    /// Gives a checked file its name.
    pub(super) fn keep(&self, wanted: &Wanted, file: NamedTempFile) -> Result<(), FileError> {
        atomic::persist(file, &self.path(wanted))
    }

    /// Waits until no other process downloads the file. Which of a few locks it is follows from the name.
    pub(super) fn claim(&self, wanted: &Wanted) -> Result<Lock, LockError> {
        let number = Sha256::digest(wanted.to_string().as_bytes())[0] % 64;
        let path = self.directory.join(format!(".{number}.lock"));
        Lock::acquire(&path, Mode::Exclusive, Patience::Bounded(OTHERS))
    }

    /// Removes what is too old, and then, as long as there is too much, what was not used for longest.
    pub(super) fn clean(&self) -> Result<(), FileError> {
        let mut kept = Vec::new();
        self.walk(&self.directory, &mut kept)?;
        kept.sort_by_key(|kept| kept.used);
        let now = SystemTime::now();
        let mut bytes: u64 = kept.iter().map(|kept| kept.size).sum();
        for Kept { path, used, size } in kept {
            let is_old = now.duration_since(used).is_ok_and(|age| age > self.max_age);
            if is_old || bytes > self.max_bytes {
                atomic::remove(&path)?;
                bytes -= size;
            }
        }
        Ok(())
    }

    fn walk(&self, directory: &Path, kept: &mut Vec<Kept>) -> Result<(), FileError> {
        atomic::sweep(directory, LEFT_OVER);
        let at = |source| FileError::at("read", directory)(source);
        for entry in fs::read_dir(directory).map_err(at)? {
            let entry = entry.map_err(at)?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // Another process cleans, too.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(FileError::at("read", entry.path())(error)),
            };
            if metadata.is_dir() {
                self.walk(&entry.path(), kept)?;
            } else if metadata.is_file() {
                kept.push(Kept {
                    used: metadata.accessed().unwrap_or(SystemTime::UNIX_EPOCH),
                    size: metadata.blocks() * 512,
                    path: entry.path(),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(cache: &Cache, name: &str, age: u64) -> Wanted {
        let wanted = Wanted::parse("core", "any", &format!("{name}-1-1-any.pkg.tar.zst")).unwrap();
        let file = cache.begin(&wanted).unwrap();
        fs::File::options()
            .write(true)
            .open(file.path())
            .unwrap()
            .set_len(0)
            .unwrap();
        std::io::Write::write_all(&mut file.as_file(), &[1; 4096]).unwrap();
        cache.keep(&wanted, file).unwrap();
        let used = SystemTime::now() - Duration::from_secs(age);
        let file = File::open(cache.path(&wanted)).unwrap();
        file.set_times(FileTimes::new().set_accessed(used)).unwrap();
        wanted
    }

    #[test]
    fn the_old_go_and_then_what_was_not_used_for_longest() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path().join("cache"), Duration::from_secs(1000), 2 * 4096).unwrap();
        let [old, unused, used, fresh] =
            [("a", 2000), ("b", 900), ("c", 950), ("d", 1)].map(|(n, age)| keep(&cache, n, age));
        assert!(cache.find(&used, None).is_some());
        cache.clean().unwrap();
        let is_there = |wanted: &Wanted| cache.path(wanted).exists();
        assert_eq!([&old, &unused, &used, &fresh].map(is_there), [false, false, true, true]);
    }

    #[test]
    fn a_package_that_was_built_again_under_its_name_is_not_served() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path().join("cache"), Duration::MAX, u64::MAX).unwrap();
        let wanted = keep(&cache, "a", 1);
        let expected = |size| Expected {
            size,
            sha256: String::new(),
        };
        assert!(cache.find(&wanted, Some(&expected(4096))).is_some());
        assert!(cache.find(&wanted, Some(&expected(5000))).is_none());
    }
}
