//! Making a transaction visible.
//!
//! Steps, each of them lasting before the next: files into the pool; links into the repositories; the new generation of
//! every repository under one number; what is to be published and what leaves noted down; one rename a repository, the
//! more stable one first, so that a package that moves is always somewhere; `lastupdate`. A tool killed before the first
//! rename leaves a generation that the next run removes, one killed after it a generation that the next run completes
//! ([`super::recovery`]).

use std::collections::{BTreeMap, BTreeSet};

use super::database::{Content, Record};
use super::database_lock::DatabaseLock;
use super::directory::Directory;
use super::pool::Step;
use super::transaction::{Change, Transaction};
use super::{Repositories, RepositoryError};
use crate::atomic::{self, FileError};
use crate::lock::Patience;
use crate::names::{FileName, PkgName, Repository};

/// What a transaction did.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// Its generation; none when everything was so already.
    pub number: Option<u64>,
    /// Paths relative to `repo_dir` that were made or replaced.
    pub changed: Vec<String>,
    /// What was found and mended on the way, a sentence each.
    pub warnings: Vec<String>,
}

/// One repository before and after.
struct Draft {
    directory: Directory,
    before: Content,
    after: Content,
    /// Written even if the content is the same: it is new, or repo-add has changed it.
    must_write: bool,
}

impl Transaction<'_> {
    /// Makes the changes, completes what a killed tool left, and makes repositories that are configured and missing.
    /// Call it with the package-database lock held.
    ///
    /// # Errors
    /// A file cannot be read or written, another file of the same name has been published, repo-add holds a repository
    /// for too long. Readers then see what they saw before.
    pub fn commit(self, now: u64, patience: Patience) -> Result<Commit, RepositoryError> {
        let repositories = self.repositories;
        let mut commit = Commit::default();
        for repository in self.changes.keys() {
            if repositories.classes.class_of(repository).is_none() {
                return Err(RepositoryError::Unknown(repository.clone()));
            }
        }
        atomic::create_directory(&repositories.pool())?;
        let directories = repositories.directories();
        let mut locks = Vec::new();
        for directory in &directories {
            if self.concerns(directory)? || repositories.needs_recovery(directory)? {
                directory.prepare()?;
                locks.push(DatabaseLock::acquire(directory.lock_path(), patience)?);
                directory.sweep_files();
            }
        }
        repositories.recover(&directories, now, &mut commit)?;
        let mut drafts = self.drafts(&directories, &mut commit)?;
        self.put_files(&drafts, &mut commit)?;
        drafts.retain(|draft| draft.must_write || draft.before != draft.after);
        if !drafts.is_empty() {
            let number = repositories.next_number(&directories)?;
            repositories.write(&drafts, number, now, &mut commit)?;
            commit.number = Some(number);
        }
        drop(locks);
        Ok(commit)
    }

    /// Whether this transaction changes or reads a repository, or has to make it.
    fn concerns(&self, directory: &Directory) -> Result<bool, RepositoryError> {
        let is_source = || {
            self.changes
                .values()
                .flat_map(BTreeMap::values)
                .any(|change| matches!(change, Change::CopyFrom(from) if *from == directory.repository))
        };
        Ok(self.changes.contains_key(&directory.repository)
            || directory.is_foreign()
            || directory.current()?.is_none()
            || self.repositories.has_to_be_signed(directory)?
            || is_source())
    }

    /// Every repository that is touched, with what it will hold.
    fn drafts(&self, directories: &[Directory], commit: &mut Commit) -> Result<Vec<Draft>, RepositoryError> {
        let mut drafts = Vec::new();
        for directory in directories {
            if !self.concerns(directory)? {
                continue;
            }
            let is_foreign = directory.is_foreign();
            let mut before = directory.content()?;
            if is_foreign {
                self.repositories.adopt(directory, &mut before, commit)?;
            }
            drafts.push(Draft {
                directory: directory.clone(),
                after: before.clone(),
                before,
                must_write: is_foreign
                    || directory.current()?.is_none()
                    || self.repositories.has_to_be_signed(directory)?,
            });
        }
        let sources: BTreeMap<Repository, Content> = drafts
            .iter()
            .map(|draft| (draft.directory.repository.clone(), draft.before.clone()))
            .collect();
        for draft in &mut drafts {
            let changes = self.changes.get(&draft.directory.repository);
            for (name, change) in changes.into_iter().flatten() {
                match self.record(name, change, &sources)? {
                    Some(record) => draft.after.insert(name.clone(), record),
                    None => draft.after.remove(name),
                };
            }
        }
        Ok(drafts)
    }

    fn record(
        &self,
        name: &PkgName,
        change: &Change,
        sources: &BTreeMap<Repository, Content>,
    ) -> Result<Option<Record>, RepositoryError> {
        match change {
            Change::Remove => Ok(None),
            Change::Add(package) => {
                let signature = match &package.signature {
                    Some(path) => Some(std::fs::read(path).map_err(FileError::at("read", path))?),
                    None => None,
                };
                Ok(Some(Record::of(&package.file, signature.as_deref())?))
            }
            Change::CopyFrom(from) => {
                let record = sources.get(from).and_then(|content| content.get(name));
                record.cloned().map(Some).ok_or_else(|| RepositoryError::NoPackage {
                    repository: from.clone(),
                    name: name.clone(),
                })
            }
        }
    }

    /// Files into the pool, then links: before any database names them.
    fn put_files(&self, drafts: &[Draft], commit: &mut Commit) -> Result<(), RepositoryError> {
        let mut note = |step: Step, path: String| {
            if step == Step::Changed {
                commit.changed.push(path);
            }
        };
        let pool = self.repositories.pool();
        for change in self.changes.values().flat_map(BTreeMap::values) {
            if let Change::Add(package) = change {
                let name = package.file.file_name.to_file_name()?;
                let signature_name = signature_of(&name)?;
                note(
                    self.repositories.put_into_pool(&package.file.path, &name)?,
                    format!("pool/{name}"),
                );
                if let Some(signature) = &package.signature {
                    let step = self.repositories.put_into_pool(signature, &signature_name)?;
                    note(step, format!("pool/{signature_name}"));
                }
            }
        }
        atomic::sync_directory(&pool)?;
        for draft in drafts {
            let directory = &draft.directory;
            for (name, record) in &draft.after {
                if draft.before.get(name) == Some(record) {
                    continue;
                }
                let signature = signature_of(&record.file_name)?;
                let has_signature = pool.join(&signature).exists();
                for file in std::iter::once(&record.file_name).chain(has_signature.then_some(&signature)) {
                    let step = self.repositories.link_from_pool(directory, file)?;
                    note(step, self.repositories.relative(&directory.path.join(file)));
                }
            }
            atomic::sync_directory(&directory.path)?;
        }
        Ok(())
    }
}

