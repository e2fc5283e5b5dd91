//! Cleaning: links, pool files and generations that nobody needs any more.
//!
//! A link goes `grace_seconds` after the flip that took its name out of the database, so that pacman can fetch what an
//! older database named; a pool file goes when no link and no kept generation names it. Generations are kept for as long
//! as the transactions that they are needed to take back: the last `kept_generations`. Called by a timer's tool.
//!
//! With `kept_versions` above 1 the newest versions of each package that a database still names stay in its directory,
//! where pacman -U finds them ([`super::versions`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::directory::{Directory, Kind};
use super::segments::{Segment, Volume};
use super::{Repositories, RepositoryError, database, versions};
use crate::atomic::{self, FileError};
use crate::names::FileName;

impl Directory {
    /// The files that its database no longer names, and since when.
    pub(super) fn leaving(&self) -> Result<BTreeMap<FileName, u64>, FileError> {
        let text = atomic::read_text(&self.path.join(".leaving"))?.unwrap_or_default();
        Ok(text
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter_map(|(time, name)| Some((name.parse().ok()?, time.parse().ok()?)))
            .collect())
    }

    /// Notes which files a flip is about to take out of the database, and since when; those that come in leave no more.
    pub(super) fn note_leaving(
        &self,
        gone: &[FileName],
        named: &BTreeSet<&FileName>,
        now: u64,
    ) -> Result<(), FileError> {
        let mut leaving = self.leaving()?;
        let before = leaving.clone();
        leaving.extend(gone.iter().map(|name| (name.clone(), now)));
        leaving.retain(|name, _| !named.contains(name));
        if leaving != before {
            write_leaving(self, &leaving)?;
        }
        Ok(())
    }
}

impl Repositories {
    /// Removes what nobody needs any more; returns how many files. The package-database lock is held.
    ///
    /// # Errors
    /// A database cannot be read or a file cannot be removed.
    pub fn clean(&self, now: u64) -> Result<usize, RepositoryError> {
        let mut removed = 0;
        let since = self.kept_since()?;
        self.forget_records(|number| number <= since)?;
        for directory in self.directories() {
            if directory.current()?.is_none() || directory.is_foreign() {
                continue;
            }
            for number in directory.outdated_generations(since)? {
                self.note_changes(&[self.relative(&directory.generation(number))])?;
                directory.remove_generation(number)?;
            }
            removed += self.clean_links(&directory, now)?;
        }
        Ok(removed + self.clean_pool(now)?)
    }

    fn clean_links(&self, directory: &Directory, now: u64) -> Result<usize, RepositoryError> {
        let mut leaving = directory.leaving()?;
        let before = leaving.clone();
        let named = match directory.current()? {
            Some(number) => Named::default().of(directory, number)?,
            None => return Ok(0),
        };
        let mut gone = Vec::new();
        let files = directory.files()?;
        let kept = versions::newest_besides(&named, &files, self.kept_versions.saturating_sub(1));
        for name in files {
            let package: FileName = name.as_str().trim_end_matches(".sig").parse()?;
            if named.contains(&package) {
                continue;
            }
            // What a killed tool or repo-remove left has been noticed only now.
            let since = *leaving.entry(package).or_insert(now);
            if since + self.grace_seconds <= now && !kept.contains(name.as_str().trim_end_matches(".sig")) {
                gone.push(directory.path.join(&name));
            }
        }
        self.remove_told(&gone)?;
        leaving.retain(|name, _| !named.contains(name) && directory.path.join(name).exists());
        if leaving != before {
            write_leaving(directory, &leaving)?;
        }
        Ok(gone.len())
    }

    /// Removes files that are to be removed elsewhere, too.
    fn remove_told(&self, paths: &[PathBuf]) -> Result<(), RepositoryError> {
        let changed: Vec<String> = paths.iter().map(|path| self.relative(path)).collect();
        self.note_changes(&changed)?;
        for path in paths {
            atomic::remove(path)?;
        }
        Ok(())
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
        self.remove_told(&unlinked)?;
        Ok(unlinked.len())
    }

    fn named_by_kept_generations(&self) -> Result<BTreeSet<FileName>, RepositoryError> {
        let mut named = BTreeSet::new();
        for directory in self.directories() {
            let mut names = Named::default();
            for number in directory.generations()? {
                named.append(&mut names.of(&directory, number)?);
            }
            if let Some(path) = directory.database(Kind::Db)?.filter(|_| directory.is_foreign()) {
                named.extend(database::read(&path)?.into_values().map(|record| record.file_name));
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

/// The package files that generations name. They share most segments, and each is read once.
#[derive(Default)]
struct Named(BTreeMap<Segment, Vec<FileName>>);

impl Named {
    fn of(&mut self, directory: &Directory, number: u64) -> Result<BTreeSet<FileName>, RepositoryError> {
        let generation = directory.generation(number);
        let path = generation.join(directory.database_name(Kind::Db));
        let Some(volume) = Volume::open(&path, &generation.join(directory.index_name(Kind::Db)))? else {
            let records = database::read(&path)?.into_values();
            return Ok(records.map(|record| record.file_name).collect());
        };
        let mut named = BTreeSet::new();
        for (position, segment) in volume.segments().iter().enumerate() {
            if !self.0.contains_key(segment) {
                let plain = volume.inflated(position).map_err(FileError::at("read", &path))?;
                let records = database::read_part(&plain, &path)?.into_values();
                self.0
                    .insert(segment.clone(), records.map(|record| record.file_name).collect());
            }
            named.extend(self.0[segment].iter().cloned());
        }
        Ok(named)
    }
}

fn write_leaving(directory: &Directory, leaving: &BTreeMap<FileName, u64>) -> Result<(), FileError> {
    let text: String = leaving.iter().map(|(name, time)| format!("{time} {name}\n")).collect();
    atomic::write(&directory.path.join(".leaving"), text.as_bytes())
}
