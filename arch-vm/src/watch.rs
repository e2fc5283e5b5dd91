//! Looks after a running machine: a thread that sees everything that ends a build from the outside (its caller, its
//! limits, its own end), remembers the first of them, and stops what is being done in the guest.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::build_command::{LimitKind, Limits};
use common::interrupt::Interrupt;

use crate::qmp::Event;

/// How often limits are looked at.
const TICK: Duration = Duration::from_millis(100);
/// How often it is looked whether a build stalls.
const STALL_TICK: Duration = Duration::from_secs(1);
/// A machine that uses less than this part of a processor does not work: an idle guest has its clock.
const IDLE_PART: f64 = 0.05;

/// Why a build cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The caller was asked to end.
    Interrupted,
    /// The guest switched itself off.
    PoweredOff,
    /// Somebody stopped the machine.
    Stopped,
    /// Qemu ended without a word.
    Crashed,
    /// The host's disk is full: the machine stands still.
    HostFull,
    /// A limit of the build.
    Limit(LimitKind),
}

/// What a build tells its watcher.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Bytes of output so far.
    pub(crate) output: AtomicU64,
}

/// What a machine is watched for.
#[derive(Debug)]
pub(crate) struct Watched {
    /// The overlay and how many bytes it may have.
    pub(crate) overlay: (PathBuf, u64),
    /// Limits of the build.
    pub(crate) limits: Limits,
    /// Qemu's process.
    pub(crate) pid: i32,
    /// What the build tells.
    pub(crate) progress: Arc<Progress>,
}

/// The thread, as long as this lives.
pub(crate) struct Watch {
    verdict: Arc<Mutex<Option<Verdict>>>,
    done: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watch {
    /// Begins. `stop` is raised when there is a verdict; `interrupt` is the caller's.
    pub(crate) fn begin(watched: Watched, events: Receiver<Event>, interrupt: &Interrupt, stop: &Interrupt) -> Self {
        let verdict = Arc::new(Mutex::new(None));
        let done = Arc::new(AtomicBool::new(false));
        let thread = {
            let (verdict, done) = (Arc::clone(&verdict), Arc::clone(&done));
            let (interrupt, stop) = (interrupt.clone(), stop.clone());
            std::thread::spawn(move || {
                if let Some(found) = watch(&watched, &events, &interrupt, &done) {
                    *verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
                    stop.raise();
                }
            })
        };
        Self {
            verdict,
            done,
            thread: Some(thread),
        }
    }

    /// What ended the build, if anything did.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.done.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // It does not panic, and if it did there is nothing more to be seen.
            drop(thread.join());
        }
    }
}