/// The name of a file's detached signature.
pub(super) fn signature_of(name: &FileName) -> Result<FileName, RepositoryError> {
    Ok(format!("{name}.sig").parse()?)
}

impl Repositories {
    /// The directories of all configured repositories, the most stable ones first: the order of flips.
    pub(super) fn directories(&self) -> Vec<Directory> {
        self.classes.all().map(|(name, _)| self.directory(name)).collect()
    }

    /// Whether a key has been configured since the databases were written.
    fn has_to_be_signed(&self, directory: &Directory) -> Result<bool, RepositoryError> {
        let Some(number) = directory.current()?.filter(|_| self.signing.is_some()) else {
            return Ok(false);
        };
        let name = format!("{}.sig", directory.database_name(super::directory::Kind::Db));
        Ok(!directory.generation(number).join(name).exists())
    }

    fn next_number(&self, directories: &[Directory]) -> Result<u64, RepositoryError> {
        let mut last = 0;
        for directory in directories {
            last = last
                .max(directory.generations()?.last().copied().unwrap_or(0))
                .max(directory.current()?.unwrap_or(0));
        }
        Ok(last + 1)
    }

    fn write(&self, drafts: &[Draft], number: u64, now: u64, commit: &mut Commit) -> Result<(), RepositoryError> {
        for draft in drafts {
            let directory = &draft.directory;
            directory.write_generation(number, &draft.after, now, self.signing.as_ref())?;
            for kind in super::directory::Kind::ALL {
                let path = directory.path.join(directory.database_name(kind));
                commit.changed.push(self.relative(&path));
            }
            let kept: BTreeSet<&FileName> = draft.after.values().map(|record| &record.file_name).collect();
            let gone = draft
                .before
                .values()
                .map(|record| &record.file_name)
                .filter(|name| !kept.contains(name));
            self.note_leaving(directory, gone, &kept, now)?;
        }
        commit.changed.push("lastupdate".to_owned());
        self.note_changes(&commit.changed)?;
        for draft in drafts {
            draft.directory.flip(number)?;
        }
        self.write_last_update(now)?;
        Ok(())
    }

    /// `lastupdate`: later than before, too.
    pub(super) fn write_last_update(&self, now: u64) -> Result<(), RepositoryError> {
        Ok(atomic::write(
            &self.root.join("lastupdate"),
            format!("{now}\n").as_bytes(),
        )?)
    }
}
