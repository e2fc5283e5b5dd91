//! A build master with real packaging repositories, for the tests of `return-assignment` as a process.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use common::build_list::Order;
use common::clock::Now;
use common::config::Config;
use common::lease::Lease;
use common::names::{Builder, Repository};
use common::process::Command;
use common::repository::Repositories;
use common::state::State;
use common::work_dir::WorkDir;
use tempfile::TempDir;
use testkit::gpg::GpgHome;
use testkit::need;
use testkit::package::PackageSpec;
use testkit::tool::{Ended, Tool};

/// A master with one packaging repository: `a` makes `a` and `a-docs`, the others one package of
/// their own name.
pub(crate) struct Master {
    pub(crate) directory: TempDir,
    pub(crate) keyring: GpgHome,
    pub(crate) revision: String,
    pub(crate) work_dir: WorkDir,
    pub(crate) repositories: Repositories,
}

impl Master {
    pub(crate) fn new() -> Option<Self> {
        if !need::programs(&["git", "gpg"]) {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let revision = packaging(&root.join("packages"));
        let keyring = GpgHome::new("builder").unwrap();
        let text = format!(
            "arch=x86_64\nwork_dir='{0}/work'\nrepo_dir='{0}/repos'\nrepo_names=packages\n\
             repo_paths__packages='{0}/packages/.git'\nkeyring='{1}'\nlock_wait_seconds=1\nupload_limit_mib=1\n",
            root.display(),
            keyring.path().display()
        );
        put(&root.join("portsmith.conf"), text.as_bytes());
        fs::create_dir_all(root.join("work/package-states")).unwrap();
        fs::create_dir_all(root.join("new")).unwrap();
        let config = Config::from_text(&text).unwrap();
        Some(Self {
            work_dir: WorkDir::open(&config).unwrap(),
            repositories: Repositories::open(&config).unwrap(),
            directory,
            keyring,
            revision,
        })
    }

    pub(crate) fn order(&self, pkgbase: &str) -> Order {
        let text = format!("{pkgbase} {} {} core", self.revision, "0".repeat(40));
        text.parse().unwrap()
    }

    /// Puts an order on the list and leases it.
    pub(crate) fn lease(&self, pkgbase: &str, builders: &[&str], number: u32) -> Order {
        let order = self.order(pkgbase);
        let list = common::atomic::read_text(&self.work_dir.build_list())
            .unwrap()
            .unwrap_or_default();
        if !list.contains(&order.to_string()) {
            put(&self.work_dir.build_list(), format!("{list}{order}\n").as_bytes());
        }
        self.lease_order(&order, builders, number);
        order
    }

    /// Leases an order that is on the list.
    pub(crate) fn lease_order(&self, order: &Order, builders: &[&str], number: u32) {
        self.work_dir.states().write(order, State::Locked, builders).unwrap();
        for name in builders {
            let assignment = format!("{order} {number}").parse().unwrap();
            let builder: Builder = name.parse().unwrap();
            self.work_dir
                .leases()
                .write(&builder, &[Lease::new(assignment, &Now::read())])
                .unwrap();
        }
    }

    /// The packages of `a`, signed.
    pub(crate) fn packages_of_a(&self, version: &str) -> Vec<PathBuf> {
        let specs = [
            PackageSpec::new("a", version),
            PackageSpec::new("a-docs", version).base("a").arch("any"),
        ];
        self.signed(&specs, &self.keyring)
    }

    pub(crate) fn signed(&self, specs: &[PackageSpec], key: &GpgHome) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for spec in specs {
            let path = spec.write(&self.directory.path().join("new")).unwrap();
            files.push(key.sign(&path).unwrap());
            files.push(path);
        }
        files
    }

    pub(crate) fn run(&self, builder: &str, order: &Order, result: &str, upload: Vec<u8>) -> Ended {
        self.tool(builder, order, result).stdin(upload).run()
    }

