//! One order from the assignment to its return: built, signed, packed into the outbox, delivered.
//!
//! `builds/<order>/built` is written when the packages are on the disk, before anything else is done with them: it holds
//! the assignment. A builder that is killed from then on packs them at its next start and builds nothing again.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use common::assignment::Answer;
use common::atomic;
use common::cli::Messages;
use common::config::Config;
use common::git::GitError;
use common::interrupt::Interrupt;
use common::source::SourceError;
use common::state::{order_id, parse_order_id};

use crate::attempt::{self, Places};
use crate::company::Company;
use crate::heartbeat::Heartbeat;
use crate::ladder::{Ladder, Product};
use crate::master::Connection;
use crate::origin::Origin;
use crate::outbox::{Outbox, Parcel, Verdict};
use crate::products;
use crate::pulse::Pulse;
use crate::settings::Settings;

/// The file that says that the packages of a build are complete.
const BUILT: &str = "built";
/// How long logs are kept here.
const KEEP_LOGS: Duration = Duration::from_secs(14 * 86400);

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Built {
    /// The master has the packages, or does not want them any more.
    Packages,
    /// The master has the logs.
    Failed,
    /// The build or its return was ended: the user or the master wants that.
    Dropped,
    /// The git repositories cannot be reached just now.
    Postponed,
    /// The master refused what was returned.
    Refused,
    /// This machine cannot build.
    Unable,
}

/// What is to be done after a build.
enum Judgement {
    /// This is in the outbox, and is to be returned.
    Return(Verdict),
    /// Nothing more.
    Over(Built),
}

/// What orders are fulfilled with.
pub(crate) struct Workshop<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) config: &'a Config,
    pub(crate) messages: &'a Messages,
    pub(crate) connection: Connection<'a>,
    pub(crate) outbox: Outbox,
    /// Which builds run beside each other.
    pub(crate) company: Company<'a>,
    /// End now.
    pub(crate) abort: Interrupt,
}

