//! pacman.conf(5) as one text: what it includes is put in place, so that a chroot needs no other file of the host.
//!
//! Two forms come out of it: the one that pacman of the host works with on a root (without what names paths or
//! accounts of the host), and the list of local directories that its servers need to see.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// How deep files may include each other, as pacman's own limit.
const MAX_DEPTH: usize = 10;

/// Options that name places or accounts of the host, or that make no sense for a root elsewhere.
const HOST_OPTIONS: &[&str] = &[
    "RootDir",
    "DBPath",
    "CacheDir",
    "LogFile",
    "GPGDir",
    "HookDir",
    "CheckSpace",
    "DownloadUser",
];

/// A pacman.conf that cannot be used.
#[derive(Debug, Error)]
pub(crate) enum PacmanConfError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Files include each other.
    #[error("{}: files include each other more than {MAX_DEPTH} deep", .0.display())]
    TooDeep(PathBuf),
    /// An include with a pattern.
    #[error("{}: Include = {pattern}: a pattern cannot be used here, name the files", path.display())]
    Pattern {
        /// The file.
        path: PathBuf,
        /// The pattern.
        pattern: String,
    },
    /// There is no repository in it.
    #[error("{}: no repository is configured", .0.display())]
    NoRepository(PathBuf),
}

/// A configuration of pacman with nothing included.
#[derive(Debug, Clone)]
pub(crate) struct PacmanConf(String);

impl PacmanConf {
    /// Reads a file and what it includes.
    pub(crate) fn read(path: &Path) -> Result<Self, PacmanConfError> {
        let mut text = String::new();
        append(path, 0, &mut text)?;
        let conf = Self(text);
        if conf.repositories().next().is_none() {
            return Err(PacmanConfError::NoRepository(path.to_owned()));
        }
        Ok(conf)
    }

    /// Puts a repository without signatures before all others.
    pub(crate) fn prepend(&mut self, name: &str, url: &str) {
        let section = format!("[{name}]\nSigLevel = Optional TrustAll\nServer = {url}\n");
        let first = self.0.lines().position(is_repository).unwrap_or(0);
        let mut lines: Vec<&str> = self.0.lines().collect();
        lines.insert(first, &section);
        self.0 = lines.join("\n");
    }

    /// The names of the repositories, in their order.
    pub(crate) fn repositories(&self) -> impl Iterator<Item = &str> {
        let sections = self.0.lines().map(str::trim).filter(|line| is_repository(line));
        sections.map(|line| line.trim_matches(['[', ']']))
    }

    /// What pacman inside a chroot for `arch` reads.
    pub(crate) fn for_chroot(&self, arch: &str) -> String {
        self.for_architecture(arch, &[])
    }

    /// What pacman of the host reads when it works on a root for `arch`.
    pub(crate) fn for_host(&self, arch: &str) -> String {
        self.for_architecture(arch, HOST_OPTIONS)
    }

