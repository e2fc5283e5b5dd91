//! `bench --publish`: adds package files to a repository as the tools do, for the race with repo-add.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use common::clock::Now;
use common::config::{Config, Environment};
use common::lock::Patience;
use common::names::Repository;
use common::package::{PackageError, PackageFile};
use common::repository::{NewPackage, Repositories};
use common::work_dir::{Scope, WorkDir};

/// What is published where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publication {
    config: PathBuf,
    repository: Repository,
    files: Vec<PathBuf>,
}

impl Publication {
    /// From the words behind `--publish`: configuration, repository, package files.
    pub(crate) fn from_words(words: &[std::ffi::OsString]) -> anyhow::Result<Self> {
        let [config, repository, files @ ..] = words else {
            anyhow::bail!("--publish needs a configuration, a repository and package files");
        };
        Ok(Self {
            config: config.into(),
            repository: repository.to_str().unwrap_or_default().parse()?,
            files: files.iter().map(PathBuf::from).collect(),
        })
    }

    /// Reads the packages, then publishes them with the locks held.
    pub(crate) fn run(&self, environment: &Environment) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(&self.config).context("cannot read the configuration")?;
        let config = Config::from_text(&text)?;
        let repositories = Repositories::open(&config)?.with_environment(environment);
        let packages = read_all(&self.files)?;
        let patience = Patience::Bounded(Duration::from_secs(60));
        let _locks = WorkDir::open(&config)?.lock(Scope::PackageDatabase, patience)?;
        let mut transaction = repositories.transaction();
        for file in packages {
            let signature = Some(signature_of(&file.path)).filter(|path| path.exists());
            transaction.add(&self.repository, NewPackage { file, signature });
        }
        transaction.commit(Now::read().unix, patience)?;
        Ok(())
    }
}

fn signature_of(path: &Path) -> PathBuf {
    let mut signature = path.as_os_str().to_owned();
    signature.push(".sig");
    signature.into()
}

/// Reads package files, as many at a time as there are processors.
fn read_all(paths: &[PathBuf]) -> anyhow::Result<Vec<PackageFile>> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<PackageFile>, PackageError> {
        let mut read = Vec::new();
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            read.push(PackageFile::read(path)?);
        }
        Ok(read)
    };
    let workers = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(paths.len());
    let parts = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect::<Result<Vec<_>, _>>()
    })?;
    Ok(parts.into_iter().flatten().collect())
}
