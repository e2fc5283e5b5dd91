//! What the PKGBUILDs of orders say: their `.SRCINFO`, committed or evaluated, cached by content.
//!
//! A committed `.SRCINFO` is taken when nothing is laid over upstream's files and it can be read; else the PKGBUILD is
//! evaluated in a sandbox (module `sandbox`), several at a time. The result is kept by its content (module `cache`), so
//! that every run and every tool evaluates a content once. Failures are not kept: the next run tries again. A package
//! whose metadata cannot be had is an error with its name in [`Infos`], never an absent entry, and what it said last can
//! be asked for.

mod bundle;
mod cache;
mod sandbox;

use std::collections::{BTreeMap, HashMap};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use thiserror::Error;

use crate::account::{self, AccountError};
use crate::atomic::FileError;
use crate::build_list::Order;
use crate::config::{Config, ConfigError};
use crate::git::GitError;
use crate::names::PkgBase;
use crate::source::{Content, ContentId, SourceError, Sources, SubRelease};
use crate::srcinfo::{SrcInfo, SrcInfoError};
use crate::work_dir::WorkDir;
use bundle::Bundle;
use cache::Cache;
use sandbox::Sandbox;
pub use sandbox::{BEGIN as EVALUATION_BEGIN, END as EVALUATION_END, SCRIPT as EVALUATION_SCRIPT, SandboxError};

/// The metadata of an order cannot be had.
#[derive(Debug, Error)]
pub enum MetadataError {
    /// The configuration is missing or wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no account to evaluate PKGBUILDs with.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The sources cannot be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The PKGBUILD cannot be evaluated.
    #[error("the PKGBUILD of {pkgbase} cannot be evaluated: {source}")]
    Evaluation {
        /// The package.
        pkgbase: PkgBase,
        /// The cause.
        #[source]
        source: SandboxError,
    },
    /// The PKGBUILD of a directory that is no order cannot be evaluated.
    #[error("the PKGBUILD cannot be evaluated: {0}")]
    Directory(#[source] SandboxError),
    /// What came out cannot be read.
    #[error("the PKGBUILD of {pkgbase} cannot be used: {source}")]
    Content {
        /// The package.
        pkgbase: PkgBase,
        /// The cause.
        #[source]
        source: SrcInfoError,
    },
    /// The PKGBUILD builds something else.
    #[error("the PKGBUILD of {pkgbase} is that of {found}")]
    OtherPkgbase {
        /// The package.
        pkgbase: PkgBase,
        /// What it says.
        found: PkgBase,
    },
}

impl MetadataError {
    /// Whether it lies in the package's content or in its own git repository, so that other packages are not concerned
    /// and only a change of them (or luck with a time limit or the network) can mend it.
    #[must_use]
    pub fn is_of_content(&self) -> bool {
        match self {
            Self::Evaluation { source, .. } | Self::Directory(source) => source.is_of_content(),
            Self::Content { .. } | Self::OtherPkgbase { .. } => true,
            Self::Source(source) => match source {
                SourceError::Refused { .. }
                | SourceError::NoPkgbuild(_)
                | SourceError::Git(GitError::TooLarge { .. }) => true,
                SourceError::Package { source, .. } => {
                    !matches!(**source, GitError::File { .. } | GitError::Lock { .. })
                }
                _ => false,
            },
            Self::Config(_) | Self::Account(_) | Self::File(_) => false,
        }
    }
}

/// The `.SRCINFO` of a directory that is no order: `lay_out` puts it where the sandbox can read it.
///
/// # Errors
/// A key is wrong, root has no account to drop to, the directory cannot be laid out, or the sandbox or the PKGBUILD fails.
pub fn evaluate(
    config: &Config,
    lay_out: impl FnOnce(&Path) -> Result<(), SourceError>,
) -> Result<String, MetadataError> {
    let sandbox = Sandbox::new(account::to_drop_to(config)?, config.arch()?);
    let directory = sandbox::directory()?;
    let path = directory.path().join("package");
    lay_out(&path)?;
    sandbox.evaluate(&path).map_err(MetadataError::Directory)
}

/// The files of the cache that are older than `age`, and of contents that no package has now. Without them somebody who
/// asks for the metadata of an old order waits a little longer.
///
/// # Errors
/// The directory, or what the last look at the sources saw, cannot be read.
pub fn outdated(work_dir: &WorkDir, age: Duration, now: SystemTime) -> Result<Vec<PathBuf>, FileError> {
    Cache::open(work_dir.metadata_directory())?.outdated(age, now)
}

/// The metadata of many packages, or why there is none.
pub type Infos = BTreeMap<PkgBase, Result<SrcInfo, MetadataError>>;

/// The metadata of orders.
#[derive(Debug)]
pub struct Metadata {
    sources: Sources,
    cache: Cache,
    sandbox: Sandbox,
}

impl Metadata {
    /// The metadata of the configured sources, with the cache of the work directory.
    ///
    /// # Errors
    /// A key is missing or wrong, root has no account to drop to, or the cache's directory cannot be made.
    pub fn open(config: &Config, work_dir: &WorkDir) -> Result<Self, MetadataError> {
        let sources = Sources::open(config)?;
        Ok(Self {
            sandbox: Sandbox::new(account::to_drop_to(config)?, sources.arch().clone()),
            sources,
            cache: Cache::open(work_dir.metadata_directory())?,
        })
    }

