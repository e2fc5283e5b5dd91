//! Sync databases, kept between runs so that an unchanged one is not fetched again, and what exact package files they
//! name.
//!
//! Every pacman.conf has a directory of its own, a root with nothing but databases in it; it is locked while pacman
//! refreshes it. A run works with hard links to the files as they were then: pacman replaces them, and never writes into
//! one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufReader, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use common::build_command::Outcome;
use common::interrupt::Interrupt;
use common::lock::Lock;
use common::names::last_part;
use common::sync_database;

use crate::copy::WorkingCopy;
use crate::layers::Id;
use crate::layout::{Layout, SYNC};
use crate::pacman::Pacman;

/// What pacman makes as long as it runs, and leaves when it is killed.
const PACMAN_LOCK: &str = "var/lib/pacman/db.lck";

/// The databases of one run.
#[derive(Debug)]
pub(crate) struct Databases {
    directory: PathBuf,
}

impl Databases {
    /// Fetches what is newer than what we have, and takes the present state into `copy` under a name.
    pub(crate) fn refresh(layout: &Layout, pacman: &Pacman, copy: &WorkingCopy, interrupt: &Interrupt) -> Result<Self> {
        let root = layout.databases().join(Id::of([pacman.configuration()]).as_str());
        fs::create_dir_all(root.join(SYNC)).with_context(|| format!("cannot make {}", root.display()))?;
        let _lock = Lock::wait(&root.join("lock"), interrupt, || {})?.context(Outcome::Interrupted)?;
        // We have the right to be here alone, so this is that of a pacman that was killed.
        common::atomic::remove(&root.join(PACMAN_LOCK))?;
        pacman.refresh(&root)?;
        let directory = copy.part(pacman.databases())?;
        for path in files(&directory)? {
            common::atomic::remove(&path)?;
        }
        for path in files(&root.join(SYNC))? {
            take(&path, &directory.join(last_part(&path))).context("cannot take the databases")?;
        }
        Ok(Self { directory })
    }

    /// Lines that are the same as long as the databases are.
    pub(crate) fn state(&self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for path in files(&self.directory)? {
            let found = fs::metadata(&path)?;
            // The number of a file may be given again; its time of birth is another then. The time of change is of no
            // use: every run links to it.
            let born = found.created().ok();
            let (name, number, size) = (last_part(&path), found.ino(), found.len());
            lines.push(format!("{name} {number} {size} {:?} {born:?}", found.modified()?));
        }
        Ok(lines)
    }

    /// What the databases say of some packages, given as `REPOSITORY NAME-VERSION`: a line each, with its checksum. None
    /// when one of them is not found.
    pub(crate) fn describe(&self, packages: &[String]) -> Result<Option<Vec<String>>> {
        let mut wanted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for package in packages {
            let (repository, name) = package.split_once(' ').unwrap_or_default();
            wanted.entry(repository).or_default().insert(name);
        }
        let mut lines = Vec::new();
        for (repository, mut names) in wanted {
            let path = self.directory.join(format!("{repository}.db"));
            let cannot_read = || format!("cannot read {}", path.display());
            let database = BufReader::new(File::open(&path).with_context(cannot_read)?);
            sync_database::read(database, &mut |name, text| {
                if names.remove(name) {
                    lines.push(format!("{repository} {name} {}", Id::of(text.lines()).as_str()));
                }
                Ok(())
            })
            .with_context(cannot_read)?;
            if !names.is_empty() {
                return Ok(None);
            }
        }
        lines.sort();
        Ok(Some(lines))
    }
}

/// Links to a file, or copies it where the copies have a file system of their own.
fn take(from: &Path, to: &Path) -> std::io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() == ErrorKind::CrossesDevices => fs::copy(from, to).map(drop),
        linked => linked,
    }
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_file() && !last_part(&entry.path()).ends_with(".part") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}
