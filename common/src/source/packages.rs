//! The layout `state`: one repository that says what upstream has released, and one git repository a package.
//!
//! Arch's state repository has a file `REPOSITORY-ARCH/PKGBASE` for every package, one line: `pkgbase version tag
//! commit`. The files of the package are those of that commit in the git repository `PREFIX/PROJECT.git`, PROJECT being
//! the pkgbase in the forge's spelling. What is built is identified by the state file alone; a package's commit is
//! fetched when its files are needed, without its history, into `<work_dir>/repos/NAME.packages/PROJECT.git`.

use std::cmp::Ordering;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use git2::Oid;
use thiserror::Error;

use super::SourceError;
use crate::config::{Config, ConfigError};
use crate::git::GitRepository;
use crate::names::{NameError, PkgBase, Repository, Revision};
use crate::version::{FullVersion, VersionError};

/// Largest file in the state repository.
const MAX_STATE_FILE: usize = 4_096;

/// A file of the state repository that does not say what it should.
#[derive(Debug, Error)]
pub(super) enum StateFileError {
    #[error("is not the one line `pkgbase version tag commit`")]
    Shape,
    #[error("has no usable pkgbase or commit: {0}")]
    Name(#[from] NameError),
    #[error("has no usable version: {0}")]
    Version(#[from] VersionError),
}

/// What the state repository says of one package. The tag is not used: it could be moved.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StateFile {
    pkgbase: PkgBase,
    version: FullVersion,
    commit: Revision,
}

impl FromStr for StateFile {
    type Err = StateFileError;

    fn from_str(text: &str) -> Result<Self, StateFileError> {
        let mut lines = text.lines();
        let (Some(line), None) = (lines.next(), lines.next()) else {
            return Err(StateFileError::Shape);
        };
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [pkgbase, version, _tag, commit] = words.as_slice() else {
            return Err(StateFileError::Shape);
        };
        Ok(Self {
            pkgbase: pkgbase.parse()?,
            version: version.parse()?,
            commit: commit.parse()?,
        })
    }
}

/// The git repositories of the packages that one state repository speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PackageRepositories {
    prefix: String,
    directory: PathBuf,
}

impl PackageRepositories {
    /// Those of the state repository `name`.
    pub(super) fn configured(config: &Config, name: &Repository) -> Result<Self, ConfigError> {
        let prefix = config.required(&Config::key_for("repo_packages__", name))?;
        let repos = config.required_path("work_dir")?.join("repos");
        Ok(Self {
            prefix: prefix.trim_end_matches('/').to_owned(),
            directory: repos.join(format!("{name}.packages")),
        })
    }

    /// The repository of a package and the tree of its files there; `None` when that commit has not been fetched.
    pub(super) fn files(
        &self,
        state: &GitRepository,
        pkgbase: &PkgBase,
        file: Oid,
    ) -> Result<Option<(Arc<GitRepository>, Oid)>, SourceError> {
        let commit = read(state, pkgbase, file)?.commit;
        let git = self.repository(state, pkgbase);
        let tree = || match git.has_fetched(&commit)? {
            true => git.tree_of(&commit),
            false => Ok(None),
        };
        let tree = tree().map_err(of_package(pkgbase))?;
        Ok(tree.map(|tree| (Arc::new(git), tree)))
    }

    /// Fetches the commit of a package, unless it is there.
    pub(super) fn fetch(&self, state: &GitRepository, pkgbase: &PkgBase, file: Oid) -> Result<(), SourceError> {
        let commit = read(state, pkgbase, file)?.commit;
        let git = self.repository(state, pkgbase);
        git.fetch_commit(&commit).map_err(of_package(pkgbase))
    }

    fn repository(&self, state: &GitRepository, pkgbase: &PkgBase) -> GitRepository {
        let file = format!("{}.git", project_name(pkgbase));
        let url = format!("{}/{file}", self.prefix);
        GitRepository::new(state.name().clone(), self.directory.join(file), Some(url))
    }
}

/// Of two state files of a package in one package repository the one that counts: the newer, else the first. The
/// other was left behind when the package's architecture became `any` or the other way round.
pub(super) fn newer(state: &GitRepository, pkgbase: &PkgBase, (first, second): (Oid, Oid)) -> Oid {
    let versions = (read(state, pkgbase, first), read(state, pkgbase, second));
    match versions {
        (Ok(one), Ok(other)) if one.version.cmp(&other.version) == Ordering::Less => second,
        (Err(_), Ok(_)) => second,
        _ => first,
    }
}

