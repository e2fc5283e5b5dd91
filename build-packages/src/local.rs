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
use common::version::PackageFileName;
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

/// What is built, what it is called, and where its packages go.
struct Job<'a> {
    origin: Origin<'a>,
    title: String,
    destination: PathBuf,
}

impl Local<'_> {
    /// Builds the target, and writes the paths of the packages, one a line.
    ///
    /// # Errors
    /// The sources cannot be had, or a file cannot be read or written.
    pub(crate) fn run(&self, cli: &Cli, target: &Target, out: &mut dyn Write) -> anyhow::Result<Outcome> {
        let job = match self.job(cli, target) {
            Err(error) if error.is::<Nothing>() => {
                self.messages.error(error);
                return Ok(Outcome::Stopped);
            }
            job => job?,
        };
        let title = &job.title;
        let builds = self.settings.work_dir.join("builds");
        atomic::create_directory(&builds)?;
        let lock = builds.join(format!(".local.{title}.lock"));
        let _alone = Lock::acquire(&lock, Mode::Exclusive, Patience::Never)
            .with_context(|| format!("another local build of {title} runs"))?;
        let places = Places::below(&builds.join(format!("local.{title}")));
        attempt::empty_directory(&places.logs)?;
        let pulse = Pulse::new();
        let product = self.climb(&job, &places, &pulse)?;
        if product != Product::Built {
            self.explain(title, &product, (&places, &pulse));
            return Ok(Outcome::Stopped);
        }
        let files = products::finish(&places.packages, &[], self.settings, self.messages)?;
        match &job.origin {
            Origin::Order(origin) if cli.upload => self.upload(&origin.order, cli.sub_pkgrel, &files),
            _ => hand_over(&files, &job.destination, out),
        }
    }

    fn climb(&self, job: &Job<'_>, places: &Places, pulse: &Pulse) -> anyhow::Result<Product> {
        let ladder = Ladder {
            settings: self.settings,
            messages: self.messages,
            pulse,
            places,
            origin: &job.origin,
            expected: &[],
            title: &job.title,
        };
        if !self.surroundings.is_terminal {
            return pulse.during(&self.abort, |_| {}, || ladder.climb());
        }
        let mut progress = Progress::new(&job.title, self.surroundings.columns);
        let product = pulse.during(&self.abort, |pulse| progress.show(pulse), || ladder.climb());
        Progress::clear();
        product
    }

    /// Says why there are no packages.
    fn explain(&self, title: &str, product: &Product, (places, pulse): (&Places, &Pulse)) {
        match product {
            Product::Ended => self.messages.error(format_args!("{title}: interrupted")),
            Product::Unable => {
                let words = pulse.standing().last_line;
                self.messages
                    .error(format_args!("{title}: this machine cannot build: {}", words.trim()));
            }
            Product::Built | Product::Failed(_) => self.messages.error(format_args!(
                "{title}: not built; the logs are in {}",
                places.logs.display()
            )),
        }
    }

    fn job(&self, cli: &Cli, target: &Target) -> anyhow::Result<Job<'_>> {
        let here = &self.surroundings.directory;
        let pkgdest = self.surroundings.pkgdest.as_ref().map(|path| here.join(path));
        let (sources, order) = match target {
            Target::Directory(path) => return self.job_in_directory(&here.join(path), pkgdest),
            Target::Order(given) => {
                let sources = self.sources()?;
                let order = given_order(given, &sources)?;
                (sources, order)
            }
            Target::Package(pkgbase) => {
                let sources = self.sources()?;
                let order = order_at_heads(pkgbase, &sources)?;
                (sources, order)
            }
        };
        self.messages.note(format_args!("{}: building {order}", order.pkgbase));
        let title = order.pkgbase.to_string();
        let origin = OrderOrigin {
            config: self.config,
            sources,
            order,
            sub: SubRelease::new(SubPkgrel::configured(self.config)?, cli.sub_pkgrel),
        };
        Ok(Job {
            origin: Origin::Order(Box::new(origin)),
            title,
            destination: pkgdest.unwrap_or_else(|| here.clone()),
        })
    }

    fn job_in_directory(&self, path: &Path, pkgdest: Option<PathBuf>) -> anyhow::Result<Job<'_>> {
        if !path.join("PKGBUILD").is_file() {
            return Err(Nothing::Directory(path.to_owned()).into());
        }
        let found = path.canonicalize();
        let path = found.with_context(|| format!("cannot find {}", path.display()))?;
        Ok(Job {
            title: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            destination: pkgdest.unwrap_or_else(|| path.clone()),
            origin: Origin::Directory(path, self.config),
        })
    }

    /// The git repositories, fetched where that can be done.
    fn sources(&self) -> anyhow::Result<Sources> {
        let sources = Sources::open(self.config)?;
        if let Err(error) = sources.fetch() {
            self.messages
                .error(format_args!("the git repositories are used as they are: {error}"));
        }
        Ok(sources)
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

/// Puts what was built where the caller wants it, and lists the packages.
fn hand_over(files: &[PathBuf], destination: &Path, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    for file in files {
        let target = move_file(file, destination)?;
        let name = target.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.parse::<PackageFileName>().is_ok()) {
            writeln!(out, "{}", target.display())?;
        }
    }
    out.flush()?;
    Ok(Outcome::Finished)
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
