//! The archive in a package file, read once: the metadata, the names of all members, the manifest's agreement, sonames.
//!
//! Invariant: what is accepted can be unpacked into a root by anybody with the same result. Every path is relative and in
//! its plain form, no path comes twice or leads through a link, hard links lead to members that came before, there are no
//! devices, and at the top nothing is hidden but the metadata.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::mtree::{Manifest, Mtree};
use super::stream::hexadecimal;
use super::{Cause, Info};
use crate::archive::{self, ArchiveError, Kind, Limits, Member};
use crate::names::Arch;
use crate::soname::{Sonames, elf};

/// Longest `.PKGINFO` and `.BUILDINFO` in bytes.
const INFO_LIMIT: u64 = 1 << 20;
/// Longest `.MTREE` in bytes.
const MTREE_LIMIT: u64 = 64 << 20;
/// The metadata that makepkg puts at the top.
const METADATA: [&str; 5] = [".PKGINFO", ".BUILDINFO", ".MTREE", ".INSTALL", ".CHANGELOG"];
/// Where separate debug information lies. It repeats the names of the files that it belongs to, and has no code.
pub const DEBUG_FILES: &str = "usr/lib/debug/";

/// Where a package lies, and for which architecture its name says it is.
pub(super) struct Place<'a> {
    pub(super) directory: &'a Path,
    pub(super) arch: &'a Arch,
}

/// What is kept of an archive.
pub(super) struct Content {
    pub(super) info: Info,
    pub(super) build_info: Option<Info>,
    pub(super) manifest: Manifest,
    pub(super) members: Vec<String>,
    pub(super) sonames: Sonames,
}

/// Reads the archive.
pub(super) fn read(stream: impl Read, limits: &Limits, place: &Place<'_>) -> Result<Content, Cause> {
    let mut reader = Reader::default();
    archive::walk(stream, limits, &mut |member, data| reader.take(member, data, place))?;
    reader.finish()
}

#[derive(Default)]
struct Reader {
    info: Option<Info>,
    build_info: Option<Info>,
    mtree: Option<Mtree>,
    /// Members that came before the manifest, with the checksums of files.
    early: Vec<(Member, String)>,
    kinds: BTreeMap<String, Kind>,
    sonames: Sonames,
}

impl Reader {
    fn take(&mut self, member: &Member, data: &mut dyn Read, place: &Place<'_>) -> Result<(), ArchiveError> {
        let path = member.path.trim_end_matches('/');
        check_path(path)?;
        self.check_kind(path, member)?;
        if self.kinds.insert(path.to_owned(), member.kind).is_some() {
            return Err(ArchiveError::Refused(format!("{path} is in it twice")));
        }
        let mut data = Hashed {
            inner: data,
            sha256: Sha256::new(),
        };
        match path {
            ".PKGINFO" => self.info = Some(read_info(member, &mut data)?),
            ".BUILDINFO" => self.build_info = Some(read_info(member, &mut data)?),
            ".MTREE" => {
                let mut mtree = Mtree::read(read_limited(member, MTREE_LIMIT, &mut data)?);
                for (member, sha256) in self.early.drain(..) {
                    mtree.cross_off(&member, &sha256);
                }
                self.mtree = Some(mtree);
                return Ok(());
            }
            _ if member.kind == Kind::File && !path.starts_with(DEBUG_FILES) => {
                let mut found = elf::look_at(path, &mut data, place.arch, place.directory)?;
                self.sonames.needed.append(&mut found.needed);
                self.sonames.provided.append(&mut found.provided);
            }
            _ => {}
        }
        io::copy(&mut data, &mut io::sink())?;
        let sha256 = hexadecimal(&data.sha256.finalize());
        match &mut self.mtree {
            Some(mtree) => mtree.cross_off(member, &sha256),
            None => self.early.push((member.clone(), sha256)),
        }
        Ok(())
    }

    fn check_kind(&self, path: &str, member: &Member) -> Result<(), ArchiveError> {
        let refuse = |what: &str| Err(ArchiveError::Refused(format!("{path} {what}")));
        match member.kind {
            Kind::Other => return refuse("is a device, a pipe or the like"),
            Kind::HardLink => {
                let target = member.target.as_deref().unwrap_or_default();
                if !matches!(self.kinds.get(target), Some(Kind::File | Kind::HardLink)) {
                    return refuse("is a link to a file that did not come before");
                }
            }
            Kind::File | Kind::Directory | Kind::SymbolicLink => {}
        }
        let is_hidden = path.starts_with('.');
        if is_hidden && !METADATA.contains(&path) {
            refuse("is hidden at the top and no metadata of a package")
        } else if is_hidden && member.kind != Kind::File {
            refuse("is not a file")
        } else {
            Ok(())
        }
    }

    fn finish(self) -> Result<Content, Cause> {
        if let Some(path) = self.kinds.keys().find(|path| self.leads_through_a_file(path)) {
            return Err(ArchiveError::Refused(format!("{path} leads through what is no directory")).into());
        }
        let info = self
            .info
            .ok_or_else(|| Cause::Info("there is no .PKGINFO".to_owned()))?;
        let members = self.kinds.into_iter().filter(|(path, _)| !path.starts_with('.'));
        let mut members: Vec<String> = members
            .map(|(path, kind)| if kind == Kind::Directory { path + "/" } else { path })
            .collect();
        members.sort_unstable();
        Ok(Content {
            info,
            build_info: self.build_info,
            manifest: self.mtree.map_or(Manifest::Missing, Mtree::verdict),
            members,
            sonames: self.sonames,
        })
    }

    /// Whether a directory of the path is a member and none.
    fn leads_through_a_file(&self, path: &str) -> bool {
        path.match_indices('/')
            .any(|(at, _)| self.kinds.get(&path[..at]).is_some_and(|kind| *kind != Kind::Directory))
    }
}

fn check_path(path: &str) -> Result<(), ArchiveError> {
    let is_plain = |part: &str| !matches!(part, "" | "." | "..");
    if path.split('/').all(is_plain) {
        Ok(())
    } else {
        Err(ArchiveError::Refused(format!("{path:?} is not a plain relative path")))
    }
}

fn read_info(member: &Member, data: &mut dyn Read) -> Result<Info, ArchiveError> {
    let bytes = read_limited(member, INFO_LIMIT, data)?;
    let text = String::from_utf8(bytes).map_err(|_| ArchiveError::Refused(format!("{} is not UTF-8", member.path)))?;
    if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err(ArchiveError::Refused(format!("control characters in {}", member.path)));
    }
    let info = Info::parse(&text);
    match info.doubled_key() {
        Some(key) => Err(ArchiveError::Refused(format!("{} says {key} twice", member.path))),
        None => Ok(info),
    }
}

fn read_limited(member: &Member, limit: u64, data: &mut dyn Read) -> Result<Vec<u8>, ArchiveError> {
    if member.size > limit {
        return Err(ArchiveError::Limit(format!("{} bytes of {}", member.size, member.path)));
    }
    let mut bytes = Vec::new();
    data.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Computes the checksum of a member while it is read.
struct Hashed<'a> {
    inner: &'a mut dyn Read,
    sha256: Sha256,
}

impl Read for Hashed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        self.sha256.update(&buffer[..got]);
        Ok(got)
    }
}
