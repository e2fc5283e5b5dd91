//! Packaging repositories made of lists of files, with a commit for each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::config::Config;
use common::names::Revision;

/// A file of a commit: path, git mode, content.
pub type File<'a> = (&'a str, i32, &'a str);

/// A plain file.
pub const FILE: i32 = 0o100_644;
/// An executable file.
pub const EXECUTABLE: i32 = 0o100_755;
/// A symbolic link.
pub const LINK: i32 = 0o120_000;

/// A bare repository that commits are added to.
pub struct Remote {
    repository: git2::Repository,
    path: PathBuf,
}

impl Remote {
    /// Makes an empty repository.
    ///
    /// # Panics
    /// libgit2 cannot make it.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        let mut options = git2::RepositoryInitOptions::new();
        options.bare(true).initial_head("main").external_template(false);
        Self {
            repository: git2::Repository::init_opts(path, &options).expect("an empty repository"),
            path: path.to_owned(),
        }
    }

    /// Its address for `repo_urls__NAME`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("file://{}", self.path.display())
    }

    /// A commit with exactly these files.
    ///
    /// # Panics
    /// libgit2 cannot make it.
    pub fn commit(&self, files: &[File<'_>]) -> Revision {
        self.commit_at(0, files)
    }

    /// A commit with exactly these files, made at this Unix time.
    ///
    /// # Panics
    /// libgit2 cannot make it.
    pub fn commit_at(&self, unix: i64, files: &[File<'_>]) -> Revision {
        let files: Vec<(String, i32, &str)> = files.iter().map(|f| (f.0.to_owned(), f.1, f.2)).collect();
        self.try_commit(unix, &files)
            .expect("a commit")
            .to_string()
            .parse()
            .expect("a commit's id is a revision")
    }

    fn try_commit(&self, unix: i64, files: &[(String, i32, &str)]) -> Result<git2::Oid, git2::Error> {
        let tree = self.repository.find_tree(self.tree(files)?)?;
        let author = git2::Signature::new("A", "a@localhost", &git2::Time::new(unix, 0))?;
        let parent = match self.repository.head() {
            Ok(head) => Some(head.peel_to_commit()?),
            Err(_) => None,
        };
        let parents: Vec<&git2::Commit<'_>> = parent.iter().collect();
        self.repository
            .commit(Some("HEAD"), &author, &author, "x", &tree, &parents)
    }

    fn tree(&self, files: &[(String, i32, &str)]) -> Result<git2::Oid, git2::Error> {
        let mut builder = self.repository.treebuilder(None)?;
        let mut below: BTreeMap<String, Vec<(String, i32, &str)>> = BTreeMap::new();
        for (path, mode, content) in files {
            match path.split_once('/') {
                Some((directory, rest)) => {
                    let files = below.entry(directory.to_owned()).or_default();
                    files.push((rest.to_owned(), *mode, content));
                }
                None => {
                    let blob = self.repository.blob(content.as_bytes())?;
                    builder.insert(path, blob, *mode)?;
                }
            }
        }
        for (directory, files) in below {
            builder.insert(directory, self.tree(&files)?, 0o040_000)?;
        }
        builder.write()
    }
}

/// Two git repositories of upstream's, `packages` and `community`, and a customization repository, `ours`.
pub struct Port {
    /// Where all of it lies.
    pub directory: tempfile::TempDir,
    /// The first of upstream's.
    pub packages: Remote,
    /// The second of upstream's.
    pub community: Remote,
    /// The customization repository.
    pub ours: Remote,
}

impl Port {
    /// Makes the three, empty.
    ///
    /// # Panics
    /// The temporary directory cannot be written.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it makes directories")]
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let remote = |name: &str| Remote::new(&directory.path().join(name));
        Self {
            packages: remote("packages.git"),
            community: remote("community.git"),
            ours: remote("ours.git"),
            directory,
        }
    }

    /// A configuration for them, as text that lines can be added to.
    #[must_use]
    pub fn conf(&self) -> String {
        format!(
            "work_dir={}\narch=i686\nrepo_names='packages community ours'\n\
             repo_urls__packages={}\nrepo_urls__community={}\nrepo_urls__ours={}\n",
            self.directory.path().join("work").display(),
            self.packages.url(),
            self.community.url(),
            self.ours.url(),
        )
    }

    /// The configuration.
    ///
    /// # Panics
    /// Never: it can be read.
    #[must_use]
    pub fn config(&self) -> Config {
        Config::from_text(&self.conf()).expect("a configuration that can be read")
    }
}

/// A `.SRCINFO` of a package with one release, 1-1, and these further lines of its pkgbase section.
#[must_use]
pub fn srcinfo(pkgbase: &str, lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("\t{line}\n")).collect();
    format!("pkgbase = {pkgbase}\n\tpkgver = 1\n\tpkgrel = 1\n\tarch = any\n{lines}\npkgname = {pkgbase}\n")
}
