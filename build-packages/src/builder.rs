//! One builder at work: it asks the master, has orders built side by side, and knows what each answer of the master
//! means.
//!
//! One thread asks, one thread an order builds and returns it. An order counts as ours from its assignment until the
//! master has decided about what was returned: that long it is named to the master (`--have`), which would hand it out
//! to us again otherwise.

use std::collections::BTreeSet;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use common::assignment::Answer;
use common::interrupt::Interrupt;
use common::names::PkgBase;

use crate::Outcome;
use crate::admission::Admission;
use crate::cli::Cli;
use crate::pause::Pause;
use crate::renewal::OwnFile;
use crate::settings::Settings;
use crate::workshop::{Built, Workshop};

/// How long the master may keep a request open until there is work, in seconds.
const WAIT: &str = "10";
/// Longest time that a request for an order may take.
const ASK_LIMIT: Duration = Duration::from_secs(300);
/// How often is looked whether there is something to do.
const TICK: Duration = Duration::from_millis(50);

/// A builder with what it builds with.
pub(crate) struct Builder<'a> {
    pub(crate) workshop: Workshop<'a>,
    /// Finish what is begun and end.
    pub(crate) drain: Interrupt,
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

/// An order that a thread is done with.
type Done = (PkgBase, anyhow::Result<Built>);

/// How things stand in one run.
struct Shift<'a> {
    cli: &'a Cli,
    began: Instant,
    /// How many orders to begin; `None`: no end.
    left: Option<u64>,
    prefer: Option<PkgBase>,
    /// The orders that are ours.
    ours: BTreeSet<PkgBase>,
    admission: Admission,
    pause: Pause,
    /// Nothing is asked for before.
    not_before: Instant,
    own_file: OwnFile,
    /// Nothing is asked for any more.
    is_closing: bool,
    end: anyhow::Result<Outcome>,
}

impl Builder<'_> {
    /// Works until there is a reason to end.
    ///
    /// # Errors
    /// The builder's own files cannot be read or written.
    pub(crate) fn work(&self, cli: &Cli) -> anyhow::Result<Outcome> {
        self.workshop.take_up()?;
        if !self.workshop.deliver_all()? {
            return Ok(Outcome::Stopped);
        }
        let mut shift = Shift::begin(cli, self.workshop.settings);
        let (sender, done) = channel::<Done>();
        std::thread::scope(|scope| {
            loop {
                while let Ok(order) = done.try_recv() {
                    shift.take_back(order);
                }
                shift.is_closing |= self.is_asked_to_end() || shift.is_late();
                if shift.is_closing && shift.ours.is_empty() {
                    break;
                }
                if shift.is_to_begin_anew() {
                    shift.end = Ok(Outcome::Replaced);
                    break;
                }
                if !shift.wants_more() || self.is_one_alone(&shift) {
                    std::thread::sleep(TICK);
                    continue;
                }
                let reply = self.ask(&mut shift);
                if let Some(answer) = self.take(reply, &mut shift) {
                    let sender = sender.clone();
                    scope.spawn(move || self.fulfil(&answer, &sender));
                }
            }
        });
        shift.end
    }

    /// Whether one of the orders wants nothing beside it.
    fn is_one_alone(&self, shift: &Shift<'_>) -> bool {
        shift
            .ours
            .iter()
            .any(|pkgbase| self.workshop.company.wants_none(pkgbase))
    }

    fn is_asked_to_end(&self) -> bool {
        self.drain.is_raised() || self.workshop.abort.is_raised()
    }

    fn fulfil(&self, answer: &Answer, done: &Sender<Done>) {
        let pkgbase = answer.assignment.order.pkgbase.clone();
        let built = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.workshop.fulfil(answer)));
        let built =
            built.unwrap_or_else(|_| Err(anyhow::anyhow!("{pkgbase}: a bug of build-packages ended the build")));
        // The receiver lives as long as the threads.
        done.send((pkgbase, built)).ok();
    }

    fn ask(&self, shift: &mut Shift<'_>) -> Reply {
        if let Some(lack) = self.workshop.settings.room.lack() {
            return Reply::Later(1, lack);
        }
        let mut words: Vec<String> = ["get-assignment", "--wait", WAIT, "--files"].map(str::to_owned).into();
        for pkgbase in &shift.ours {
            words.extend(["--have".to_owned(), pkgbase.to_string()]);
        }
        let preferred = shift.prefer.take();
        words.extend(preferred.iter().map(ToString::to_string));
        let workshop = &self.workshop;
        let reply = match workshop.connection.request(&words, ASK_LIMIT, &workshop.abort) {
            Ok(reply) => reply,
            Err(error) => {
                shift.prefer = preferred;
                return Reply::Later(1, error.to_string());
            }
        };
        match reply.code {
            Some(0) => match reply.text.parse() {
                Ok(answer) => Reply::Order(answer),
                Err(error) => Reply::Later(4, format!("{error}")),
            },
            Some(2 | 3) if preferred.is_some() => Reply::Later(0, "the preferred order cannot be had".to_owned()),
            Some(2 | 4) => Reply::Later(4, "no order can be built now".to_owned()),
            Some(3) => Reply::Nothing,
            Some(42 | 64) => Reply::Never(reply.message),
            _ => {
                shift.prefer = preferred;
                Reply::Later(1, reply.message)
            }
        }
    }

    /// What an answer means; the order that is to be built.
    fn take(&self, reply: Reply, shift: &mut Shift<'_>) -> Option<Answer> {
        let messages = self.workshop.messages;
        match reply {
            // The lease stays ours: it is handed out again at the next start.
            Reply::Order(_) if self.is_asked_to_end() => shift.is_closing = true,
            Reply::Order(answer) if shift.ours.contains(&answer.assignment.order.pkgbase) => {
                shift.wait(4);
            }
            Reply::Order(answer) => {
                shift.take_on(&answer);
                return Some(answer);
            }
            Reply::Nothing if !shift.ours.is_empty() || shift.cli.keep_asking => shift.wait(4),
            Reply::Nothing => {
                messages.note("there is nothing to do");
                shift.is_closing = true;
            }
            Reply::Never(reason) => {
                messages.error(format_args!("the master does not take this builder: {reason}"));
                shift.stop();
            }
            Reply::Later(factor, reason) => {
                messages.note(format_args!("asking again later: {reason}"));
                shift.wait(factor);
            }
        }
        None
    }
}

