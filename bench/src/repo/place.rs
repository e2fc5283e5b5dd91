//! Where the race takes place: a master with its repositories, and a directory of repo-add's.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use common::atomic;
use common::build_list::Order;
use common::config::Config;
use common::repository::Repositories;
use common::state::{State, States};
use testkit::gpg::GpgHome;
use testkit::package::PackageSpec;

use super::data::{self, Package, Stock};
use crate::measure::Program;

/// Everything of one race.
pub(super) struct Place<'a> {
    directory: PathBuf,
    config: PathBuf,
    repositories: Repositories,
    key: Option<&'a GpgHome>,
}

impl<'a> Place<'a> {
    /// Makes both sides with the same databases; signed ones with a key. Without one the packages are real, and can be
    /// promoted.
    pub(super) fn make(directory: &Path, stock: &Stock, key: Option<&'a GpgHome>) -> anyhow::Result<Self> {
        let place = directory.display();
        let mut text = format!(
            "work_dir={place}/work\nrepo_dir={place}/repositories\narch=x86_64\nrequire_signatures=no\nrepo_names=none\n"
        );
        if let Some(key) = key {
            let home = key.path().display();
            text.push_str(&format!("repo_key={}\ngnupg_home={home}\n", key.fingerprint()));
        }
        for name in ["work", "peer", "new"] {
            atomic::create_directory(&directory.join(name))?;
        }
        let config = directory.join("portsmith.conf");
        atomic::write(&config, text.as_bytes())?;
        let place = Self {
            directory: directory.to_owned(),
            repositories: Repositories::open(&Config::from_text(&text)?)?,
            config,
            key,
        };
        let core = place.repositories.path(&"core".parse()?);
        atomic::create_directory(&core)?;
        let mut stock = stock.clone();
        match key {
            Some(_) => data::make_dummies(&stock, &core)?,
            None => stock.describe_files(|package| write(package, &core))?,
        }
        stock.write(&place.directory.join("peer"), "core")?;
        for kind in ["db", "files"] {
            let name = format!("core.{kind}.tar.gz");
            std::fs::copy(place.directory.join("peer").join(&name), core.join(&name))?;
        }
        place.publish(&[])?.run().context("taking the databases in")?;
        Ok(place)
    }

    /// New packages as files.
    pub(super) fn packages(&self, stock: &Stock, suffix: &str, count: usize) -> anyhow::Result<Vec<PathBuf>> {
        let new = self.directory.join("new");
        let mut files = Vec::new();
        for package in stock.like(suffix, count) {
            let file = write(&package, &new)?;
            if let Some(key) = self.key {
                key.sign(&file)?;
            }
            files.push(file);
        }
        // Making them is not what is measured, nor is writing them to the disk.
        nix::unistd::sync();
        Ok(files)
    }

    /// Our side of the race.
    pub(super) fn publish(&self, files: &[PathBuf]) -> anyhow::Result<Program> {
        self.publish_to("core", files)
    }

    fn publish_to(&self, repository: &str, files: &[PathBuf]) -> anyhow::Result<Program> {
        let program = Program::of_project("bench-publish")?
            .args(["--config"])
            .args([&self.config]);
        Ok(program.args([repository]).args(files))
    }

    /// The other side.
    pub(super) fn repo_add(&self, repo_add: &Program, files: &[PathBuf]) -> Program {
        let program = repo_add.clone().args(["-q"]);
        let program = match self.key {
            Some(key) => program
                .env("GNUPGHOME", key.path())
                .args(["-s", "-k", key.fingerprint()]),
            None => program,
        };
        program.args([self.directory.join("peer/core.db.tar.gz")]).args(files)
    }

    /// Puts newer releases into testing, approved; returns how many.
    pub(super) fn fill_testing(&self, stock: &Stock, time: usize, count: usize) -> anyhow::Result<usize> {
        let new = self.directory.join("new");
        let packages = stock.newer(time + 1, count);
        let files = packages
            .iter()
            .map(|package| write(package, &new))
            .collect::<anyhow::Result<Vec<_>>>()?;
        self.publish_to("testing", &files)?.run()?;
        nix::unistd::sync();
        let states = States::new(self.directory.join("work/package-states"));
        for members in packages.chunk_by(|one, other| one.base == other.base) {
            let order: Order = format!("{} {} core", members[0].base, format_args!("{0:040} {0:040}", time)).parse()?;
            states.write(&order, State::Tested, members.iter().map(Package::file_name))?;
        }
        Ok(packages.len())
    }

    pub(super) fn db_update(&self) -> anyhow::Result<Program> {
        Ok(Program::of_project("db-update")?
            .args(["--config"])
            .args([&self.config]))
    }

    /// How many packages a repository has.
    pub(super) fn count(&self, repository: &str) -> anyhow::Result<usize> {
        Ok(self.repositories.packages(&repository.parse()?)?.len())
    }
}

/// A package file of a few hundred bytes.
fn write(package: &Package, directory: &Path) -> anyhow::Result<PathBuf> {
    let mut spec = PackageSpec::new(&package.name, &package.version)
        .base(&package.base)
        .arch(&package.arch);
    for (field, key) in [
        ("DEPENDS", "depend"),
        ("PROVIDES", "provides"),
        ("CONFLICTS", "conflict"),
        ("REPLACES", "replaces"),
        ("OPTDEPENDS", "optdepend"),
    ] {
        for value in package.values(field) {
            spec = spec.line(key, value);
        }
    }
    let path = spec.write(directory);
    path.with_context(|| format!("cannot write {} into {}", package.file_name(), directory.display()))
}
