//! The repository engine with real repo-add, gpg and pacman.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic, as tests do")]

mod changes;
mod contents;
mod history;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use common::config::Config;
use common::lock::Patience;
use common::names::{PkgName, Repository};
use common::package::PackageFile;
use common::process::Command;
use common::repository::{Commit, NewPackage, Repositories, RepositoryError};
use flate2::read::GzDecoder;
use tempfile::TempDir;
use testkit::package::PackageSpec;

/// When things happen, Unix time.
pub(crate) const NOW: u64 = 1_800_000_000;

/// Repositories in a temporary directory.
pub(crate) struct House {
    pub(crate) directory: TempDir,
    pub(crate) repositories: Repositories,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    pub(crate) fn with(extra: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().display();
        let text = format!("arch=x86_64\nrepo_dir='{root}/repos'\ngrace_seconds=100\n{extra}");
        let repositories = Repositories::open(&Config::from_text(&text).unwrap()).unwrap();
        fs::create_dir(directory.path().join("new")).unwrap();
        Self {
            directory,
            repositories,
        }
    }

    pub(crate) fn package(&self, spec: &PackageSpec) -> NewPackage {
        let path = spec.write(&self.directory.path().join("new")).unwrap();
        NewPackage {
            file: PackageFile::read(&path).unwrap(),
            signature: None,
        }
    }

    pub(crate) fn add_at(&self, now: u64, to: &str, spec: &PackageSpec) -> Result<Commit, RepositoryError> {
        let mut transaction = self.repositories.transaction();
        transaction.add(&name(to), self.package(spec));
        transaction.commit(now, Patience::Never)
    }

    pub(crate) fn add(&self, to: &str, spec: &PackageSpec) -> Commit {
        self.add_at(NOW, to, spec).unwrap()
    }

    pub(crate) fn path(&self, repository: &str) -> PathBuf {
        self.repositories.path(&name(repository))
    }

    pub(crate) fn names(&self, repository: &str) -> Vec<String> {
        let packages = self.repositories.packages(&name(repository)).unwrap();
        packages.iter().map(|p| format!("{}-{}", p.name, p.version)).collect()
    }

    /// Every entry of a database of ours or of repo-add, by path in the archive.
    pub(crate) fn unpacked(&self, database: &Path) -> BTreeMap<String, String> {
        let target = tempfile::tempdir_in(self.directory.path()).unwrap();
        Command::new("bsdtar")
            .arg("-xf")
            .arg(database)
            .arg("-C")
            .arg(target.path())
            .run()
            .unwrap();
        let mut found = BTreeMap::new();
        for directory in fs::read_dir(target.path()).unwrap() {
            for file in fs::read_dir(directory.unwrap().path()).unwrap() {
                let path = file.unwrap().path();
                let text = fs::read_to_string(&path).unwrap();
                let key = path.strip_prefix(target.path()).unwrap().display().to_string();
                found.insert(key, text);
            }
        }
        found
    }
}

pub(crate) fn name(text: &str) -> Repository {
    text.parse().unwrap()
}

pub(crate) fn pkgname(text: &str) -> PkgName {
    text.parse().unwrap()
}

/// A file that was there before, or that somebody else made.
pub(crate) fn put(path: &Path, content: &[u8]) {
    common::atomic::write(path, content).unwrap();
}

/// The archives of the databases in force, without their compression.
pub(crate) fn databases(house: &House, repository: &str) -> Vec<Vec<u8>> {
    ["db", "files"]
        .map(|kind| {
            let database = File::open(house.path(repository).join(format!("{repository}.{kind}"))).unwrap();
            let mut archive = Vec::new();
            GzDecoder::new(database).read_to_end(&mut archive).unwrap();
            archive
        })
        .to_vec()
}