fn read(state: &GitRepository, pkgbase: &PkgBase, file: Oid) -> Result<StateFile, SourceError> {
    let refuse = |reason: String| SourceError::Refused {
        pkgbase: pkgbase.to_string(),
        path: format!("state file {file}"),
        reason,
    };
    let content = state.blob(file, MAX_STATE_FILE)?;
    let parsed: StateFile = std::str::from_utf8(&content)
        .map_err(|_| StateFileError::Shape)
        .and_then(str::parse)
        .map_err(|error| refuse(error.to_string()))?;
    if parsed.pkgbase != *pkgbase {
        return Err(refuse(format!("is that of {}", parsed.pkgbase)));
    }
    Ok(parsed)
}

fn of_package(pkgbase: &PkgBase) -> impl FnOnce(crate::git::GitError) -> SourceError {
    let pkgbase = pkgbase.clone();
    move |source| SourceError::Package {
        pkgbase,
        source: Box::new(source),
    }
}

/// A pkgbase as the name of a project on Arch's forge, which has rules of its own: devtools' rule (its function
/// `gitlab_project_name_to_path`), step by step. Two pkgbases may share a project.
pub(super) fn project_name(pkgbase: &PkgBase) -> String {
    let joined = join_words(pkgbase.as_str()).replace('+', "plus");
    let mut name = String::with_capacity(joined.len());
    for part in joined.chars() {
        let part = match part {
            'A'..='Z' | 'a'..='z' | '0'..='9' | '_' | '.' => part,
            _ => '-',
        };
        // Several of _ and - become one -.
        if matches!(part, '_' | '-') && name.ends_with(['_', '-']) {
            name.pop();
            name.push('-');
        } else {
            name.push(part);
        }
    }
    // The forge uses the word in its own addresses.
    if name == "tree" { "unix-tree".to_owned() } else { name }
}

/// `+` between a letter or digit and a letter becomes `-`. A letter that ends one such pair does not begin the next:
/// `a+b+c` becomes `a-b+c`.
fn join_words(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('+') {
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        out.push_str(before);
        if letters > 0 && before.ends_with(|last: char| last.is_ascii_alphanumeric()) {
            out.push('-');
            out.push_str(&after[..letters]);
            rest = &after[letters..];
        } else {
            out.push('+');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_spelled_as_devtools_spells_it() {
        // Each of these is what devtools' sed commands print.
        for (pkgbase, expected) in [
            ("zlib", "zlib"),
            ("libsigc++", "libsigcplusplus"),
            ("libsigc++-3.0", "libsigcplusplus-3.0"),
            ("dvd+rw-tools", "dvd-rw-tools"),
            ("gtk2+extra", "gtk2-extra"),
            ("a+b+c", "a-bplusc"),
            ("a+b2+c", "a-b2-c"),
            ("a++b", "aplusplusb"),
            ("a+1", "aplus1"),
            ("+a", "plusa"),
            ("mysql++", "mysqlplusplus"),
            ("tree", "unix-tree"),
            ("tree-sitter", "tree-sitter"),
            ("a@b", "a-b"),
            ("a__b", "a-b"),
            ("a_b", "a_b"),
            ("a-_-b", "a-b"),
            ("a@_b", "a-b"),
            ("_a", "_a"),
        ] {
            assert_eq!(project_name(&pkgbase.parse().unwrap()), expected, "{pkgbase}");
        }
    }

    #[test]
    fn a_state_file_is_one_line_of_four_words() {
        let commit = "1234567890".repeat(4);
        let good: StateFile = format!("libsigc++ 1:2.12.1-1 1-2.12.1-1 {commit}\n").parse().unwrap();
        assert_eq!(good.pkgbase.as_str(), "libsigc++");
        assert_eq!(good.commit.as_str(), commit);
        for text in [
            String::new(),
            format!("a 1-1 1-1 {commit}\nb 1-1 1-1 {commit}\n"),
            format!("a 1-1 {commit}\n"),
            format!("a 1-1 1-1 {commit} more\n"),
            format!("../a 1-1 1-1 {commit}\n"),
            format!("a 1 1 {commit}\n"),
            "a 1-1 1-1 HEAD\n".to_owned(),
            format!("a 1-1 1-1 {}\n", &commit[1..]),
            "a 1-1 1-1 --upload-pack=x\n".to_owned(),
        ] {
            assert!(text.parse::<StateFile>().is_err(), "{text}");
        }
    }
}
