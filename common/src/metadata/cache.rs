//! Evaluated metadata on disk: `<work_dir>/metadata/<content id>.srcinfo`, plain text. Deleting it costs time only;
//! deleting `metadata/last-good/` loses what packages said that cannot be read now.
//!
//! Invariant: a file is complete, and says what the PKGBUILD of that content says. Whoever evaluates a content holds a
//! claim on it, so that runs at one time share the work. The claim is a lock of its own, taken last and with no other
//! lock taken under it; it saves work and nothing depends on it, so nobody waits for it for ever, and its file goes
//! with it (the one who waited finds the result, or evaluates).

use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::bundle::Bundle;
use crate::atomic::{self, FileError, TEMPORARY_PREFIX};
use crate::lock::{Lock, LockError, Mode, Patience};
use crate::names::PkgBase;
use crate::source::ContentId;

/// Directory of what packages said last before they could no longer be read, by pkgbase. It is no cache: nothing else
/// knows it.
const LAST_GOOD: &str = "last-good";
/// How long somebody else's evaluation is waited for: longer than one may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The directory.
#[derive(Debug)]
pub(super) struct Cache {
    directory: PathBuf,
}

/// The right to evaluate a content, until it is dropped.
#[derive(Debug)]
#[must_use = "the claim ends when this is dropped"]
pub(super) struct Claim {
    path: PathBuf,
    lock: Option<Lock>,
}

impl Cache {
    /// The cache in a directory, which is made where it is missing.
    pub(super) fn open(directory: PathBuf) -> Result<Self, FileError> {
        atomic::create_directory(&directory)?;
        Ok(Self { directory })
    }

    /// What is kept of a content.
    pub(super) fn read(&self, content: &ContentId) -> Result<Option<String>, FileError> {
        atomic::read_text(&self.path(content))
    }

    /// Keeps what a content says.
    pub(super) fn keep(&self, content: &ContentId, text: &str) -> Result<(), FileError> {
        atomic::write(&self.path(content), text.as_bytes())
    }

    /// Waits until nobody else evaluates a content, but not for ever.
    pub(super) fn claim(&self, content: &ContentId) -> Result<Claim, FileError> {
        // Named as temporary files are: one that a killed tool left is swept with them.
        let path = self.directory.join(format!("{TEMPORARY_PREFIX}{content}.lock"));
        let lock = match Lock::acquire(&path, Mode::Exclusive, Patience::Bounded(PATIENCE)) {
            Ok(lock) => Some(lock),
            Err(LockError::Busy { .. }) => None,
            Err(LockError::Io { path, source }) => return Err(FileError::at("lock", path)(source)),
        };
        Ok(Claim { path, lock })
    }

    /// Where everything of one look at the sources is kept together.
    pub(super) fn bundle(&self) -> PathBuf {
        self.directory.join("bundle")
    }

    /// Files older than `age` of contents that the last look at the sources did not see. None before the first look.
    pub(super) fn outdated(&self, age: Duration, now: SystemTime) -> Result<Vec<PathBuf>, FileError> {
        let bundle = Bundle::read(&self.bundle())?;
        if bundle.is_empty() {
            return Ok(Vec::new());
        }
        let read = |source| FileError::at("read", &self.directory)(source);
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.directory).map_err(read)? {
            let entry = entry.map_err(read)?;
            let name = entry.file_name();
            let id = name
                .to_str()
                .and_then(|name| name.strip_suffix(".srcinfo")?.parse().ok());
            if id.is_none_or(|id: ContentId| self.path(&id) != entry.path() || bundle.get(&id).is_some()) {
                continue;
            }
            let written = match entry.metadata().and_then(|metadata| metadata.modified()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                written => written.map_err(read)?,
            };
            if now.duration_since(written).is_ok_and(|found| found > age) {
                found.push(entry.path());
            }
        }
        found.sort();
        Ok(found)
    }

    /// Keeps what a package said last before it could no longer be read.
    pub(super) fn keep_last_good(&self, pkgbase: &PkgBase, text: &str) -> Result<(), FileError> {
        let path = self.last_good(pkgbase);
        if atomic::read_text(&path)?.as_deref() == Some(text) {
            return Ok(());
        }
        atomic::create_directory(&self.directory.join(LAST_GOOD))?;
        atomic::write(&path, text.as_bytes())
    }

    /// What was kept of a package.
    pub(super) fn read_last_good(&self, pkgbase: &PkgBase) -> Result<Option<String>, FileError> {
        atomic::read_text(&self.last_good(pkgbase))
    }

    fn last_good(&self, pkgbase: &PkgBase) -> PathBuf {
        self.directory.join(LAST_GOOD).join(format!("{pkgbase}.srcinfo"))
    }

    fn path(&self, content: &ContentId) -> PathBuf {
        self.directory.join(format!("{content}.srcinfo"))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.lock.is_some() {
            // That it stays is no harm.
            drop(std::fs::remove_file(&self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_content_is_claimed_by_one_at_a_time_and_nothing_stays_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path().join("metadata")).unwrap();
        let content = ContentId::for_test("a");
        let evaluations = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let _claim = cache.claim(&content).unwrap();
                    if cache.read(&content).unwrap().is_none() {
                        evaluations.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        cache.keep(&content, "pkgbase = a\n").unwrap();
                    }
                });
            }
        });
        assert_eq!(evaluations.into_inner(), 1);
        let names: Vec<_> = std::fs::read_dir(directory.path().join("metadata"))
            .unwrap()
            .flatten()
            .collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }
}
