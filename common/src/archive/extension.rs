//! Extension headers: GNU's long names and pax records, read with a limit.
//!
//! What changes how a member is understood and is not needed in a package is refused: sizes of 8 GiB and more, sparse
//! files, records for all members that follow, two names for one member.

use std::io::Read;

use tar::EntryType;

use super::ArchiveError;

/// Longest extension header in bytes.
const LIMIT: u64 = 64 << 10;

/// What extension headers say of the member that follows.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    /// Whether a pax header came, with whatever in it.
    has_records: bool,
}

impl Extensions {
    /// Whether no header has come since the last member.
    pub(super) fn is_empty(&self) -> bool {
        self.path.is_none() && self.link.is_none() && !self.has_records
    }

    /// Takes an extension header; `false` for a member.
    pub(super) fn take<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> Result<bool, ArchiveError> {
        match entry.header().entry_type() {
            EntryType::GNULongName => set(&mut self.path, long_name(entry)?)?,
            EntryType::GNULongLink => set(&mut self.link, long_name(entry)?)?,
            EntryType::XHeader if self.has_records => return Err(doubled()),
            EntryType::XHeader => {
                self.has_records = true;
                self.read_records(&content(entry)?)?;
            }
            EntryType::XGlobalHeader => {
                return Err(ArchiveError::Refused("a header for all members that follow".to_owned()));
            }
            EntryType::GNUSparse => return Err(sparse()),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Reads pax records, `length key=value\n` each.
    fn read_records(&mut self, mut records: &[u8]) -> Result<(), ArchiveError> {
        let bad = || ArchiveError::Refused("a pax header that cannot be read".to_owned());
        while !records.is_empty() {
            let blank = records.iter().position(|c| *c == b' ').ok_or_else(bad)?;
            let length: usize = std::str::from_utf8(&records[..blank])
                .ok()
                .and_then(|text| text.parse().ok())
                .filter(|length| *length > blank + 1 && *length <= records.len())
                .ok_or_else(bad)?;
            let record = records[blank + 1..length].strip_suffix(b"\n").ok_or_else(bad)?;
            let at = record.iter().position(|c| *c == b'=').ok_or_else(bad)?;
            let (key, value) = (&record[..at], &record[at + 1..]);
            match key {
                b"path" => set(&mut self.path, value.to_vec())?,
                b"linkpath" => set(&mut self.link, value.to_vec())?,
                b"size" => return Err(ArchiveError::Limit("a member of 8 GiB or more".to_owned())),
                _ if key.starts_with(b"GNU.sparse") => return Err(sparse()),
                _ => {}
            }
            records = &records[length..];
        }
        Ok(())
    }
}

fn set(slot: &mut Option<Vec<u8>>, value: Vec<u8>) -> Result<(), ArchiveError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(doubled()),
    }
}

fn doubled() -> ArchiveError {
    ArchiveError::Refused("a member with two names".to_owned())
}

fn sparse() -> ArchiveError {
    ArchiveError::Refused("a sparse member".to_owned())
}

/// A long name of GNU's, without the zeros at its end.
fn long_name<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Vec<u8>, ArchiveError> {
    let mut name = content(entry)?;
    while name.last() == Some(&0) {
        name.pop();
    }
    Ok(name)
}

/// The content of an extension header.
fn content<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Vec<u8>, ArchiveError> {
    let size = entry.header().entry_size()?;
    if size > LIMIT {
        return Err(ArchiveError::Limit(format!("an extension header of {size} bytes")));
    }
    let mut content = Vec::new();
    entry.take(LIMIT).read_to_end(&mut content)?;
    if content.len() as u64 == size {
        Ok(content)
    } else {
        Err(ArchiveError::Truncated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(records: &[u8]) -> Result<Extensions, ArchiveError> {
        let mut extensions = Extensions::default();
        extensions.read_records(records)?;
        Ok(extensions)
    }

    #[test]
    fn paths_are_read_and_bad_records_refused() {
        let extensions = read(b"12 path=a/b\n14 linkpath=c\n11 mtime=1\n").unwrap();
        assert_eq!(extensions.path.unwrap(), b"a/b");
        assert_eq!(extensions.link.unwrap(), b"c");
        for bad in [
            &b"99 path=a\n"[..],
            b"x path=a\n",
            b"6 path=a\n",
            b"1 \n",
            b"9 size=9\n",
            b"10 path=a\n10 path=b\n",
            b"20 GNU.sparse.major=1\n",
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
