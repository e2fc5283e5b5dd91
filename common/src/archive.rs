//! Reading tar archives from strangers: every member once, with limits, and only when the archive is whole.
//!
//! Invariant: what [`walk`] reports as read was complete: an archive that ends before its end mark, or in the middle
//! of a member, is [`ArchiveError::Truncated`]. Long names (GNU and pax) are read here with a limit, since the tar crate
//! takes them into memory whatever their size. Nothing is ever unpacked to a name that the archive chose.

use std::io::{self, Read};

use tar::EntryType;
use thiserror::Error;

use crate::atomic::FileError;

/// What an archive may hold at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the archive after decompression.
    pub expanded: u64,
    /// Number of members.
    pub members: usize,
    /// Length in bytes of one path.
    pub path: usize,
}

/// An archive that is not accepted.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// It cannot be read.
    #[error("the archive cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It ends too early.
    #[error("the archive is cut off")]
    Truncated,
    /// It exceeds a limit.
    #[error("the archive exceeds a limit: {0}")]
    Limit(String),
    /// This machine has no room for what is read, for example: no fault of the archive.
    #[error(transparent)]
    Machine(FileError),
    /// It holds what no archive of its kind may hold.
    #[error("the archive is refused: {0}")]
    Refused(String),
}

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic or hard link.
    Link,
    /// A device, a pipe or anything else.
    Other,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its path as in the archive: directories end in `/`. Without control characters.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Length of its content in bytes.
    pub size: u64,
}

/// Blocks, extension headers and their limit.
const EXTENSION_LIMIT: u64 = 64 << 10;

/// Calls `visit` for every member in order, and reads what it leaves over.
///
/// # Errors
/// The archive is cut off, exceeds a limit or is no archive, or `visit` fails.
pub fn walk<R: Read>(
    reader: R,
    limits: &Limits,
    visit: &mut dyn FnMut(&Member, &mut dyn Read) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let mut metered = Metered {
        inner: reader,
        left: limits.expanded,
        ended: false,
        over: false,
    };
    let walked = walk_members(&mut metered, limits, visit);
    let (ended, over) = (metered.ended, metered.over);
    match walked {
        _ if over => Err(ArchiveError::Limit(format!("{} bytes expanded", limits.expanded))),
        Err(ArchiveError::Io(_)) if ended => Err(ArchiveError::Truncated),
        Ok(()) if ended => Err(ArchiveError::Truncated),
        Ok(()) => {
            // Padding behind the end mark; a checksum of the compression lies behind it, too.
            io::copy(&mut metered, &mut io::sink())?;
            Ok(())
        }
        error => error,
    }
}

fn walk_members<R: Read>(
    reader: &mut Metered<R>,
    limits: &Limits,
    visit: &mut dyn FnMut(&Member, &mut dyn Read) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let mut archive = tar::Archive::new(reader);
    let mut long_path: Option<Vec<u8>> = None;
    let mut count = 0;
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        let size = entry.header().entry_size()?;
        match entry.header().entry_type() {
            EntryType::GNULongName => {
                let mut name = extension(&mut entry, size)?;
                while name.last() == Some(&0) {
                    name.pop();
                }
                long_path = Some(name);
                continue;
            }
            EntryType::XHeader => {
                if let Some(path) = pax_path(&extension(&mut entry, size)?)? {
                    long_path = Some(path);
                }
                continue;
            }
            EntryType::GNULongLink | EntryType::XGlobalHeader => {
                extension(&mut entry, size)?;
                continue;
            }
            EntryType::GNUSparse => return Err(ArchiveError::Refused("a sparse member".to_owned())),
            _ => {}
        }
        count += 1;
        if count > limits.members {
            return Err(ArchiveError::Limit(format!("{} members", limits.members)));
        }
        let path = long_path.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        let kind = match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink | EntryType::Link => Kind::Link,
            _ => Kind::Other,
        };
        let member = Member {
            path: checked_path(path, limits)?,
            kind,
            size,
        };
        let mut content = Counted {
            inner: &mut entry,
            read: 0,
        };
        visit(&member, &mut content)?;
        io::copy(&mut content, &mut io::sink())?;
        if content.read != size {
            return Err(ArchiveError::Truncated);
        }
    }
    Ok(())
}

/// The content of an extension header.
fn extension(entry: &mut impl Read, size: u64) -> Result<Vec<u8>, ArchiveError> {
    if size > EXTENSION_LIMIT {
        return Err(ArchiveError::Limit(format!("an extension header of {size} bytes")));
    }
    let mut content = Vec::new();
    entry.take(EXTENSION_LIMIT).read_to_end(&mut content)?;
    if content.len() as u64 == size {
        Ok(content)
    } else {
        Err(ArchiveError::Truncated)
    }
}

