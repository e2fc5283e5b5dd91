//! Sync databases of others, `REPOSITORY.db` as repo-add writes it, read entry by entry: compressed as they may be, with
//! limits, since a mirror may send anything.
//!
//! [`read`] is for whoever needs a few fields of each entry; all packages with their dependencies are libalpm's to read
//! ([`Databases`]). A repository of the port's own is [`crate::repository`]'s.

mod packages;
mod text;

use std::io::{BufRead, Read as _};

use crate::archive::{self, ArchiveError, Kind, Limits};
pub use packages::{Complaint, Databases, SyncError};

/// A database of all of Arch has 30 MiB.
const LIMITS: Limits = Limits {
    expanded: 4 << 30,
    members: 2_000_000,
    path: 4096,
};
/// Largest text of one entry in bytes.
const MAX_TEXT: u64 = 4 << 20;

/// Calls `visit` with `NAME-VERSION` and the text of each `desc`. Bytes that are no text are replaced: old packagers' names
/// are in Latin-1.
///
/// # Errors
/// It is no database, is cut off or exceeds a limit, or `visit` fails.
pub fn read(
    database: impl BufRead,
    visit: &mut dyn FnMut(&str, &str) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    archive::walk(archive::expanded(database)?, &LIMITS, &mut |member, data| {
        let path = member.path.trim_start_matches("./");
        let Some(name) = path.strip_suffix("/desc").filter(|_| member.kind == Kind::File) else {
            return Ok(());
        };
        let mut text = Vec::new();
        data.take(MAX_TEXT + 1).read_to_end(&mut text)?;
        if text.len() as u64 > MAX_TEXT {
            return Err(ArchiveError::Limit(format!("{path} has more than {MAX_TEXT} bytes")));
        }
        visit(name, &String::from_utf8_lossy(&text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, content) in members {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, path, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn entries(database: &[u8]) -> Result<Vec<(String, String)>, ArchiveError> {
        let mut found = Vec::new();
        read(database, &mut |name, text| {
            found.push((name.to_owned(), text.to_owned()));
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn each_entry_is_read_and_nothing_else() {
        let bytes = database(&[
            ("a-1-1/desc", b"%NAME%\na\n"),
            ("a-1-1/files", b"%FILES%\nusr/\n"),
            ("b-2-1/desc", b"%PACKAGER%\nJ\xf6rg\n"),
            ("desc", b"%NAME%\nnone\n"),
        ]);
        let expected = [("a-1-1", "%NAME%\na\n"), ("b-2-1", "%PACKAGER%\nJ\u{fffd}rg\n")];
        let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(entries(&zstd::encode_all(&bytes[..], 1).unwrap()).unwrap(), expected);
    }

    #[test]
    fn an_entry_that_fills_the_memory_and_half_a_database_are_refused() {
        let huge = database(&[("a-1-1/desc", &vec![b'a'; 5 << 20])]);
        assert!(matches!(entries(&huge), Err(ArchiveError::Limit(_))));
        let whole = database(&[("a-1-1/desc", b"%NAME%\na\n")]);
        assert!(matches!(entries(&whole[..600]), Err(ArchiveError::Truncated)));
    }
}
