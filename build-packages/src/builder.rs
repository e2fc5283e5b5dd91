//! One builder at work: ask the master, build, return, and what each answer of the master means.

use std::time::{Duration, Instant};

use common::assignment::Answer;
use common::cli::Messages;
use common::config::Config;
use common::interrupt::Interrupt;
use common::state::order_id;

use crate::Outcome;
use crate::attempt::{self, Places};
use crate::cli::Cli;
use crate::heartbeat::Pulse;
use crate::ladder::{Ladder, Product};
use crate::master::Connection;
use crate::outbox::{Delivery, Outbox, Parcel, Verdict};
use crate::settings::Settings;

/// How long the master may keep a request open until there is work, in seconds.
const WAIT: &str = "10";
/// Longest time that a request for an order may take.
const ASK_LIMIT: Duration = Duration::from_secs(300);
/// Longest pause between two tries.
const MAX_PAUSE: Duration = Duration::from_secs(600);

/// A builder with its connection and its outbox.
pub(crate) struct Builder<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) config: &'a Config,
    pub(crate) connection: Connection<'a>,
    pub(crate) outbox: Outbox,
    pub(crate) messages: &'a Messages,
    /// Finish what is begun and end.
    pub(crate) drain: Interrupt,
    /// End now.
    pub(crate) abort: Interrupt,
}

/// What the master answered to a request for an order.
enum Reply {
    Order(Answer),
    Nothing,
    /// It makes no sense to go on.
    Never(String),
    /// Ask again after a pause, which is so many times the configured one.
    Later(u32, String),
}

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Built {
    Packages,
    Failed,
    /// The build was ended: the user or the master wants that.
    Dropped,
    /// This machine cannot build.
    Unable,
}

