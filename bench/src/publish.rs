//! `bench-publish`: adds package files to a repository as return-assignment does, for the race with repo-add. A program of
//! its own, so that it loads no more libraries than return-assignment does.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use common::cli::{CommonArgs, Messages};
use common::clock::Now;
use common::exit::Failure;
use common::lock::Patience;
use common::names::Repository;
use common::package::PackageFile;
use common::parallel;
use common::repository::{NewPackage, Repositories};
use common::work_dir::{Scope, WorkDir};

/// Add package files to a repository, as it is measured
#[derive(Debug, Clone, Parser)]
#[command(name = "bench-publish", version)]
struct Cli {
    #[command(flatten)]
    common: CommonArgs,
    /// Where they go
    repository: Repository,
    /// Package files, their signatures beside them
    files: Vec<PathBuf>,
}

/// Publishes what the command line names.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli: Cli = match common::cli::parse(args, &mut std::io::stdout()) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let messages = Messages::new("bench-publish", &cli.common);
    match run(&cli, &messages) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            messages.error(format_args!("{error:#}"));
            Failure::Io.into()
        }
    }
}

/// Reads the packages, then publishes them with the locks held.
fn run(cli: &Cli, messages: &Messages) -> anyhow::Result<()> {
    let environment = common::cli::environment();
    let config = common::cli::load_config(&cli.common, &environment, messages)?;
    let repositories = Repositories::open(&config)?.with_environment(&environment);
    let packages = parallel::map(&cli.files, |path| PackageFile::read(path));
    let packages = packages.into_iter().collect::<Result<Vec<_>, _>>()?;
    let patience = Patience::Bounded(Duration::from_secs(60));
    let _locks = WorkDir::open(&config)?.lock(Scope::PackageDatabase, patience)?;
    let mut transaction = repositories.transaction();
    for file in packages {
        let signature = Some(signature_of(&file.path)).filter(|path| path.exists());
        transaction.add(&cli.repository, NewPackage { file, signature });
    }
    transaction.commit(Now::read().unix, patience)?;
    Ok(())
}

fn signature_of(path: &Path) -> PathBuf {
    let mut signature = path.as_os_str().to_owned();
    signature.push(".sig");
    signature.into()
}
