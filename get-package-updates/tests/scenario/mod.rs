//! A port in a temporary directory, and the tool as a process.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test binary uses a part of it; tests may panic"
)]

pub(crate) mod forge;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use common::names::Revision;
use common::process::{Command, Finished};
use testkit::packaging::{FILE, File, Port, Remote};

/// The files of a commit.
pub(crate) type Tree = BTreeMap<String, String>;

/// A package directory with a committed .SRCINFO: `words` are `make:x`, `run:x`, `check:x`, `provides:x`, `ver:x`.
pub(crate) fn add(tree: &mut Tree, directory: &str, pkgbase: &str, words: &str) {
    let mut version = "1";
    let mut base = String::new();
    for word in words.split_whitespace() {
        let (key, value) = word.split_once(':').unwrap();
        match key {
            "make" => base.push_str(&format!("\tmakedepends = {value}\n")),
            "run" => base.push_str(&format!("\tdepends = {value}\n")),
            "check" => base.push_str(&format!("\tcheckdepends = {value}\n")),
            "ver" => version = value,
            other => base.push_str(&format!("\t{other} = {value}\n")),
        }
    }
    let srcinfo = format!("pkgbase = {pkgbase}\n\tpkgver = {version}\n\tpkgrel = 1\n{base}\npkgname = {pkgbase}\n");
    let pkgbuild = format!("pkgname={pkgbase}\npkgver={version}\npkgrel=1\narch=(x86_64) # {words}\n");
    tree.insert(format!("{directory}/PKGBUILD"), pkgbuild);
    tree.insert(format!("{directory}/.SRCINFO"), srcinfo);
}

pub(crate) struct Scenario {
    pub(crate) port: Port,
    pub(crate) packages: Tree,
    pub(crate) community: Tree,
    pub(crate) ours: Tree,
    pub(crate) conf: String,
}

impl Scenario {
    /// Empty repositories.
    pub(crate) fn new() -> Self {
        let port = Port::new();
        Self {
            conf: port.conf(),
            port,
            packages: Tree::new(),
            community: Tree::new(),
            ours: Tree::new(),
        }
    }

    /// Repositories with these packages, `REPO/PKGBASE` and words; community's and multilib's are in `community`.
    pub(crate) fn of(packages: &[(&str, &str)]) -> Self {
        let mut scenario = Self::new();
        for (path, words) in packages {
            scenario.put(path, words);
        }
        scenario
    }

    pub(crate) fn put(&mut self, path: &str, words: &str) {
        let (repository, pkgbase) = path.split_once('/').unwrap();
        let tree = match repository {
            "community" | "multilib" => &mut self.community,
            _ => &mut self.packages,
        };
        add(tree, &format!("{pkgbase}/repos/{repository}-x86_64"), pkgbase, words);
    }

    /// Removes everything below a path.
    pub(crate) fn drop(&mut self, path: &str) {
        for tree in [&mut self.packages, &mut self.community, &mut self.ours] {
            tree.retain(|name, _| !name.starts_with(path));
        }
    }

    pub(crate) fn file(&mut self, path: &str, content: &str) {
        self.ours.insert(path.to_owned(), content.to_owned());
    }

    /// Commits to all three repositories; the revisions in their order.
    pub(crate) fn commit(&self) -> [Revision; 3] {
        self.commit_at(0)
    }

    /// As [`Scenario::commit`], at this Unix time.
    pub(crate) fn commit_at(&self, unix: i64) -> [Revision; 3] {
        let Port {
            packages,
            community,
            ours,
            ..
        } = &self.port;
        let commit = |remote: &Remote, tree: &Tree| {
            let files: Vec<File<'_>> = tree
                .iter()
                .map(|(path, text)| (path.as_str(), FILE, text.as_str()))
                .collect();
            remote.commit_at(unix, &files)
        };
        [
            commit(packages, &self.packages),
            commit(community, &self.community),
            commit(ours, &self.ours),
        ]
    }

    pub(crate) fn work(&self, name: &str) -> PathBuf {
        self.port.directory.path().join("work").join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.work(name)).unwrap_or_default()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.work(name).parent().unwrap()).unwrap();
        common::atomic::write(&self.work(name), text.as_bytes()).unwrap();
    }

    /// The pkgbases on the build list, in order.
    pub(crate) fn list(&self) -> Vec<String> {
        let text = self.read("build-list");
        text.lines()
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect()
    }

    /// The line of a package.
    pub(crate) fn line(&self, pkgbase: &str) -> Option<String> {
        let text = self.read("build-list");
        let mut lines = text.lines().filter(|line| line.split(' ').next() == Some(pkgbase));
        let line = lines.next().map(str::to_owned);
        assert!(lines.next().is_none(), "{pkgbase} is on the list twice");
        line
    }

    pub(crate) fn deletions(&self) -> Vec<String> {
        self.read("deletion-list").lines().map(str::to_owned).collect()
    }

    /// Takes everything off the list, as if it had been built.
    pub(crate) fn all_built(&self) {
        self.write("build-list", "");
    }

    /// Names and contents of all files in the work directory but clones, locks and the journal.
    pub(crate) fn snapshot(&self) -> BTreeMap<String, (String, std::time::SystemTime)> {
        let mut files = BTreeMap::new();
        let mut pending = vec![self.work("")];
        while let Some(directory) = pending.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(self.work("")).unwrap().display().to_string();
                // A cache may change in a run that changes nothing.
                if path.is_dir() && name != "repos" && name != "metadata" {
                    pending.push(path);
                } else if path.is_file() && !name.ends_with(".lock") {
                    let time = fs::metadata(&path).unwrap().modified().unwrap();
                    files.insert(name, (fs::read_to_string(&path).unwrap(), time));
                }
            }
        }
        files
    }

    /// Runs the tool to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Finished {
        self.command(arguments).wait().unwrap()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.tool(env!("CARGO_BIN_EXE_get-package-updates"), arguments)
    }

    pub(crate) fn tool(&self, program: &str, arguments: &[&str]) -> Command {
        let conf = self.port.directory.path().join("portsmith.conf");
        common::atomic::write(&conf, self.conf.as_bytes()).unwrap();
        Command::new(program).arg("--config").arg(conf).args(arguments)
    }

    /// Runs the tool, which has to end with this code; its standard output and error.
    pub(crate) fn ends(&self, code: i32, arguments: &[&str]) -> (String, String) {
        let finished = self.run(arguments);
        let stderr = String::from_utf8_lossy(&finished.stderr).into_owned();
        assert_eq!(finished.status.code(), Some(code), "{stderr}");
        (String::from_utf8(finished.stdout).unwrap(), stderr)
    }
}
