//! Reading one package file: `.PKGINFO`, `.BUILDINFO`, the list of its members, the sonames of its ELF files and its
//! checksums, in one pass.
//!
//! Package files come from builders that are not trusted: the archive is read with limits ([`crate::archive`]), text
//! with a limit of its own, and nothing is unpacked. gzip, xz and zstd are read here; the other compressions of
//! makepkg.conf(5) are taken off by bsdtar, which pacman brings along.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::time::Duration;

use md5::Md5;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::archive::{self, ArchiveError, Kind, Limits};
use crate::atomic::FileError;
use crate::names::{Arch, NameError, PkgBase, PkgName};
use crate::process::{Command, Output, ProcessError};
use crate::soname::{Sonames, elf};
use crate::version::{FullVersion, PackageFileName, PackageFileNameError, VersionError};

/// What a package may hold at most.
pub const LIMITS: Limits = Limits {
    expanded: 64 << 30,
    members: 2_000_000,
    path: 4096,
};
/// Longest `.PKGINFO` and `.BUILDINFO` in bytes.
const INFO_LIMIT: u64 = 1 << 20;
/// Separate debug information repeats the names of the files that it belongs to.
const DEBUG_FILES: &str = "usr/lib/debug/";
/// Largest archive that bsdtar may write out.
const EXPANDED_LIMIT: u64 = 8 << 30;

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

/// `key = value` lines as in `.PKGINFO` and `.BUILDINFO`; a key may stand in several lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info {
    values: BTreeMap<String, Vec<String>>,
}

impl Info {
    /// Reads the text as repo-add does: comments left out, blanks at the ends stripped, runs of blanks made one.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            if let Some((key, value)) = line.split_once('=') {
                let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
                values.entry(key.trim().to_owned()).or_default().push(value);
            }
        }
        Self { values }
    }

    /// The values of a key, in the order of the lines.
    #[must_use]
    pub fn all(&self, key: &str) -> &[String] {
        self.values.get(key).map_or(&[], Vec::as_slice)
    }

    /// The last value of a key, if it is not empty.
    #[must_use]
    pub fn last(&self, key: &str) -> Option<&str> {
        self.all(key)
            .last()
            .map(String::as_str)
            .filter(|value| !value.is_empty())
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
        read(path).map_err(|cause| PackageError {
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

fn read(path: &Path) -> Result<PackageFile, Cause> {
    let base_name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let file_name: PackageFileName = base_name.parse()?;
    let file = File::open(path).map_err(FileError::at("open", path))?;
    let mut hashed = Hashed::new(BufReader::with_capacity(128 << 10, file));
    let place = Place {
        directory: path.parent().unwrap_or(path),
        arch: &file_name.arch,
    };
    let content = match file_name.extension.as_str() {
        ".pkg.tar" => read_archive(&mut hashed, &place)?,
        ".pkg.tar.gz" => read_archive(flate2::read::MultiGzDecoder::new(&mut hashed), &place)?,
        ".pkg.tar.xz" => read_archive(liblzma::read::XzDecoder::new_multi_decoder(&mut hashed), &place)?,
        ".pkg.tar.zst" => {
            let decoder = zstd::stream::read::Decoder::new(&mut hashed).map_err(ArchiveError::Io)?;
            read_archive(decoder, &place)?
        }
        _ => read_archive(expanded(path)?, &place)?,
    };
    // What lies behind the compressed stream belongs to the checksums.
    io::copy(&mut hashed, &mut io::sink()).map_err(FileError::at("read", path))?;
    let info = content
        .info
        .ok_or_else(|| Cause::Info("there is no .PKGINFO".to_owned()))?;
    let pkgbase = agree(&info, &file_name)?;
    Ok(PackageFile {
        path: path.to_owned(),
        file_name,
        pkgbase,
        info,
        build_info: content.build_info,
        members: content.members,
        sonames: content.sonames,
        compressed_size: hashed.length,
        md5: hexadecimal(&hashed.md5.finalize()),
        sha256: hexadecimal(&hashed.sha256.finalize()),
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

/// What is kept of an archive.
#[derive(Default)]
struct Content {
    info: Option<Info>,
    build_info: Option<Info>,
    members: Vec<String>,
    sonames: Sonames,
}

/// The archive without its compression, in a file without a name beside it.
fn expanded(path: &Path) -> Result<File, Cause> {
    let directory = path.parent().unwrap_or(path);
    let trouble = |source| Cause::File(FileError::at("make a temporary file in", directory)(source));
    let mut file = tempfile::tempfile_in(directory).map_err(trouble)?;
    let mut archive = OsString::from("@");
    archive.push(path);
    Command::new("bsdtar")
        .args(["-cf", "-", "--format=pax"])
        .arg(archive)
        .output(Output::Log(file.try_clone().map_err(trouble)?, EXPANDED_LIMIT))
        .timeout(Duration::from_secs(3600))
        .run()?;
    file.rewind().map_err(trouble)?;
    Ok(file)
}

/// Where a package lies, and for which architecture its name says it is.
struct Place<'a> {
    directory: &'a Path,
    arch: &'a Arch,
}

fn read_archive(stream: impl Read, place: &Place<'_>) -> Result<Content, Cause> {
    let mut content = Content::default();
    archive::walk(stream, &LIMITS, &mut |member, data| {
        match member.path.as_str() {
            ".PKGINFO" => replace(&mut content.info, member, data)?,
            ".BUILDINFO" => replace(&mut content.build_info, member, data)?,
            path if path.starts_with('.') => {}
            path => {
                content.members.push(match member.kind {
                    Kind::Directory if !path.ends_with('/') => format!("{path}/"),
                    _ => path.to_owned(),
                });
                if member.kind == Kind::File && !path.starts_with(DEBUG_FILES) {
                    let mut found = elf::look_at(path, data, place.arch, place.directory)?;
                    content.sonames.needed.append(&mut found.needed);
                    content.sonames.provided.append(&mut found.provided);
                }
            }
        }
        Ok(())
    })?;
    content.members.sort_unstable();
    content.members.dedup();
    Ok(content)
}

fn replace(slot: &mut Option<Info>, member: &archive::Member, data: &mut dyn Read) -> Result<(), ArchiveError> {
    if slot.is_some() || member.kind != Kind::File {
        return Err(ArchiveError::Refused(format!("{} twice or not a file", member.path)));
    }
    if member.size > INFO_LIMIT {
        return Err(ArchiveError::Limit(format!("{} bytes of {}", member.size, member.path)));
    }
    let mut bytes = Vec::new();
    data.take(INFO_LIMIT).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err(ArchiveError::Refused(format!("control characters in {}", member.path)));
    }
    *slot = Some(Info::parse(&text));
    Ok(())
}

/// Bytes as lower-case hexadecimal digits.
fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// Computes checksums and the length of what is read.
struct Hashed<R> {
    inner: R,
    md5: Md5,
    sha256: Sha256,
    length: u64,
}

impl<R> Hashed<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            md5: Md5::new(),
            sha256: Sha256::new(),
            length: 0,
        }
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        self.md5.update(&buffer[..got]);
        self.sha256.update(&buffer[..got]);
        self.length += got as u64;
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_is_read_as_repo_add_reads_it() {
        let info = Info::parse(
            "# made by makepkg\npkgname = a\npkgdesc =  two   words \ndepend = b>=1\ndepend = c=2\nurl =\n",
        );
        assert_eq!(info.last("pkgdesc"), Some("two words"));
        assert_eq!(info.all("depend"), ["b>=1", "c=2"]);
        assert_eq!(info.last("url"), None);
        assert_eq!(info.last("packager"), None);
    }
}
