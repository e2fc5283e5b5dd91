//! An eye on the memory of a sandbox: rlimits hold for one process each, and a sandbox may have many.
//!
//! Control groups would do the same better where they are delegated, but the master's account has none in general. What
//! ends quickly is never looked at, so the watch costs nothing for a PKGBUILD that behaves. A kernel without
//! `/proc/PID/task/PID/children` leaves the limits of each process.

use std::fs;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::interrupt::Interrupt;

/// Resident memory of all processes of a sandbox, in bytes.
pub(super) const MEMORY_LIMIT: u64 = 1 << 30;
/// How often it is looked at, and when for the first time.
const INTERVAL: Duration = Duration::from_millis(100);
/// No machine on which this runs has smaller ones, and where they are larger the limit holds earlier.
const PAGE: u64 = 4096;

/// Raises the interrupt when the processes below `root` take too much; returns when `ended` is hung up.
pub(super) fn watch(root: u32, ended: &Receiver<()>, interrupt: &Interrupt) {
    while ended.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
        if resident(root) > MEMORY_LIMIT {
            interrupt.raise();
        }
    }
}

/// Bytes that a process and its descendants have in memory; what they share counts for each of them.
fn resident(root: u32) -> u64 {
    let mut pages = 0;
    let mut pending = vec![root];
    // A process that ends meanwhile has no files and no memory any more.
    while let Some(process) = pending.pop() {
        let statm = fs::read_to_string(format!("/proc/{process}/statm")).unwrap_or_default();
        let own = statm.split(' ').nth(1).and_then(|text| text.parse::<u64>().ok());
        pages += own.unwrap_or(0);
        let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
        pending.extend(children.split_whitespace().filter_map(|text| text.parse::<u32>().ok()));
    }
    pages * PAGE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Command, Output};

    #[test]
    fn the_memory_of_descendants_counts() {
        // A bash that is the child of another and holds 64 MiB; it says when it has them.
        let script = "printf -v x %67108864s; echo; read -r";
        let (mut reader, writer) = std::io::pipe().unwrap();
        let (input, _hold) = std::io::pipe().unwrap();
        let child = Command::new("bash")
            .args(["-c", "bash -c \"$1\"; :", "bash", script])
            .input(crate::process::Input::File(std::os::fd::OwnedFd::from(input).into()))
            .output(Output::Stdout(std::os::fd::OwnedFd::from(writer).into()))
            .spawn()
            .unwrap();
        std::io::Read::read_exact(&mut reader, &mut [0]).unwrap();
        assert!(resident(child.id()) > 64 << 20);
        assert!(resident(std::process::id()) > 0);
    }
}
