//! What the repositories' databases say of package files: size and SHA-256. Learnt from each database that passes, or
//! asked for when a package is wanted before one did.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use common::archive::ArchiveError;
use common::names::{Arch, FileName, Repository};
use common::repository::Entry;
use common::sync_database;

use super::request::Wanted;

/// What a package file has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    /// Its size in bytes; 0 when the database does not say.
    pub(super) size: u64,
    /// Its SHA-256 in hexadecimal digits; empty when the database does not say.
    pub(super) sha256: String,
}

type OfRepository = HashMap<FileName, Expected>;

/// What is known so far.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashMap<(Repository, Arch), OfRepository>>);

impl Known {
    /// What a file has to be; `None` when no database said anything of it.
    pub(super) fn of(&self, wanted: &Wanted) -> Option<Expected> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (wanted.repository.clone(), wanted.arch.clone());
        known.get(&key)?.get(&wanted.file).cloned()
    }

    /// Takes over what a database says; one that cannot be read says nothing.
    pub(super) fn learn(&self, database: &Wanted, bytes: &[u8]) -> Result<(), ArchiveError> {
        let found = read(bytes)?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((database.repository.clone(), database.arch.clone()), found);
        Ok(())
    }
}

/// The packages of a database.
fn read(bytes: &[u8]) -> Result<OfRepository, ArchiveError> {
    let mut found = OfRepository::new();
    sync_database::read(bytes, &mut |_, desc| {
        // A package that cannot be understood is not expected.
        if let Ok(entry) = Entry::parse(desc) {
            let expected = Expected {
                size: entry.compressed_size,
                sha256: entry.sha256,
            };
            found.insert(entry.file_name, expected);
        }
        Ok(())
    })?;
    Ok(found)
}
