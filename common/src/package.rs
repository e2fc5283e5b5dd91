//! Reading one package file: `.PKGINFO`, `.BUILDINFO`, `.MTREE`, the list of its members, the sonames of its ELF files and
//! its checksums, in one pass.
//!
//! Package files come from builders that are not trusted: the archive is read with limits ([`crate::archive`]), its members
//! have to keep rules of their own ([`content`]), text has a limit, and nothing is unpacked. libalpm could read packages,
//! too, but a stranger's archive is no food for C in the process that holds the master's state.

mod content;
mod info;
mod mtree;
mod stream;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use content::DEBUG_FILES;
pub use info::Info;
pub use mtree::Manifest;

use crate::archive::{self, ArchiveError, Limits, Member};
use crate::atomic::FileError;
use crate::names::{Arch, NameError, PkgBase, PkgName};
use crate::process::ProcessError;
use crate::soname::Sonames;
use crate::version::{FullVersion, PackageFileName, PackageFileNameError, VersionError};

/// What a package holds at most where nothing else is configured.
pub const DEFAULT_EXPANDED_MIB: u64 = 64 << 10;
/// Most members of a package.
const MAX_MEMBERS: usize = 1_000_000;
/// Longest path in a package in bytes (PATH_MAX).
const MAX_PATH: usize = 4096;
/// How many times larger than its file a package may be; real ones have up to a few dozen.
const MAX_RATIO: u64 = 1000;
/// A package of this size, without its compression, has no ratio to keep.
const RATIO_FREE: u64 = 64 << 20;

/// The limits of a package file of so many bytes.
fn limits(compressed: u64, expanded_mib: u64) -> Limits {
    let by_ratio = compressed.saturating_mul(MAX_RATIO).max(RATIO_FREE);
    Limits {
        expanded: by_ratio.min(expanded_mib.saturating_mul(1 << 20)),
        members: MAX_MEMBERS,
        path: MAX_PATH,
    }
}

/// A package file that is not accepted.
#[derive(Debug, Error)]
#[error("{}: {cause}", path.display())]
pub struct PackageError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub cause: Cause,
}

/// What is wrong with a package file.
#[derive(Debug, Error)]
pub enum Cause {
    /// It cannot be read at all: the machine's trouble, not the package's.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is no good archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// bsdtar cannot take its compression off.
    #[error("its compression cannot be taken off: {0}")]
    Compression(#[from] ProcessError),
    /// A file in it is missing or cannot be understood.
    #[error("{0}")]
    Info(String),
    /// A name in it breaks its rule.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Its version is none.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// Its file name is none of a package.
    #[error(transparent)]
    FileName(#[from] PackageFileNameError),
}

impl Cause {
    /// Whether the machine failed, and not the package.
    #[must_use]
    pub fn is_trouble_of_the_machine(&self) -> bool {
        matches!(self, Self::File(_) | Self::Archive(ArchiveError::Machine(_)))
    }
}

/// One package file with what it says of itself.
#[derive(Debug, Clone)]
pub struct PackageFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Its name, which says the same as its content.
    pub file_name: PackageFileName,
    /// What was built.
    pub pkgbase: PkgBase,
    /// `.PKGINFO`.
    pub info: Info,
    /// `.BUILDINFO`, which old packages lack.
    pub build_info: Option<Info>,
    /// Whether `.MTREE` agrees with the files.
    pub manifest: Manifest,
    /// Paths of its members without the metadata, sorted; directories end in `/`.
    pub members: Vec<String>,
    /// What its ELF files need and provide.
    pub sonames: Sonames,
    /// Size in bytes.
    pub compressed_size: u64,
    /// MD5 of the file, hexadecimal, as repo-add records it.
    pub md5: String,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
}

impl PackageFile {
    /// Reads the whole file, and compares its name with its content.
    ///
    /// # Errors
    /// The file cannot be read, is no package, exceeds a limit, or is not what its name says.
    pub fn read(path: &Path) -> Result<Self, PackageError> {
        Self::read_within(path, DEFAULT_EXPANDED_MIB)
    }

