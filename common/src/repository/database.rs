//! The databases of one repository as archives: what repo-add writes, read as a whole, and encoded package by package.
//!
//! `REPO.db.tar.gz` holds `name-version/desc` a package, `REPO.files.tar.gz` `files` beside it. Written sorted by package
//! name; times are those of the packages, so that the same packages always make the same archive.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::ops::Range;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::RepositoryError;
use super::directory::Kind;
use super::entry::{self, EntryError};
use crate::archive::{self, ArchiveError, Limits};
use crate::atomic::FileError;
use crate::names::{FileName, PkgName};
use crate::package::PackageFile;

const LIMITS: Limits = Limits {
    expanded: 64 << 30,
    members: 10_000_000,
    path: 4096,
};
/// tar's unit.
const BLOCK: usize = 512;

/// What the databases say of one package. The text is kept as it was read, unknown fields included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// `name-version`.
    pub(super) directory: String,
    /// The package's file.
    pub(super) file_name: FileName,
    /// The content of `desc`.
    pub(super) desc: String,
    /// The content of `files`; a files database of somebody else may lack it.
    pub(super) files: Option<String>,
}

/// The packages of one repository.
pub(super) type Content = BTreeMap<PkgName, Record>;

impl Record {
    /// What repo-add would write for this package.
    pub(super) fn of(package: &PackageFile, signature: Option<&[u8]>) -> Result<Self, RepositoryError> {
        let mut files = "%FILES%\n".to_owned();
        for path in &package.members {
            files.push_str(path);
            files.push('\n');
        }
        Ok(Self {
            directory: format!("{}-{}", package.name(), package.version()),
            file_name: package.file_name.to_file_name()?,
            desc: entry::describe(package, signature),
            files: Some(files),
        })
    }

    /// The package's part of an archive.
    pub(super) fn encode(&self, kind: Kind) -> io::Result<Vec<u8>> {
        let mut builder = tar::Builder::new(Vec::new());
        let time = build_date(&self.desc);
        append(&mut builder, &format!("{}/", self.directory), None, time)?;
        append(
            &mut builder,
            &format!("{}/desc", self.directory),
            Some(&self.desc),
            time,
        )?;
        if let (Kind::Files, Some(files)) = (kind, &self.files) {
            append(&mut builder, &format!("{}/files", self.directory), Some(files), time)?;
        }
        let mut bytes = builder.into_inner()?;
        // The end mark comes once, at the end of the archive.
        bytes.truncate(bytes.len() - 2 * BLOCK);
        Ok(bytes)
    }
}

/// Reads a database, with or without lists of files.
pub(super) fn read(path: &Path) -> Result<Content, RepositoryError> {
    let file = File::open(path).map_err(FileError::at("open", path))?;
    read_archive(MultiGzDecoder::new(BufReader::with_capacity(128 << 10, file)), path)
}

/// Reads a part of an archive that was written here.
pub(super) fn read_part(plain: &[u8], path: &Path) -> Result<Content, RepositoryError> {
    read_archive(plain.chain(&[0; 2 * BLOCK][..]), path)
}

fn read_archive(archive: impl Read, path: &Path) -> Result<Content, RepositoryError> {
    let damaged = |source| RepositoryError::Archive {
        path: path.to_owned(),
        source,
    };
    let mut found: BTreeMap<String, (Option<String>, Option<String>)> = BTreeMap::new();
    archive::walk(archive, &LIMITS, &mut |member, data| {
        if member.kind == archive::Kind::File
            && let Some((directory, name)) = member.path.trim_start_matches("./").split_once('/')
            && matches!(name, "desc" | "files")
        {
            let mut text = String::new();
            data.read_to_string(&mut text).map_err(ArchiveError::Io)?;
            let slot = found.entry(directory.to_owned()).or_default();
            match name {
                "desc" => slot.0 = Some(text),
                _ => slot.1 = Some(text),
            }
        }
        Ok(())
    })
    .map_err(damaged)?;
    let mut content = Content::new();
    for (desc, files) in found.into_values() {
        let bad = |source| RepositoryError::Entry {
            path: path.to_owned(),
            source,
        };
        let desc = desc.ok_or(EntryError::Missing("desc")).map_err(bad)?;
        let (name, version, file_name) = entry::identity(&desc).map_err(bad)?;
        let record = Record {
            directory: format!("{name}-{version}"),
            file_name,
            desc,
            files,
        };
        content.insert(name, record);
    }
    Ok(content)
}

/// Cuts a part of an archive that was written here into those of the packages, without understanding them.
pub(super) fn split(plain: &[u8]) -> io::Result<Vec<(PkgName, &[u8])>> {
    let mut parts: Vec<(PkgName, Range<usize>)> = Vec::new();
    let mut current = String::new();
    for member in Members::of(plain) {
        let Member { path, whole, .. } = member?;
        let directory = path.split_once('/').ok_or_else(damaged)?.0;
        match parts.last_mut() {
            Some((_, range)) if directory == current => range.end = whole.end,
            _ => {
                let name = directory.rsplitn(3, '-').nth(2).ok_or_else(damaged)?;
                parts.push((name.parse().map_err(io::Error::other)?, whole));
                directory.clone_into(&mut current);
            }
        }
    }
    let cut = |(name, range)| Some((name, plain.get(range)?));
    parts.into_iter().map(|part| cut(part).ok_or_else(damaged)).collect()
}

