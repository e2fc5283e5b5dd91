//! Building one thing: straw after straw, until one of them works or none is left.

use std::path::PathBuf;

use anyhow::Context as _;
use common::build_command::{Outcome, Phase, Record};
use common::cli::Messages;
use common::names::FileName;
use common::process::Command;
use common::source::SourceError;

use crate::attempt::{self, Attempt, Places, Ran};
use crate::history::{End, History};
use crate::log::{self, AttemptLog};
use crate::origin::Origin;
use crate::products;
use crate::pulse::Pulse;
use crate::settings::Settings;
use crate::sources;
use crate::straw::{Remedy, Straw};

/// How often an attempt is repeated when the chroot or the machine is in trouble.
const MACHINE_TRIES: u32 = 3;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Product {
    /// The expected packages lie in their place.
    Built,
    /// No straw worked; the logs.
    Failed(Vec<PathBuf>),
    /// This machine cannot build at all; that is no fault of the package.
    Unable,
    /// Somebody ended the build.
    Ended,
}

/// One thing being built.
pub(crate) struct Ladder<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) messages: &'a Messages,
    pub(crate) pulse: &'a Pulse,
    pub(crate) places: &'a Places,
    pub(crate) origin: &'a Origin<'a>,
    /// The package files that have to come out; none: whatever comes out.
    pub(crate) expected: &'a [FileName],
    /// What it is called in messages.
    pub(crate) title: &'a str,
}

/// What came of one straw.
enum Pulled {
    /// It was tried.
    Tried(End),
    /// Its mirrors have nothing of the package.
    PassedOver(String),
    /// The package's own files are refused: no straw repairs that, and no other builder fares better.
    Hopeless,
    /// The build command does not work here, whatever the package.
    Unusable,
}