    /// As [`PackageFile::read`], of a file that holds at most so many MiB without its compression.
    ///
    /// # Errors
    /// As [`PackageFile::read`].
    pub fn read_within(path: &Path, expanded_mib: u64) -> Result<Self, PackageError> {
        read(path, expanded_mib).map_err(|cause| PackageError {
            path: path.to_owned(),
            cause,
        })
    }

    /// The package's name.
    #[must_use]
    pub fn name(&self) -> &PkgName {
        &self.file_name.pkgname
    }

    /// The package's version.
    #[must_use]
    pub fn version(&self) -> &FullVersion {
        &self.file_name.version
    }
}

/// Reads the members of a package file one after the other, within the limits of [`PackageFile::read`], whose other rules
/// are not looked at.
///
/// # Errors
/// The file cannot be read, is no archive with a name of a package, or exceeds a limit, or `visit` fails.
pub fn walk(
    path: &Path,
    visit: &mut dyn FnMut(&Member, &mut dyn Read) -> Result<(), ArchiveError>,
) -> Result<(), PackageError> {
    let walked = open(path, DEFAULT_EXPANDED_MIB, |_, archive, limits| {
        Ok(archive::walk(archive, limits, visit)?)
    });
    walked.map(drop).map_err(|cause| PackageError {
        path: path.to_owned(),
        cause,
    })
}

/// Opens a package file, has its archive read, and reads what is left; returns its name and what was read of the file.
fn open<A>(
    path: &Path,
    expanded_mib: u64,
    read: impl FnOnce(&PackageFileName, &mut dyn Read, &Limits) -> Result<A, Cause>,
) -> Result<(PackageFileName, A, stream::Hashed<File>), Cause> {
    let base_name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let file_name: PackageFileName = base_name.parse()?;
    let file = File::open(path).map_err(FileError::at("open", path))?;
    let length = file.metadata().map_err(FileError::at("read", path))?.len();
    let limits = limits(length, expanded_mib);
    let mut hashed = stream::Hashed::new(file);
    let content = stream::with_archive(&mut hashed, (path, length), &file_name.extension, |archive| {
        read(&file_name, archive, &limits)
    });
    let content = match content {
        // What the disk does is no fault of the package.
        Err(Cause::Archive(ArchiveError::Io(error))) if hashed.failed => {
            return Err(FileError::at("read", path)(error).into());
        }
        content => content?,
    };
    // What lies behind the compressed stream belongs to the checksums.
    io::copy(&mut hashed, &mut io::sink()).map_err(FileError::at("read", path))?;
    Ok((file_name, content, hashed))
}

fn read(path: &Path, expanded_mib: u64) -> Result<PackageFile, Cause> {
    let (file_name, content, hashed) = open(path, expanded_mib, |file_name, archive, limits| {
        let place = content::Place {
            directory: path.parent().unwrap_or(path),
            arch: &file_name.arch,
        };
        content::read(archive, limits, &place)
    })?;
    let pkgbase = agree(&content.info, &file_name)?;
    let compressed_size = hashed.length;
    let (md5, sha256) = hashed.checksums();
    Ok(PackageFile {
        path: path.to_owned(),
        file_name,
        pkgbase,
        info: content.info,
        build_info: content.build_info,
        manifest: content.manifest,
        members: content.members,
        sonames: content.sonames,
        compressed_size,
        md5,
        sha256,
    })
}

/// Compares what the file is called with what it is; the pkgbase, if so.
fn agree(info: &Info, file_name: &PackageFileName) -> Result<PkgBase, Cause> {
    let value = |key: &str| {
        info.last(key)
            .ok_or_else(|| Cause::Info(format!(".PKGINFO does not say {key}")))
    };
    let name: PkgName = value("pkgname")?.parse()?;
    let version: FullVersion = value("pkgver")?.parse()?;
    let arch: Arch = value("arch")?.parse()?;
    if name != file_name.pkgname || version.as_str() != file_name.version.as_str() || arch != file_name.arch {
        return Err(Cause::Info(format!(
            "the file is called {file_name} and holds {name} {version} for {arch}"
        )));
    }
    Ok(info.last("pkgbase").unwrap_or(name.as_str()).parse()?)
}
