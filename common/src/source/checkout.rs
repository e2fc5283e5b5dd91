//! Writing a package's directory: upstream's files, the customization over them, the PKGBUILD made ours.
//!
//! What is in a git repository is hostile: both trees are read into one map first (so nothing is written through a
//! symbolic link), with limits on size, number and depth; links may only point into the directory, also after patches of
//! ours (module `patches`) were applied.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::Path;

use git2::Oid;

use super::mangle::mangle;
use super::patches::{self, is_patch};
use super::{SourceError, Sources, SubRelease};
use crate::atomic::FileError;
use crate::build_list::Order;
use crate::git::{EntryKind, GitRepository};
use crate::names::PkgBase;

/// Largest file.
pub(super) const MAX_FILE: usize = 64 << 20;
/// Largest sum of all files.
const MAX_TOTAL: usize = 256 << 20;
/// Most files and links.
const MAX_ENTRIES: usize = 4_000;
/// Deepest directory.
const MAX_DEPTH: usize = 16;
/// Longest path in the directory.
const MAX_PATH: usize = 1_024;

/// A file of the directory, by its path in parts.
type Files<'a> = BTreeMap<Vec<String>, Source<'a>>;

#[derive(Clone, Copy)]
struct Source<'a> {
    git: &'a GitRepository,
    kind: EntryKind,
    id: Oid,
}

impl Sources {
    /// Writes the directory that an order is built in: `destination` must be missing or empty. In the layout `state` the
    /// package's commit is fetched where it is missing.
    ///
    /// # Errors
    /// A commit is not in the clones or cannot be fetched, there is no PKGBUILD, the content is refused or a file cannot be written.
    pub fn checkout(&self, order: &Order, sub: SubRelease, destination: &Path) -> Result<(), SourceError> {
        let content = self.content(order)?;
        self.fetch_content(&order.pkgbase, &content)?;
        let parts = self.parts(&order.pkgbase, &content)?;
        let reader = Reader {
            pkgbase: &order.pkgbase,
        };
        let mut files = Files::new();
        let mut pkgbuilds = Vec::new();
        let mut patches = Files::new();
        let [upstream, ours] = &parts;
        for (part, is_ours) in [(upstream, false), (ours, true)] {
            let Some((git, tree)) = part else { continue };
            let mut layer = reader.files(git, *tree)?;
            if let Some(pkgbuild) = layer.remove(["PKGBUILD".to_owned()].as_slice()) {
                pkgbuilds.push(reader.pkgbuild(pkgbuild)?);
            }
            if is_ours {
                patches = layer.clone();
                patches.retain(|path, _| is_patch(path));
                layer.retain(|path, _| !is_patch(path));
            }
            lay_over(&mut files, layer);
        }
        if pkgbuilds.is_empty() {
            return Err(SourceError::NoPkgbuild(Box::new(order.clone())));
        }
        if let Some(path) = files.keys().find(|path| path[0] == "PKGBUILD") {
            return Err(reader.refuse(path, "is in a directory of the PKGBUILD's name"));
        }
        make_directory(destination)?;
        reader.write(&files, destination)?;
        if !patches.is_empty() {
            pkgbuilds[0] = reader.patch(&patches, &pkgbuilds[0], destination)?;
        }
        let pkgbuild = mangle(&pkgbuilds, sub, &self.arch);
        write_file(&destination.join("PKGBUILD"), &pkgbuild, 0o644)?;
        Ok(())
    }
}

/// Files over files: one that was a directory below, or the other way round, replaces what was there.
fn lay_over<'a>(files: &mut Files<'a>, layer: Files<'a>) {
    for (path, source) in layer {
        files.retain(|other, _| !other.starts_with(&path) && !path.starts_with(other));
        files.insert(path, source);
    }
}

/// Reads and writes the files of one package, with its name in every refusal.
struct Reader<'a> {
    pkgbase: &'a PkgBase,
}

