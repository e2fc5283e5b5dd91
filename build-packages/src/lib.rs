//! `build-packages`: the builder. It asks the master for an order, builds it, signs the packages and returns them.
//!
//! The files of a builder below its `work_dir`: `builds/<order>/` (source, packages and logs of the build in progress),
//! `outbox/` (finished builds that the master has not taken yet), `repos/` (clones of the git repositories).

mod attempt;
mod cli;
mod heartbeat;
mod master;
mod outbox;
mod products;
pub mod settings;
mod sources;
pub mod straw;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use common::assignment::Answer;
use common::cli::Messages;
use common::config::{Config, ConfigError, Environment};
use common::exit::Failure;
use common::interrupt::{Interrupt, SIGHUP, SIGINT, SIGTERM};
use common::lock::{Lock, Mode, Patience};
use common::metadata::Metadata;
use common::source::{Sources, SubRelease};
use common::state::order_id;
use common::work_dir::WorkDir;

use crate::attempt::{Attempt, Class, Places};
pub use crate::cli::Cli;
use crate::heartbeat::Pulse;
use crate::master::Connection;
use crate::outbox::{Delivery, Outbox, Parcel, Verdict};
use crate::settings::Settings;
use crate::straw::{Remedy, Straw};

/// How long the master may keep a request open until there is work, in seconds.
const WAIT: &str = "10";
/// Longest time that a request for an order may take.
const ASK_LIMIT: Duration = Duration::from_secs(300);
/// Longest pause between two tries.
const MAX_PAUSE: Duration = Duration::from_secs(600);
/// How often an attempt is repeated when the chroot or the machine is in trouble.
const MACHINE_TRIES: u32 = 3;

/// How the builder ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As asked for, or there is nothing to do.
    Finished,
    /// The master refused packages, or this machine cannot build.
    Stopped,
}

/// Runs the tool.
pub fn main(args: impl IntoIterator<Item = OsString>, _stdin: &mut dyn Read, stdout: &mut dyn Write) -> ExitCode {
    let cli: Cli = match common::cli::parse(args, stdout) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let messages = Messages::new("build-packages", &cli.common);
    let environment = common::cli::environment();
    match run(&cli, &environment, &messages) {
        Ok(Outcome::Finished) => ExitCode::SUCCESS,
        Ok(Outcome::Stopped) => ExitCode::from(1),
        Err(error) => {
            messages.error(format_args!("{error:#}"));
            if error.chain().any(|cause| cause.is::<ConfigError>()) {
                Failure::Config.into()
            } else {
                Failure::Io.into()
            }
        }
    }
}

/// Builds until there is a reason to end.
///
/// # Errors
/// The configuration is wrong, or the builder's own files cannot be read or written.
pub fn run(cli: &Cli, environment: &Environment, messages: &Messages) -> anyhow::Result<Outcome> {
    let config = common::cli::load_config(&cli.common, environment, messages)?;
    let mut settings = Settings::read(&config, environment)?;
    if !cli.straw.is_empty() {
        settings.straws.clone_from(&cli.straw);
    }
    common::atomic::create_directory(&settings.work_dir)?;
    let lock = settings.work_dir.join("builder.lock");
    let _alone = Lock::acquire(&lock, Mode::Exclusive, Patience::Never)
        .context("another build-packages works with the same work_dir")?;
    let builder = Builder {
        connection: Connection::new(&settings),
        outbox: Outbox::open(&settings.work_dir)?,
        settings: &settings,
        config: &config,
        messages,
        drain: Interrupt::on(&[SIGTERM, SIGHUP])?,
        abort: Interrupt::on(&[SIGINT])?,
    };
    builder.work(cli)
}

/// One builder at work.
struct Builder<'a> {
    settings: &'a Settings,
    config: &'a Config,
    connection: Connection<'a>,
    outbox: Outbox,
    messages: &'a Messages,
    /// Finish what is begun and end.
    drain: Interrupt,
    /// End now.
    abort: Interrupt,
}

/// What the master answered to a request for an order.
enum Reply {
    Order(Answer),
    Nothing,
    /// It makes no sense to go on.
    Never(String),
    /// Ask again after the pause, which is so many times the configured one.
    Later(u32, String),
}

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Built {
    Packages,
    Failed,
    /// The master took the order away, or there is nothing to return.
    Dropped,
    /// This machine cannot build.
    Unable,
    Aborted,
}