impl Ladder<'_> {
    /// Climbs: tries each straw that makes sense after how the others failed.
    ///
    /// # Errors
    /// The builder's own files cannot be read or written, or its clones lack the order's commits.
    pub(crate) fn climb(&self) -> anyhow::Result<Product> {
        self.update_mirror();
        let mut history = History::default();
        let mut number = 0;
        for straw in &self.settings.straws {
            if !self.settings.has_means_for(straw) || !history.gives_hope(straw) {
                continue;
            }
            match self.pull(straw, &mut number)? {
                Pulled::Hopeless => break,
                Pulled::Unusable => return Ok(Product::Unable),
                Pulled::PassedOver(reason) => {
                    self.say(format_args!("{straw} is passed over: {reason}"));
                    history.pass_over(straw);
                }
                Pulled::Tried(end) => {
                    self.tell(straw, end.outcome);
                    history.add(straw, end);
                    match end.outcome {
                        Outcome::Built => return Ok(Product::Built),
                        Outcome::Interrupted => return Ok(Product::Ended),
                        Outcome::Machine => return Ok(Product::Unable),
                        _ => {}
                    }
                }
            }
            // What somebody ended has not failed.
            if self.pulse.stop.is_raised() {
                return Ok(Product::Ended);
            }
        }
        self.pulse.enter("failure");
        Ok(Product::Failed(log::compressed(&self.places.logs)?))
    }

    /// Runs the operator's command that brings a mirror on this machine up to date.
    fn update_mirror(&self) {
        let Some((program, arguments)) = self.settings.mirror_update_command.split_first() else {
            return;
        };
        self.pulse.enter("preparing");
        let mut command = Command::new(program).args(arguments).interrupt(&self.pulse.stop);
        for (key, value) in &self.settings.environment {
            command = command.env(key, value);
        }
        if let Err(error) = command.run()
            && !self.pulse.stop.is_raised()
        {
            self.messages
                .error(format_args!("{}: the mirror is used as it is: {error}", self.title));
        }
    }

    /// Says how an attempt ended, and the last words of its log where it did not end well.
    fn tell(&self, straw: &Straw, outcome: Outcome) {
        let words = self.pulse.standing().last_line;
        match outcome {
            Outcome::Built | Outcome::Interrupted => self.say(format_args!("{outcome} with {straw}")),
            _ => self.say(format_args!("{outcome} with {straw}, at last: {}", words.trim())),
        }
    }

    fn say(&self, what: impl std::fmt::Display) {
        self.messages.note(format_args!("{}: {what}", self.title));
    }

    /// Tries one straw, again when the machine was in trouble.
    fn pull(&self, straw: &Straw, number: &mut usize) -> anyhow::Result<Pulled> {
        for machine_try in 1.. {
            *number += 1;
            let mut log = AttemptLog::begin(&self.places.logs, *number, straw)?;
            let (pulled, record) = self.attempt(straw, &mut log)?;
            let outcome = match &pulled {
                Pulled::Tried(end) => end.outcome,
                Pulled::PassedOver(_) => Outcome::Sources,
                Pulled::Hopeless => Outcome::Failed(None),
                Pulled::Unusable => Outcome::Machine,
            };
            log.end(outcome, record.as_ref())?;
            let is_over = machine_try == MACHINE_TRIES || self.pulse.stop.is_raised();
            let is_of_machine = matches!(&pulled, Pulled::Tried(end) if end.outcome == Outcome::Machine);
            if is_over || !is_of_machine {
                return Ok(pulled);
            }
            self.pulse.stop.sleep(self.settings.pause * machine_try);
        }
        Ok(Pulled::Tried(End::of(Outcome::Machine)))
    }

    fn attempt(&self, straw: &Straw, log: &mut AttemptLog) -> anyhow::Result<(Pulled, Option<Record>)> {
        self.pulse.follow(log.path());
        self.pulse.enter("preparing");
        attempt::empty_directory(&self.places.packages)?;
        attempt::remove_directory(&self.places.source)?;
        if let Err(error) = self.origin.lay_out(&self.places.source) {
            if !is_of_content(&error) {
                return Err(error).with_context(|| format!("cannot lay out the sources of {}", self.title));
            }
            self.messages.error(format_args!("{}: {error:#}", self.title));
            log.say(&format!("{error:#}"))?;
            return Ok((Pulled::Hopeless, None));
        }
        if straw.is_about_sources()
            && let Err(error) = self.fetch_elsewhere(straw, log)
        {
            let reason = format!("{error:#}");
            log.say(&reason)?;
            return Ok((Pulled::PassedOver(reason), None));
        }
        self.pulse.enter("building");
        let attempt = Attempt {
            settings: self.settings,
            places: self.places,
            straw,
            time: self.origin.time()?,
        };
        let ran = attempt.run(log, &self.pulse.stop)?;
        self.pulse.look();
        let Ran::Ended(mut end, record) = ran else {
            return Ok((Pulled::Unusable, None));
        };
        if end.outcome == Outcome::Built
            && let Err(error) = products::choose(&self.places.packages, self.expected)
        {
            self.messages.error(format_args!("{}: {error:#}", self.title));
            log.say(&format!("{error:#}"))?;
            end = End::of(Outcome::Failed(Some(Phase::Delivery)));
        }
        Ok((Pulled::Tried(end), record))
    }

    /// Gets sources from the straw's mirrors; an error when they have nothing.
    fn fetch_elsewhere(&self, straw: &Straw, log: &mut AttemptLog) -> anyhow::Result<()> {
        let (directory, stop) = (&self.places.source, &self.pulse.stop);
        if let (true, Some(mirror)) = (
            straw.has(Remedy::MirroredSourceByHash),
            &self.settings.source_by_hash_mirror,
        ) {
            let wanted = sources::with_checksums(&self.origin.srcinfo_text()?);
            let fetched = sources::fetch_by_hash(directory, &wanted, mirror, stop)?;
            log.say(&format!("{fetched} sources by their checksums from {mirror}"))?;
            anyhow::ensure!(fetched > 0, "{mirror} has none of the sources");
        }
        if let (true, Some(mirror)) = (straw.has(Remedy::MirroredSource), &self.settings.source_archive_mirror) {
            let address = self.origin.archive_address(mirror)?;
            sources::fetch_archive(directory, &address, stop)?;
            log.say(&format!("sources from {address}"))?;
        }
        Ok(())
    }
}

/// Whether the order itself is at fault, and not this machine: what it names is refused, or gone.
fn is_of_content(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(SourceError::Refused { .. } | SourceError::NoPkgbuild(_) | SourceError::UnknownRevision { .. })
    )
}