    pub(crate) fn tool(&self, builder: &str, order: &Order, result: &str) -> Tool {
        let words: Vec<String> = order.to_string().split(' ').map(str::to_owned).collect();
        binary()
            .args([Path::new("--config"), &self.directory.path().join("portsmith.conf")])
            .args(words)
            .args([result])
            .env("PORTSMITH_BUILDER", builder)
    }

    pub(crate) fn published(&self, repository: &str) -> Vec<String> {
        let repository: Repository = repository.parse().unwrap();
        let packages = self.repositories.packages(&repository).unwrap();
        packages.iter().map(|entry| entry.file_name.to_string()).collect()
    }

    pub(crate) fn has(&self, order: &Order, state: State) -> bool {
        self.work_dir.states().has(order, state)
    }

    pub(crate) fn leases(&self, builder: &str) -> usize {
        self.work_dir.leases().of(&builder.parse().unwrap()).unwrap().len()
    }

    pub(crate) fn list(&self) -> String {
        fs::read_to_string(self.work_dir.build_list()).unwrap()
    }

    /// Every file of state and repositories, but for locks.
    pub(crate) fn snapshot(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        for top in ["work", "repos"] {
            collect(&self.directory.path().join(top), &mut found);
        }
        found
    }
}

pub(crate) fn collect(directory: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let is_lock = path.extension().is_some_and(|extension| extension == "lock");
        if path.is_dir() && !path.is_symlink() {
            collect(&path, found);
        } else if !is_lock && path.file_name().unwrap() != "journal" {
            found.insert(path.clone(), fs::read(&path).unwrap_or_default());
        }
    }
}

pub(crate) fn binary() -> Tool {
    Tool::at(Path::new(env!("CARGO_BIN_EXE_return-assignment")))
}

pub(crate) fn put(path: &Path, content: &[u8]) {
    common::atomic::write(path, content).unwrap();
}

/// A packaging repository in the svntogit layout; its head.
fn packaging(path: &Path) -> String {
    let info = |base: &str, packages: &[(&str, &str)]| {
        let mut text = format!("pkgbase = {base}\n\tpkgver = 1\n\tpkgrel = 1\n\tarch = x86_64\n\tarch = any\n");
        for (name, arch) in packages {
            text.push_str(&format!("\npkgname = {name}\n\tarch = {arch}\n"));
        }
        text
    };
    let mut all = vec![("a", info("a", &[("a", "x86_64"), ("a-docs", "any")]))];
    for name in ["solo", "lisp", "crutch"] {
        all.push((name, info(name, &[(name, "x86_64")])));
    }
    for (base, text) in all {
        let repository = match base {
            "lisp" => "multilib",
            "crutch" => "build-support",
            _ => "core",
        };
        let directory = path.join(base).join(format!("repos/{repository}-x86_64"));
        fs::create_dir_all(&directory).unwrap();
        for (file, content) in [(".SRCINFO", text.as_str()), ("PKGBUILD", "false\n")] {
            let mut file = fs::File::create_new(directory.join(file)).unwrap();
            file.write_all(content.as_bytes()).unwrap();
        }
    }
    commit(path)
}

/// Makes a git repository of a directory; its head.
pub(crate) fn commit(path: &Path) -> String {
    let git = |arguments: &[&str]| {
        let command = Command::new("git").arg("-C").arg(path).args(arguments);
        command.env("HOME", path).run().unwrap().text()
    };
    git(&["init", "-q", "-b", "master"]);
    git(&["add", "."]);
    git(&[
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.org",
        "commit",
        "-qm",
        "all",
    ]);
    git(&["rev-parse", "HEAD"])
}

pub(crate) fn tar(files: &[PathBuf]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for path in files {
        builder.append_path_with_name(path, path.file_name().unwrap()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// What `a` makes.
pub(crate) const STAGED: [&str; 2] = ["a-1-1.0-x86_64.pkg.tar.zst", "a-docs-1-1.0-any.pkg.tar.zst"];