fn watch(watched: &Watched, events: &Receiver<Event>, interrupt: &Interrupt, done: &AtomicBool) -> Option<Verdict> {
    let began = Instant::now();
    let mut stall = Stall::new(watched);
    while !done.load(Ordering::SeqCst) {
        match events.recv_timeout(TICK) {
            Ok(Event::PoweredOff) => return Some(Verdict::PoweredOff),
            Ok(Event::Ended) => return Some(Verdict::Stopped),
            Ok(Event::DiskFull) => return Some(Verdict::HostFull),
            Ok(Event::Gone) | Err(RecvTimeoutError::Disconnected) => return Some(Verdict::Crashed),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if interrupt.is_raised() {
            return Some(Verdict::Interrupted);
        }
        if let Some(kind) = exceeded(watched, began).or_else(|| stall.is_over(watched).then_some(LimitKind::Stalled)) {
            return Some(Verdict::Limit(kind));
        }
    }
    None
}

fn exceeded(watched: &Watched, began: Instant) -> Option<LimitKind> {
    let limits = &watched.limits;
    let (overlay, most) = &watched.overlay;
    let written = std::fs::metadata(overlay).map_or(0, |found| found.blocks() * 512);
    if limits.wall_time.is_some_and(|limit| began.elapsed() >= limit) {
        Some(LimitKind::WallTime)
    } else if written > limits.disk.unwrap_or(u64::MAX).min(*most) {
        Some(LimitKind::Disk)
    } else if limits
        .log_size
        .is_some_and(|limit| watched.progress.output.load(Ordering::Relaxed) > limit)
    {
        Some(LimitKind::LogSize)
    } else {
        None
    }
}

/// Whether a machine neither writes nor works.
struct Stall {
    since: Instant,
    looked: Instant,
    output: u64,
    worked: Duration,
}

impl Stall {
    fn new(watched: &Watched) -> Self {
        Self {
            since: Instant::now(),
            looked: Instant::now(),
            output: 0,
            worked: processor_time(watched.pid),
        }
    }

    fn is_over(&mut self, watched: &Watched) -> bool {
        let Some(limit) = watched.limits.stalled else {
            return false;
        };
        let passed = self.looked.elapsed();
        if passed >= STALL_TICK {
            let output = watched.progress.output.load(Ordering::Relaxed);
            let worked = processor_time(watched.pid);
            let part = worked.saturating_sub(self.worked).as_secs_f64() / passed.as_secs_f64();
            if output != self.output || part > IDLE_PART {
                self.since = Instant::now();
            }
            (self.looked, self.output, self.worked) = (Instant::now(), output, worked);
        }
        self.since.elapsed() >= limit
    }
}

/// Processor time of a process, from proc(5)'s stat; zero when it is gone.
pub(crate) fn processor_time(pid: i32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may have blanks; utime and stime are the 12th and 13th word after it.
    let ticks = text.rsplit_once(')').map_or(0, |(_, rest)| {
        let words = rest.split_ascii_whitespace().skip(11).take(2);
        words.filter_map(|word| word.parse::<u64>().ok()).sum()
    });
    Duration::from_millis(ticks * 10)
}

/// Most memory that a process had so far in bytes, from proc(5)'s status; none when it is gone.
pub(crate) fn peak_memory(pid: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};

    fn begin(limits: Limits) -> (Watch, Sender<Event>, Interrupt, Interrupt, Arc<Progress>) {
        let (sender, events) = channel();
        let (interrupt, stop) = (Interrupt::new(), Interrupt::new());
        let progress = Arc::new(Progress::default());
        let watched = Watched {
            overlay: ("/dev/null".into(), 1 << 20),
            limits,
            pid: i32::try_from(std::process::id()).unwrap(),
            progress: Arc::clone(&progress),
        };
        let watch = Watch::begin(watched, events, &interrupt, &stop);
        (watch, sender, interrupt, stop, progress)
    }

    fn wait(stop: &Interrupt) {
        stop.sleep(Duration::from_secs(60));
        assert!(stop.is_raised());
    }

    #[test]
    fn each_end_has_its_verdict() {
        for (event, verdict) in [
            (Event::PoweredOff, Verdict::PoweredOff),
            (Event::Ended, Verdict::Stopped),
            (Event::DiskFull, Verdict::HostFull),
            (Event::Gone, Verdict::Crashed),
        ] {
            let (watch, sender, _interrupt, stop, _progress) = begin(Limits::default());
            sender.send(event).unwrap();
            wait(&stop);
            assert_eq!(watch.verdict(), Some(verdict));
        }
    }

    #[test]
    fn the_caller_and_the_log_end_a_build_too() {
        let (watch, _sender, interrupt, stop, _progress) = begin(Limits::default());
        interrupt.raise();
        wait(&stop);
        assert_eq!(watch.verdict(), Some(Verdict::Interrupted));
        let limits = Limits {
            log_size: Some(10),
            ..Limits::default()
        };
        let (watch, _sender, _interrupt, stop, progress) = begin(limits);
        progress.output.store(11, Ordering::Relaxed);
        wait(&stop);
        assert_eq!(watch.verdict(), Some(Verdict::Limit(LimitKind::LogSize)));
    }

    #[test]
    fn time_of_the_processor_and_memory_are_read() {
        let own = i32::try_from(std::process::id()).unwrap();
        let begin = Instant::now();
        while processor_time(own).is_zero() {
            assert!(begin.elapsed() < Duration::from_secs(60));
        }
        assert!(processor_time(-1).is_zero());
        assert!(peak_memory(own).unwrap() > 1 << 20);
        assert_eq!(peak_memory(-1), None);
    }
}
