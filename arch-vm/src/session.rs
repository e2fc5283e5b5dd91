//! One machine in use: started as the caller wants it, entered, and looked after until it is dropped.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use archbuild::pacman_conf::PacmanConf;
use common::build_command::{Keep, LimitKind, Limits, Outcome, Phase};
use common::cli::Messages;
use common::clock::Now;
use common::interrupt::Interrupt;

use crate::acceleration;
use crate::base::Base;
use crate::cli::Start;
use crate::guest::{Entry, Guest, known_host};
use crate::hardware::Acceleration;
use crate::hardware::{Boot, Plan, Platform};
use crate::image;
use crate::install::Installer;
use crate::machine::{Launch, Machine, MachineRecord, Slot, create_overlay};
use crate::place::Place;
use crate::qmp::Event;
use crate::relay::RelayConfig;
use crate::settings::{MachineSettings, Settings};
use crate::snapshot::{self, Snapshot};
use crate::watch::{Progress, Verdict, Watch, Watched};

/// How long the watch may take to hear of an end that was seen otherwise.
const VERDICT: Duration = Duration::from_secs(3);
/// How often it is asked.
const TICK: Duration = Duration::from_millis(20);

/// How sessions are opened.
pub(crate) struct Opener<'a> {
    /// Configuration.
    pub(crate) settings: &'a Settings,
    /// Where things lie.
    pub(crate) place: &'a Place,
    /// Makes base images.
    pub(crate) installer: Installer<'a>,
    /// The machine.
    pub(crate) machine: MachineSettings,
    /// Limits of what is done in it.
    pub(crate) limits: Limits,
    /// When it stays.
    pub(crate) keep: Keep,
    /// Its repositories.
    pub(crate) pacman_conf: &'a PacmanConf,
    /// Raised when somebody ends us.
    pub(crate) interrupt: &'a Interrupt,
    /// Messages to the caller.
    pub(crate) messages: Messages,
    /// This program.
    pub(crate) program: &'a Path,
}

/// A machine in use.
pub(crate) struct Session {
    /// The way into it. Before the machine: it is closed first.
    pub(crate) guest: Guest,
    watch: Watch,
    /// The machine.
    pub(crate) machine: Machine,
    /// How long it took.
    pub(crate) times: Times,
    /// Tells the watch how far the build is.
    pub(crate) progress: Arc<Progress>,
    /// Who executes its instructions.
    pub(crate) acceleration: Acceleration,
    _base: Option<Base>,
}

/// How long a machine took, from the moment when it was known what it starts from.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Times {
    /// Until there was an overlay.
    pub(crate) overlay: Duration,
    /// Until ssh had let us in.
    pub(crate) ready: Duration,
}

/// What a machine starts from.
struct Origin {
    base: Option<Base>,
    boot: Boot,
    disk: PathBuf,
    snapshot: Option<Snapshot>,
    acceleration: Acceleration,
    platform: Platform,
}

