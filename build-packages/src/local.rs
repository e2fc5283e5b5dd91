//! Building without a master: a package at the heads of the git repositories, a given order, or a directory.
//!
//! The same ladder, logs, companions and signatures as for a master. `builds/local.NAME/` below `work_dir` holds the
//! build; its logs stay there until the next one of that name. The packages are moved to where makepkg would put them.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use common::atomic;
use common::build_list::Order;
use common::cli::Messages;
use common::config::Config;
use common::git::GitRepository;
use common::interrupt::Interrupt;
use common::lock::{Lock, Mode, Patience};
use common::names::{PkgBase, Revision};
use common::source::{Sources, SubPkgrel, SubRelease};
use thiserror::Error;

use crate::Outcome;
use crate::attempt::{self, Places};
use crate::cli::Cli;
use crate::company::Company;
use crate::ladder::{Ladder, Product};
use crate::master::Connection;
use crate::origin::{OrderOrigin, Origin};
use crate::outbox::{Outbox, Parcel, Verdict};
use crate::products;
use crate::progress::Progress;
use crate::pulse::Pulse;
use crate::settings::Settings;
use crate::target::{GivenOrder, GivenRevision, Target};
use crate::workshop::{Built, Workshop};

/// What the caller's surroundings are.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The working directory.
    pub directory: PathBuf,
    /// Where packages go, if the caller says so (`PKGDEST`).
    pub pkgdest: Option<PathBuf>,
    /// Whether standard error is a terminal that shows a line again and again.
    pub is_terminal: bool,
    /// How wide it is (`COLUMNS`).
    pub columns: Option<usize>,
}

/// A target that is not there.
#[derive(Debug, Error)]
enum Nothing {
    /// A package that is nowhere.
    #[error("no git repository has {0}")]
    Package(PkgBase),
    /// A directory without a PKGBUILD, or none at all.
    #[error("there is no PKGBUILD in {}", .0.display())]
    Directory(PathBuf),
}

/// A local build.
pub(crate) struct Local<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) config: &'a Config,
    pub(crate) messages: &'a Messages,
    pub(crate) surroundings: &'a Surroundings,
    pub(crate) abort: Interrupt,
}

