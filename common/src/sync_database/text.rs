//! A sync database as libalpm is given it: a plain archive of nothing but text.
//!
//! The binding panics at bytes that are no UTF-8, and libalpm expands whatever it is given. So each database is expanded
//! here, with limits, and looked at on the way. An entry with such bytes in a field that is asked for is left out and
//! named; in others (old packagers' names are in Latin-1) they are replaced.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::Path;

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::archive::{self, ArchiveError, Kind, Limits};
use crate::atomic::FileError;

/// The lists of files of Arch's largest repository have 300 MB.
const LIMITS: Limits = Limits {
    expanded: 1 << 30,
    members: 1_000_000,
    path: 4096,
};
/// Bytes that are looked at together.
const CHUNK: usize = 256 << 10;
/// Largest text of one entry in bytes.
const MAX_TEXT: u64 = 4 << 20;
/// The fields that are asked for.
const ASKED: [&[u8]; 9] = [
    b"%NAME%",
    b"%BASE%",
    b"%VERSION%",
    b"%ARCH%",
    b"%GROUPS%",
    b"%DEPENDS%",
    b"%MAKEDEPENDS%",
    b"%CHECKDEPENDS%",
    b"%PROVIDES%",
];

/// Entries that are no text, `name-version`, each with the field.
pub(super) type NoText = BTreeMap<String, String>;

/// Lets what is written to a path stay in memory as long as the result lives: a disk costs more than all the reading. Where
/// the kernel has no such files the path is left alone.
pub(super) fn keep_in_memory(path: &Path) -> io::Result<Option<OwnedFd>> {
    let Ok(memory) = memfd_create(c"database", MFdFlags::MFD_CLOEXEC) else {
        return Ok(None);
    };
    let place = format!("/proc/self/fd/{}", memory.as_raw_fd());
    if !Path::new(&place).exists() {
        return Ok(None);
    }
    symlink(place, path)?;
    Ok(Some(memory))
}

/// Writes a database to `to`, and says which entries were left out.
pub(super) fn write_text(file: &Path, to: &Path) -> Result<NoText, ArchiveError> {
    let open = || -> Result<_, ArchiveError> {
        let file = File::open(file).map_err(trouble("open", file))?;
        Ok(archive::expanded(BufReader::with_capacity(CHUNK / 2, file))?)
    };
    if is_copied(open()?, to)? {
        return Ok(NoText::new());
    }
    let written = File::create(to).map_err(trouble("write", to))?;
    let mut builder = tar::Builder::new(BufWriter::with_capacity(CHUNK, written));
    let no_text = copy_text(open()?, |path, text| {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        let appended = builder.append_data(&mut header, path, text.as_bytes());
        appended.map_err(trouble("write", to))
    })?;
    let written = builder.into_inner().and_then(|mut written| written.flush());
    written.map_err(trouble("write", to))?;
    Ok(no_text)
}

/// Whether there is an entry in a plain archive.
pub(super) fn has_entries(copy: &Path) -> Result<bool, ArchiveError> {
    let mut has_entries = false;
    copy_text(File::open(copy).map_err(trouble("open", copy))?, |_, _| {
        has_entries = true;
        Ok(())
    })?;
    Ok(has_entries)
}

fn trouble(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ArchiveError {
    move |error| ArchiveError::Machine(FileError::at(action, path)(error))
}

/// Copies an archive as it is, while it is text: tar's own headers are. That is what nearly every database is, and ten
/// times faster than looking at each entry.
fn is_copied(mut archive: impl Read, to: &Path) -> Result<bool, ArchiveError> {
    let mut copy = File::create(to).map_err(trouble("make", to))?;
    let mut chunk = vec![0; CHUNK];
    let (mut begun, mut total) = (0, 0);
    loop {
        let got = archive.read(&mut chunk[begun..])?;
        total += got as u64;
        if total > LIMITS.expanded {
            return Err(ArchiveError::Limit(format!("{} bytes expanded", LIMITS.expanded)));
        }
        let (text, is_end) = (&chunk[..begun + got], got == 0);
        let valid = match std::str::from_utf8(text) {
            Ok(_) => text.len(),
            // A character that the next chunk may complete.
            Err(error) if error.error_len().is_none() && !is_end => error.valid_up_to(),
            Err(_) => return Ok(false),
        };
        copy.write_all(&text[..valid]).map_err(trouble("write", to))?;
        if is_end {
            return Ok(true);
        }
        begun = text.len() - valid;
        chunk.copy_within(valid..valid + begun, 0);
    }
}

/// Calls `write` with the path and the text of everything that counts; says what was left out.
fn copy_text(
    archive: impl Read,
    mut write: impl FnMut(&str, &str) -> Result<(), ArchiveError>,
) -> Result<NoText, ArchiveError> {
    let mut no_text = NoText::new();
    let mut content = Vec::new();
    archive::walk(archive, &LIMITS, &mut |member, data| {
        // Old ones have a file `depends` beside each `desc`.
        let path = member.path.trim_start_matches("./");
        let Some((directory, "desc" | "depends")) = path.split_once('/').filter(|_| member.kind == Kind::File) else {
            return Ok(());
        };
        content.clear();
        data.take(MAX_TEXT + 1).read_to_end(&mut content)?;
        if content.len() as u64 > MAX_TEXT {
            return Err(ArchiveError::Limit(format!("{path} has more than {MAX_TEXT} bytes")));
        }
        if let Some(field) = asked_without_text(&content) {
            no_text.insert(directory.to_owned(), field);
            return Ok(());
        }
        write(path, &String::from_utf8_lossy(&content))
    })?;
    Ok(no_text)
}

/// The first field that is asked for and no UTF-8.
fn asked_without_text(content: &[u8]) -> Option<String> {
    if std::str::from_utf8(content).is_ok() {
        return None;
    }
    let mut field = &b""[..];
    for line in content.split(|byte| *byte == b'\n') {
        if line.starts_with(b"%") && line.ends_with(b"%") {
            field = line;
        }
        let is_asked = ASKED.contains(&field) || !field.is_ascii();
        if is_asked && std::str::from_utf8(line).is_err() {
            return Some(String::from_utf8_lossy(field).into_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_count_in_fields_that_are_asked_for() {
        let field = |content: &[u8]| asked_without_text(content);
        assert_eq!(field(b"%NAME%\na\n\n%PACKAGER%\nJ\xf6rg\n\n%DEPENDS%\nb\n"), None);
        assert_eq!(
            field("%NAME%\nä\n".as_bytes()),
            None,
            "text, whatever the name is worth"
        );
        assert_eq!(
            field(b"%PACKAGER%\nJ\xf6rg\n\n%DEPENDS%\nb\n\xff\n").unwrap(),
            "%DEPENDS%"
        );
    }
}
