//! Generations of a directory that is dear to make: a root, a base image. Whoever uses one keeps the one that it started
//! from, so making one anew and using one at the same time is safe.
//!
//! ```text
//! NAME -> .NAMEs/N[/PART]   the generation that new users start from
//! .NAMEs/N/                 one generation; its marker is written last, its lock is shared while somebody uses it
//! .NAMEs/.new-*             a generation in the making
//! .lock                     held while one is made or removed
//! ```
//!
//! Invariant: the link leads to a complete generation or nowhere. A generation is made in a temporary sibling, marked,
//! renamed, and then the link is replaced; one that nobody uses is removed after the next was made. Lock order: `.lock`,
//! then those of generations.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::syncfs;
use thiserror::Error;

use crate::atomic::{self, FileError};
use crate::interrupt::Interrupt;
use crate::lock::{Lock, LockError, Mode, Patience};
use crate::names::last_part;
use crate::used_directory::{self, LOCK};

/// Beginning of the name of a generation in the making.
const NEW: &str = ".new-";
/// How long somebody may look whether one is used.
const PATIENCE: Patience = Patience::Bounded(Duration::from_secs(10));

/// The generations of one thing.
#[derive(Debug, Clone, Copy)]
pub struct Generations<'a> {
    /// The directory that everything is in.
    pub home: &'a Path,
    /// The name of the link.
    pub name: &'static str,
    /// The part of a generation that the link leads to; none: the generation itself.
    pub part: Option<&'static str>,
    /// The file of a generation that makes it complete.
    pub marker: &'static str,
}

/// One generation, in use as long as this lives.
#[derive(Debug)]
pub struct Generation {
    directory: PathBuf,
    _lock: Lock,
}

/// The right to make a generation and to remove others.
#[derive(Debug)]
pub struct Making {
    _lock: Lock,
}

/// Generations that cannot be used or made.
#[derive(Debug, Error)]
pub enum GenerationError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A lock cannot be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Something that is not ours has the link's name.
    #[error("{} is in the way: it is a directory, not our link", .0.display())]
    InTheWay(PathBuf),
    /// It was removed.
    #[error("{} is gone", .0.display())]
    Gone(PathBuf),
}

impl Generation {
    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its number, to tell it from others that there are.
    #[must_use]
    pub fn name(&self) -> String {
        last_part(&self.directory)
    }
}