impl Builder<'_> {
    fn is_ending(&self) -> bool {
        self.drain.is_raised() || self.abort.is_raised()
    }

    fn work(&self, cli: &Cli) -> anyhow::Result<Outcome> {
        let began = Instant::now();
        let mut left = cli.count();
        let mut patience = Pause::new(self.settings.pause);
        if self.deliver_all()? == Outcome::Stopped {
            return Ok(Outcome::Stopped);
        }
        while left != Some(0) && !self.is_ending() {
            if cli
                .time
                .is_some_and(|seconds| began.elapsed() >= Duration::from_secs(seconds))
            {
                break;
            }
            match self.ask(cli)? {
                Reply::Order(answer) => {
                    patience.reset();
                    left = left.map(|count| count - 1);
                    let built = self.fulfil(&answer)?;
                    if self.deliver_all()? == Outcome::Stopped || built == Built::Unable {
                        return Ok(Outcome::Stopped);
                    }
                    if built == Built::Failed && cli.exit_on_failure {
                        break;
                    }
                }
                Reply::Nothing if cli.keep_asking => patience.sleep(4, &self.drain, &self.abort),
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
                    self.messages.detail(format_args!("asking again later: {reason}"));
                    patience.sleep(factor, &self.drain, &self.abort);
                }
            }
        }
        Ok(Outcome::Finished)
    }

    fn ask(&self, cli: &Cli) -> anyhow::Result<Reply> {
        let mut words: Vec<String> = ["get-assignment", "--wait", WAIT, "--files"].map(str::to_owned).into();
        words.extend(cli.prefer.iter().map(ToString::to_string));
        let reply = match self.connection.request(&words, None, ASK_LIMIT, &self.abort) {
            Ok(reply) => reply,
            Err(error) => return Ok(Reply::Later(1, error.to_string())),
        };
        Ok(match reply.code {
            Some(0) => match reply.text.parse() {
                Ok(answer) => Reply::Order(answer),
                Err(error) => Reply::Later(4, format!("{error}")),
            },
            Some(2 | 4) => Reply::Later(4, "no order can be built now".to_owned()),
            Some(3) => Reply::Nothing,
            Some(42 | 64) => Reply::Never(reply.message),
            _ => Reply::Later(1, reply.message),
        })
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
        attempt::empty_directory(&places.logs)?;
        let pulse = Pulse::new();
        let built = pulse.during(&self.connection, &self.abort, || self.build(answer, &places, &pulse));
        let built = match built {
            Ok(built) => built,
            Err(error) if pulse.stop.is_raised() => {
                self.messages.detail(format_args!("{error:#}"));
                Built::Aborted
            }
            Err(error) => {
                self.messages.error(format_args!("{}: {error:#}", order.pkgbase));
                Built::Unable
            }
        };
        let built = match built {
            Built::Aborted if pulse.revoked.is_raised() => {
                self.messages
                    .note(format_args!("{}: the order is no longer ours", order.pkgbase));
                Built::Dropped
            }
            other => other,
        };
        attempt::remove_directory(&directory)?;
        Ok(built)
    }

    fn build(&self, answer: &Answer, places: &Places, pulse: &Pulse) -> anyhow::Result<Built> {
        let order = &answer.assignment.order;
        self.messages
            .note(format_args!("{}: building {}", order.pkgbase, answer.assignment));
        let sources = Sources::open(self.config)?;
        self.fetch(&sources, order)?;
        let mut last = None;
        let mut number = 0;
        for straw in &self.settings.straws {
            if !attempt::is_worth_trying(straw, last) {
                continue;
            }
            let mut machine_tries = 0;
            let class = loop {
                pulse.enter("preparing");
                self.prepare(&sources, answer, places, straw, &pulse.stop)?;
                pulse.enter("building");
                number += 1;
                let attempt = Attempt {
                    settings: self.settings,
                    places,
                    straw,
                    number,
                    commit_time: sources.commit_time(order)?,
                };
                let class = attempt.run(&pulse.stop)?;
                self.messages
                    .note(format_args!("{}: {} with {straw}", order.pkgbase, class.as_str()));
                machine_tries += 1;
                if class != Class::Machine || machine_tries >= MACHINE_TRIES || pulse.stop.is_raised() {
                    break class;
                }
                pulse.stop.sleep(self.settings.pause * machine_tries);
            };
            last = Some(class);
            match class {
                Class::Built => match products::choose(&places.packages, &answer.files) {
                    Ok(packages) => {
                        pulse.enter("post-build");
                        let files = products::sign(packages, self.settings)?;
                        let verdict = Verdict::Packages(answer.assignment.sub_pkgrel);
                        self.hand_over(answer, verdict, &files)?;
                        return Ok(Built::Packages);
                    }
                    Err(error) => {
                        self.messages.error(format_args!("{}: {error:#}", order.pkgbase));
                        note_in_logs(&places.logs, number, &format!("{error:#}"))?;
                    }
                },
                Class::Interrupted => return Ok(Built::Aborted),
                Class::Machine => {
                    self.messages.error(format_args!(
                        "{}: this machine cannot build: see {}",
                        order.pkgbase,
                        places.logs.display()
                    ));
                    return Ok(Built::Unable);
                }
                Class::Function | Class::Dependencies | Class::Sources | Class::Limit => {}
            }
        }
        pulse.enter("failure");
        let logs = products::compress_logs(&places.logs)?;
        self.hand_over(answer, Verdict::Failure, &logs)?;
        Ok(Built::Failed)
    }

    /// Makes sure that the commits of the order are in the local clones.
    fn fetch(&self, sources: &Sources, order: &common::build_list::Order) -> anyhow::Result<()> {
        if sources.has(order)? {
            return Ok(());
        }
        sources.fetch().context("cannot fetch the git repositories")?;
        Ok(())
    }

    /// A fresh source directory, with the sources that the straw gets from elsewhere.
    fn prepare(
        &self,
        sources: &Sources,
        answer: &Answer,
        places: &Places,
        straw: &Straw,
        stop: &Interrupt,
    ) -> anyhow::Result<()> {
        let order = &answer.assignment.order;
        attempt::empty_directory(&places.packages)?;
        attempt::remove_directory(&places.source)?;
        let sub = SubRelease::from_config(self.config, answer.assignment.sub_pkgrel)?;
        sources
            .checkout(order, &sub, &places.source)
            .with_context(|| format!("cannot lay out the sources of {}", order.pkgbase))?;
        if straw.is_about_sources() {
            if let Err(error) = self.fetch_elsewhere(order, &places.source, straw, stop) {
                self.messages.error(format_args!("{}: {error:#}", order.pkgbase));
            }
        }
        Ok(())
    }

    fn fetch_elsewhere(
        &self,
        order: &common::build_list::Order,
        directory: &Path,
        straw: &Straw,
        stop: &Interrupt,
    ) -> anyhow::Result<()> {
        let metadata = Metadata::open(self.config, &WorkDir::open(self.config)?)?;
        if straw.has(Remedy::MirroredSourceByHash) {
            let mirror = self
                .settings
                .source_by_hash_mirror
                .as_deref()
                .context("source_by_hash_mirror is not set")?;
            let wanted = sources::with_checksums(&metadata.srcinfo_text(order)?);
            let fetched = sources::fetch_by_hash(directory, &wanted, mirror, stop)?;
            self.messages
                .note(format_args!("{}: {fetched} sources by checksum", order.pkgbase));
        }
        if straw.has(Remedy::MirroredSource) {
            let mirror = self
                .settings
                .source_archive_mirror
                .as_deref()
                .context("source_archive_mirror is not set")?;
            let version = metadata.srcinfo(order)?.full_version();
            let name = format!("{}/{}-{version}.src.tar.gz", order.pkgbase, order.pkgbase);
            let address = format!("{}/{name}", mirror.trim_end_matches('/'));
            sources::fetch_archive(directory, &address, stop)?;
        }
        Ok(())
    }

    fn hand_over(&self, answer: &Answer, verdict: Verdict, files: &[std::path::PathBuf]) -> anyhow::Result<()> {
        let parcel = Parcel {
            order: answer.assignment.order.clone(),
            verdict,
        };
        self.outbox.put(&parcel, files)
    }

    /// Uploads whatever is in the outbox, each until the master has decided about it; a finished build is never thrown
    /// away for trouble on the way. Being asked to drain does not end this, being asked to end does.
    fn deliver_all(&self) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::Finished;
        for parcel in self.outbox.parcels()? {
            let mut patience = Pause::new(self.settings.pause);
            loop {
                let pkgbase = &parcel.order.pkgbase;
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
                            .error(format_args!("{pkgbase}: returning it again later: {reason}"));
                        patience.sleep(1, &self.abort, &self.abort);
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

    /// Sleeps for a time between one and two pauses, times a factor.
    fn sleep(&mut self, factor: u32, one: &Interrupt, other: &Interrupt) {
        let time = self
            .next
            .mul_f64(f64::from(factor) * (1.0 + fastrand::f64()))
            .min(MAX_PAUSE);
        let deadline = Instant::now() + time;
        while Instant::now() < deadline && !one.is_raised() && !other.is_raised() {
            let left = deadline.saturating_duration_since(Instant::now());
            one.sleep(left.min(Duration::from_millis(200)));
        }
        self.next = (self.next * 3 / 2).min(MAX_PAUSE);
    }
}

/// Adds a line to the log of the last attempt, so that the master's operator sees why a build that ended well failed.
fn note_in_logs(directory: &Path, number: usize, message: &str) -> anyhow::Result<()> {
    let path = directory.join(format!("{number}.products.build-log"));
    Ok(common::atomic::write(&path, format!("==> {message}\n").as_bytes())?)
}