    /// The sources that it reads.
    #[must_use]
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The metadata of one order, whose commits need not be the newest.
    ///
    /// # Errors
    /// The commits are unknown, or the PKGBUILD cannot be evaluated.
    pub fn srcinfo(&self, order: &Order) -> Result<SrcInfo, MetadataError> {
        self.of_content(order, &self.sources.content(order)?)
    }

    /// The metadata of one order when it is at hand; `None` when its PKGBUILD would have to be fetched or evaluated, which
    /// may take seconds.
    ///
    /// # Errors
    /// The commits are unknown, or the clones or the cache cannot be read.
    pub fn cached(&self, order: &Order) -> Result<Option<SrcInfo>, MetadataError> {
        let content = self.sources.content(order)?;
        Ok(self.at_hand(&order.pkgbase, &content)?.map(|(_, info)| info))
    }

    /// What a package said last before its present content, which cannot be had: what `before` says, which is kept then,
    /// else what was kept when that happened before. Others need its names and provisions although it is held back.
    ///
    /// # Errors
    /// The clones or the cache cannot be read or written. That `before` cannot be had either is none.
    pub fn last_good(
        &self,
        pkgbase: &PkgBase,
        before: Option<(&Order, &Content)>,
    ) -> Result<Option<SrcInfo>, MetadataError> {
        let found = before.map(|(order, content)| self.text_and_info(order, content));
        match found.transpose() {
            Ok(Some((text, info))) => {
                self.cache.keep_last_good(pkgbase, &text)?;
                return Ok(Some(info));
            }
            Err(error) if !error.is_of_content() => return Err(error),
            Ok(None) | Err(_) => {}
        }
        let kept = self.cache.read_last_good(pkgbase)?;
        Ok(kept.and_then(|text| self.parse(pkgbase, &text).ok()))
    }

    /// The text of an order's `.SRCINFO`.
    ///
    /// # Errors
    /// As [`Metadata::srcinfo`].
    pub fn srcinfo_text(&self, order: &Order) -> Result<String, MetadataError> {
        Ok(self.text_and_info(order, &self.sources.content(order)?)?.0)
    }

    /// The metadata of many orders, as many evaluated at a time as there are processors. The failure of one is no failure
    /// of the others.
    #[must_use]
    pub fn srcinfos<'a>(&self, orders: impl IntoIterator<Item = &'a Order>) -> Infos {
        self.side_by_side(orders, |order| (order.pkgbase.clone(), self.srcinfo(order)))
    }