impl Generations<'_> {
    /// The link to the one that new users start from.
    #[must_use]
    pub fn link(&self) -> PathBuf {
        self.home.join(self.name)
    }

    /// Where they are.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.home.join(format!(".{}s", self.name))
    }

    /// The directory of the one that the link leads to, complete or not.
    #[must_use]
    pub fn linked(&self) -> Option<PathBuf> {
        let target = fs::read_link(self.link()).ok()?;
        let mut parts = target.iter();
        let is_ours = self.directory().ends_with(parts.next()?);
        let number = parts.next()?;
        is_ours.then(|| self.directory().join(number))
    }

    /// The one that new users start from. Whether it is complete its marker says.
    #[must_use]
    pub fn current(&self) -> Option<Generation> {
        loop {
            let directory = self.linked()?;
            match Lock::acquire(&directory.join(LOCK), Mode::Shared, Patience::Never) {
                // It may have been replaced and removed before it was locked.
                Ok(lock) if self.linked().as_ref() == Some(&directory) => {
                    return Some(Generation { directory, _lock: lock });
                }
                Err(LockError::Io { .. }) if self.linked().as_ref() == Some(&directory) => return None,
                // Somebody is removing it: the link leads elsewhere soon, or already does.
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// A complete one by its number, whether or not new users start from it.
    ///
    /// # Errors
    /// It is gone, or somebody is removing it.
    pub fn borrow(&self, name: &str) -> Result<Generation, GenerationError> {
        let directory = self.directory().join(name);
        if !directory.join(self.marker).is_file() {
            return Err(GenerationError::Gone(directory));
        }
        let lock = Lock::acquire(&directory.join(LOCK), Mode::Shared, PATIENCE)?;
        Ok(Generation { directory, _lock: lock })
    }

    /// The numbers of all, in the order in which they were made.
    ///
    /// # Errors
    /// They cannot be listed.
    pub fn numbers(&self) -> Result<Vec<u64>, FileError> {
        let paths = self.paths()?;
        let mut numbers: Vec<u64> = paths.iter().filter_map(|path| last_part(path).parse().ok()).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn paths(&self) -> Result<Vec<PathBuf>, FileError> {
        let directory = self.directory();
        let entries = fs::read_dir(&directory).and_then(|entries| {
            let paths = entries.map(|entry| Ok(entry?.path()));
            paths.collect::<io::Result<Vec<_>>>()
        });
        entries.map_err(FileError::at("read", directory))
    }

    /// Waits for the right to make one; `on_wait` is called when somebody else has it. `None`: the caller is asked to end.
    ///
    /// # Errors
    /// The lock cannot be taken.
    pub fn lock(&self, interrupt: &Interrupt, on_wait: impl FnOnce()) -> Result<Option<Making>, LockError> {
        let lock = Lock::wait(&self.home.join(".lock"), interrupt, on_wait)?;
        Ok(lock.map(|lock| Making { _lock: lock }))
    }

    /// Makes a new one: `fill` gets the empty directory, and returns what the marker is to hold.
    ///
    /// # Errors
    /// `fill` fails, or the disk does; new users start from the one before then.
    pub fn make<E: From<GenerationError>>(
        &self,
        _right: &Making,
        fill: impl FnOnce(&Path) -> Result<Vec<u8>, E>,
    ) -> Result<(), E> {
        let directory = self.directory();
        let new = tempfile::Builder::new().prefix(NEW).tempdir_in(&directory);
        let new = new.map_err(FileError::at("make a directory in", directory));
        let new = new.map_err(GenerationError::from)?.keep();
        let made = fill(&new).and_then(|marker| Ok(self.finish(&new, &marker)?));
        if made.is_err() {
            drop(atomic::remove_tree(&new));
        }
        made
    }

    fn finish(&self, new: &Path, marker: &[u8]) -> Result<(), GenerationError> {
        atomic::write(&new.join(LOCK), b"")?;
        // What looks complete after a power failure has to be complete.
        File::open(new)
            .and_then(|directory| Ok(syncfs(directory)?))
            .map_err(FileError::at("sync the file system of", new))?;
        atomic::write(&new.join(self.marker), marker)?;
        let number = self.numbers()?.last().map_or(1, |last| last + 1).to_string();
        atomic::rename(new, &self.directory().join(&number))?;
        self.lead_to(&number)
    }

    /// Replaces the link.
    fn lead_to(&self, number: &str) -> Result<(), GenerationError> {
        let link = self.directory().join(format!("{NEW}link"));
        atomic::remove(&link)?;
        let mut target = Path::new(&format!(".{}s", self.name)).join(number);
        target.extend(self.part);
        symlink(target, &link).map_err(FileError::at("make", &link))?;
        if fs::symlink_metadata(self.link()).is_ok_and(|found| found.is_dir()) {
            return Err(GenerationError::InTheWay(self.link()));
        }
        Ok(atomic::rename(&link, &self.link())?)
    }

    /// Removes the link, so that the next sweep removes what it led to.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn forget(&self, _right: &Making) -> Result<(), FileError> {
        atomic::remove(&self.link())
    }

    /// Removes half-made ones, and those that nobody uses or needs and the link does not lead to. Whether one is needed
    /// that nobody uses is asked after its lock was looked at.
    ///
    /// # Errors
    /// One cannot be removed, or `is_needed` fails.
    pub fn sweep<E: From<GenerationError>>(
        &self,
        _right: &Making,
        is_needed: impl Fn(&str) -> Result<bool, E>,
    ) -> Result<(), E> {
        let current = self.linked();
        for path in self.paths().map_err(GenerationError::from)? {
            let name = last_part(&path);
            if current.as_ref() == Some(&path) {
                continue;
            }
            // Nobody has one whose name begins with a dot.
            if name.starts_with('.') || !(used_directory::is_used(&path) || is_needed(&name)?) {
                remove(&path).map_err(GenerationError::from)?;
            }
        }
        Ok(())
    }
}

/// Removes a generation, of which whoever locks it now finds that the link leads elsewhere; or a link that was left.
fn remove(path: &Path) -> Result<(), FileError> {
    if path.is_dir() && !path.is_symlink() {
        used_directory::remove(path)
    } else {
        atomic::remove(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(home: &Path) -> Generations<'_> {
        let roots = Generations {
            home,
            name: "root",
            part: Some("tree"),
            marker: "format",
        };
        fs::create_dir_all(roots.directory()).unwrap();
        roots
    }

    fn making(roots: &Generations<'_>) -> Making {
        roots.lock(&Interrupt::new(), || {}).unwrap().unwrap()
    }

    fn make(roots: &Generations<'_>, text: &str) -> Result<(), GenerationError> {
        roots.make(&making(roots), |new| {
            atomic::create_directory(&new.join("tree"))?;
            atomic::write(&new.join("tree/text"), text.as_bytes())?;
            Ok(b"1\n".to_vec())
        })
    }

    fn sweep(roots: &Generations<'_>, needed: &str) {
        let swept: Result<(), GenerationError> = roots.sweep(&making(roots), |name| Ok(name == needed));
        swept.unwrap();
    }

    #[test]
    fn who_started_from_a_generation_keeps_it_while_others_start_from_the_next() {
        let home = tempfile::tempdir().unwrap();
        let roots = roots(home.path());
        assert!(roots.current().is_none());
        make(&roots, "one").unwrap();
        let old = roots.current().unwrap();
        make(&roots, "two").unwrap();
        sweep(&roots, "");
        let new = roots.current().unwrap();
        assert_eq!((old.name(), new.name()), ("1".to_owned(), "2".to_owned()));
        let text = |path: &Path| atomic::read_text(&path.join("text")).unwrap().unwrap();
        assert_eq!(text(&old.directory().join("tree")), "one");
        assert_eq!(text(&roots.link()), "two");
        drop(old);
        sweep(&roots, "1");
        assert_eq!(roots.borrow("1").unwrap().name(), "1");
        sweep(&roots, "");
        assert!(matches!(roots.borrow("1"), Err(GenerationError::Gone(_))));
        assert_eq!(roots.numbers().unwrap(), [2]);
    }

    #[test]
    fn a_generation_that_cannot_be_made_changes_nothing_and_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let roots = roots(home.path());
        make(&roots, "one").unwrap();
        let made = roots.make(&making(&roots), |new| {
            atomic::write(&new.join("half"), b"")?;
            Err(GenerationError::Gone(new.to_owned()))
        });
        assert!(made.is_err());
        assert_eq!(roots.current().unwrap().name(), "1");
        assert_eq!(fs::read_dir(roots.directory()).unwrap().count(), 1);
    }

    #[test]
    fn what_killed_makers_left_is_swept_and_a_stranger_in_place_of_the_link_is_not() {
        let home = tempfile::tempdir().unwrap();
        let roots = roots(home.path());
        make(&roots, "one").unwrap();
        for left in [".new-abc", ".gone-7"] {
            fs::create_dir(roots.directory().join(left)).unwrap();
        }
        symlink("nowhere", roots.directory().join(".new-link")).unwrap();
        sweep(&roots, "");
        assert_eq!(fs::read_dir(roots.directory()).unwrap().count(), 1);
        roots.forget(&making(&roots)).unwrap();
        sweep(&roots, "");
        assert_eq!(roots.numbers().unwrap(), [0; 0]);
        fs::create_dir(roots.link()).unwrap();
        assert!(matches!(make(&roots, "two"), Err(GenerationError::InTheWay(_))));
    }

    #[test]
    fn one_maker_waits_for_the_other_until_it_is_asked_to_end() {
        let home = tempfile::tempdir().unwrap();
        let roots = roots(home.path());
        let _other = making(&roots);
        let interrupt = Interrupt::new();
        let mut waits = false;
        let right = roots.lock(&interrupt, || {
            waits = true;
            interrupt.raise();
        });
        assert!(right.unwrap().is_none() && waits);
    }
}
