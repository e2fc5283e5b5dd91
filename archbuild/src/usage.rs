//! What a build uses right now: all processes of our own process namespace but ourselves, and what lies in its
//! directory.
//!
//! It samples, since the shell of an ordinary user has no cgroup of its own: what a build uses between two samples is not
//! seen, but for the number of processes, which the kernel limits, too.
//!
//! Memory of a process is what it does not share, plus the largest share once: the sum of resident sizes would count the
//! text of a compiler once a process.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::build_command::{LimitKind, Limits, Sample, Watchdog};
use nix::sys::resource::{Resource, UsageWho, getrusage, setrlimit};
use nix::sys::statvfs::statvfs;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::progress::Progress;

/// The kernel's clock ticks a second in /proc, the same on every Linux.
const TICKS: u64 = 100;
/// Pause between two samples at the beginning; it doubles up to the second.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];
/// Looking through a directory takes at most this part of the time.
const WALK_SHARE: u32 = 20;
/// The disk counts as full when so many bytes are left: a build is ended before others suffer.
const RESERVE: u64 = 64 << 20;
/// Processes that the kernel allows beyond the limit, so that a sample can see that it is exceeded.
const MORE_PROCESSES: u64 = 64;

/// Watches a build from its beginning on.
pub(crate) struct Meter {
    progress: Progress,
    directory: PathBuf,
    watchdog: Watchdog,
    page: u64,
    walks: bool,
    pause: Duration,
    next: Instant,
    next_walk: Instant,
    disk: u64,
    exceeded: Option<LimitKind>,
}

impl Meter {
    /// A meter for what happens in `directory`.
    pub(crate) fn new(limits: &Limits, progress: &Progress, directory: &Path) -> Self {
        let now = Instant::now();
        Self {
            progress: progress.clone(),
            directory: directory.to_owned(),
            walks: limits.disk.is_some(),
            watchdog: Watchdog::new(limits.clone()),
            page: page_size(),
            pause: PAUSES[0],
            next: now,
            next_walk: now,
            disk: 0,
            exceeded: None,
        }
    }

    /// Takes a sample when it is time for one. Returns the limit that is exceeded, from then on always.
    pub(crate) fn check(&mut self) -> Option<LimitKind> {
        let now = Instant::now();
        if self.exceeded.is_none() && now >= self.next {
            self.pause = (self.pause * 2).min(PAUSES[1]);
            self.next = now + self.pause;
            let sample = self.sample(now);
            self.exceeded = self.watchdog.check(&sample);
        }
        self.exceeded
    }

    /// The limit that a failed build has reached, when the pause before the next sample hid it.
    pub(crate) fn check_now(&mut self) -> Option<LimitKind> {
        self.next = Instant::now();
        self.check()
    }

    /// The most memory at one time, in bytes. Short-lived processes are known by their own peaks.
    pub(crate) fn peak_memory(&self) -> u64 {
        let ended = getrusage(UsageWho::RUSAGE_CHILDREN).map_or(0, |usage| usage.max_rss());
        let ended = u64::try_from(ended).unwrap_or(0).saturating_mul(1024);
        self.watchdog.peak_memory().max(ended)
    }

    fn sample(&mut self, now: Instant) -> Sample {
        let mut sample = Sample {
            at: self.progress.elapsed(),
            output: self.progress.output(),
            cpu: ended_cpu(),
            ..Sample::default()
        };
        let mut shared = 0;
        for pid in other_processes() {
            // It may have ended since.
            if let Some(process) = read_process(pid, self.page) {
                sample.cpu += process.cpu;
                sample.processes += process.threads;
                sample.memory += process.own_memory;
                shared = process.shared_memory.max(shared);
            }
        }
        sample.memory += shared;
        if let Ok(disk) = statvfs(&self.directory) {
            sample.is_disk_full = disk.blocks_available().saturating_mul(disk.fragment_size()) < RESERVE;
        }
        if self.walks && now >= self.next_walk {
            self.disk = disk_usage(&self.directory);
            self.next_walk = now + now.elapsed() * WALK_SHARE;
        }
        sample.disk = self.disk;
        sample
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

/// Sets what the kernel itself can limit, for us and all that we start.
pub(crate) fn set_kernel_limits(limits: &Limits) -> nix::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    if let Some(processes) = limits.processes {
        let most = processes + MORE_PROCESSES;
        setrlimit(Resource::RLIMIT_NPROC, most, most)?;
    }
    Ok(())
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

/// Bytes of all that belongs to a run; what is mounted there is another file system's.
fn disk_usage(directory: &Path) -> u64 {
    let Ok(top) = fs::symlink_metadata(directory) else {
        return 0;
    };
    let mut sum = 0;
    let mut left = vec![directory.to_owned()];
    while let Some(path) = left.pop() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            // Others may be removing it at this moment.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.dev() != top.dev() {
                continue;
            }
            sum += metadata.blocks() * 512;
            if metadata.is_dir() {
                left.push(entry.path());
            }
        }
    }
    sum
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

    #[test]
    fn files_in_directories_below_count() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("a")).unwrap();
        common::atomic::write(&directory.path().join("a/b"), &[1; 100_000]).unwrap();
        assert!(disk_usage(directory.path()) >= 100_000);
    }
}
