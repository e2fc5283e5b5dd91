//! Receiving an upload: the whole tar, with limits, into a temporary directory of the work directory.
//!
//! Invariant: nothing but flat regular members of known kinds is written, under names that have been checked; nothing
//! else of the master changes before the upload is complete. The directory goes with the value; one that a killed tool
//! left is swept later.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::archive::{self, ArchiveError, Kind, Limits};
use common::atomic::{self, TEMPORARY_PREFIX};
use common::names::FileName;
use common::version::PackageFileName;
use tempfile::TempDir;

/// Uploads of killed tools are swept after this time; no upload takes longer.
const SWEEP_AFTER: Duration = Duration::from_secs(2 * 86400);

/// Endings of files that may accompany a package.
const COMPANIONS: [&str; 3] = ["-namcap.log.gz", ".so.needs.gz", ".so.provides.gz"];

/// What an upload holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cargo {
    /// Packages, signatures, and what may accompany them.
    Packages,
    /// Logs of failed attempts.
    Logs,
}

impl Cargo {
    fn knows(self, name: &str) -> bool {
        let is_package = |name: &str| name.parse::<PackageFileName>().is_ok();
        match self {
            Self::Packages => {
                is_package(name) || name.strip_suffix(".sig").is_some_and(is_package) || is_log_of_success(name)
            }
            Self::Logs => name.ends_with(".build-log.gz") && !name.starts_with('.'),
        }
    }
}

/// Whether the file accompanies a package.
pub(crate) fn is_log_of_success(name: &str) -> bool {
    COMPANIONS
        .iter()
        .filter_map(|ending| name.strip_suffix(ending))
        .any(|package| package.parse::<PackageFileName>().is_ok())
}

/// The files of a complete upload.
#[derive(Debug)]
pub(crate) struct Upload {
    _directory: TempDir,
    files: BTreeMap<FileName, PathBuf>,
}

impl Upload {
    /// Reads a whole upload.
    pub(crate) fn receive(
        stdin: &mut dyn Read,
        cargo: Cargo,
        work_dir: &Path,
        limit_bytes: u64,
    ) -> Result<Self, ArchiveError> {
        atomic::sweep(work_dir, SWEEP_AFTER);
        let directory = tempfile::Builder::new()
            .prefix(&format!("{TEMPORARY_PREFIX}upload-"))
            .tempdir_in(work_dir)?;
        let limits = Limits {
            expanded: limit_bytes,
            members: 10_000,
            path: 4096,
        };
        let mut files = BTreeMap::new();
        archive::walk(stdin, &limits, &mut |member, content| {
            let name: FileName = match member.path.parse() {
                Ok(name) if cargo.knows(&member.path) => name,
                _ => return Ok(()),
            };
            if member.kind != Kind::File {
                return Err(ArchiveError::Refused(format!("{name} is not a file")));
            }
            let path = directory.path().join(&name);
            if files.insert(name, path.clone()).is_some() {
                return Err(ArchiveError::Refused(format!("{} is in it twice", member.path)));
            }
            let mut file = File::create_new(&path)?;
            io::copy(content, &mut file)?;
            Ok(file.flush()?)
        })?;
        Ok(Self {
            _directory: directory,
            files,
        })
    }

    /// All files, by name.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&FileName, &Path)> {
        self.files.iter().map(|(name, path)| (name, path.as_path()))
    }

    /// The package files with their parsed names.
    pub(crate) fn packages(&self) -> impl Iterator<Item = (PackageFileName, &Path)> {
        self.files()
            .filter_map(|(name, path)| Some((name.as_str().parse().ok()?, path)))
    }

    /// The detached signature of a file.
    pub(crate) fn signature_of(&self, name: &PackageFileName) -> Option<&Path> {
        self.files.get(format!("{name}.sig").as_str()).map(PathBuf::as_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            // The crate refuses such names itself, a hostile builder does not use it.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn receive(bytes: &[u8], cargo: Cargo, limit: u64) -> Result<Vec<String>, ArchiveError> {
        let work = tempfile::tempdir().unwrap();
        let upload = Upload::receive(&mut &bytes[..], cargo, work.path(), limit)?;
        Ok(upload.files().map(|(name, _)| name.to_string()).collect())
    }

    #[test]
    fn only_flat_members_of_known_kinds_are_written() {
        let bytes = tar(&[
            ("a-1-1-any.pkg.tar.zst", b"x"),
            ("a-1-1-any.pkg.tar.zst.sig", b"y"),
            ("a-1-1-any.pkg.tar.zst-namcap.log.gz", b""),
            ("../b-1-1-any.pkg.tar.zst", b"x"),
            ("/etc/c-1-1-any.pkg.tar.zst", b"x"),
            ("d/d-1-1-any.pkg.tar.zst", b"x"),
            ("2018-01-29T12:00:00.build-log.gz", b"x"),
            ("README", b"x"),
        ]);
        let names = receive(&bytes, Cargo::Packages, 1 << 20).unwrap();
        assert_eq!(
            names,
            [
                "a-1-1-any.pkg.tar.zst",
                "a-1-1-any.pkg.tar.zst-namcap.log.gz",
                "a-1-1-any.pkg.tar.zst.sig"
            ]
        );
        let names = receive(&bytes, Cargo::Logs, 1 << 20).unwrap();
        assert_eq!(names, ["2018-01-29T12:00:00.build-log.gz"]);
    }

    #[test]
    fn an_upload_over_its_limit_a_doubled_member_and_a_cut_one_are_refused() {
        let bytes = tar(&[("a-1-1-any.pkg.tar.zst", &[7; 5000])]);
        assert!(matches!(
            receive(&bytes, Cargo::Packages, 4000),
            Err(ArchiveError::Limit(_))
        ));
        assert!(matches!(
            receive(&bytes[..3000], Cargo::Packages, 1 << 20),
            Err(ArchiveError::Truncated)
        ));
        assert!(matches!(
            receive(b"", Cargo::Packages, 1 << 20),
            Err(ArchiveError::Truncated)
        ));
        let twice = tar(&[("a-1-1-any.pkg.tar.zst", b"x"), ("a-1-1-any.pkg.tar.zst", b"y")]);
        assert!(matches!(
            receive(&twice, Cargo::Packages, 1 << 20),
            Err(ArchiveError::Refused(_))
        ));
    }
}