impl Opener<'_> {
    /// Starts a machine and enters it.
    pub(crate) fn open(&self) -> Result<Session> {
        let origin = self.origin()?;
        let began = Instant::now();
        let slot = Slot::reserve(self.place)?;
        let backing = origin.snapshot.as_ref().map_or(&origin.disk, |snapshot| &snapshot.disk);
        let settings = &self.machine;
        let overlay_dir = settings.overlay_dir.as_deref();
        let overlay = slot.make_overlay(self.place, backing, overlay_dir, settings.overlay_limit)?;
        let to_overlay = began.elapsed();
        let extra = self.make_extra_disks(&slot)?;
        let mut session = self.enter(slot, origin, overlay, extra)?;
        session.times = Times {
            overlay: to_overlay,
            ready: began.elapsed(),
        };
        self.messages.detail(format_args!(
            "machine {} is ready after {} ms",
            session.machine.record.id,
            session.times.ready.as_millis()
        ));
        Ok(session)
    }

    fn origin(&self) -> Result<Origin> {
        let platform = Platform::of(&self.settings.arch)?;
        if let Some(image) = &self.machine.image {
            let boot = image::boot(image);
            return Ok(Origin {
                base: None,
                acceleration: self.accelerate(&platform, &boot)?,
                disk: image.clone(),
                snapshot: None,
                boot,
                platform,
            });
        }
        let base = self.installer.ensure_fresh()?;
        let boot = base.boot();
        let mut origin = Origin {
            acceleration: self.accelerate(&platform, &boot)?,
            disk: base.disk(),
            base: Some(base),
            snapshot: None,
            boot,
            platform,
        };
        // The state of a machine has its disks in it.
        if self.machine.start == Start::Snapshot && self.machine.extra_disks.is_empty() {
            origin.snapshot = Some(self.snapshot(&origin)?);
        }
        Ok(origin)
    }

    fn accelerate(&self, platform: &Platform, boot: &Boot) -> Result<Acceleration> {
        acceleration::choose(self.settings, platform, boot, self.interrupt, self.messages)
    }

    fn snapshot(&self, origin: &Origin) -> Result<Snapshot> {
        let base = origin.base.as_ref().context("a snapshot is one of a base image")?;
        let version = acceleration::qemu_version(&origin.platform)?;
        let version: String = version
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || *c == '.')
            .collect();
        let name = format!(
            "{}-{}-{}-{version}",
            origin.acceleration.as_str(),
            self.machine.cpus,
            self.machine.memory
        );
        snapshot::ensure(self.place, &base.snapshots(), &name, self.interrupt, |directory| {
            self.messages.note("booting once, for machines that go on from there");
            self.make_snapshot(origin, directory)
        })
    }

    fn make_snapshot(&self, origin: &Origin, directory: &Path) -> Result<()> {
        let overlay = directory.join("disk.qcow2");
        create_overlay(self.place, &origin.disk, &overlay)?;
        let slot = Slot::reserve(self.place)?;
        let from = Origin {
            base: None,
            boot: origin.boot.clone(),
            disk: origin.disk.clone(),
            snapshot: None,
            ..*origin
        };
        let once = Opener {
            keep: Keep::Never,
            limits: Limits::default(),
            installer: Installer { ..self.installer },
            machine: self.machine.clone(),
            ..*self
        };
        let host_key = origin.base.as_ref().map(Base::host_key).transpose()?;
        let mut session = once.enter_with(slot, from, overlay, Vec::new(), host_key.as_deref())?;
        let sync = session.guest.command(crate::guest::User::Root, &[], ["sync"]);
        session.guest.run("sync", sync)?;
        let state = session
            .machine
            .save_state("saved", Instant::now() + self.machine.boot_limit)?;
        common::atomic::rename(&state, &directory.join("state"))?;
        Ok(())
    }

    fn make_extra_disks(&self, slot: &Slot) -> Result<Vec<PathBuf>> {
        let mut disks = Vec::new();
        for (number, mib) in self.machine.extra_disks.iter().enumerate() {
            let path = slot.directory.join(format!("extra{number}.raw"));
            let file = std::fs::File::create_new(&path).with_context(|| format!("cannot make {}", path.display()))?;
            file.set_len(mib << 20)?;
            crate::place::give(&path, self.place.account())?;
            disks.push(path);
        }
        Ok(disks)
    }

    fn enter(&self, slot: Slot, origin: Origin, overlay: PathBuf, extra: Vec<PathBuf>) -> Result<Session> {
        let host_key = origin.base.as_ref().map(Base::host_key).transpose()?;
        self.enter_with(slot, origin, overlay, extra, host_key.as_deref())
    }

    fn enter_with(
        &self,
        slot: Slot,
        origin: Origin,
        overlay: PathBuf,
        extra_disks: Vec<PathBuf>,
        host_key: Option<&str>,
    ) -> Result<Session> {
        let deadline = Instant::now() + self.machine.boot_limit;
        if let Some(key) = host_key {
            common::atomic::write(&slot.directory.join("known_hosts"), known_host(key).as_bytes())?;
        }
        let record = MachineRecord {
            id: slot.id.clone(),
            arch: self.settings.arch.clone(),
            from: self.origin_name(&origin),
            started: Now::read().unix,
            overlay: overlay.clone(),
            identity: self.machine.identity.clone().unwrap_or_else(|| self.place.key()),
            is_known: host_key.is_some(),
            port: None,
            kept: false,
        };
        let plan = Plan {
            platform: origin.platform,
            acceleration: origin.acceleration,
            cpus: self.machine.cpus,
            memory: self.machine.memory,
            boot: &origin.boot,
            overlay: overlay.clone(),
            extra_disks,
            state: origin.snapshot.as_ref().map(|snapshot| snapshot.state.as_path()),
            program: self.program,
        };
        let relay = self.relay();
        let launch = Launch {
            plan,
            record,
            relay: &relay,
            keep: self.keep,
            interrupt: self.interrupt,
            deadline,
        };
        let (machine, events) = Machine::launch(self.place, slot, launch)?;
        self.look_after(machine, events, origin, deadline)
    }

    fn look_after(
        &self,
        machine: Machine,
        events: Receiver<Event>,
        origin: Origin,
        deadline: Instant,
    ) -> Result<Session> {
        let (stop, progress) = (Interrupt::new(), Arc::new(Progress::default()));
        let watched = Watched {
            overlay: (machine.record.overlay.clone(), self.machine.overlay_limit),
            limits: self.limits.clone(),
            pid: machine.pid(),
            progress: Arc::clone(&progress),
        };
        let watch = Watch::begin(watched, events, self.interrupt, &stop);
        let entered = self.wake_and_enter(&machine, &stop, deadline);
        let guest = entered.map_err(|error| {
            let outcome = outcome_of(watch.verdict(), None).unwrap_or(Outcome::Machine);
            let console = machine.console_tail();
            let said = if console.is_empty() {
                "nothing".to_owned()
            } else {
                console
            };
            anyhow!("{error:#}; the console said: {said}").context(outcome)
        })?;
        Ok(Session {
            guest,
            watch,
            machine,
            times: Times::default(),
            progress,
            acceleration: origin.acceleration,
            _base: origin.base,
        })
    }

    fn wake_and_enter(&self, machine: &Machine, stop: &Interrupt, deadline: Instant) -> Result<Guest> {
        if machine.record.is_known {
            machine.awaken(stop, deadline)?;
        }
        let entry = Entry {
            directory: machine.directory.clone(),
            port: machine.record.port.context("the machine has no port")?,
            identity: machine.record.identity.clone(),
            is_known: machine.record.is_known,
            account: self.place.account().cloned(),
        };
        Guest::connect(entry, stop, deadline)
    }

    fn origin_name(&self, origin: &Origin) -> String {
        match (&self.machine.image, &origin.base) {
            (Some(image), _) => image.display().to_string(),
            (None, Some(base)) => format!("{}/{}", self.settings.arch, base.name()),
            (None, None) => "snapshot".to_owned(),
        }
    }

    fn relay(&self) -> RelayConfig {
        RelayConfig {
            directories: self.pacman_conf.local_directories().into_iter().collect(),
            servers: self.pacman_conf.remote_servers(),
            upstream: self.settings.upstream_proxy.clone(),
        }
    }
}

