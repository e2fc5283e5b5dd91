//! Cleaning: links, pool files and generations that nobody needs any more.
//!
//! A link goes `grace_seconds` after the flip that took its name out of the database, so that pacman can fetch what an
//! older database named; a pool file goes when no link and no kept generation names it. Called by a timer's tool.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::directory::{Directory, Kind};
use super::{Repositories, RepositoryError, database};
use crate::atomic::{self, FileError};
use crate::names::FileName;

/// Generations of each repository that are kept beside the current one.
const KEPT_GENERATIONS: usize = 5;

impl Repositories {
    /// Notes which files a flip is about to take out of a repository's database, and since when.
    pub(super) fn note_leaving<'a>(
        &self,
        directory: &Directory,
        gone: impl Iterator<Item = &'a FileName>,
        kept: &BTreeSet<&FileName>,
        now: u64,
    ) -> Result<(), RepositoryError> {
        let mut leaving = leaving(directory)?;
        let before = leaving.clone();
        for name in gone {
            leaving.insert(name.clone(), now);
        }
        leaving.retain(|name, _| !kept.contains(name));
        if leaving != before {
            write_leaving(directory, &leaving)?;
        }
        Ok(())
    }

    /// Removes what nobody needs any more; returns how many files. The package-database lock is held.
    ///
    /// # Errors
    /// A database cannot be read or a file cannot be removed.
    pub fn clean(&self, now: u64) -> Result<usize, RepositoryError> {
        let mut removed = 0;
        for directory in self.directories() {
            if directory.current()?.is_none() || directory.is_foreign() {
                continue;
            }
            let old = directory.generations()?;
            for number in &old[..old.len().saturating_sub(KEPT_GENERATIONS + 1)] {
                if Some(*number) < directory.current()? {
                    directory.remove_generation(*number)?;
                }
            }
            removed += self.clean_links(&directory, now)?;
        }
        Ok(removed + self.clean_pool(now)?)
    }

    fn clean_links(&self, directory: &Directory, now: u64) -> Result<usize, RepositoryError> {
        let mut leaving = leaving(directory)?;
        let before = leaving.clone();
        let named = match directory.database(Kind::Db)? {
            Some(path) => names(&path)?,
            None => return Ok(0),
        };
        let mut removed = 0;
        for name in directory.files()? {
            let package: FileName = name.as_str().trim_end_matches(".sig").parse()?;
            if named.contains(&package) {
                continue;
            }
            // What a killed tool or repo-remove left has been noticed only now.
            let since = *leaving.entry(package).or_insert(now);
            if since + self.grace_seconds <= now {
                atomic::remove(&directory.path.join(&name))?;
                removed += 1;
            }
        }
        leaving.retain(|name, _| directory.path.join(name).exists());
        if leaving != before {
            write_leaving(directory, &leaving)?;
        }
        Ok(removed)
    }

    fn clean_pool(&self, now: u64) -> Result<usize, RepositoryError> {
        let pool = self.pool();
        if !pool.exists() {
            return Ok(0);
        }
        let mut unlinked = Vec::new();
        for entry in fs::read_dir(&pool).map_err(FileError::at("read", &pool))? {
            let path = entry.map_err(FileError::at("read", &pool))?.path();
            let is_linked = path.metadata().is_ok_and(|metadata| metadata.nlink() > 1);
            if !is_linked && self.is_old(&path, now) {
                unlinked.push(path);
            }
        }
        if unlinked.is_empty() {
            return Ok(0);
        }
        let named = self.named_by_kept_generations()?;
        unlinked.retain(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            !named.contains(name.trim_end_matches(".sig"))
        });
        for path in &unlinked {
            atomic::remove(path)?;
        }
        Ok(unlinked.len())
    }

    fn named_by_kept_generations(&self) -> Result<BTreeSet<FileName>, RepositoryError> {
        let mut named = BTreeSet::new();
        for directory in self.directories() {
            let generations = directory.generations()?;
            let kept = generations
                .iter()
                .map(|number| directory.generation(*number).join(directory.database_name(Kind::Db)));
            for path in kept.chain(directory.database(Kind::Db)?) {
                if path.exists() {
                    named.append(&mut names(&path)?);
                }
            }
        }
        Ok(named)
    }

    /// Whether a file was last linked, unlinked or written longer ago than the grace time.
    fn is_old(&self, path: &Path, now: u64) -> bool {
        path.metadata().is_ok_and(|metadata| {
            let changed = u64::try_from(metadata.ctime()).unwrap_or(0);
            changed + self.grace_seconds <= now
        })
    }
}

/// The package files that a database names.
fn names(path: &Path) -> Result<BTreeSet<FileName>, RepositoryError> {
    Ok(database::read(path)?
        .into_values()
        .map(|record| record.file_name)
        .collect())
}

fn leaving(directory: &Directory) -> Result<BTreeMap<FileName, u64>, FileError> {
    let text = atomic::read_text(&directory.path.join(".leaving"))?.unwrap_or_default();
    Ok(text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(time, name)| Some((name.parse().ok()?, time.parse().ok()?)))
        .collect())
}

fn write_leaving(directory: &Directory, leaving: &BTreeMap<FileName, u64>) -> Result<(), FileError> {
    let text: String = leaving.iter().map(|(name, time)| format!("{time} {name}\n")).collect();
    atomic::write(&directory.path.join(".leaving"), text.as_bytes())
}
