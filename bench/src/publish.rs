//! `bench --publish`: adds package files to a repository as the tools do, for the race with repo-add.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use common::clock::Now;
use common::config::{Config, Environment};
use common::lock::Patience;
use common::names::Repository;
use common::package::PackageFile;
use common::parallel;
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
        let packages = parallel::map(&self.files, |path| PackageFile::read(path));
        let packages = packages.into_iter().collect::<Result<Vec<_>, _>>()?;
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