impl Reader<'_> {
    fn refuse(&self, path: &[String], reason: impl Into<String>) -> SourceError {
        SourceError::Refused {
            pkgbase: self.pkgbase.to_string(),
            path: path.join("/").chars().take(200).collect(),
            reason: reason.into(),
        }
    }

    fn files<'a>(&self, git: &'a GitRepository, tree: Oid) -> Result<Files<'a>, SourceError> {
        let mut files = Files::new();
        let mut pending = vec![(Vec::new(), tree)];
        while let Some((directory, tree)) = pending.pop() {
            if directory.len() > MAX_DEPTH {
                return Err(self.refuse(&directory, "is too deep"));
            }
            for entry in git.entries(tree)? {
                let mut path = directory.clone();
                path.push(String::from_utf8_lossy(&entry.name).into_owned());
                if !entry.text().is_some_and(is_plain_name) {
                    return Err(self.refuse(&path, "has a name that no file may have"));
                }
                if path.iter().map(|part| part.len() + 1).sum::<usize>() > MAX_PATH {
                    return Err(self.refuse(&path, "is too long"));
                }
                match entry.kind {
                    EntryKind::Tree => pending.push((path, entry.id)),
                    EntryKind::Submodule => return Err(self.refuse(&path, "is a submodule")),
                    EntryKind::File | EntryKind::Executable | EntryKind::Link => {
                        let (kind, id) = (entry.kind, entry.id);
                        files.insert(path, Source { git, kind, id });
                    }
                }
                if files.len() + pending.len() > MAX_ENTRIES {
                    return Err(self.refuse(&directory, format!("has more than {MAX_ENTRIES} files")));
                }
            }
        }
        Ok(files)
    }

    fn pkgbuild(&self, source: Source<'_>) -> Result<Vec<u8>, SourceError> {
        let path = ["PKGBUILD".to_owned()];
        if source.kind == EntryKind::Link {
            return Err(self.refuse(&path, "is a symbolic link"));
        }
        Ok(source.git.blob(source.id, MAX_FILE)?)
    }

    /// Applies patches to the directory and the first PKGBUILD, which is returned and not left there.
    fn patch(&self, patches: &Files<'_>, pkgbuild: &[u8], destination: &Path) -> Result<Vec<u8>, SourceError> {
        let path = destination.join("PKGBUILD");
        write_file(&path, pkgbuild, 0o644)?;
        for (name, source) in patches {
            if source.kind == EntryKind::Link {
                return Err(self.refuse(name, "is a symbolic link"));
            }
            let patch = source.git.blob(source.id, MAX_FILE)?;
            patches::apply(destination, patch).map_err(|error| match patches::complaint(&error) {
                Some(complaint) => self.refuse(name, complaint),
                None => FileError::at("patch", destination)(std::io::Error::other(error)).into(),
            })?;
        }
        self.check_links(destination, &mut Vec::new())?;
        let name = ["PKGBUILD".to_owned()];
        let metadata = fs::symlink_metadata(&path).map_err(|_| self.refuse(&name, "is gone after the patches"))?;
        if !metadata.is_file() || metadata.len() > MAX_FILE as u64 {
            return Err(self.refuse(&name, "is no small file after the patches"));
        }
        let content = fs::read(&path).map_err(FileError::at("read", &path))?;
        fs::remove_file(&path).map_err(FileError::at("remove", &path))?;
        Ok(content)
    }

    /// Looks at every link below a directory: a patch can make and move them.
    fn check_links(&self, directory: &Path, parts: &mut Vec<String>) -> Result<(), SourceError> {
        if parts.len() > MAX_DEPTH {
            return Err(self.refuse(parts, "is too deep"));
        }
        for entry in fs::read_dir(directory).map_err(FileError::at("read", directory))? {
            let entry = entry.map_err(FileError::at("read", directory))?;
            parts.push(entry.file_name().to_string_lossy().into_owned());
            let kind = entry.file_type().map_err(FileError::at("look at", entry.path()))?;
            if kind.is_dir() {
                self.check_links(&entry.path(), parts)?;
            } else if kind.is_symlink() {
                let link = fs::read_link(entry.path()).map_err(FileError::at("read", entry.path()))?;
                if !link.to_str().is_some_and(|link| stays_inside(parts.len() - 1, link)) {
                    return Err(self.refuse(parts, "is a symbolic link that leaves the directory"));
                }
            }
            parts.pop();
        }
        Ok(())
    }

    fn write(&self, files: &Files<'_>, destination: &Path) -> Result<(), SourceError> {
        let mut left = MAX_TOTAL;
        for (path, source) in files {
            let content = source.git.blob(source.id, MAX_FILE)?;
            left = left
                .checked_sub(content.len())
                .ok_or_else(|| self.refuse(path, format!("makes the files larger than {MAX_TOTAL} bytes")))?;
            let target: std::path::PathBuf = destination.join(path.join("/"));
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent).map_err(FileError::at("make directory", parent))?;
            }
            match source.kind {
                EntryKind::Link => {
                    let link = std::str::from_utf8(&content)
                        .ok()
                        .filter(|l| stays_inside(path.len() - 1, l));
                    let Some(link) = link else {
                        return Err(self.refuse(path, "is a symbolic link that leaves the directory"));
                    };
                    symlink(link, &target).map_err(FileError::at("make link", &target))?;
                }
                EntryKind::Executable => write_file(&target, &content, 0o755)?,
                _ => write_file(&target, &content, 0o644)?,
            }
        }
        Ok(())
    }
}

