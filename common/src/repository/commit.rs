//! Making a transaction visible.
//!
//! Steps: files into the pool; links into the repositories; the new generation of every repository under one number; what
//! leaves, what is to be published and the record of the transaction; a sync of all that; then one rename a repository,
//! the one that receives packages before the one that loses them, so that a package that moves is always somewhere;
//! `lastupdate`. A tool killed before the first rename leaves a generation that the next run removes, one killed after it
//! a generation that the next run completes ([`super::recovery`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use super::database::{Content, Record};
use super::database_lock::DatabaseLock;
use super::directory::{Directory, Kind, Making};
use super::history;
use super::pool::Step;
use super::rewriting::{Job, Rewriting};
use super::stock::{Changes, Stock};
use super::transaction::{Change, Transaction};
use super::{Repositories, RepositoryError};
use crate::atomic::{self, Batch, FileError};
use crate::lock::Patience;
use crate::names::{FileName, PkgName, Repository};
use crate::parallel;

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
pub(super) struct Draft {
    pub(super) directory: Directory,
    pub(super) before: Stock,
    pub(super) changes: Changes,
    /// The files that its database no longer names.
    gone: Vec<FileName>,
    /// Written even if nothing changes: it is new, or repo-add has changed it.
    must_write: bool,
}

impl Draft {
    /// Its next databases.
    fn rewritings(&self) -> BTreeMap<Kind, Rewriting<'_>> {
        Kind::ALL
            .map(|kind| (kind, Rewriting::of(&self.before, kind, &self.changes)))
            .into()
    }
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
                let lock = DatabaseLock::acquire(directory.lock_path(), patience)?;
                directory.sweep_generations();
                if lock.was_left {
                    directory.sweep_files();
                }
                locks.push(lock);
            }
        }
        repositories.recover(&directories, now, &mut commit)?;
        let mut batch = Batch::default();
        let mut drafts = self.drafts(&directories, &mut commit)?;
        drafts.retain(|draft| draft.must_write || !draft.changes.is_empty());
        let number = repositories.next_number(&directories)?;
        let making = Making { number, now };
        self.write(&drafts, making, &mut batch, &mut commit)?;
        if drafts.is_empty() {
            batch.sync()?;
        } else {
            self.make_visible(&drafts, making, batch, &mut commit)?;
            commit.number = Some(number);
        }
        drop(locks);
        Ok(commit)
    }

    /// Whether this transaction changes or reads a repository, or has to make or mend it.
    fn concerns(&self, directory: &Directory) -> Result<bool, RepositoryError> {
        let is_source = || {
            self.changes
                .values()
                .flat_map(BTreeMap::values)
                .any(|change| matches!(change, Change::CopyFrom(from) if *from == directory.repository))
        };
        Ok(self.changes.contains_key(&directory.repository)
            || self.rewritten.contains_key(&directory.repository)
            || directory.is_foreign()
            || directory.current()?.is_none()
            || self.repositories.has_to_be_signed(directory)?
            || is_source())
    }

    /// Every repository that is touched, with what changes in it.
    fn drafts(&self, directories: &[Directory], commit: &mut Commit) -> Result<Vec<Draft>, RepositoryError> {
        let mut drafts = Vec::new();
        for directory in directories {
            if !self.concerns(directory)? {
                continue;
            }
            let rewritten = self.rewritten.get(&directory.repository);
            let mut draft = Draft {
                directory: directory.clone(),
                before: match rewritten {
                    Some(content) => Stock::Whole(content.clone()),
                    None => Stock::open(directory)?,
                },
                changes: Changes::new(),
                gone: Vec::new(),
                must_write: rewritten.is_some()
                    || directory.is_foreign()
                    || directory.current()?.is_none()
                    || self.repositories.has_to_be_signed(directory)?,
            };
            if let Stock::Whole(content) = &mut draft.before
                && directory.is_foreign()
            {
                draft.gone = self.repositories.adopt(directory, content, commit)?;
            }
            drafts.push(draft);
        }
        let mut copied: BTreeMap<&Repository, BTreeSet<PkgName>> = BTreeMap::new();
        for (name, change) in self.changes.values().flatten() {
            if let Change::CopyFrom(from) = change {
                copied.entry(from).or_default().insert(name.clone());
            }
        }
        let mut sources: BTreeMap<&Repository, Content> = BTreeMap::new();
        for draft in &drafts {
            if let Some((repository, names)) = copied.get_key_value(&draft.directory.repository) {
                sources.insert(repository, draft.before.pick(Kind::Files, names)?);
            }
        }
        for draft in &mut drafts {
            if let Some(changes) = self.changes.get(&draft.directory.repository) {
                self.complete(draft, changes, &sources)?;
            }
        }
        Ok(drafts)
    }

    /// Finds out what really changes in a repository.
    fn complete(
        &self,
        draft: &mut Draft,
        changes: &BTreeMap<PkgName, Change>,
        sources: &BTreeMap<&Repository, Content>,
    ) -> Result<(), RepositoryError> {
        let mut old = draft.before.pick(Kind::Files, &changes.keys().cloned().collect())?;
        let changes: Vec<(&PkgName, &Change)> = changes.iter().collect();
        let after = parallel::map(&changes, |(name, change)| record(name, change, sources));
        for ((name, _), after) in changes.into_iter().zip(after) {
            let (before, after) = (old.remove(name), after?);
            if before == after {
                continue;
            }
            let is_kept = |file: &FileName| after.as_ref().is_some_and(|after| after.file_name == *file);
            draft
                .gone
                .extend(before.map(|before| before.file_name).filter(|file| !is_kept(file)));
            draft.changes.insert(name.clone(), after);
        }
        Ok(())
    }

    /// Writes everything that the new generation needs: files and links on this thread, while what the databases are put
    /// together from is made on others.
    fn write(
        &self,
        drafts: &[Draft],
        making: Making,
        batch: &mut Batch,
        commit: &mut Commit,
    ) -> Result<(), RepositoryError> {
        let databases: Vec<BTreeMap<Kind, Rewriting<'_>>> = drafts.iter().map(Draft::rewritings).collect();
        // In the order in which they are written.
        let all = databases.iter().flat_map(|of_one| Kind::ALL.map(|kind| &of_one[&kind]));
        let jobs: Vec<&Job<'_>> = all.flat_map(Rewriting::jobs).collect();
        parallel::ahead(
            &jobs,
            |job| job.run(),
            |made| {
                self.put_files(drafts, batch, commit)?;
                for (draft, databases) in drafts.iter().zip(&databases) {
                    let directory = &draft.directory;
                    let mut write = |kind, file: &File| databases[&kind].write(made, file);
                    directory.write_generation(making, batch, &mut write)?;
                    self.repositories.complete_generation(draft, making, batch)?;
                    let names = Kind::ALL.map(|kind| directory.path.join(directory.database_name(kind)));
                    commit
                        .changed
                        .extend(names.map(|name| self.repositories.relative(&name)));
                }
                Ok(())
            },
        )
    }

    /// Files into the pool, then links: before any database names them.
    fn put_files(&self, drafts: &[Draft], batch: &mut Batch, commit: &mut Commit) -> Result<(), RepositoryError> {
        let repositories = self.repositories;
        let pool = repositories.pool();
        for change in self.changes.values().flat_map(BTreeMap::values) {
            let Change::Add(package) = change else { continue };
            let name = package.file.file_name.to_file_name()?;
            let signature_name = signature_of(&name)?;
            let signature = package.signature.as_ref().map(|path| (path, signature_name));
            for (source, name) in std::iter::once((&package.file.path, name)).chain(signature) {
                if repositories.put_into_pool(source, &name)? == Step::Changed {
                    batch.file(&pool.join(&name));
                    commit.changed.push(format!("pool/{name}"));
                }
            }
        }
        for draft in drafts {
            let directory = &draft.directory;
            for record in draft.changes.values().flatten() {
                let signature = signature_of(&record.file_name)?;
                let has_signature = pool.join(&signature).exists();
                for file in std::iter::once(&record.file_name).chain(has_signature.then_some(&signature)) {
                    if repositories.link_from_pool(directory, file)? == Step::Changed {
                        let path = directory.path.join(file);
                        commit.changed.push(repositories.relative(&path));
                    }
                }
            }
            batch.directory(&directory.path);
        }
        Ok(())
    }

    /// Makes everything last that has been written, and flips.
    fn make_visible(
        &self,
        drafts: &[Draft],
        making: Making,
        mut batch: Batch,
        commit: &mut Commit,
    ) -> Result<(), RepositoryError> {
        let repositories = self.repositories;
        let mut before = BTreeMap::new();
        for draft in drafts {
            before.insert(draft.directory.repository.clone(), draft.directory.current()?);
        }
        let record = history::Record {
            number: making.number,
            time: making.now,
            before,
            transitions: self.transitions.clone(),
        };
        repositories.write_record(&record, &mut batch)?;
        commit.changed.push("lastupdate".to_owned());
        repositories.note_changes(&commit.changed)?;
        batch.sync()?;
        let mut in_order: Vec<&Draft> = drafts.iter().collect();
        if self.goes_back {
            in_order.reverse();
        }
        for draft in in_order {
            draft.directory.flip(making.number)?;
        }
        repositories.write_last_update(making.now)
    }
}

/// What becomes of a package.
fn record(
    name: &PkgName,
    change: &Change,
    sources: &BTreeMap<&Repository, Content>,
) -> Result<Option<Record>, RepositoryError> {
    match change {
        Change::Remove => Ok(None),
        Change::Restore(record) => Ok(Some((**record).clone())),
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
        let name = format!("{}.sig", directory.database_name(Kind::Db));
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

    /// Signatures, and a note of what leaves.
    fn complete_generation(&self, draft: &Draft, making: Making, batch: &mut Batch) -> Result<(), RepositoryError> {
        let directory = &draft.directory;
        if let Some(signing) = &self.signing {
            directory.sign_generation(making.number, signing, batch)?;
        }
        let named: BTreeSet<&FileName> = draft
            .changes
            .values()
            .flatten()
            .map(|record| &record.file_name)
            .collect();
        directory.note_leaving(&draft.gone, &named, making.now)?;
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
