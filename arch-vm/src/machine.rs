//! A machine: its directory, its overlay, qemu, and the way into it.
//!
//! Invariant: everything of a machine lies in `machines/ID` (the overlay perhaps elsewhere, and then the link `overlay`
//! is there before it); ID, port and names of sockets are unique by construction. Qemu ends with this process, however that ends,
//! unless the machine may be kept. A machine whose lock is free is nobody's: kept, or left by a killed process.

mod record;
mod remains;
mod slot;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use common::build_command::Keep;
use common::interrupt::Interrupt;
use common::lock::Lock;
use common::process::{Child, Command, Output};
use serde_json::json;

use crate::hardware::{AGENT, CONSOLE_LOG, FETCH_CARD, Plan};
use crate::place::Place;
use crate::qmp::{self, Event, Qmp};
use crate::relay::RelayConfig;
pub(crate) use record::MachineRecord;
pub(crate) use remains::{end_qemu, remove_machine};
pub(crate) use slot::{Slot, create_overlay};

/// Bytes of messages of qemu that are kept.
const MESSAGES: u64 = 1 << 20;
/// How often it is looked whether qemu is ready.
const TICK: Duration = Duration::from_millis(3);
/// How long qemu may take to listen.
const LISTEN: Duration = Duration::from_secs(60);
/// Bytes of the console's end that go into an error.
const CONSOLE_TAIL: usize = 1200;
/// Random bytes for a guest that goes on from a snapshot.
const SEED: usize = 64;

/// A running machine.
pub(crate) struct Machine {
    /// Its directory.
    pub(crate) directory: PathBuf,
    /// What is written down of it.
    pub(crate) record: MachineRecord,
    qmp: Qmp,
    qemu: Option<Child>,
    _lock: Option<Lock>,
}

/// How a machine is started.
pub(crate) struct Launch<'a> {
    /// What qemu is told.
    pub(crate) plan: Plan<'a>,
    /// What is written down.
    pub(crate) record: MachineRecord,
    /// What the relay lets through.
    pub(crate) relay: &'a RelayConfig,
    /// Whether it may stay when we end.
    pub(crate) keep: Keep,
    /// Ends the start.
    pub(crate) interrupt: &'a Interrupt,
    /// When it has to be ready.
    pub(crate) deadline: Instant,
}

impl Machine {
    /// Starts it, and returns when it runs; its guest may still be booting.
    pub(crate) fn launch(place: &Place, mut slot: Slot, launch: Launch<'_>) -> Result<(Self, Receiver<Event>)> {
        let directory = &slot.directory;
        launch.record.write(directory)?;
        launch.relay.write(directory)?;
        if let Some(state) = launch.plan.state {
            std::os::unix::fs::symlink(state, directory.join("state"))?;
        }
        let qemu = start_qemu(place, directory, &launch)?;
        let (sender, events) = channel();
        let connected = connect(directory, &qemu, &sender, launch.interrupt);
        let mut machine = Self {
            directory: slot.directory.clone(),
            record: launch.record,
            qmp: connected.with_context(|| format!("starting qemu{}", messages_of(&slot.directory)))?,
            qemu: Some(qemu),
            _lock: slot.release(),
        };
        if launch.plan.state.is_some() {
            machine.go_on(launch.deadline)?;
        }
        machine.record.port = Some(machine.qmp.ssh_port()?);
        machine.record.write(&machine.directory)?;
        Ok((machine, events))
    }

    /// Waits until the state is loaded, and lets the machine run.
    fn go_on(&mut self, deadline: Instant) -> Result<()> {
        while self.qmp.status()? == "inmigrate" {
            ensure!(Instant::now() < deadline, "the snapshot is not loaded in time");
            std::thread::sleep(TICK);
        }
        self.qmp.execute("cont", &json!({}))?;
        Ok(())
    }

    /// Qemu's process.
    pub(crate) fn pid(&self) -> i32 {
        self.qmp.pid
    }