/// The `desc` files in a part of an archive that was written here.
pub(super) fn descs(plain: &[u8]) -> io::Result<Vec<&str>> {
    let mut descs = Vec::new();
    for member in Members::of(plain) {
        let Member { path, content, .. } = member?;
        if path.ends_with("/desc") {
            descs.push(std::str::from_utf8(content).map_err(io::Error::other)?);
        }
    }
    Ok(descs)
}

fn damaged() -> io::Error {
    io::Error::other("a segment that is no archive of packages")
}

/// One member of an archive in memory.
struct Member<'a> {
    path: String,
    content: &'a [u8],
    /// Where it lies, with its headers and its padding.
    whole: Range<usize>,
}

/// The members of an archive that was written here, without its end mark, one after the other.
struct Members<'a> {
    plain: &'a [u8],
    at: usize,
}

impl<'a> Members<'a> {
    const fn of(plain: &'a [u8]) -> Self {
        Self { plain, at: 0 }
    }

    /// One header with what belongs to it.
    fn step(&mut self) -> io::Result<(tar::EntryType, Member<'a>)> {
        let start = self.at;
        let header = tar::Header::from_byte_slice(self.plain.get(start..start + BLOCK).ok_or_else(damaged)?);
        let size = usize::try_from(header.entry_size()?).map_err(io::Error::other)?;
        let content = start + BLOCK..(start + BLOCK).checked_add(size).ok_or_else(damaged)?;
        self.at = content.end.next_multiple_of(BLOCK);
        let member = Member {
            path: String::from_utf8_lossy(&header.path_bytes()).into_owned(),
            content: self.plain.get(content).ok_or_else(damaged)?,
            whole: start..self.at,
        };
        Ok((header.entry_type(), member))
    }

    /// A path that is too long for a header comes before it, as content.
    fn member(&mut self) -> io::Result<Member<'a>> {
        match self.step()? {
            (tar::EntryType::GNULongName, name) => {
                let (_, member) = self.step()?;
                Ok(Member {
                    path: String::from_utf8_lossy(name.content).trim_end_matches('\0').to_owned(),
                    whole: name.whole.start..member.whole.end,
                    ..member
                })
            }
            (_, member) => Ok(member),
        }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = io::Result<Member<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.plain.len() {
            return None;
        }
        let member = self.member();
        if member.is_err() {
            self.at = self.plain.len();
        }
        Some(member)
    }
}

fn append(builder: &mut tar::Builder<impl Write>, path: &str, content: Option<&str>, time: u64) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    let bytes = content.unwrap_or_default().as_bytes();
    header.set_size(bytes.len() as u64);
    header.set_mtime(time);
    header.set_uid(0);
    header.set_gid(0);
    match content {
        Some(_) => header.set_mode(0o644),
        None => {
            header.set_mode(0o755);
            header.set_entry_type(tar::EntryType::Directory);
        }
    }
    builder.append_data(&mut header, path, bytes)
}

fn build_date(desc: &str) -> u64 {
    desc.split_once("%BUILDDATE%\n")
        .and_then(|(_, rest)| rest.lines().next())
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str) -> Record {
        let desc = format!("%FILENAME%\n{name}-1-1-any.pkg.tar.zst\n\n%NAME%\n{name}\n\n%VERSION%\n1-1\n\n");
        Record {
            directory: format!("{name}-1-1"),
            file_name: format!("{name}-1-1-any.pkg.tar.zst").parse().unwrap(),
            desc,
            files: Some("%FILES%\nusr/\n".to_owned()),
        }
    }

    #[test]
    fn what_is_encoded_is_cut_and_read_again_long_names_too() {
        let names = ["a".to_owned(), "a-b".to_owned(), "c".repeat(128)];
        for kind in Kind::ALL {
            let parts: Vec<Vec<u8>> = names.iter().map(|name| record(name).encode(kind).unwrap()).collect();
            let plain = parts.concat();
            let cut = split(&plain).unwrap();
            for ((name, part), (found, cut)) in names.iter().zip(&parts).zip(cut) {
                assert_eq!((found.as_str(), cut), (name.as_str(), &part[..]));
            }
            let expected: Vec<String> = names.iter().map(|name| record(name).desc).collect();
            assert_eq!(descs(&plain).unwrap(), expected);
            let content = read_part(&plain, Path::new("x")).unwrap();
            assert_eq!(content.len(), 3);
            for (name, found) in content {
                let mut expected = record(name.as_str());
                expected.files = expected.files.filter(|_| kind == Kind::Files);
                assert_eq!(found, expected);
            }
            assert!(split(&plain[..plain.len() - 600]).is_err());
        }
    }
}
