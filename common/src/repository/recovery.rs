//! Completing or removing what a killed tool left, and taking in what repo-add changed.
//!
//! All repositories of a transaction have its generation before the first of them is flipped. So a generation later than
//! the current one is completed when any repository has been flipped to its number, and removed when none has, with the
//! record of its transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use super::commit::{Commit, signature_of};
use super::database::{self, Content, Record};
use super::directory::{Directory, Kind};
use super::{Repositories, RepositoryError};
use crate::atomic::{self, FileError};
use crate::names::FileName;
use crate::package::PackageFile;

impl Repositories {
    /// Whether a repository has a generation that is later than the current one.
    pub(super) fn needs_recovery(&self, directory: &Directory) -> Result<bool, RepositoryError> {
        let current = directory.current()?.unwrap_or(0);
        Ok(directory.generations()?.last().is_some_and(|last| *last > current))
    }

    /// Completes or removes later generations. The locks of the repositories that have any are held.
    pub(super) fn recover(
        &self,
        directories: &[Directory],
        now: u64,
        commit: &mut Commit,
    ) -> Result<(), RepositoryError> {
        let mut flipped = BTreeSet::new();
        let mut waiting: BTreeMap<u64, Vec<&Directory>> = BTreeMap::new();
        for directory in directories {
            let current = directory.current()?;
            flipped.extend(current);
            for number in directory.generations()? {
                if number > current.unwrap_or(0) {
                    waiting.entry(number).or_default().push(directory);
                }
            }
        }
        for (number, directories) in waiting {
            for directory in directories {
                let repository = &directory.repository;
                if flipped.contains(&number) {
                    directory.flip(number)?;
                    self.write_last_update(now)?;
                    commit
                        .warnings
                        .push(format!("generation {number} of {repository} was completed"));
                } else {
                    directory.remove_generation(number)?;
                    self.forget_records(|record| record == number)?;
                    commit.warnings.push(format!(
                        "generation {number} of {repository} had not been published and was removed"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Takes in the databases that repo-add or repo-remove wrote: their packages come into the pool, and entries whose
    /// file is absent go. Returns the files that the generation before named and these do not.
    pub(super) fn adopt(
        &self,
        directory: &Directory,
        content: &mut Content,
        commit: &mut Commit,
    ) -> Result<Vec<FileName>, RepositoryError> {
        let repository = &directory.repository;
        commit.warnings.push(format!(
            "the databases of {repository} were written by another tool and are taken in"
        ));
        let mut absent = Vec::new();
        for (name, record) in content.iter_mut() {
            let package = directory.path.join(&record.file_name);
            if package.is_file() {
                self.put_into_pool(&package, &record.file_name)?;
                let signature_name = signature_of(&record.file_name)?;
                let signature = directory.path.join(&signature_name);
                if signature.is_file() {
                    self.put_into_pool(&signature, &signature_name)?;
                }
            } else if self.published(&record.file_name).is_none() {
                absent.push(name.clone());
            }
            if record.files.is_none()
                && let Ok(package) = PackageFile::read(&self.pool().join(&record.file_name))
            {
                // repo-add was killed between the two databases.
                record.files = Record::of(&package, None)?.files;
            }
        }
        for name in absent {
            commit
                .warnings
                .push(format!("{name} left {repository}: its file is absent"));
            content.remove(&name);
        }
        for record in content.values() {
            self.link_from_pool(directory, &record.file_name)?;
            let signature = signature_of(&record.file_name)?;
            if self.published(&signature).is_some() {
                self.link_from_pool(directory, &signature)?;
            }
        }
        let named: BTreeSet<&FileName> = content.values().map(|record| &record.file_name).collect();
        let before = match directory.current()? {
            Some(number) => database::read(&directory.generation(number).join(directory.database_name(Kind::Db)))?,
            None => Content::new(),
        };
        let files = before.into_values().map(|record| record.file_name);
        Ok(files.filter(|file| !named.contains(file)).collect())
    }
}

impl Directory {
    /// Removes temporary files of killed tools; the repository's lock is held. It looks at every name in the directory, so
    /// it is called when the lock's last holder was killed.
    pub(super) fn sweep_files(&self) {
        atomic::sweep(&self.path, Duration::ZERO);
        // repo-add's own, see create_db in it.
        for kind in Kind::ALL {
            let left = self.path.join(format!(".tmp.{}", self.database_name(kind)));
            if left.exists() {
                fs::remove_file(&left).map_err(FileError::at("remove", &left)).ok();
            }
        }
    }
}