impl Session {
    /// What ended the machine or the build from the outside, in the words of the contract. `running` is the phase in
    /// which code of the package runs.
    pub(crate) fn ended(&self, running: Option<Phase>) -> Option<Outcome> {
        outcome_of(self.watch.verdict(), running)
    }

    /// Whether its guest can still be asked for something.
    pub(crate) fn is_answering(&self) -> bool {
        matches!(
            self.watch.verdict(),
            None | Some(Verdict::Limit(_) | Verdict::Interrupted)
        )
    }

    /// As [`Self::ended`], for somebody who saw already that the machine is gone.
    pub(crate) fn wait_for_end(&self, running: Option<Phase>) -> Option<Outcome> {
        let deadline = Instant::now() + VERDICT;
        while self.watch.verdict().is_none() && Instant::now() < deadline {
            std::thread::sleep(TICK);
        }
        self.ended(running)
    }

    /// Lets the guest be asked for what there is, though the build was ended.
    pub(crate) fn allow_fetching(&mut self, interrupt: &Interrupt) {
        self.guest.end_with(interrupt);
    }

    /// Leaves the machine running, for somebody to look into it.
    pub(crate) fn keep(self) -> Result<MachineRecord> {
        self.machine.keep()
    }
}

fn outcome_of(verdict: Option<Verdict>, running: Option<Phase>) -> Option<Outcome> {
    Some(match verdict? {
        Verdict::Interrupted | Verdict::Stopped => Outcome::Interrupted,
        // A package that switches the machine off would be tried for ever if that were the machine's fault.
        Verdict::PoweredOff if running.is_some() => Outcome::Failed(running),
        Verdict::PoweredOff | Verdict::Crashed => Outcome::Machine,
        Verdict::HostFull => Outcome::Limit(Some(LimitKind::Disk)),
        Verdict::Limit(kind) => Outcome::Limit(Some(kind)),
    })
}
