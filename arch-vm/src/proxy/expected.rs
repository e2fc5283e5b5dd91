//! What the repositories' databases say of package files: size and SHA-256. Learnt from each database that passes, or
//! asked for when a package is wanted before one did.

use std::collections::HashMap;
use std::io::{BufReader, Cursor, Read};
use std::sync::{Mutex, PoisonError};

use common::archive::{self, ArchiveError, Limits};
use common::names::{Arch, FileName, Repository};
use common::repository::Entry;

use super::request::Wanted;

/// Larger than any database.
const LIMITS: Limits = Limits {
    expanded: 4 << 30,
    members: 2_000_000,
    path: 4096,
};

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

/// The packages of a database, compressed as it may be.
fn read(bytes: &[u8]) -> Result<OfRepository, ArchiveError> {
    let mut found = OfRepository::new();
    archive::walk(expand(bytes)?, &LIMITS, &mut |member, data| {
        if member.kind == archive::Kind::File && member.path.ends_with("/desc") {
            let mut desc = String::new();
            data.read_to_string(&mut desc).map_err(ArchiveError::Io)?;
            // A package that cannot be understood is not expected.
            if let Ok(entry) = Entry::parse(&desc) {
                let expected = Expected {
                    size: entry.compressed_size,
                    sha256: entry.sha256,
                };
                found.insert(entry.file_name, expected);
            }
        }
        Ok(())
    })?;
    Ok(found)
}

/// By its first bytes.
fn expand<'b>(bytes: &'b [u8]) -> Result<Box<dyn Read + 'b>, ArchiveError> {
    let plain = BufReader::new(Cursor::new(bytes));
    Ok(match bytes {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(plain)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::stream::read::Decoder::new(plain).map_err(ArchiveError::Io)?),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => Box::new(liblzma::read::XzDecoder::new(plain)),
        _ => Box::new(plain),
    })
}
