//! Building one order: straw after straw, until one of them works or none is left.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use common::assignment::Answer;
use common::build_list::Order;
use common::cli::Messages;
use common::config::Config;
use common::metadata::Metadata;
use common::source::{SourceError, Sources, SubPkgrel, SubRelease};
use common::work_dir::WorkDir;

use crate::attempt::{self, Attempt, Class, Places};
use crate::heartbeat::Pulse;
use crate::outbox::Verdict;
use crate::products;
use crate::settings::Settings;
use crate::sources;
use crate::straw::{Remedy, Straw};

/// How often an attempt is repeated when the chroot or the machine is in trouble.
const MACHINE_TRIES: u32 = 3;

/// What came of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Product {
    /// Something to return: packages with signatures, or logs.
    Parcel(Verdict, Vec<PathBuf>),
    /// This machine cannot build at all; that is no fault of the package.
    Unable,
    /// Somebody ended the build.
    Ended,
}

/// One order being built.
pub(crate) struct Ladder<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) config: &'a Config,
    pub(crate) messages: &'a Messages,
    pub(crate) pulse: &'a Pulse,
    pub(crate) places: &'a Places,
    pub(crate) answer: &'a Answer,
}

impl Ladder<'_> {
    fn order(&self) -> &Order {
        &self.answer.assignment.order
    }

    /// Climbs: tries each straw that makes sense after how the last one failed.
    ///
    /// # Errors
    /// The builder's own files cannot be read or written, or its clones lack the order's commits.
    pub(crate) fn climb(&self) -> anyhow::Result<Product> {
        let pkgbase = &self.order().pkgbase;
        let sources = Sources::open(self.config)?;
        if !sources.has_commits_of(self.order())? {
            sources.fetch().context("cannot fetch the git repositories")?;
        }
        let mut last = None;
        let mut number = 0;
        for straw in &self.settings.straws {
            if !attempt::is_worth_trying(straw, last) {
                continue;
            }
            let class = match self.pull(straw, &sources, &mut number) {
                Ok(class) => class,
                // No straw repairs what the package itself must not hold, and no other builder fares better.
                Err(error) if is_of_content(&error) => {
                    self.messages.error(format_args!("{pkgbase}: {error:#}"));
                    note_in_logs(&self.places.logs, number, &format!("{error:#}"))?;
                    break;
                }
                Err(error) => return Err(error),
            };
            self.messages
                .note(format_args!("{pkgbase}: {} with {straw}", class.as_str()));
            last = Some(class);
            match class {
                Class::Built => {
                    if let Some(product) = self.collect(number)? {
                        return Ok(product);
                    }
                }
                Class::Interrupted => return Ok(Product::Ended),
                Class::Machine => return Ok(Product::Unable),
                Class::Function | Class::Dependencies | Class::Sources | Class::Limit => {}
            }
        }
        self.pulse.enter("failure");
        let logs = products::compress_logs(&self.places.logs)?;
        Ok(Product::Parcel(Verdict::Failure, logs))
    }

    /// Tries one straw, again when the machine was in trouble.
    fn pull(&self, straw: &Straw, sources: &Sources, number: &mut usize) -> anyhow::Result<Class> {
        for machine_try in 1.. {
            self.pulse.enter("preparing");
            self.prepare(sources, straw)?;
            self.pulse.enter("building");
            *number += 1;
            let attempt = Attempt {
                settings: self.settings,
                places: self.places,
                straw,
                number: *number,
                commit_time: sources.commit_time(self.order())?,
            };
            let class = attempt.run(&self.pulse.stop)?;
            if class != Class::Machine || machine_try == MACHINE_TRIES || self.pulse.stop.is_raised() {
                return Ok(class);
            }
            self.pulse.stop.sleep(self.settings.pause * machine_try);
        }
        Ok(Class::Machine)
    }

    /// What a build that ended well made; `None` when that is not what is expected.
    fn collect(&self, number: usize) -> anyhow::Result<Option<Product>> {
        self.pulse.enter("post-build");
        match products::choose(&self.places.packages, &self.answer.files) {
            Ok(packages) => {
                let files = products::sign(packages, self.settings)?;
                let verdict = Verdict::Packages(self.answer.assignment.sub_pkgrel);
                Ok(Some(Product::Parcel(verdict, files)))
            }
            Err(error) => {
                self.messages.error(format_args!("{}: {error:#}", self.order().pkgbase));
                note_in_logs(&self.places.logs, number, &format!("{error:#}"))?;
                Ok(None)
            }
        }
    }

    /// A fresh source directory, with the sources that the straw gets from elsewhere.
    fn prepare(&self, sources: &Sources, straw: &Straw) -> anyhow::Result<()> {
        attempt::empty_directory(&self.places.packages)?;
        attempt::remove_directory(&self.places.source)?;
        let mode = SubPkgrel::configured(self.config)?;
        let sub = SubRelease::of_files(self.answer.assignment.sub_pkgrel, &self.answer.files, mode);
        sources
            .checkout(self.order(), sub, &self.places.source)
            .with_context(|| format!("cannot lay out the sources of {}", self.order().pkgbase))?;
        if straw.is_about_sources()
            && let Err(error) = self.fetch_elsewhere(straw)
        {
            self.messages.error(format_args!("{}: {error:#}", self.order().pkgbase));
        }
        Ok(())
    }

    fn fetch_elsewhere(&self, straw: &Straw) -> anyhow::Result<()> {
        let pkgbase = &self.order().pkgbase;
        let metadata = Metadata::open(self.config, &WorkDir::open(self.config)?)?;
        let (directory, stop) = (&self.places.source, &self.pulse.stop);
        if straw.has(Remedy::MirroredSourceByHash) {
            let mirror = self.settings.source_by_hash_mirror.as_deref();
            let mirror = mirror.context("source_by_hash_mirror is not set")?;
            let wanted = sources::with_checksums(&metadata.srcinfo_text(self.order())?);
            let fetched = sources::fetch_by_hash(directory, &wanted, mirror, stop)?;
            self.messages
                .note(format_args!("{pkgbase}: {fetched} sources by checksum"));
        }
        if straw.has(Remedy::MirroredSource) {
            let mirror = self.settings.source_archive_mirror.as_deref();
            let mirror = mirror
                .context("source_archive_mirror is not set")?
                .trim_end_matches('/');
            let srcinfo = metadata.srcinfo(self.order())?;
            let address = format!("{mirror}/{pkgbase}/{pkgbase}-{}.src.tar.gz", srcinfo.full_version());
            sources::fetch_archive(directory, &address, stop)?;
        }
        Ok(())
    }
}

/// Whether the package's own files are at fault, and not this machine.
fn is_of_content(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(SourceError::Refused { .. } | SourceError::NoPkgbuild(_))
    )
}

/// Adds a log of what the build command cannot say: why a build that ended well counts as failed, or was never begun.
fn note_in_logs(directory: &Path, number: usize, message: &str) -> anyhow::Result<()> {
    let path = directory.join(format!("{number}.note.build-log"));
    Ok(common::atomic::write(&path, format!("==> {message}\n").as_bytes())?)
}