/// UTF-8 without control characters; git's own directory would be taken for one by tools that run there.
fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && name != "."
        && name != ".."
        && !name.eq_ignore_ascii_case(".git")
        && name.len() <= crate::names::MAX_FILE_NAME
        && !name.chars().any(|c| c.is_control() || c == '/')
}

/// Whether a link in a directory of this depth cannot leave the top one: `..` only at the beginning, and not too
/// many. With `..` after a name, that name could be a link itself.
fn stays_inside(depth: usize, link: &str) -> bool {
    let parts: Vec<&str> = link
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    let ups = parts.iter().take_while(|part| **part == "..").count();
    !link.is_empty()
        && !link.starts_with('/')
        && ups <= depth
        && !parts[ups..].contains(&"..")
        && !link.chars().any(char::is_control)
}

fn make_directory(path: &Path) -> Result<(), SourceError> {
    fs::create_dir_all(path).map_err(FileError::at("make directory", path))?;
    let mut entries = fs::read_dir(path).map_err(FileError::at("read", path))?;
    if entries.next().is_some() {
        let full = std::io::Error::from(std::io::ErrorKind::DirectoryNotEmpty);
        return Err(FileError::at("check out into", path)(full).into());
    }
    Ok(())
}

/// Not state: a directory that was not written to the end is thrown away, so nothing is synced.
fn write_file(path: &Path, content: &[u8], mode: u32) -> Result<(), SourceError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    opened
        .and_then(|mut file| file.write_all(content))
        .map_err(FileError::at("write", path))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_may_point_inside_only() {
        for (depth, link) in [(0, "a"), (1, "../a"), (0, "./a/b"), (2, "../../a"), (1, "..")] {
            assert!(stays_inside(depth, link), "{depth} {link}");
        }
        for (depth, link) in [
            (0, "/etc/passwd"),
            (0, ".."),
            (1, "../../a"),
            (1, "a/../b"),
            (0, ""),
            (0, "a\nb"),
        ] {
            assert!(!stays_inside(depth, link), "{depth} {link}");
        }
    }

    #[test]
    fn odd_names_are_refused() {
        for name in ["", ".", "..", ".git", ".GIT", "a\nb", "a\u{7f}"] {
            assert!(!is_plain_name(name), "{name:?}");
        }
        for name in ["FS#58237.patch", "a b", ".SRCINFO", "ä.patch"] {
            assert!(is_plain_name(name), "{name:?}");
        }
    }
}