/// The path in a pax header: records `length key=value\n`.
fn pax_path(mut records: &[u8]) -> Result<Option<Vec<u8>>, ArchiveError> {
    let bad = || ArchiveError::Refused("a pax header that cannot be read".to_owned());
    let mut path = None;
    while !records.is_empty() {
        let blank = records.iter().position(|c| *c == b' ').ok_or_else(bad)?;
        let length: usize = std::str::from_utf8(&records[..blank])
            .ok()
            .and_then(|text| text.parse().ok())
            .filter(|length| *length > blank + 1 && *length <= records.len())
            .ok_or_else(bad)?;
        let record = &records[blank + 1..length];
        let record = record.strip_suffix(b"\n").ok_or_else(bad)?;
        match record.iter().position(|c| *c == b'=') {
            Some(at) if &record[..at] == b"path" => path = Some(record[at + 1..].to_vec()),
            Some(at) if &record[..at] == b"size" => {
                return Err(ArchiveError::Limit("a member of 8 GiB or more".to_owned()));
            }
            Some(at) if record[..at].starts_with(b"GNU.sparse") => {
                return Err(ArchiveError::Refused("a sparse member".to_owned()));
            }
            Some(_) => {}
            None => return Err(bad()),
        }
        records = &records[length..];
    }
    Ok(path)
}

fn checked_path(path: Vec<u8>, limits: &Limits) -> Result<String, ArchiveError> {
    if path.len() > limits.path {
        return Err(ArchiveError::Limit(format!("a path of {} bytes", path.len())));
    }
    let path = String::from_utf8(path).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    if path.is_empty() || path.chars().any(char::is_control) {
        return Err(ArchiveError::Refused(format!("the path {path:?} of a member")));
    }
    Ok(path)
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    read: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        self.read += got as u64;
        Ok(got)
    }
}

/// Ends with an error beyond a number of bytes, and remembers whether the inner reader has ended.
struct Metered<R> {
    inner: R,
    left: u64,
    ended: bool,
    over: bool,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        if got == 0 && !buffer.is_empty() {
            self.ended = true;
        }
        match self.left.checked_sub(got as u64) {
            Some(left) => {
                self.left = left;
                Ok(got)
            }
            None => {
                self.over = true;
                Err(io::Error::other("too many bytes"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        expanded: 1 << 20,
        members: 10,
        path: 300,
    };

    fn archive(names: &[&str]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for name in names {
            let mut header = tar::Header::new_gnu();
            header.set_size(5);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, &b"hello"[..]).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn paths(bytes: &[u8], limits: &Limits) -> Result<Vec<String>, ArchiveError> {
        let mut found = Vec::new();
        walk(bytes, limits, &mut |member, _| {
            found.push(member.path.clone());
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn members_with_long_names_are_read() {
        let long = "d/".repeat(90) + "x";
        assert_eq!(paths(&archive(&["a", &long]), &LIMITS).unwrap(), ["a", &long]);
    }

    #[test]
    fn an_archive_cut_anywhere_is_truncated() {
        let whole = archive(&["a", "b"]);
        let end = whole.len() - 1024;
        for cut in [0, 1, 511, 512, 515, 1024, 1500, 1536, end] {
            let error = paths(&whole[..cut], &LIMITS).unwrap_err();
            assert!(matches!(error, ArchiveError::Truncated), "cut at {cut}: {error}");
        }
    }

    #[test]
    fn each_limit_holds() {
        let many = archive(&["a"; 11]);
        assert!(matches!(paths(&many, &LIMITS), Err(ArchiveError::Limit(_))));
        let tight = Limits {
            expanded: 1000,
            ..LIMITS
        };
        assert!(matches!(paths(&many, &tight), Err(ArchiveError::Limit(_))));
        let long = "d/".repeat(200) + "x";
        assert!(matches!(
            paths(&archive(&[&long]), &LIMITS),
            Err(ArchiveError::Limit(_))
        ));
    }

    #[test]
    fn a_name_with_a_newline_and_a_wrong_checksum_are_refused() {
        let error = paths(&archive(&["a\nb"]), &LIMITS).unwrap_err();
        assert!(matches!(error, ArchiveError::Refused(_)), "{error}");
        let mut bytes = archive(&["a"]);
        bytes[0] = b'z';
        assert!(matches!(paths(&bytes, &LIMITS), Err(ArchiveError::Io(_))));
    }

    #[test]
    fn pax_paths_are_read_and_bad_records_refused() {
        assert_eq!(pax_path(b"12 path=a/b\n").unwrap().unwrap(), b"a/b");
        for bad in [
            &b"99 path=a\n"[..],
            b"x path=a\n",
            b"6 path=a\n",
            b"1 \n",
            b"9 size=9\n",
        ] {
            assert!(pax_path(bad).is_err(), "{bad:?}");
        }
    }
}
