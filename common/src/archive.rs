//! Reading tar archives from strangers: every member once, with limits, and only when the archive is whole.
//!
//! Invariant: what [`walk`] reports as read was complete: an archive that ends before its end mark, or in the middle
//! of a member, is [`ArchiveError::Truncated`]. Long names (GNU and pax) are read here with a limit ([`extension`]), since
//! the tar crate takes them into memory whatever their size. Nothing is ever unpacked to a name that the archive chose.
//! What two readers could understand differently is refused: whoever checks an archive has to see what pacman, which reads
//! it with libarchive, will see.

mod compression;
mod extension;

use std::io::{self, Read};

use tar::EntryType;
use thiserror::Error;

use crate::atomic::FileError;
pub use compression::expanded;
use extension::Extensions;

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
    /// A symbolic link.
    SymbolicLink,
    /// One more name of a member that came before.
    HardLink,
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
    /// Where a link leads, as it is written.
    pub target: Option<String>,
}

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
            // A checksum of the compression lies behind the padding, too.
            if is_padding(&mut metered)? {
                Ok(())
            } else {
                Err(ArchiveError::Refused("there is something behind its end".to_owned()))
            }
        }
        error => error,
    }
}

/// Whether all that is left is zeros.
fn is_padding(reader: &mut impl Read) -> io::Result<bool> {
    let mut buffer = [0; 8192];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(true),
            got if buffer[..got].iter().any(|byte| *byte != 0) => return Ok(false),
            _ => {}
        }
    }
}

fn walk_members<R: Read>(
    reader: &mut Metered<R>,
    limits: &Limits,
    visit: &mut dyn FnMut(&Member, &mut dyn Read) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let mut archive = tar::Archive::new(reader);
    let mut extensions = Extensions::default();
    let mut count = 0;
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        if extensions.take(&mut entry)? {
            continue;
        }
        count += 1;
        if count > limits.members {
            return Err(ArchiveError::Limit(format!("{} members", limits.members)));
        }
        let member = member(&entry, std::mem::take(&mut extensions), limits)?;
        let mut content = Counted {
            inner: &mut entry,
            read: 0,
        };
        visit(&member, &mut content)?;
        io::copy(&mut content, &mut io::sink())?;
        if content.read != member.size {
            return Err(ArchiveError::Truncated);
        }
    }
    if extensions.is_empty() {
        Ok(())
    } else {
        Err(ArchiveError::Refused("an extension header without a member".to_owned()))
    }
}

/// What a header and the extension headers before it say.
fn member<R: Read>(entry: &tar::Entry<'_, R>, extensions: Extensions, limits: &Limits) -> Result<Member, ArchiveError> {
    let kind = match entry.header().entry_type() {
        EntryType::Regular | EntryType::Continuous => Kind::File,
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => Kind::SymbolicLink,
        EntryType::Link => Kind::HardLink,
        _ => Kind::Other,
    };
    let path = extensions.path.unwrap_or_else(|| entry.path_bytes().into_owned());
    let path = checked_path(path, limits)?;
    let size = entry.header().entry_size()?;
    // Old archives mark directories by the slash alone, and some readers still do so.
    if kind != Kind::Directory && path.ends_with('/') {
        return Err(ArchiveError::Refused(format!("{path} is none of a directory's")));
    }
    if kind != Kind::File && size != 0 {
        return Err(ArchiveError::Refused(format!("{path} is no file and has {size} bytes")));
    }
    let target = match kind {
        Kind::SymbolicLink | Kind::HardLink => {
            let written = || entry.link_name_bytes().map(std::borrow::Cow::into_owned);
            let target = extensions.link.or_else(written).unwrap_or_default();
            Some(checked_path(target, limits)?)
        }
        _ => None,
    };
    Ok(Member {
        path,
        kind,
        size,
        target,
    })
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
    fn what_readers_could_understand_differently_is_refused() {
        let whole = archive(&["a"]);
        let mut behind = whole.clone();
        behind.extend_from_slice(&whole);
        let mut slash = whole.clone();
        slash[..3].copy_from_slice(b"a/\0");
        let mut header = tar::Header::from_byte_slice(&slash[..512]).clone();
        header.set_cksum();
        slash[..512].copy_from_slice(header.as_bytes());
        for bytes in [behind, slash] {
            let error = paths(&bytes, &LIMITS).unwrap_err();
            assert!(matches!(error, ArchiveError::Refused(_)), "{error}");
        }
        let mut padded = whole.clone();
        padded.resize(whole.len() + 9000, 0);
        assert_eq!(paths(&padded, &LIMITS).unwrap(), ["a"]);
    }
}