impl<'a> Shift<'a> {
    fn begin(cli: &'a Cli, settings: &Settings) -> Self {
        let now = Instant::now();
        Self {
            cli,
            began: now,
            left: cli.count(),
            prefer: cli.prefer.clone(),
            ours: BTreeSet::new(),
            admission: Admission::new(settings.slots),
            pause: Pause::new(settings.pause),
            not_before: now,
            own_file: OwnFile::now(),
            is_closing: false,
            end: Ok(Outcome::Finished),
        }
    }
}

impl Shift<'_> {
    fn is_late(&self) -> bool {
        let limit = self.cli.time.map(Duration::from_secs);
        limit.is_some_and(|limit| self.began.elapsed() >= limit)
    }

    /// Whether another version of the program goes on from here: between two orders, and only where nothing is counted.
    fn is_to_begin_anew(&self) -> bool {
        let is_endless = self.left.is_none() && self.cli.time.is_none();
        is_endless && self.ours.is_empty() && self.own_file.is_replaced()
    }

    fn wants_more(&mut self) -> bool {
        !self.is_closing
            && self.left != Some(0)
            && Instant::now() >= self.not_before
            && self.admission.admits(self.ours.len())
    }

    fn wait(&mut self, factor: u32) {
        self.not_before = match factor {
            0 => Instant::now(),
            factor => self.pause.end(factor),
        };
    }

    fn stop(&mut self) {
        self.is_closing = true;
        if let Ok(outcome) = &mut self.end {
            *outcome = Outcome::Stopped;
        }
    }

    fn take_on(&mut self, answer: &Answer) {
        self.pause.reset();
        self.left = self.left.map(|count| count.saturating_sub(1));
        self.ours.insert(answer.assignment.order.pkgbase.clone());
        self.admission.note_start();
    }

    fn take_back(&mut self, (pkgbase, built): Done) {
        self.ours.remove(&pkgbase);
        // What this one was may be what others waited for.
        self.not_before = Instant::now();
        match built {
            Ok(Built::Packages | Built::Dropped) => {}
            Ok(Built::Failed) => self.is_closing |= self.cli.exit_on_failure,
            Ok(Built::Postponed) => {
                self.left = self.left.map(|count| count + 1);
                self.wait(1);
            }
            Ok(Built::Refused | Built::Unable) => self.stop(),
            Err(error) => {
                self.is_closing = true;
                // The first one is what has to be mended.
                if self.end.is_ok() {
                    self.end = Err(error);
                }
            }
        }
        if self.left == Some(0) && self.ours.is_empty() {
            self.is_closing = true;
        }
    }
}