    /// The text with the architecture named, where it is not already, and without some options.
    fn for_architecture(&self, arch: &str, left_out: &[&str]) -> String {
        let is_auto = |line: &str| assignment(line) == ("Architecture", "auto");
        let is_named = self
            .0
            .lines()
            .any(|line| assignment(line).0 == "Architecture" && !is_auto(line));
        let mut text = if is_named {
            String::new()
        } else {
            format!("[options]\nArchitecture = {arch}\n")
        };
        for line in self.0.lines().filter(|line| !is_auto(line)) {
            if !left_out.contains(&assignment(line).0) {
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }

    /// The directories below which `file://` servers have their files.
    pub(crate) fn local_directories(&self) -> BTreeSet<PathBuf> {
        self.0
            .lines()
            .filter_map(|line| match assignment(line) {
                ("Server" | "CacheServer", url) => url.strip_prefix("file://"),
                _ => None,
            })
            .map(|path| match path.split_once('$') {
                // Only whole components are constant: /srv/repo-$arch needs /srv.
                Some((constant, _)) => constant.rsplit_once('/').map_or("/", |(directory, _)| directory),
                None => path,
            })
            .map(PathBuf::from)
            .filter(|path| path.is_absolute() && path != Path::new("/"))
            .collect()
    }
}

fn append(path: &Path, depth: usize, text: &mut String) -> Result<(), PacmanConfError> {
    if depth > MAX_DEPTH {
        return Err(PacmanConfError::TooDeep(path.to_owned()));
    }
    let content = std::fs::read_to_string(path).map_err(|source| PacmanConfError::Read {
        path: path.to_owned(),
        source,
    })?;
    for line in content.lines() {
        match assignment(line) {
            ("Include", pattern) if pattern.contains(['*', '?', '[']) => {
                return Err(PacmanConfError::Pattern {
                    path: path.to_owned(),
                    pattern: pattern.to_owned(),
                });
            }
            ("Include", included) => append(Path::new(included), depth + 1, text)?,
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    Ok(())
}

/// Key and value of a line; both empty where it is none.
fn assignment(line: &str) -> (&str, &str) {
    let line = line.trim();
    if line.starts_with('#') || line.starts_with('[') {
        return ("", "");
    }
    let (key, value) = line.split_once('=').unwrap_or((line, ""));
    (key.trim(), value.trim())
}

fn is_repository(line: &str) -> bool {
    let line = line.trim();
    line.starts_with('[') && line.ends_with(']') && line != "[options]"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(text: &str) -> PacmanConf {
        PacmanConf(text.to_owned())
    }

    #[test]
    fn included_files_are_put_in_place() {
        let directory = tempfile::tempdir().unwrap();
        let (main, list) = (directory.path().join("pacman.conf"), directory.path().join("list"));
        common::atomic::write(&list, b"Server = file:///srv/$repo/os/$arch\n").unwrap();
        let text = format!("[options]\n[core]\nInclude = {}\n# end\n", list.display());
        common::atomic::write(&main, text.as_bytes()).unwrap();
        let read = PacmanConf::read(&main).unwrap();
        assert_eq!(
            read.for_chroot("any"),
            "[options]\nArchitecture = any\n[options]\n[core]\nServer = file:///srv/$repo/os/$arch\n# end\n"
        );
        assert_eq!(read.local_directories(), BTreeSet::from(["/srv".into()]));
    }

    #[test]
    fn a_file_that_includes_itself_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pacman.conf");
        common::atomic::write(&path, format!("Include = {}\n", path.display()).as_bytes()).unwrap();
        assert!(matches!(PacmanConf::read(&path), Err(PacmanConfError::TooDeep(_))));
    }

    #[test]
    fn places_of_the_host_are_left_out_and_the_architecture_is_named() {
        let text = "[options]\nArchitecture = auto\nDBPath = /x\nCheckSpace\nSigLevel = Required\n[core]\nServer = u\n";
        assert_eq!(
            conf(text).for_host("i686"),
            "[options]\nArchitecture = i686\n[options]\nSigLevel = Required\n[core]\nServer = u\n"
        );
        let text = "[options]\nArchitecture = x86_64 x86_64_v3\n";
        assert_eq!(conf(text).for_host("x86_64"), text);
    }

    #[test]
    fn another_repository_comes_before_the_others_and_after_the_options() {
        let mut conf = conf("[options]\nSigLevel = Never\n[core]\nServer = u");
        conf.prepend("mine", "file:///r");
        assert_eq!(
            conf.0,
            "[options]\nSigLevel = Never\n[mine]\nSigLevel = Optional TrustAll\nServer = file:///r\n\n[core]\nServer = u"
        );
    }

    #[test]
    fn only_constant_directories_of_local_servers_are_named() {
        let text =
            "[a]\nServer = file:///srv/repo-$arch/$repo\n[b]\nServer = https://host/$repo\n[c]\nServer = file:///opt/c";
        assert_eq!(
            conf(text).local_directories(),
            BTreeSet::from(["/opt/c".into(), "/srv".into()])
        );
    }
}
