//! A build master without a port behind it: orders with committed metadata, so that nothing is evaluated, and a state
//! directory that can be copied and worked on elsewhere.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use common::config::Config;
use common::lock::Patience;
use common::names::Repository;
use common::package::PackageFile;
use common::repository::{NewPackage, Repositories};

use crate::package::PackageSpec;
use crate::packaging::{FILE, Remote, srcinfo};
use crate::tool::{self, Ended, Tool};

/// The customization's revision where there is none.
const NO_CUSTOMIZATION: &str = "0000000000000000000000000000000000000000";

/// A configuration, a packaging repository, and below [`Master::state`] everything that tools change.
pub struct Master {
    root: tempfile::TempDir,
    // libgit2's repositories are used by one thread at a time.
    remote: Mutex<Remote>,
    revision: String,
}

impl Master {
    /// Packages in list order: `"b"`, or `"b: a"` when b needs a to be built. They are on the build list, with their
    /// graph beside it.
    ///
    /// # Panics
    /// The files cannot be made.
    #[must_use]
    pub fn new(packages: &[&str]) -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let remote = Remote::new(&root.path().join("packages.git"));
        let revision = commit(&remote, packages);
        let master = Self {
            root,
            remote: Mutex::new(remote),
            revision,
        };
        for directory in ["work/package-states", "work/builders", "repositories"] {
            std::fs::create_dir_all(master.state().join(directory)).expect("a directory of the state");
        }
        master.configure("");
        master.list(packages);
        master
    }

    /// Upstream has these packages from now on; its address for `repo_urls__packages`.
    #[must_use]
    pub fn upstream(&self, packages: &[&str]) -> String {
        let remote = self.remote.lock().unwrap_or_else(PoisonError::into_inner);
        commit(&remote, packages);
        remote.url()
    }

    /// Upstream releases these packages again: orders of a new revision come onto the build list, which has to be empty.
    ///
    /// # Panics
    /// The list cannot be written.
    pub fn release(&mut self, packages: &[&str]) {
        assert_eq!(self.read("build-list"), "", "the orders of the last release are done");
        let remote = self.remote.lock().unwrap_or_else(PoisonError::into_inner);
        self.revision = commit(&remote, packages);
        drop(remote);
        self.list(packages);
    }

    /// Puts the orders of packages on the build list, their graph beside it.
    fn list(&self, packages: &[&str]) {
        let list: String = packages
            .iter()
            .map(|package| format!("{}\n", self.order(package.split(':').next().unwrap_or(package))))
            .collect();
        let graph: String = packages
            .iter()
            .map(|package| package.split_once(':').unwrap_or((package, "")))
            .map(|(pkgbase, needs)| {
                let edges: String = needs.split_whitespace().map(|n| format!(" make:{n}")).collect();
                format!("{pkgbase}{edges}\n")
            })
            .collect();
        self.write("build-list", &list);
        self.write("build-graph", &graph);
    }

    /// Adds lines to the configuration.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn configure(&self, lines: &str) {
        let text = format!(
            "arch=x86_64\nrepo_names=packages\nrepo_paths__packages='{}'\nlock_wait_seconds=60\n{lines}",
            self.root.path().join("packages.git").display(),
        );
        common::atomic::write(&self.config(), text.as_bytes()).expect("the configuration is written");
    }

    /// The configuration file; it names neither `work_dir` nor `repo_dir`.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.root.path().join("master.conf")
    }

    /// What tools change: `work` and `repositories`.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.root.path().join("state")
    }

    /// The whole temporary directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The line of a package on the build list.
    #[must_use]
    pub fn order(&self, pkgbase: &str) -> String {
        format!("{pkgbase} {} {NO_CUSTOMIZATION} core", self.revision)
    }

    /// The path of a fact in the work directory.
    #[must_use]
    pub fn fact(&self, pkgbase: &str, state: &str) -> String {
        format!("package-states/{}.{state}", self.order(pkgbase).replace(' ', "."))
    }

    /// Replaces a file of the work directory.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn write(&self, name: &str, text: &str) {
        common::atomic::write(&self.path(name), text.as_bytes()).expect("the file is written");
    }

    /// A file of the work directory; empty when it is missing.
    #[must_use]
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// A path in the work directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.state().join("work").join(name)
    }

    /// What a tool needs to know to work on a state directory: this master's or a copy of it.
    #[must_use]
    pub fn equip(&self, tool: Tool, state: &Path, builder: &str) -> Tool {
        tool.args(["--config".as_ref(), self.config().as_os_str()])
            .env("PORTSMITH_WORK_DIR", state.join("work"))
            .env("PORTSMITH_REPO_DIR", state.join("repositories"))
            .env("PORTSMITH_BUILDER", builder)
    }

    /// A tool of the project, called by a builder.
    #[must_use]
    pub fn tool(&self, name: &str, builder: &str) -> Tool {
        self.equip(Tool::new(name), &self.state(), builder)
    }

    /// A script of the project for operators, with the project's tools in its PATH.
    ///
    /// # Panics
    /// There is no PATH.
    #[must_use]
    pub fn script(&self, name: &str) -> Tool {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts").join(name);
        let path = std::env::var("PATH").expect("a PATH");
        Tool::at(&script)
            .env("PATH", format!("{}:{path}", tool::directory().display()))
            .env("PORTSMITH_CONFIG", self.config())
            .env("PORTSMITH_WORK_DIR", self.state().join("work"))
            .env("PORTSMITH_REPO_DIR", self.state().join("repositories"))
    }

    /// The published repositories.
    ///
    /// # Panics
    /// They cannot be opened.
    #[must_use]
    pub fn repositories(&self) -> Repositories {
        let directory = self.state().join("repositories");
        let text = format!("arch=x86_64\nrepo_dir='{}'\n", directory.display());
        let config = Config::from_text(&text).expect("a configuration");
        Repositories::open(&config).expect("the repositories")
    }

    /// Publishes a package, and returns the name of its file.
    ///
    /// # Panics
    /// It cannot be made or published.
    pub fn publish(&self, package: &PackageSpec, to: &str) -> String {
        let path = package.write(self.root()).expect("a package");
        let file = PackageFile::read(&path).expect("a package");
        let repositories = self.repositories();
        let mut transaction = repositories.transaction();
        let to: Repository = to.parse().expect("a repository");
        transaction.add(&to, NewPackage { file, signature: None });
        transaction.commit(1, Patience::Never).expect("it is published");
        std::fs::remove_file(path).expect("the pool has its own name for it");
        package.file_name()
    }

    /// Asks for an order.
    #[must_use]
    pub fn ask(&self, builder: &str, words: &[&str]) -> Ended {
        self.tool("get-assignment", builder).args(words).run()
    }

    /// Returns an order.
    #[must_use]
    pub fn give_back(&self, builder: &str, pkgbase: &str, result: &str, upload: Vec<u8>) -> Ended {
        self.tool("return-assignment", builder)
            .args(self.order(pkgbase).split(' '))
            .args([result])
            .stdin(upload)
            .run()
    }
}

fn commit(remote: &Remote, packages: &[&str]) -> String {
    let mut files = Vec::new();
    for package in packages {
        let (pkgbase, needs) = package.split_once(':').unwrap_or((package, ""));
        let lines: Vec<String> = needs.split_whitespace().map(|n| format!("makedepends = {n}")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let directory = format!("{pkgbase}/repos/core-any");
        files.push((format!("{directory}/.SRCINFO"), srcinfo(pkgbase, &lines)));
        files.push((
            format!("{directory}/PKGBUILD"),
            format!("pkgname={pkgbase} # {needs}\n"),
        ));
    }
    let files: Vec<_> = files
        .iter()
        .map(|(path, text)| (path.as_str(), FILE, text.as_str()))
        .collect();
    remote.commit(&files).to_string()
}
