//! Mending what [`super::check`] found.
//!
//! Links are made anew from whichever copy there is. A package whose file is absent or damaged leaves its database. A
//! repository whose databases cannot be used gets new ones: from the readable one, else from the package files in its
//! directory that are not about to leave it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::check::{Fault, Problem};
use super::commit::{Commit, signature_of};
use super::database::{self, Content, Record};
use super::directory::{Directory, Kind};
use super::{Repositories, RepositoryError};
use crate::atomic::{self, FileError};
use crate::lock::Patience;
use crate::names::{FileName, PkgName, Repository};
use crate::package::PackageFile;

impl Repositories {
    /// Mends what can be mended; what was done is among the warnings of the commit. The package-database lock is held.
    ///
    /// # Errors
    /// As [`super::Transaction::commit`].
    pub fn repair(&self, problems: &[Problem], now: u64, patience: Patience) -> Result<Commit, RepositoryError> {
        let mut said = Vec::new();
        let mut anew: BTreeSet<&Repository> = BTreeSet::new();
        let mut leaving: BTreeMap<&Repository, Vec<(&PkgName, &FileName)>> = BTreeMap::new();
        for Problem { repository, fault } in problems {
            let directory = self.directory(repository);
            match fault {
                // An empty transaction completes, takes in and makes.
                Fault::NoDatabase | Fault::Foreign | Fault::Unfinished(_) => {}
                Fault::Links => directory.restore_links()?,
                Fault::Unreadable(_) | Fault::Disagreement(_) | Fault::DatabaseSignature(_) => {
                    anew.insert(repository);
                }
                Fault::Unlinked(file) => self.relink(&directory, file)?,
                Fault::Signature(file) => {
                    anew.insert(repository);
                    self.relink(&directory, &signature_of(file)?)?;
                }
                Fault::Absent(name, file) | Fault::Damaged(name, file, _) => {
                    leaving.entry(repository).or_default().push((name, file));
                }
            }
        }
        let mut transaction = self.transaction();
        for repository in anew {
            let content = self.rebuilt(&self.directory(repository), &mut said)?;
            transaction.rewrite(repository, content);
        }
        for (repository, packages) in leaving {
            for (name, file) in packages {
                said.push(format!("{name} leaves {repository}: {file} is absent or damaged"));
                transaction.remove(repository, name);
            }
        }
        let mut commit = transaction.commit(now, patience)?;
        said.append(&mut commit.warnings);
        commit.warnings = said;
        Ok(commit)
    }

    /// Makes pool and repository have the same file: the pool's, else the repository's.
    fn relink(&self, directory: &Directory, file: &FileName) -> Result<(), RepositoryError> {
        let (pooled, linked) = (self.pool().join(file), directory.path.join(file));
        if !pooled.exists() && linked.exists() {
            fs::hard_link(&linked, &pooled).map_err(FileError::at("link", &linked))?;
        }
        if pooled.exists() {
            self.link_from_pool(directory, file)?;
        }
        Ok(atomic::sync_directory(&directory.path)?)
    }

    /// What the databases should say.
    fn rebuilt(&self, directory: &Directory, said: &mut Vec<String>) -> Result<Content, RepositoryError> {
        let repository = &directory.repository;
        // The one with the lists of files has everything.
        let database = directory.database(Kind::Files)?;
        if let Some(path) = database
            && let Ok(mut content) = database::read(&path)
        {
            said.push(format!("the databases of {repository} are written anew"));
            for record in content.values_mut().filter(|record| !self.is_described(record)) {
                if let Some(described) = self.described(&self.pool().join(&record.file_name), said)? {
                    *record = described.1;
                }
            }
            return Ok(content);
        }
        said.push(format!("the databases of {repository} are made anew from its packages"));
        let leaving = directory.leaving()?;
        let mut content = Content::new();
        for file in directory.files()? {
            if file.as_str().ends_with(".sig") || leaving.contains_key(&file) {
                continue;
            }
            self.relink(directory, &file)?;
            self.relink(directory, &signature_of(&file)?)?;
            content.extend(self.described(&self.pool().join(&file), said)?);
        }
        Ok(content)
    }

    /// What a database says of a package file, unless it is none.
    fn described(&self, path: &Path, said: &mut Vec<String>) -> Result<Option<(PkgName, Record)>, RepositoryError> {
        let package = match PackageFile::read(path) {
            Ok(package) => package,
            Err(error) => {
                said.push(format!("a package cannot be read: {error}"));
                return Ok(None);
            }
        };
        let signature = signature_of(&package.file_name.to_file_name()?)?;
        let signature = fs::read(self.pool().join(signature)).ok();
        let record = Record::of(&package, signature.as_deref())?;
        Ok(Some((package.name().clone(), record)))
    }

    /// Whether an entry has the signature that lies beside its file.
    fn is_described(&self, record: &Record) -> bool {
        use base64::Engine as _;
        let Some((_, rest)) = record.desc.split_once("%PGPSIG%\n") else {
            return true;
        };
        let found = signature_of(&record.file_name).map(|name| fs::read(self.pool().join(name)).unwrap_or_default());
        found.is_ok_and(|found| {
            let encoded = base64::engine::general_purpose::STANDARD.encode(found);
            rest.lines().next() == Some(encoded.as_str())
        })
    }
}
