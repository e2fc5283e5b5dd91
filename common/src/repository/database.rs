//! The databases of one repository as files: gzip-compressed tar archives as repo-add writes them.
//!
//! `REPO.db.tar.gz` holds `name-version/desc` a package, `REPO.files.tar.gz` `files` beside it. Sorted by directory name;
//! times are those of the packages, so that the same packages always make the same bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::RepositoryError;
use super::entry::{self, EntryError};
use crate::archive::{self, ArchiveError, Kind, Limits};
use crate::atomic::FileError;
use crate::names::{FileName, PkgName};
use crate::package::PackageFile;

const LIMITS: Limits = Limits {
    expanded: 64 << 30,
    members: 10_000_000,
    path: 4096,
};

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
}

/// Reads a database, with or without lists of files.
pub(super) fn read(path: &Path) -> Result<Content, RepositoryError> {
    let file = File::open(path).map_err(FileError::at("open", path))?;
    let damaged = |source| RepositoryError::Archive {
        path: path.to_owned(),
        source,
    };
    let mut found: BTreeMap<String, (Option<String>, Option<String>)> = BTreeMap::new();
    archive::walk(
        MultiGzDecoder::new(BufReader::new(file)),
        &LIMITS,
        &mut |member, data| {
            if member.kind == Kind::File
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
        },
    )
    .map_err(damaged)?;
    let mut content = Content::new();
    for (directory, (desc, files)) in found {
        let bad = |source| RepositoryError::Entry {
            path: path.to_owned(),
            source,
        };
        let desc = desc.ok_or(EntryError::Missing("desc")).map_err(bad)?;
        let entry = entry::Entry::parse(&desc).map_err(bad)?;
        let record = Record {
            directory,
            file_name: entry.file_name,
            desc,
            files,
        };
        content.insert(entry.name, record);
    }
    Ok(content)
}

/// Whether lists of files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// `desc` alone.
    Desc,
    /// `desc` and `files`.
    Files,
}

/// Writes a whole database.
pub(super) fn write(content: &Content, detail: Detail, file: &File) -> io::Result<()> {
    let mut records: Vec<&Record> = content.values().collect();
    records.sort_by(|a, b| a.directory.cmp(&b.directory));
    let encoder = GzEncoder::new(BufWriter::new(file), Compression::default());
    let mut builder = tar::Builder::new(encoder);
    for record in records {
        let time = build_date(&record.desc);
        append(&mut builder, &format!("{}/", record.directory), None, time)?;
        append(
            &mut builder,
            &format!("{}/desc", record.directory),
            Some(&record.desc),
            time,
        )?;
        if let (Detail::Files, Some(files)) = (detail, &record.files) {
            append(&mut builder, &format!("{}/files", record.directory), Some(files), time)?;
        }
    }
    builder.into_inner()?.finish()?.flush()
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