impl Builder<'_> {
    /// Works until there is a reason to end.
    ///
    /// # Errors
    /// The builder's own files cannot be read or written.
    pub(crate) fn work(&self, cli: &Cli) -> anyhow::Result<Outcome> {
        let began = Instant::now();
        let is_late = || {
            cli.time
                .is_some_and(|seconds| began.elapsed() >= Duration::from_secs(seconds))
        };
        let mut left = cli.count();
        let mut pause = Pause::new(self.settings.pause);
        if self.deliver_all()? == Outcome::Stopped {
            return Ok(Outcome::Stopped);
        }
        while left != Some(0) && !self.drain.is_raised() && !self.abort.is_raised() && !is_late() {
            match self.ask(cli) {
                Reply::Order(answer) => {
                    pause.reset();
                    left = left.map(|count| count - 1);
                    let built = self.fulfil(&answer)?;
                    if self.deliver_all()? == Outcome::Stopped || built == Built::Unable {
                        return Ok(Outcome::Stopped);
                    }
                    if built == Built::Failed && cli.exit_on_failure {
                        break;
                    }
                }
                Reply::Nothing if cli.keep_asking => pause.sleep(4, [&self.drain, &self.abort]),
                Reply::Nothing => {
                    self.messages.note("there is nothing to do");
                    break;
                }
                Reply::Never(reason) => {
                    self.messages
                        .error(format_args!("the master does not take this builder: {reason}"));
                    return Ok(Outcome::Stopped);
                }
                Reply::Later(factor, reason) => {
                    self.messages.note(format_args!("asking again later: {reason}"));
                    pause.sleep(factor, [&self.drain, &self.abort]);
                }
            }
        }
        Ok(Outcome::Finished)
    }

    fn ask(&self, cli: &Cli) -> Reply {
        let mut words: Vec<String> = ["get-assignment", "--wait", WAIT, "--files"].map(str::to_owned).into();
        words.extend(cli.prefer.iter().map(ToString::to_string));
        let reply = match self.connection.request(&words, None, ASK_LIMIT, &self.abort) {
            Ok(reply) => reply,
            Err(error) => return Reply::Later(1, error.to_string()),
        };
        match reply.code {
            Some(0) => match reply.text.parse() {
                Ok(answer) => Reply::Order(answer),
                Err(error) => Reply::Later(4, format!("{error}")),
            },
            Some(2 | 4) => Reply::Later(4, "no order can be built now".to_owned()),
            Some(3) => Reply::Nothing,
            Some(42 | 64) => Reply::Never(reply.message),
            _ => Reply::Later(1, reply.message),
        }
    }

    /// Builds an order and puts what there is to return into the outbox.
    fn fulfil(&self, answer: &Answer) -> anyhow::Result<Built> {
        let order = &answer.assignment.order;
        let directory = self.settings.work_dir.join("builds").join(order_id(order));
        let places = Places {
            source: directory.join("source"),
            packages: directory.join("packages"),
            logs: directory.join("logs"),
        };
        attempt::remove_directory(&directory)?;
        attempt::empty_directory(&places.logs)?;
        self.messages
            .note(format_args!("{}: building {}", order.pkgbase, answer.assignment));
        let pulse = Pulse::new();
        let ladder = Ladder {
            settings: self.settings,
            config: self.config,
            messages: self.messages,
            pulse: &pulse,
            places: &places,
            answer,
        };
        let product = pulse.during(&self.connection, &self.abort, || ladder.climb());
        let built = match product {
            Ok(Product::Parcel(verdict, files)) => {
                let built = match verdict {
                    Verdict::Packages(_) => Built::Packages,
                    Verdict::Failure => Built::Failed,
                };
                let order = order.clone();
                self.outbox.put(&Parcel { order, verdict }, &files)?;
                built
            }
            Ok(Product::Unable) => {
                // The logs stay: they are all that tells what is wrong with this machine.
                self.messages.error(format_args!(
                    "{}: this machine cannot build: {}; see {}",
                    order.pkgbase,
                    attempt::last_words(&places.logs),
                    places.logs.display()
                ));
                return Ok(Built::Unable);
            }
            Err(error) if !pulse.stop.is_raised() => {
                self.messages.error(format_args!("{}: {error:#}", order.pkgbase));
                return Ok(Built::Unable);
            }
            Ok(Product::Ended) | Err(_) => {
                if pulse.revoked.is_raised() {
                    self.messages
                        .note(format_args!("{}: the order is no longer ours", order.pkgbase));
                }
                Built::Dropped
            }
        };
        attempt::remove_directory(&directory)?;
        Ok(built)
    }

    /// Uploads whatever is in the outbox, each until the master has decided about it; a finished build is never thrown
    /// away for trouble on the way. Being asked to drain does not end this, being asked to end does.
    fn deliver_all(&self) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::Finished;
        for parcel in self.outbox.parcels()? {
            let pkgbase = &parcel.order.pkgbase;
            let mut pause = Pause::new(self.settings.pause);
            loop {
                match self.outbox.deliver(&parcel, &self.connection, &self.abort)? {
                    Delivery::Accepted => self.messages.note(format_args!("{pkgbase}: returned")),
                    Delivery::Outdated(reason) => {
                        self.messages
                            .note(format_args!("{pkgbase}: outdated, thrown away: {reason}"));
                    }
                    Delivery::Refused(code, reason) => {
                        self.messages
                            .error(format_args!("{pkgbase}: refused with {code}: {reason}"));
                        outcome = Outcome::Stopped;
                    }
                    Delivery::Later(reason) if self.abort.is_raised() => {
                        self.messages
                            .note(format_args!("{pkgbase}: stays in the outbox: {reason}"));
                        return Ok(outcome);
                    }
                    Delivery::Later(reason) => {
                        self.messages
                            .note(format_args!("{pkgbase}: returning it again later: {reason}"));
                        pause.sleep(1, [&self.abort, &self.abort]);
                        continue;
                    }
                }
                break;
            }
        }
        Ok(outcome)
    }
}

/// Growing pauses with jitter, so that builders do not come back all at once.
struct Pause {
    first: Duration,
    next: Duration,
}

impl Pause {
    fn new(first: Duration) -> Self {
        Self { first, next: first }
    }

    fn reset(&mut self) {
        self.next = self.first;
    }

    /// Sleeps for a time between one and two pauses, times a factor, or until one of the interrupts is raised.
    fn sleep(&mut self, factor: u32, interrupts: [&Interrupt; 2]) {
        let time = self
            .next
            .mul_f64(f64::from(factor) * (1.0 + fastrand::f64()))
            .min(MAX_PAUSE);
        let deadline = Instant::now() + time;
        while Instant::now() < deadline && !interrupts.iter().any(|interrupt| interrupt.is_raised()) {
            let left = deadline.saturating_duration_since(Instant::now());
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
        self.next = (self.next * 3 / 2).min(MAX_PAUSE);
    }
}