    /// Waits for the guest's agent, tells it the time, and gives it fresh entropy.
    pub(crate) fn awaken(&self, stop: &Interrupt, deadline: Instant) -> Result<()> {
        let mut agent = qmp::connect_in(&self.directory, AGENT).context("the guest's agent cannot be reached")?;
        let mut seed = [0; SEED];
        std::io::Read::read_exact(&mut File::open("/dev/urandom")?, &mut seed)?;
        let seed: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
        let now = common::clock::Now::read().unix;
        writeln!(agent, "awake {now} {seed}")?;
        agent.set_read_timeout(Some(Duration::from_millis(100)))?;
        let mut reader = BufReader::new(agent);
        let mut line = String::new();
        loop {
            match reader.read_line(&mut line) {
                Ok(0) => bail!("the machine ended while it booted"),
                Ok(_) if line.trim_end() == "ready" => return Ok(()),
                Ok(_) => bail!("the guest's agent said {line:?}"),
                Err(error)
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                    ) => {}
                Err(error) => return Err(error).context("the machine ended while it booted"),
            }
            ensure!(!stop.is_raised(), "the machine ended while it booted");
            ensure!(Instant::now() < deadline, "the guest is not ready in time");
        }
    }

    /// Cuts off the card that leads to the network.
    pub(crate) fn cut_network(&mut self) -> Result<()> {
        let name = format!("{FETCH_CARD}-card");
        self.qmp
            .execute("set_link", &json!({"name": name, "up": false}))
            .context("the guest's network cannot be cut off")?;
        Ok(())
    }

    /// Stops it and writes its state to a file in its directory.
    pub(crate) fn save_state(&mut self, name: &str, deadline: Instant) -> Result<PathBuf> {
        self.qmp.execute("stop", &json!({}))?;
        // A shell opens the file; the name is one of ours.
        self.qmp
            .execute("migrate", &json!({"uri": format!("exec:cat > {name}")}))?;
        loop {
            let told = self.qmp.execute("query-migrate", &json!({}))?;
            match told["status"].as_str().unwrap_or_default() {
                "completed" => return Ok(self.directory.join(name)),
                "failed" | "cancelled" => bail!("the state of the machine cannot be written"),
                _ => {}
            }
            ensure!(
                Instant::now() < deadline,
                "the state of the machine is not written in time"
            );
            std::thread::sleep(TICK);
        }
    }

    /// The last lines of the console.
    pub(crate) fn console_tail(&self) -> String {
        console_tail(&self.directory)
    }

    /// Leaves it running, for somebody to look into it.
    pub(crate) fn keep(mut self) -> Result<MachineRecord> {
        self.record.kept = true;
        self.record.write(&self.directory)?;
        // Dropping it would end it.
        std::mem::forget(self.qemu.take());
        Ok(self.record.clone())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(qemu) = self.qemu.take() {
            // There is nothing in it that needs an orderly end; dropping the child kills it.
            drop(self.qmp.execute("quit", &json!({})));
            drop(qemu);
            // What is left over is for the next `arch-vm clean`.
            drop(remove_machine(&self.directory));
        }
    }
}

fn start_qemu(place: &Place, directory: &Path, launch: &Launch<'_>) -> Result<Child> {
    let argv = launch.plan.argv();
    let log = File::create(directory.join("qemu.log")).context("cannot make the log of qemu")?;
    let command = if launch.keep == Keep::Never {
        Command::new("setpriv").args(["--pdeathsig", "KILL"]).args(&argv)
    } else {
        Command::new(&argv[0]).args(&argv[1..])
    };
    let command = command
        .directory(directory)
        .account(place.account())
        .output(Output::Log(log, MESSAGES));
    Ok(command.spawn()?)
}

fn connect(directory: &Path, qemu: &Child, events: &Sender<Event>, interrupt: &Interrupt) -> Result<Qmp> {
    let deadline = Instant::now() + LISTEN;
    loop {
        match Qmp::connect(directory, events.clone()) {
            Ok(qmp) => return Ok(qmp),
            Err(error) if !qemu.is_running() || Instant::now() > deadline => return Err(error.into()),
            Err(_) if interrupt.is_raised() => bail!("interrupted"),
            Err(_) => std::thread::sleep(TICK),
        }
    }
}

/// What qemu said, for an error.
fn messages_of(directory: &Path) -> String {
    let text = fs::read_to_string(directory.join("qemu.log")).unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    match lines.last() {
        Some(line) => format!(" ({line})"),
        None => String::new(),
    }
}

/// The last lines of a machine's console.
pub(crate) fn console_tail(directory: &Path) -> String {
    let text = fs::read(directory.join(CONSOLE_LOG)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(CONSOLE_TAIL)..]).into_owned();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(8)..].join(" / ")
}
