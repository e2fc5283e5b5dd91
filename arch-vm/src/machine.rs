//! A machine: its directory, its overlay, qemu, and the way into it.
//!
//! Invariant: everything of a machine lies in `machines/ID` (the overlay perhaps elsewhere, and then the link `overlay`
//! is there before it); ID, port and names of sockets are unique by construction. Qemu ends with this process, however that ends,
//! unless the machine may be kept. A machine whose lock is free is nobody's: kept, or left by a killed process.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use common::atomic::remove_tree;
use common::build_command::Keep;
use common::interrupt::Interrupt;
use common::lock::{Lock, Mode, Patience};
use common::names::Arch;
use common::names::last_part;
use common::process::{Child, Command, Output};
use common::used_directory::LOCK;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::statvfs::statvfs;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::hardware::{AGENT, Boot, CONSOLE_LOG, FETCH_CARD, Plan};
use crate::place::{Place, give};
use crate::qmp::{self, Event, Qmp};
use crate::relay::RelayConfig;

/// What is written down of it.
const RECORD: &str = "machine.json";
/// The link to an overlay that lies elsewhere.
const OVERLAY_LINK: &str = "overlay";
/// Where an image has its root file system unless `IMAGE.root` says otherwise.
const FIRST_PARTITION: &str = "/dev/vda1";
/// Bytes of messages of qemu that are kept.
const MESSAGES: u64 = 1 << 20;
/// How often it is looked whether qemu is ready.
const TICK: Duration = Duration::from_millis(3);
/// How long qemu may take to listen.
const LISTEN: Duration = Duration::from_secs(60);
/// How long qemu may take to end when it is told to.
const QUIT: Duration = Duration::from_secs(10);
/// Bytes of the console's end that go into an error.
const CONSOLE_TAIL: usize = 1200;
/// Random bytes for a guest that goes on from a snapshot.
const SEED: usize = 64;

/// What is written down of a machine, for `list`, `ssh`, `stop` and `clean`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MachineRecord {
    /// Its name.
    pub(crate) id: String,
    /// The target.
    pub(crate) arch: Arch,
    /// What it started from: the base image's number, or the path of an image.
    pub(crate) from: String,
    /// Unix time of its start.
    pub(crate) started: u64,
    /// Where it writes.
    pub(crate) overlay: PathBuf,
    /// The private key that opens it.
    pub(crate) identity: PathBuf,
    /// Whether its host key is known.
    pub(crate) is_known: bool,
    /// The port of the host's loopback that leads to its ssh, once it runs.
    pub(crate) port: Option<u16>,
    /// Whether it stays until somebody stops it.
    pub(crate) kept: bool,
}

impl MachineRecord {
    /// Reads it from a machine's directory; none where it was never written.
    pub(crate) fn read(directory: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(directory.join(RECORD)).ok()?).ok()
    }

    /// Writes it there.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        Ok(common::atomic::write(
            &directory.join(RECORD),
            &serde_json::to_vec_pretty(self)?,
        )?)
    }
}

/// The directory of a machine that is not started yet, in our hands. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Slot {
    /// The directory.
    pub(crate) directory: PathBuf,
    /// The machine's name.
    pub(crate) id: String,
    /// None when the machine has it.
    lock: Option<Lock>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.lock.is_some() {
            // What is left over is for the next `arch-vm clean`.
            drop(remove_machine(&self.directory));
        }
    }
}

impl Slot {
    /// Makes the directory of a machine.
    pub(crate) fn reserve(place: &Place) -> Result<Self> {
        let _making = place.lock_machines()?;
        let directory = tempfile::Builder::new()
            .prefix("")
            .rand_bytes(6)
            .tempdir_in(place.machines())
            .context("cannot make a machine")?
            .keep();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))?;
        let lock = Lock::acquire(&directory.join(LOCK), Mode::Exclusive, Patience::Never)?;
        give(&directory, place.account())?;
        let id = last_part(&directory);
        let lock = Some(lock);
        Ok(Self { directory, id, lock })
    }

    /// Makes the overlay over a disk; it can become so large, and there has to be room for that.
    pub(crate) fn make_overlay(&self, place: &Place, backing: &Path, to: Option<&Path>, limit: u64) -> Result<PathBuf> {
        let overlay = match to {
            Some(directory) => directory.join(format!("arch-vm-{}.qcow2", self.id)),
            None => self.directory.join("overlay.qcow2"),
        };
        let parent = overlay.parent().context("an overlay lies in a directory")?;
        let free = statvfs(parent).with_context(|| format!("cannot see how much of {} is free", parent.display()))?;
        let free = free.blocks_available().saturating_mul(free.fragment_size());
        ensure!(
            free >= limit,
            "{} has {} MiB free, a machine may write {} MiB (--overlay, key vm_overlay_mib; --overlay-dir for another place)",
            parent.display(),
            free >> 20,
            limit >> 20
        );
        if to.is_some() {
            // First the way to it: whoever cleans up after us has to find it.
            std::os::unix::fs::symlink(&overlay, self.directory.join(OVERLAY_LINK))?;
        }
        create_overlay(place, backing, &overlay)?;
        Ok(overlay)
    }
}

