//! What a build uses right now, and whether that is too much: what its control group counts, else what its processes add
//! up to, and what lies in its directory.
//!
//! It samples. A control group has limits of its own besides, and remembers that one was reached; without one (the shell
//! of an ordinary user has none) what a build uses between two samples is not seen, but for the number of processes, which
//! the kernel limits by `RLIMIT_NPROC`, too.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::build_command::{LimitKind, Limits, Sample, Watchdog};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::statvfs::statvfs;

use crate::cgroup::{Group, Usage};
use crate::processes;
use crate::progress::Progress;

/// Pause between two samples at the beginning; it doubles up to the second.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];
/// Looking through a directory takes at most this part of the time.
const WALK_SHARE: u32 = 20;
/// The disk counts as full when so many bytes are left: a build is ended before others suffer.
const RESERVE: u64 = 64 << 20;
/// Processes that the kernel allows beyond the limit, so that a sample can see that it is exceeded.
const MORE_PROCESSES: u64 = 64;
/// What reading a PKGBUILD limits itself to (`common::metadata`, evaluate.sh), which it must be able to.
const READING_PROCESSES: u64 = 128;

/// Watches a build from its beginning on.
pub(crate) struct Meter {
    progress: Progress,
    directory: PathBuf,
    group: Option<Group>,
    watchdog: Watchdog,
    walks: bool,
    pause: Duration,
    next: Instant,
    next_walk: Instant,
    disk: u64,
    exceeded: Option<LimitKind>,
}

impl Meter {
    /// A meter for what happens in `directory` and in the build's control group, if it has one.
    pub(crate) fn new(limits: &Limits, progress: &Progress, directory: &Path, group: Option<&Group>) -> Self {
        let now = Instant::now();
        Self {
            progress: progress.clone(),
            directory: directory.to_owned(),
            group: group.cloned(),
            walks: limits.disk.is_some(),
            watchdog: Watchdog::new(limits.clone()),
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
            let judged = self.watchdog.check(&sample);
            self.exceeded = self.group.as_ref().and_then(Group::exceeded).or(judged);
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
        // What was killed for its memory, no sample may have seen.
        let killed = self.group.as_ref().filter(|_| self.exceeded == Some(LimitKind::Memory));
        let killed = killed.and_then(Group::peak_memory).unwrap_or(0);
        self.watchdog.peak_memory().max(ended).max(killed)
    }

    fn sample(&mut self, now: Instant) -> Sample {
        let counted = self.group.as_ref().map(Group::usage).unwrap_or_default();
        let used = match counted {
            Usage {
                cpu: Some(_),
                memory: Some(_),
                processes: Some(_),
            } => counted,
            _ => counted.or(processes::usage()),
        };
        let mut sample = Sample {
            at: self.progress.elapsed(),
            output: self.progress.output(),
            cpu: processes::ended_cpu() + used.cpu.unwrap_or_default(),
            memory: used.memory.unwrap_or(0),
            processes: used.processes.unwrap_or(0),
            ..Sample::default()
        };
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

/// Sets what the kernel itself can limit, for us and all that we start.
pub(crate) fn set_kernel_limits(limits: &Limits) -> nix::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    if let Some(processes) = limits.processes {
        // A small machine may allow fewer.
        let (_, allowed) = getrlimit(Resource::RLIMIT_NPROC)?;
        let most = (processes + MORE_PROCESSES).max(READING_PROCESSES).min(allowed);
        setrlimit(Resource::RLIMIT_NPROC, most, most)?;
    }
    Ok(())
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
    fn files_in_directories_below_count() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("a")).unwrap();
        common::atomic::write(&directory.path().join("a/b"), &[1; 100_000]).unwrap();
        assert!(disk_usage(directory.path()) >= 100_000);
    }
}
