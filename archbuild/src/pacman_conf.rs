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
pub enum PacmanConfError {
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
pub struct PacmanConf(String);

impl PacmanConf {
    /// Reads a file and what it includes.
    pub fn read(path: &Path) -> Result<Self, PacmanConfError> {
        let mut text = String::new();
        append(path, 0, &mut text)?;
        let conf = Self(text);
        if conf.repositories().next().is_none() {
            return Err(PacmanConfError::NoRepository(path.to_owned()));
        }
        Ok(conf)
    }

    /// Puts a repository without signatures before all others.
    pub fn prepend(&mut self, name: &str, url: &str) {
        let section = format!("[{name}]\nSigLevel = Optional TrustAll\nServer = {url}\n");
        let first = self.0.lines().position(is_repository).unwrap_or(0);
        let mut lines: Vec<&str> = self.0.lines().collect();
        lines.insert(first, &section);
        self.0 = lines.join("\n");
    }

    /// Puts a repository before all others that lies on the servers of the first one, whose URLs have `$repo` in them.
    /// Says whether there is such a server.
    pub fn prepend_sibling(&mut self, name: &str) -> bool {
        let of_first = self.0.lines().skip_while(|line| !is_repository(line)).skip(1);
        let servers: Vec<String> = of_first
            .take_while(|line| !is_repository(line))
            .filter(|line| matches!(assignment(line), ("Server" | "SigLevel", _)))
            .map(str::to_owned)
            .collect();
        let is_found = servers
            .iter()
            .any(|line| matches!(assignment(line), ("Server", url) if url.contains("$repo")));
        if is_found {
            let section = format!("[{name}]\n{}\n", servers.join("\n"));
            let first = self.0.lines().position(is_repository).unwrap_or(0);
            let mut lines: Vec<&str> = self.0.lines().collect();
            lines.insert(first, &section);
            self.0 = lines.join("\n");
        }
        is_found
    }

    /// The names of the repositories, in their order.
    pub fn repositories(&self) -> impl Iterator<Item = &str> {
        let sections = self.0.lines().map(str::trim).filter(|line| is_repository(line));
        sections.map(|line| line.trim_matches(['[', ']']))
    }

    /// The first architecture that it names.
    pub(crate) fn architecture(&self) -> Option<&str> {
        let mut named = self.0.lines().map(assignment).filter(|(key, _)| *key == "Architecture");
        let (_, value) = named.next()?;
        value.split_ascii_whitespace().next().filter(|arch| *arch != "auto")
    }

    /// What pacman inside a chroot for `arch` reads.
    pub fn for_chroot(&self, arch: &str) -> String {
        self.for_architecture(arch, &[])
    }

    /// What pacman of the host reads when it works on a root for `arch`.
    pub fn for_host(&self, arch: &str) -> String {
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

    /// `host:port` of the servers that are reached by HTTP, in their order.
    pub fn remote_servers(&self) -> Vec<String> {
        let servers = self.0.lines().filter_map(|line| match assignment(line) {
            ("Server" | "CacheServer", url) => url.split_once("://"),
            _ => None,
        });
        let mut found = Vec::new();
        for (scheme, rest) in servers {
            let port = match scheme {
                "http" => 80,
                "https" => 443,
                _ => continue,
            };
            let authority = rest.split('/').next().unwrap_or(rest);
            let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            let has_port = authority
                .rsplit_once(':')
                .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            let server = if has_port {
                authority.to_owned()
            } else {
                format!("{authority}:{port}")
            };
            if !found.contains(&server) {
                found.push(server);
            }
        }
        found
    }

    /// What pacman in a guest for `arch` reads: the files of `file://` servers are found at another URL.
    pub fn for_guest(&self, arch: &str, files: &str) -> String {
        let mut text = String::new();
        for line in self.for_host(arch).lines() {
            match assignment(line) {
                (key @ ("Server" | "CacheServer"), url) if url.starts_with("file://") => {
                    text.push_str(&format!("{key} = {files}{}\n", &url["file://".len()..]));
                }
                _ => {
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
        text
    }

    /// The directories below which `file://` servers have their files.
    pub fn local_directories(&self) -> BTreeSet<PathBuf> {
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
        assert_eq!(conf(text).architecture(), Some("x86_64"));
        assert_eq!(conf("[options]\nArchitecture = auto\n").architecture(), None);
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
    fn a_repository_without_url_lies_beside_the_first_one() {
        let mut with =
            conf("[options]\n[core]\nSigLevel = Never\nServer = https://host/$repo/$arch\n[extra]\nServer = u");
        assert!(with.prepend_sibling("testing"));
        assert_eq!(with.repositories().collect::<Vec<_>>(), ["testing", "core", "extra"]);
        let section = "[testing]\nSigLevel = Never\nServer = https://host/$repo/$arch\n\n[core]";
        assert!(with.0.contains(section), "{}", with.0);
        assert!(!conf("[core]\nServer = https://host/core\n").prepend_sibling("testing"));
    }

    #[test]
    fn a_guest_finds_local_repositories_elsewhere_and_remote_ones_where_they_are() {
        let conf = conf("[a]\nServer = file:///srv/$repo\nServer = http://u@h:81/$repo\nServer = https://h/\n");
        assert_eq!(
            conf.for_guest("any", "http://mirror"),
            "[options]\nArchitecture = any\n[a]\nServer = http://mirror/srv/$repo\nServer = http://u@h:81/$repo\n\
             Server = https://h/\n"
        );
        assert_eq!(conf.remote_servers(), ["h:81", "h:443"]);
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
