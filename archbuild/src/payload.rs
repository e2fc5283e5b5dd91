//! The files that go with a request, as a tar stream: the directory of the PKGBUILD, a keyring, package files.
//!
//! Reading happens outside with the caller's rights, unpacking inside with those of the unprivileged account: neither
//! needs the other's. Symbolic links stay links, or a hostile directory could have root hand out any file.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use common::process::{Command, Output};
use nix::fcntl::OFlag;
use tar::{Builder, EntryType, Header};

/// Where the directory of the PKGBUILD goes.
pub(crate) const START: &str = "startdir";
/// Where the keyring goes.
pub(crate) const KEYRING: &str = "gnupg";
/// Where package files to install go.
pub(crate) const INSTALL: &str = "install";

/// What makepkg makes in the directory of a PKGBUILD; nobody wants that of an earlier build.
const MADE_BY_MAKEPKG: &[&str] = &["src", "pkg"];
/// The files of a gpg home directory that say whom to trust. Secret keys stay where they are.
const KEYRING_FILES: &[&str] = &["pubring.gpg", "pubring.kbx", "trustdb.gpg"];

/// Files to send.
#[derive(Debug, Clone, Default)]
pub struct Payload {
    /// The directory of the PKGBUILD.
    pub start: Option<PathBuf>,
    /// A gpg home directory.
    pub keyring: Option<PathBuf>,
    /// Package files.
    pub install: Vec<PathBuf>,
    /// A whole file tree, which follows all others.
    pub root: Option<PathBuf>,
}

impl Payload {
    /// Writes the stream.
    pub fn send(&self, to: &mut impl Write) -> Result<()> {
        let mut archive = Builder::new(to);
        if let Some(directory) = &self.start {
            let is_wanted = |name: &Path| !MADE_BY_MAKEPKG.iter().any(|made| name == Path::new(made));
            send_directory(&mut archive, directory, Path::new(START), &is_wanted)?;
        }
        if let Some(home) = &self.keyring {
            for name in KEYRING_FILES {
                if home.join(name).exists() {
                    send_file(&mut archive, &home.join(name), &Path::new(KEYRING).join(name))?;
                }
            }
        }
        for path in &self.install {
            let name = path.file_name().context("a package file has no name")?;
            send_file(&mut archive, path, &Path::new(INSTALL).join(name))?;
        }
        archive.into_inner()?.flush()?;
        Ok(())
    }
}

fn send_directory(
    archive: &mut Builder<impl Write>,
    directory: &Path,
    name: &Path,
    is_wanted: &dyn Fn(&Path) -> bool,
) -> Result<()> {
    let reading = || format!("cannot read {}", directory.display());
    archive.append_dir(name, directory).with_context(reading)?;
    let mut entries = fs::read_dir(directory)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .with_context(reading)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), name.join(entry.file_name()));
        let kind = entry.file_type().with_context(reading)?;
        if kind.is_dir() {
            if is_wanted(Path::new(&entry.file_name())) {
                send_directory(archive, &path, &name, &|_| true)?;
            }
        } else if kind.is_symlink() {
            let target = fs::read_link(&path).with_context(reading)?;
            let mut header = Header::new_gnu();
            header.set_entry_type(EntryType::Symlink);
            header.set_size(0);
            archive.append_link(&mut header, &name, &target)?;
        } else if kind.is_file() {
            send_file(archive, &path, &name)?;
        }
    }
    Ok(())
}

fn send_file(archive: &mut Builder<impl Write>, path: &Path, name: &Path) -> Result<()> {
    let reading = || format!("cannot read {}", path.display());
    let file = open_regular(path).with_context(reading)?;
    let metadata = file.metadata().with_context(reading)?;
    let mut header = Header::new_gnu();
    header.set_metadata(&metadata);
    archive
        .append_data(&mut header, name, file.take(metadata.len()))
        .with_context(reading)
}

/// Opens a regular file, and nothing else: no link, and no pipe that would hang.
pub(crate) fn open_regular(path: &Path) -> std::io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(std::io::Error::other("not a regular file"))
    }
}