    /// As [`Metadata::srcinfos`] for orders of a merged view, whose content is known. What is read is kept for the next
    /// look at the sources.
    ///
    /// # Errors
    /// The cache cannot be read or written.
    pub fn srcinfos_of_view(&self, orders: &[(Order, Content)]) -> Result<Infos, FileError> {
        let path = self.cache.bundle();
        let bundle = Bundle::read(&path)?;
        let fresh: Mutex<HashMap<ContentId, String>> = Mutex::default();
        let infos = self.side_by_side(orders, |(order, content)| {
            let bundled = bundle
                .get(content.id())
                .and_then(|text| self.parse(&order.pkgbase, text).ok());
            let info = match bundled {
                Some(info) => Ok(info),
                None => self.text_and_info(order, content).map(|(text, info)| {
                    let mut fresh = fresh.lock().unwrap_or_else(PoisonError::into_inner);
                    fresh.insert(*content.id(), text);
                    info
                }),
            };
            (order.pkgbase.clone(), info)
        });
        let fresh = fresh.into_inner().unwrap_or_else(PoisonError::into_inner);
        if !fresh.is_empty() {
            let ids = orders.iter().map(|(_, content)| content.id());
            let known =
                ids.filter_map(|id| Some((id, fresh.get(id).map_or_else(|| bundle.get(id), |text| Some(text))?)));
            Bundle::write(&path, known)?;
        }
        Ok(infos)
    }

    fn side_by_side<'a, T: Sync + 'a>(
        &self,
        items: impl IntoIterator<Item = &'a T>,
        one: impl Fn(&T) -> (PkgBase, Result<SrcInfo, MetadataError>) + Sync,
    ) -> Infos {
        let pending: Vec<&T> = items.into_iter().collect();
        let queue = Mutex::new(pending.into_iter());
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || {
            let mut done = Vec::new();
            while let Some(item) = next() {
                done.push(one(item));
            }
            done
        };
        let number = std::thread::available_parallelism().map_or(2, NonZero::get);
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..number).map(|_| scope.spawn(work)).collect();
            workers
                .into_iter()
                .flat_map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        })
    }

    fn of_content(&self, order: &Order, content: &Content) -> Result<SrcInfo, MetadataError> {
        Ok(self.text_and_info(order, content)?.1)
    }

    fn text_and_info(&self, order: &Order, content: &Content) -> Result<(String, SrcInfo), MetadataError> {
        let pkgbase = &order.pkgbase;
        if let Some(found) = self.at_hand(pkgbase, content)? {
            return Ok(found);
        }
        if self.sources.fetch_content(pkgbase, content)?
            && let Some((text, info)) = self.at_hand(pkgbase, content)?
        {
            // Kept, or each run would look into thousands of git repositories.
            self.cache.keep(content.id(), &text)?;
            return Ok((text, info));
        }
        let _claim = self.cache.claim(content.id())?;
        // Another run may have evaluated it while this one waited.
        if let Some(found) = self.evaluated(pkgbase, content)? {
            return Ok(found);
        }
        let text = self.evaluate(order)?;
        let info = self.parse(pkgbase, &text)?;
        self.cache.keep(content.id(), &text)?;
        Ok((text, info))
    }

    /// What was evaluated before, else what is committed, if it can be read.
    fn at_hand(&self, pkgbase: &PkgBase, content: &Content) -> Result<Option<(String, SrcInfo)>, MetadataError> {
        if let Some(found) = self.evaluated(pkgbase, content)? {
            return Ok(Some(found));
        }
        if let Some(text) = self.sources.committed_srcinfo(pkgbase, content)?
            && let Ok(info) = self.parse(pkgbase, &text)
        {
            return Ok(Some((text, info)));
        }
        Ok(None)
    }

    fn evaluated(&self, pkgbase: &PkgBase, content: &Content) -> Result<Option<(String, SrcInfo)>, MetadataError> {
        let Some(text) = self.cache.read(content.id())? else {
            return Ok(None);
        };
        Ok(self.parse(pkgbase, &text).ok().map(|info| (text, info)))
    }

    fn parse(&self, pkgbase: &PkgBase, text: &str) -> Result<SrcInfo, MetadataError> {
        let pkgbase = pkgbase.clone();
        match SrcInfo::parse(text, self.sources.arch()) {
            Ok(info) if info.pkgbase == pkgbase => Ok(info),
            Ok(info) => Err(MetadataError::OtherPkgbase {
                pkgbase,
                found: info.pkgbase,
            }),
            Err(source) => Err(MetadataError::Content { pkgbase, source }),
        }
    }

    fn evaluate(&self, order: &Order) -> Result<String, MetadataError> {
        let directory = sandbox::directory()?;
        let path = directory.path().join("package");
        self.sources.checkout(order, SubRelease::None, &path)?;
        self.sandbox
            .evaluate(&path)
            .map_err(|source| MetadataError::Evaluation {
                pkgbase: order.pkgbase.clone(),
                source,
            })
    }
}
