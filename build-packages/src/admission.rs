//! Whether there is room for one more build beside those that run: enough memory free, enough processor time idle.
//!
//! The first build is always admitted. The others are looked at one by one, some seconds after the one before began, so
//! that what that one takes is seen: `/proc/meminfo` for what is free, `/proc/stat` for what was idle since then.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::settings::Slots;

/// How long the processors are watched before the next build.
const WATCH: Duration = Duration::from_secs(5);

/// Processor time since boot, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ProcessorTime {
    idle: u64,
    total: u64,
}

/// Decides for one builder.
#[derive(Debug)]
pub(crate) struct Admission {
    slots: Slots,
    since: Instant,
    before: Option<ProcessorTime>,
}

impl Admission {
    /// For so many slots.
    pub(crate) fn new(slots: Slots) -> Self {
        Self {
            slots,
            since: Instant::now(),
            before: None,
        }
    }

    /// A build begins: the processors are watched from now on.
    pub(crate) fn note_start(&mut self) {
        self.since = Instant::now();
        self.before = processor_time();
    }

    /// Whether one more may begin beside so many.
    pub(crate) fn admits(&mut self, running: usize) -> bool {
        if running >= self.slots.number {
            return false;
        }
        running == 0 || (self.has_memory() && self.has_idle_processors())
    }

    fn has_memory(&self) -> bool {
        if self.slots.memory == 0 {
            return true;
        }
        let text = std::fs::read_to_string(Path::new("/proc/meminfo")).unwrap_or_default();
        available_memory(&text).is_none_or(|available| available >= self.slots.memory)
    }

    fn has_idle_processors(&mut self) -> bool {
        if self.slots.idle_percent == 0 {
            return true;
        }
        if self.since.elapsed() < WATCH {
            return false;
        }
        let (before, now) = (self.before, processor_time());
        self.since = Instant::now();
        self.before = now;
        match (before, now) {
            (Some(before), Some(now)) => idle_percent(before, now) >= self.slots.idle_percent,
            // Where the kernel does not say, slots are all there is.
            _ => true,
        }
    }
}

fn processor_time() -> Option<ProcessorTime> {
    parse_processor_time(&std::fs::read_to_string("/proc/stat").ok()?)
}

/// The first line of `/proc/stat`, proc_stat(5): user nice system idle iowait irq softirq steal; what a guest uses is
/// part of user. What waits for disks is idle: another build can use it.
fn parse_processor_time(text: &str) -> Option<ProcessorTime> {
    let fields = text.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = fields
        .split_ascii_whitespace()
        .take(8)
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    Some(ProcessorTime {
        idle: ticks.get(3)? + ticks.get(4)?,
        total: ticks.iter().sum(),
    })
}

fn idle_percent(before: ProcessorTime, now: ProcessorTime) -> u64 {
    let total = now.total.saturating_sub(before.total).max(1);
    (now.idle.saturating_sub(before.idle) * 100 / total).min(100)
}

/// Bytes of `MemAvailable`.
fn available_memory(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(number: usize, memory: u64, idle_percent: u64) -> Slots {
        Slots {
            number,
            memory,
            idle_percent,
        }
    }

    #[test]
    fn the_first_build_is_always_admitted_and_others_as_memory_and_slots_allow() {
        let mut greedy = Admission::new(slots(3, u64::MAX, 0));
        assert!(greedy.admits(0) && !greedy.admits(1));
        let mut modest = Admission::new(slots(3, 1, 0));
        assert!(modest.admits(2) && !modest.admits(3));
    }

    #[test]
    fn a_build_has_to_show_what_it_takes_before_the_next_one_begins() {
        let mut admission = Admission::new(slots(2, 0, 1));
        admission.note_start();
        assert!(!admission.admits(1));
    }

    #[test]
    fn what_the_kernel_says_is_read() {
        let before = parse_processor_time("cpu  100 0 50 800 50 0 0 0 7 0\ncpu0 1 2 3\n").unwrap();
        assert_eq!((before.idle, before.total), (850, 1000));
        let now = parse_processor_time("cpu  200 0 50 890 60 0 0 0 7 0\n").unwrap();
        assert_eq!(idle_percent(before, now), 50);
        let text = "MemTotal:       100 kB\nMemAvailable:    2048 kB\n";
        assert_eq!(available_memory(text), Some(2 << 20));
        assert!(available_memory("").is_none() && parse_processor_time("x").is_none());
    }
}
