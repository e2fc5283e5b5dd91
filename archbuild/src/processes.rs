//! The processes of our own process namespace, ourselves left out: what they use, and their end.
//!
//! Memory of a process is what it does not share, plus the largest share once: the sum of resident sizes would count the
//! text of a compiler once a process.

use std::fs;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::cgroup::Usage;

/// The kernel's clock ticks a second in /proc, the same on every Linux.
const TICKS: u64 = 100;

/// What all of them use together.
pub(crate) fn usage() -> Usage {
    let page = page_size();
    let (mut cpu, mut threads, mut own, mut shared) = (Duration::ZERO, 0, 0, 0);
    // One may have ended since.
    for process in other_processes().into_iter().filter_map(|pid| read_process(pid, page)) {
        cpu += process.cpu;
        threads += process.threads;
        own += process.own_memory;
        shared = process.shared_memory.max(shared);
    }
    Usage {
        cpu: Some(cpu),
        memory: Some(own + shared),
        processes: Some(threads),
    }
}

/// Processor time of processes that ended and were waited for.
pub(crate) fn ended_cpu() -> Duration {
    let time = |time: nix::sys::time::TimeVal| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        Duration::from_secs(seconds) + Duration::from_micros(u64::try_from(time.tv_usec()).unwrap_or(0))
    };
    getrusage(UsageWho::RUSAGE_CHILDREN).map_or(Duration::ZERO, |usage| {
        time(usage.user_time()) + time(usage.system_time())
    })
}

/// Waits for the end of what bubblewrap left to us, the init of our process namespace: its own init, which is killed with
/// it. From then on nothing of a phase runs, and its processor time is known. No child of our own may be running.
pub(crate) fn wait_for_orphans() {
    let own = std::process::id();
    for pid in other_processes() {
        if let Some(pid) = is_child_of(pid, own).then(|| i32::try_from(pid).ok()).flatten() {
            // That somebody else has waited for it is as good.
            waitpid(Pid::from_raw(pid), None).ok();
        }
    }
}

fn is_child_of(pid: u32, parent: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_ascii_whitespace().nth(1) == Some(parent.to_string().as_str())
}

struct Process {
    cpu: Duration,
    threads: u64,
    own_memory: u64,
    shared_memory: u64,
}

fn other_processes() -> Vec<u32> {
    let own = std::process::id();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != own).collect()
}

fn read_process(pid: u32, page: u64) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (ticks, threads) = parse_stat(&stat)?;
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let mut pages = statm
        .split_ascii_whitespace()
        .filter_map(|field| field.parse::<u64>().ok());
    let (resident, shared) = (pages.nth(1)?, pages.next()?);
    Some(Process {
        cpu: Duration::from_millis(ticks * 1000 / TICKS),
        threads,
        own_memory: resident.saturating_sub(shared) * page,
        shared_memory: shared * page,
    })
}

/// Clock ticks of the process and of its ended children, and threads: proc(5), fields 14 to 17 and 20.
fn parse_stat(stat: &str) -> Option<(u64, u64)> {
    // The name in parentheses may have blanks and parentheses.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let ticks = (11..15).map(|index| number(index).unwrap_or(0)).sum();
    Some((ticks, number(17)?))
}

fn page_size() -> u64 {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
    size.ok()
        .flatten()
        .and_then(|size| u64::try_from(size).ok())
        .unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_a_hostile_name() {
        let stat = "7 (a) 1 (b) S 1 1 1 0 -1 0 0 0 0 0 10 20 30 40 20 0 5 0 100 0 0";
        assert_eq!(parse_stat(stat), Some((100, 5)));
        assert_eq!(parse_stat("7 (a"), None);
    }

    #[test]
    fn our_own_process_can_be_measured() {
        let own = read_process(std::process::id(), page_size()).unwrap();
        assert!(own.threads >= 1 && own.own_memory > 0);
    }
}
