//! Whether databases, links and files agree.
//!
//! [`Repositories::check`] looks at everything but the content of package files and needs the package-database lock;
//! [`Repositories::check_files`] reads every file, and needs none: published files never change.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use base64::Engine as _;
use sha2::{Digest as _, Sha256};

use super::commit::signature_of;
use super::database::{self, Content};
use super::directory::{Directory, Kind};
use super::entry::Entry;
use super::{Repositories, RepositoryError};
use crate::atomic::FileError;
use crate::names::{FileName, PkgName, Repository};

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub repository: Repository,
    /// What.
    pub fault: Fault,
}

/// What is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// There is no database.
    NoDatabase,
    /// repo-add or repo-remove has written the databases.
    Foreign,
    /// A transaction was not completed.
    Unfinished(u64),
    /// The fixed links are not as they should be.
    Links,
    /// A database cannot be read; why.
    Unreadable(String),
    /// The two databases say different things of a package.
    Disagreement(PkgName),
    /// A database has no signature, or one that is not of this key; why.
    DatabaseSignature(String),
    /// A package's file lies neither in the pool nor in the repository.
    Absent(PkgName, FileName),
    /// A file lies in one of the two only, or they are two different files.
    Unlinked(FileName),
    /// A package's file is not the one that the database describes; why.
    Damaged(PkgName, FileName, String),
    /// The signature beside a package's file is not the one in the database.
    Signature(FileName),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.repository)?;
        match &self.fault {
            Fault::NoDatabase => f.write_str("there is no database"),
            Fault::Foreign => f.write_str("the databases were written by another tool"),
            Fault::Unfinished(number) => write!(f, "transaction {number} was not completed"),
            Fault::Links => f.write_str("the links to the databases are not as they should be"),
            Fault::Unreadable(reason) => write!(f, "a database cannot be read: {reason}"),
            Fault::Disagreement(name) => write!(f, "the databases disagree about {name}"),
            Fault::DatabaseSignature(reason) => write!(f, "a database's signature: {reason}"),
            Fault::Absent(_, file) => write!(f, "{file} is absent"),
            Fault::Unlinked(file) => write!(f, "{file} is not the same file in the pool and in the repository"),
            Fault::Damaged(_, file, reason) => write!(f, "{file} is damaged: {reason}"),
            Fault::Signature(file) => write!(f, "the signature of {file} is not the one in the database"),
        }
    }
}

impl Repositories {
    /// Looks at every repository. The package-database lock is held.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn check(&self) -> Result<Vec<Problem>, RepositoryError> {
        let mut problems = Vec::new();
        for directory in self.directories() {
            let faults = self.faults(&directory)?.into_iter();
            problems.extend(faults.map(|fault| Problem {
                repository: directory.repository.clone(),
                fault,
            }));
        }
        Ok(problems)
    }

    /// Compares every file that a database names with the checksum there.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn check_files(&self) -> Result<Vec<Problem>, RepositoryError> {
        let mut problems = Vec::new();
        for directory in self.directories() {
            // That a database cannot be read has been found by the other check.
            for entry in self.packages(&directory.repository).unwrap_or_default() {
                let path = self.pool().join(&entry.file_name);
                let sum = match checksum(&path) {
                    Ok(sum) => sum,
                    // So has that it is absent.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(FileError::at("read", path)(error).into()),
                };
                if !entry.sha256.is_empty() && sum != entry.sha256 {
                    let reason = "its checksum is another one".to_owned();
                    problems.push(Problem {
                        repository: directory.repository.clone(),
                        fault: Fault::Damaged(entry.name, entry.file_name, reason),
                    });
                }
            }
        }
        Ok(problems)
    }

    fn faults(&self, directory: &Directory) -> Result<Vec<Fault>, RepositoryError> {
        let Some(current) = directory.current()? else {
            return Ok(vec![Fault::NoDatabase]);
        };
        let mut faults = Vec::new();
        let later = directory.generations()?.into_iter().filter(|number| *number > current);
        faults.extend(later.map(Fault::Unfinished));
        if directory.is_foreign() {
            faults.push(Fault::Foreign);
            return Ok(faults);
        }
        if !directory.has_right_links() {
            faults.push(Fault::Links);
        }
        self.check_signatures(directory, current, &mut faults);
        let read = |kind| database::read(&directory.generation(current).join(directory.database_name(kind)));
        match (read(Kind::Db), read(Kind::Files)) {
            (Ok(db), Ok(files)) => {
                compare(&db, &files, &mut faults);
                for (name, record) in &db {
                    match Entry::parse(&record.desc) {
                        Ok(entry) => self.check_entry(directory, &entry, &record.desc, &mut faults)?,
                        Err(error) => faults.push(Fault::Unreadable(format!("{name}: {error}"))),
                    }
                }
            }
            (Err(error), _) | (_, Err(error)) => faults.push(Fault::Unreadable(error.to_string())),
        }
        Ok(faults)
    }

    /// The signatures of the databases, where they are signed.
    fn check_signatures(&self, directory: &Directory, current: u64, faults: &mut Vec<Fault>) {
        let Some(signing) = &self.signing else { return };
        for kind in Kind::ALL {
            let database = directory.generation(current).join(directory.database_name(kind));
            if let Err(error) = signing.verify(&database) {
                faults.push(Fault::DatabaseSignature(error.to_string()));
            }
        }
    }

    fn check_entry(
        &self,
        directory: &Directory,
        entry: &Entry,
        desc: &str,
        faults: &mut Vec<Fault>,
    ) -> Result<(), RepositoryError> {
        let file = &entry.file_name;
        let (pooled, linked) = (self.pool().join(file), directory.path.join(file));
        let looks = [&pooled, &linked].map(|path| path.metadata().ok());
        let [Some(one), Some(other)] = looks else {
            faults.push(match looks {
                [None, None] => Fault::Absent(entry.name.clone(), file.clone()),
                _ => Fault::Unlinked(file.clone()),
            });
            return Ok(());
        };
        if (one.dev(), one.ino()) != (other.dev(), other.ino()) {
            faults.push(Fault::Unlinked(file.clone()));
        } else if one.len() != entry.compressed_size {
            let reason = format!("{} bytes and not {}", one.len(), entry.compressed_size);
            faults.push(Fault::Damaged(entry.name.clone(), file.clone(), reason));
        }
        let signature = signature_of(file)?;
        if let Some(encoded) = desc.split_once("%PGPSIG%\n").and_then(|(_, rest)| rest.lines().next()) {
            let found = std::fs::read(directory.path.join(&signature)).unwrap_or_default();
            if base64::engine::general_purpose::STANDARD.encode(found) != encoded {
                faults.push(Fault::Signature(file.clone()));
            }
        }
        Ok(())
    }
}

/// SHA-256, hexadecimal.
fn checksum(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut sha256 = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let got = file.read(&mut buffer)?;
        if got == 0 {
            return Ok(sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        sha256.update(&buffer[..got]);
    }
}

fn compare(db: &Content, files: &Content, faults: &mut Vec<Fault>) {
    let names: BTreeSet<&PkgName> = db.keys().chain(files.keys()).collect();
    for name in names {
        let descriptions = [db, files].map(|content| content.get(name).map(|record| &record.desc));
        if descriptions[0] != descriptions[1] {
            faults.push(Fault::Disagreement(name.clone()));
        }
    }
}
