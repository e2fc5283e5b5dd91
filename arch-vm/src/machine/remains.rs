//! A machine that nobody looks after: ending its qemu, removing its files.

use std::fs;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use common::atomic::remove_tree;
use common::names::last_part;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::json;

use crate::qmp::{Event, Qmp};

/// The link to an overlay that lies elsewhere.
pub(super) const OVERLAY_LINK: &str = "overlay";
/// How long qemu may take to end when it is told to.
const QUIT: Duration = Duration::from_secs(10);

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