/// Unpacks the stream below `directory`. Everything belongs to the calling user.
pub(crate) fn receive(from: impl Read, directory: &Path) -> Result<()> {
    let mut archive = tar::Archive::new(from);
    archive.set_preserve_permissions(false);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let is_unpacked = entry.unpack_in(directory)?;
        ensure!(is_unpacked, "a file of the request leads out of its directory");
    }
    // Two blocks of zeros end a stream, of which the reader takes one: another stream may follow.
    archive.into_inner().read_exact(&mut [0; 512])?;
    for name in [START, KEYRING, INSTALL] {
        fs::create_dir_all(directory.join(name))?;
    }
    // gpg complains about a home that others can read.
    fs::set_permissions(directory.join(KEYRING), fs::Permissions::from_mode(0o700))?;
    Ok(())
}

/// What is not taken over from a root: what is mounted there, and what belongs to a running system.
const NOT_OF_A_ROOT: &[&str] = &["./dev/*", "./proc/*", "./sys/*", "./run/*", "./tmp/*"];

/// Writes the stream of a whole file tree: tar reads it, since owners, links and times have to be right.
pub(crate) fn send_root(root: &Path, to: File) -> Result<()> {
    let excludes = NOT_OF_A_ROOT.iter().map(|pattern| format!("--exclude={pattern}"));
    let command = Command::new("tar")
        .args([
            "--create",
            "--file=-",
            "--numeric-owner",
            "--one-file-system",
            "--format=pax",
        ])
        .args(excludes)
        .arg("--directory")
        .arg(root)
        .arg(".")
        .output(Output::Stdout(to));
    command.run().context("cannot read the root")?;
    Ok(())
}

/// Unpacks the stream of a whole file tree. Device nodes cannot be made here, and are not needed.
pub(crate) fn receive_root(from: impl Read, root: &Path) -> Result<()> {
    let mut archive = tar::Archive::new(from);
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(true);
    archive.set_preserve_mtime(true);
    let mut directories = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        match entry.header().entry_type() {
            EntryType::Block | EntryType::Char => {}
            // A directory may be closed to us once it has its mode and owner.
            EntryType::Directory => directories.push(entry),
            _ => {
                entry.unpack_in(root)?;
            }
        }
    }
    for mut directory in directories.into_iter().rev() {
        directory.unpack_in(root)?;
    }
    ensure!(root.join("usr/bin/pacman").exists(), "what arrived is no root");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_directory_arrives_with_its_links_and_modes_and_without_what_makepkg_made() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let write = |name: &str, text: &[u8]| common::atomic::write(&from.path().join(name), text).unwrap();
        for directory in ["src", "pkg", "keys/src"] {
            fs::create_dir_all(from.path().join(directory)).unwrap();
        }
        write("PKGBUILD", b"pkgname=x\n");
        write("tool.sh", b"#!/bin/sh\n");
        write("src/old", b"");
        write("keys/src/kept", b"");
        fs::set_permissions(from.path().join("tool.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("/etc/shadow", from.path().join("link")).unwrap();
        let payload = Payload {
            start: Some(from.path().to_owned()),
            ..Payload::default()
        };
        let mut stream = Vec::new();
        payload.send(&mut stream).unwrap();
        receive(stream.as_slice(), to.path()).unwrap();
        let start = to.path().join(START);
        assert_eq!(fs::read_to_string(start.join("PKGBUILD")).unwrap(), "pkgname=x\n");
        assert_eq!(
            fs::metadata(start.join("tool.sh")).unwrap().permissions().mode() & 0o111,
            0o111
        );
        assert_eq!(fs::read_link(start.join("link")).unwrap(), Path::new("/etc/shadow"));
        assert!(!start.join("src").exists() && !start.join("pkg").exists());
        assert!(start.join("keys/src/kept").exists());
    }

    #[test]
    fn only_the_public_half_of_a_keyring_is_sent() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for name in ["pubring.kbx", "trustdb.gpg", "secring.gpg", "random_seed"] {
            common::atomic::write(&from.path().join(name), b"x").unwrap();
        }
        let payload = Payload {
            keyring: Some(from.path().to_owned()),
            ..Payload::default()
        };
        let mut stream = Vec::new();
        payload.send(&mut stream).unwrap();
        receive(stream.as_slice(), to.path()).unwrap();
        let mut names: Vec<_> = fs::read_dir(to.path().join(KEYRING))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["pubring.kbx", "trustdb.gpg"]);
    }

    #[test]
    fn a_pipe_in_the_way_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(open_regular(&pipe).is_err());
    }
}