impl Local<'_> {
    /// Builds the target, and writes the paths of the packages, one a line.
    ///
    /// # Errors
    /// The sources cannot be had, or a file cannot be read or written.
    pub(crate) fn run(&self, cli: &Cli, target: &Target, out: &mut dyn Write) -> anyhow::Result<Outcome> {
        let (origin, title, destination) = match self.origin(cli, target) {
            Err(error) if error.is::<Nothing>() => {
                self.messages.error(error);
                return Ok(Outcome::Stopped);
            }
            found => found?,
        };
        let builds = self.settings.work_dir.join("builds");
        atomic::create_directory(&builds)?;
        let _alone = Lock::acquire(
            &builds.join(format!(".local.{title}.lock")),
            Mode::Exclusive,
            Patience::Never,
        )
        .with_context(|| format!("another local build of {title} runs"))?;
        let places = Places::below(&builds.join(format!("local.{title}")));
        attempt::empty_directory(&places.logs)?;
        let pulse = Pulse::new();
        match self.climb(&origin, &title, (&places, &pulse))? {
            Product::Built => {}
            Product::Unable => {
                let words = pulse.standing().last_line;
                self.messages
                    .error(format_args!("{title}: this machine cannot build: {}", words.trim()));
                return Ok(Outcome::Stopped);
            }
            Product::Failed(_) => {
                self.messages.error(format_args!(
                    "{title}: not built; the logs are in {}",
                    places.logs.display()
                ));
                return Ok(Outcome::Stopped);
            }
            Product::Ended => {
                self.messages.error(format_args!("{title}: interrupted"));
                return Ok(Outcome::Stopped);
            }
        }
        let files = products::finish(&places.packages, &[], self.settings, self.messages)?;
        if let (true, Origin::Order(origin)) = (cli.upload, &origin) {
            return self.upload(&origin.order, cli.sub_pkgrel, &files);
        }
        for file in &files {
            let target = move_file(file, &destination)?;
            let is_package = target.to_string_lossy().rsplit('/').next().is_some_and(is_package_name);
            if is_package {
                writeln!(out, "{}", target.display())?;
            }
        }
        out.flush()?;
        Ok(Outcome::Finished)
    }

    fn climb(&self, origin: &Origin<'_>, title: &str, (places, pulse): (&Places, &Pulse)) -> anyhow::Result<Product> {
        let ladder = Ladder {
            settings: self.settings,
            messages: self.messages,
            pulse,
            places,
            origin,
            expected: &[],
            title,
        };
        if !self.surroundings.is_terminal {
            return pulse.during(&self.abort, |_| {}, || ladder.climb());
        }
        let mut progress = Progress::new(title, self.surroundings.columns);
        let product = pulse.during(&self.abort, |pulse| progress.show(pulse), || ladder.climb());
        Progress::clear();
        product
    }

    /// What is built, what it is called, and where packages go.
    fn origin(&self, cli: &Cli, target: &Target) -> anyhow::Result<(Origin<'_>, String, PathBuf)> {
        let here = &self.surroundings.directory;
        let pkgdest = self.surroundings.pkgdest.as_ref().map(|path| here.join(path));
        let sources = || {
            let sources = Sources::open(self.config)?;
            if let Err(error) = sources.fetch() {
                self.messages
                    .error(format_args!("the git repositories are used as they are: {error}"));
            }
            anyhow::Ok(sources)
        };
        let (sources, order) = match target {
            Target::Directory(path) => {
                let path = here.join(path);
                anyhow::ensure!(path.join("PKGBUILD").is_file(), Nothing::Directory(path));
                let path = path
                    .canonicalize()
                    .with_context(|| format!("cannot find {}", path.display()))?;
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let destination = pkgdest.unwrap_or_else(|| path.clone());
                return Ok((Origin::Directory(path, self.config), name, destination));
            }
            Target::Order(given) => {
                let sources = sources()?;
                let order = given_order(given, &sources)?;
                (sources, order)
            }
            Target::Package(pkgbase) => {
                let sources = sources()?;
                let order = order_at_heads(pkgbase, &sources)?;
                (sources, order)
            }
        };
        self.messages.note(format_args!("{}: building {order}", order.pkgbase));
        let sub = SubRelease::new(SubPkgrel::configured(self.config)?, cli.sub_pkgrel);
        let title = order.pkgbase.to_string();
        let origin = OrderOrigin {
            config: self.config,
            sources,
            order,
            sub,
        };
        let destination = pkgdest.unwrap_or_else(|| here.clone());
        Ok((Origin::Order(Box::new(origin)), title, destination))
    }

    fn upload(&self, order: &Order, sub_pkgrel: u32, files: &[PathBuf]) -> anyhow::Result<Outcome> {
        let employer = self.settings.employer.as_ref();
        let employer = employer.context("master and builder_name are needed to return a package")?;
        let workshop = Workshop {
            settings: self.settings,
            config: self.config,
            messages: self.messages,
            connection: Connection::new(employer, self.settings),
            outbox: Outbox::open(&self.settings.work_dir)?,
            company: Company::new(&self.settings.alone),
            abort: self.abort.clone(),
        };
        let parcel = Parcel {
            order: order.clone(),
            verdict: Verdict::Packages(sub_pkgrel),
        };
        workshop.outbox.put(&parcel, files)?;
        Ok(match workshop.deliver(&parcel)? {
            Built::Packages => Outcome::Finished,
            _ => Outcome::Stopped,
        })
    }
}

fn given_order(given: &GivenOrder, sources: &Sources) -> anyhow::Result<Order> {
    let resolve = |revision: &GivenRevision| -> anyhow::Result<Revision> {
        let customization = || sources.customization().context("there is no customization repository");
        match revision {
            GivenRevision::Exactly(revision) => Ok(revision.clone()),
            GivenRevision::WorkTree => Ok(customization()?.commit_of_work_tree()?),
            GivenRevision::HeadOf(name) => {
                let mut all = sources.repositories();
                let found = all.find(|repository| GitRepository::name(repository) == name);
                Ok(found.with_context(|| format!("repo_names has no {name}"))?.head()?)
            }
        }
    };
    Ok(Order {
        pkgbase: given.pkgbase.clone(),
        revision: resolve(&given.revision)?,
        mod_revision: resolve(&given.mod_revision)?,
        repository: given.repository.clone(),
    })
}

fn order_at_heads(pkgbase: &PkgBase, sources: &Sources) -> anyhow::Result<Order> {
    let heads = sources.heads()?;
    let view = sources.merged_view(&heads)?;
    let package = view.get(pkgbase);
    let package = package.ok_or_else(|| Nothing::Package(pkgbase.clone()))?;
    Ok(sources.order(&heads, pkgbase, package))
}

fn is_package_name(name: &str) -> bool {
    name.parse::<common::version::PackageFileName>().is_ok()
}

/// Moves a file, also to another file system, where it appears when it is whole.
fn move_file(from: &Path, directory: &Path) -> anyhow::Result<PathBuf> {
    let to = directory.join(from.file_name().unwrap_or_default());
    if std::fs::rename(from, &to).is_err() {
        let mut copy = atomic::temporary_file(directory)?;
        let copied = std::fs::File::open(from).and_then(|mut file| std::io::copy(&mut file, &mut copy));
        copied.with_context(|| format!("cannot write {}", to.display()))?;
        atomic::persist(copy, &to)?;
        atomic::remove(from)?;
    }
    Ok(to)
}