impl Workshop<'_> {
    /// Builds an order and returns what came of it.
    ///
    /// # Errors
    /// The builder's own files cannot be read or written.
    pub(crate) fn fulfil(&self, answer: &Answer) -> anyhow::Result<Built> {
        let order = &answer.assignment.order;
        let places = Places::below(&self.builds().join(order_id(order)));
        attempt::remove_directory(&places.directory)?;
        attempt::empty_directory(&places.logs)?;
        self.messages
            .note(format_args!("{}: building {}", order.pkgbase, answer.assignment));
        let pulse = Pulse::new();
        let mut heartbeat = Heartbeat::new(&self.connection, &order.pkgbase);
        pulse.during(
            &self.abort,
            |pulse| heartbeat.beat(pulse),
            || {
                let product = self.build(answer, &places, &pulse);
                let verdict = match self.judge(product, answer, &places, &pulse)? {
                    Judgement::Return(verdict) => verdict,
                    Judgement::Over(built) => return Ok(built),
                };
                self.keep_logs(&places)?;
                attempt::remove_directory(&places.directory)?;
                pulse.enter("uploading");
                let order = order.clone();
                self.deliver(&Parcel { order, verdict })
            },
        )
    }

    fn builds(&self) -> PathBuf {
        self.settings.work_dir.join("builds")
    }

    fn build(&self, answer: &Answer, places: &Places, pulse: &Pulse) -> anyhow::Result<Product> {
        let Some(_presence) = self.company.join(&answer.assignment.order.pkgbase, &pulse.stop) else {
            return Ok(Product::Ended);
        };
        let origin = Origin::of_answer(self.config, answer)?;
        let ladder = Ladder {
            settings: self.settings,
            messages: self.messages,
            pulse,
            places,
            origin: &origin,
            expected: &answer.files,
            title: answer.assignment.order.pkgbase.as_str(),
        };
        ladder.climb()
    }

    /// Puts what is to be returned into the outbox; otherwise says what became of the order.
    fn judge(
        &self,
        product: anyhow::Result<Product>,
        answer: &Answer,
        places: &Places,
        pulse: &Pulse,
    ) -> anyhow::Result<Judgement> {
        let pkgbase = &answer.assignment.order.pkgbase;
        match product {
            Ok(Product::Built) => {
                pulse.enter("post-build");
                mark_built(places, answer)?;
                Ok(Judgement::Return(self.pack(places, answer)?))
            }
            Ok(Product::Failed(logs)) => {
                let order = answer.assignment.order.clone();
                let verdict = Verdict::Failure;
                let parcel = Parcel { order, verdict };
                self.outbox.put(&parcel, &logs)?;
                Ok(Judgement::Return(parcel.verdict))
            }
            Ok(Product::Unable) => {
                // The logs stay: they are all that tells what is wrong with this machine.
                self.messages.error(format_args!(
                    "{pkgbase}: this machine cannot build: {}; see {}",
                    pulse.standing().last_line,
                    places.logs.display()
                ));
                Ok(Judgement::Over(Built::Unable))
            }
            Err(error) if !pulse.stop.is_raised() => {
                self.messages.error(format_args!("{pkgbase}: {error:#}"));
                Ok(Judgement::Over(match is_of_the_network(&error) {
                    true => Built::Postponed,
                    false => Built::Unable,
                }))
            }
            Ok(Product::Ended) | Err(_) => self.drop_order(answer, places, pulse),
        }
    }

    /// Forgets a build that the user or the master has ended.
    fn drop_order(&self, answer: &Answer, places: &Places, pulse: &Pulse) -> anyhow::Result<Judgement> {
        if pulse.revoked.is_raised() {
            let pkgbase = &answer.assignment.order.pkgbase;
            self.messages
                .note(format_args!("{pkgbase}: the order is no longer ours"));
        }
        attempt::remove_directory(&places.directory)?;
        Ok(Judgement::Over(Built::Dropped))
    }

    /// Signs and packs the packages of a complete build into the outbox. When that does not work the build stays where it
    /// is, for the next start.
    fn pack(&self, places: &Places, answer: &Answer) -> anyhow::Result<Verdict> {
        let parcel = Parcel {
            order: answer.assignment.order.clone(),
            verdict: Verdict::Packages(answer.assignment.sub_pkgrel),
        };
        products::finish(&places.packages, &answer.files, self.settings, self.messages)
            .and_then(|files| self.outbox.put(&parcel, &files))
            .with_context(|| {
                let (pkgbase, place) = (&parcel.order.pkgbase, places.directory.display());
                format!("{pkgbase} is built, waits in {place} and is returned by the next start")
            })?;
        Ok(parcel.verdict)
    }

    /// Packs what an earlier run has built and not packed, and removes what it has not built to the end.
    ///
    /// # Errors
    /// The builder's own files cannot be read or written.
    pub(crate) fn take_up(&self) -> anyhow::Result<()> {
        let builds = self.builds();
        atomic::create_directory(&builds)?;
        for entry in std::fs::read_dir(&builds).with_context(|| format!("cannot read {}", builds.display()))? {
            let entry = entry?;
            // Local builds, which may run just now, lie here, too.
            let order = entry.file_name().to_str().map(parse_order_id);
            if !matches!(order, Some(Ok(_))) {
                continue;
            }
            let places = Places::below(&entry.path());
            let marker = atomic::read_text(&places.directory.join(BUILT)).unwrap_or_default();
            if let Some(answer) = marker.and_then(|text| text.parse::<Answer>().ok()) {
                self.pack_again(&places, &answer)?;
            }
            attempt::remove_directory(&places.directory)?;
        }
        Ok(())
    }

    /// Packs what an earlier run has built to the end; what is not there as a whole cannot be packed.
    fn pack_again(&self, places: &Places, answer: &Answer) -> anyhow::Result<()> {
        let pkgbase = &answer.assignment.order.pkgbase;
        if let Err(error) = products::choose(&places.packages, &answer.files) {
            self.messages.error(format_args!("{pkgbase}: {error:#}"));
            return Ok(());
        }
        self.pack(places, answer)?;
        self.messages
            .note(format_args!("{pkgbase}: was built before the last end"));
        Ok(())
    }

    /// Moves the logs to `logs/<order>/`, and removes those that are old.
    fn keep_logs(&self, places: &Places) -> anyhow::Result<()> {
        let directory = self.settings.work_dir.join("logs");
        atomic::create_directory(&directory)?;
        for entry in std::fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))? {
            let path = entry?.path();
            let modified = path.metadata().and_then(|metadata| metadata.modified());
            let age = modified.map(|time| SystemTime::now().duration_since(time).unwrap_or_default());
            if age.is_ok_and(|age| age > KEEP_LOGS) {
                attempt::remove_directory(&path)?;
            }
        }
        let target = directory.join(places.directory.file_name().unwrap_or_default());
        attempt::remove_directory(&target)?;
        Ok(atomic::rename(&places.logs, &target)?)
    }
}

/// Makes sure that the packages are on the disk, then says so.
fn mark_built(places: &Places, answer: &Answer) -> anyhow::Result<()> {
    for package in products::choose(&places.packages, &answer.files)? {
        let synced = std::fs::File::open(&package).and_then(|file| file.sync_all());
        synced.with_context(|| format!("cannot sync {}", package.display()))?;
    }
    atomic::sync_directory(&places.packages)?;
    let mut text = format!("{}\n", answer.assignment);
    for file in &answer.files {
        text.push_str(&format!("{file}\n"));
    }
    Ok(atomic::write(&places.directory.join(BUILT), text.as_bytes())?)
}

/// Whether a git repository could not be fetched: it can be tomorrow.
fn is_of_the_network(error: &anyhow::Error) -> bool {
    let is_fetch = |error: &GitError| matches!(error, GitError::Fetch { .. } | GitError::Lock { .. });
    error.chain().any(|cause| {
        cause.downcast_ref::<GitError>().is_some_and(is_fetch)
            || match cause.downcast_ref::<SourceError>() {
                Some(SourceError::Git(error)) => is_fetch(error),
                Some(SourceError::Package { source, .. }) => is_fetch(source),
                _ => false,
            }
    })
}