/// The format of a disk.
fn format_of(place: &Place, disk: &Path) -> Result<String> {
    // Ours are, and asking costs a tenth of what a machine needs to go on.
    if disk.extension().is_some_and(|extension| extension == "qcow2") {
        return Ok("qcow2".to_owned());
    }
    let command = Command::new("qemu-img").args(["info", "--output=json"]).arg(disk);
    let said = command.account(place.account()).directory("/").run()?;
    let said: serde_json::Value = serde_json::from_slice(&said.stdout).context("qemu-img info cannot be understood")?;
    Ok(said["format"].as_str().unwrap_or("raw").to_owned())
}

/// Makes an empty overlay over a disk.
pub(crate) fn create_overlay(place: &Place, backing: &Path, overlay: &Path) -> Result<()> {
    if place.account().is_some() {
        // It may lie where the account can write, or where only root can.
        File::create_new(overlay).with_context(|| format!("cannot make {}", overlay.display()))?;
        give(overlay, place.account())?;
    }
    Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", &format_of(place, backing)?, "-b"])
        .arg(backing)
        .arg(overlay)
        .account(place.account())
        .directory("/")
        .run()?;
    Ok(())
}

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
            _lock: slot.lock.take(),
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

/// Ends the qemu of a machine that nobody looks after, if it runs.
pub(crate) fn end_qemu(directory: &Path) -> Result<()> {
    let (sender, events) = channel();
    let Ok(mut qmp) = Qmp::connect(directory, sender) else {
        // Nobody listens: it does not run, or was left alone before it listened.
        return processes_in(directory).into_iter().try_for_each(kill);
    };
    let pid = Pid::from_raw(qmp.pid);
    drop(qmp.execute("quit", &json!({})));
    let deadline = Instant::now() + QUIT;
    loop {
        match events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Event::Gone) => return Ok(()),
            Ok(_) => {}
            // The socket says who listens, so it is still this process that has the number.
            Err(_) => return kill(pid),
        }
    }
}

fn kill(pid: Pid) -> Result<()> {
    match nix::sys::signal::kill(pid, Signal::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).context("ending qemu"),
    }
}

/// Emulators whose working directory this is.
fn processes_in(directory: &Path) -> Vec<Pid> {
    let (Ok(directory), Ok(entries)) = (fs::canonicalize(directory), fs::read_dir("/proc")) else {
        return Vec::new();
    };
    let is_ours = |process: &Path| {
        let program = fs::read_link(process.join("exe")).unwrap_or_default();
        let name = last_part(&program);
        name.starts_with("qemu-system-") && fs::read_link(process.join("cwd")).is_ok_and(|place| place == directory)
    };
    let processes = entries.flatten().map(|entry| entry.path()).filter(|path| is_ours(path));
    let pids = processes.filter_map(|path| path.file_name()?.to_str()?.parse().ok());
    pids.map(Pid::from_raw).collect()
}

/// Removes the files of a machine that does not run.
pub(crate) fn remove_machine(directory: &Path) -> Result<()> {
    if let Ok(overlay) = fs::read_link(directory.join(OVERLAY_LINK)) {
        let name = overlay.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // The link may be another's work: nothing but an overlay of ours is removed.
        if name.starts_with("arch-vm-") && name.ends_with(".qcow2") {
            common::atomic::remove(&overlay)?;
        }
    }
    Ok(remove_tree(directory)?)
}

/// What a machine of a base boots, unless it is an image of somebody's.
pub(crate) fn boot_of_image(image: &Path) -> Boot {
    let (kernel, initramfs) = (
        crate::install::beside(image, "kernel"),
        crate::install::beside(image, "initramfs"),
    );
    if kernel.is_file() && initramfs.is_file() {
        Boot::Kernel {
            kernel,
            initramfs,
            root: fs::read_to_string(crate::install::beside(image, "root"))
                .map_or_else(|_| FIRST_PARTITION.to_owned(), |text| text.trim().to_owned()),
        }
    } else {
        Boot::Disk
    }
}
