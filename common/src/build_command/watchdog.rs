//! Judging samples of a running build by its limits. Where the samples come from is each build command's own affair.
//!
//! A build counts as alive as long as it writes something or uses more than a hundredth of one processor: waiting with a
//! timer is no work, and a compiler that says nothing for an hour is.

use std::time::Duration;

use super::limits::Limits;
use super::outcome::LimitKind;

/// What a build uses at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sample {
    /// Since its beginning.
    pub at: Duration,
    /// Bytes of output so far.
    pub output: u64,
    /// Processor time so far, of ended processes, too.
    pub cpu: Duration,
    /// Bytes of memory.
    pub memory: u64,
    /// Processes and threads.
    pub processes: u64,
    /// Bytes on the disk.
    pub disk: u64,
    /// Whether the disk is as good as full, whoever filled it.
    pub is_disk_full: bool,
}

/// Remembers what is needed to judge the next sample.
#[derive(Debug)]
pub struct Watchdog {
    limits: Limits,
    alive: Sample,
    peak_memory: u64,
}

impl Watchdog {
    /// A watchdog at the beginning of a build.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            alive: Sample::default(),
            peak_memory: 0,
        }
    }

    /// Takes a sample. Returns the limit that it exceeds.
    pub fn check(&mut self, sample: &Sample) -> Option<LimitKind> {
        self.peak_memory = self.peak_memory.max(sample.memory);
        let quiet = sample.at.saturating_sub(self.alive.at);
        let work = sample.cpu.saturating_sub(self.alive.cpu);
        if sample.output > self.alive.output || work > quiet / 100 {
            self.alive = *sample;
        }
        let is_over = |limit: Option<u64>, value: u64| limit.is_some_and(|limit| value > limit);
        let is_long = |limit: Option<Duration>, time: Duration| limit.is_some_and(|limit| time >= limit);
        let exceeded = [
            (LimitKind::LogSize, is_over(self.limits.log_size, sample.output)),
            (LimitKind::Processes, is_over(self.limits.processes, sample.processes)),
            (LimitKind::Memory, is_over(self.limits.memory, sample.memory)),
            (
                LimitKind::Disk,
                is_over(self.limits.disk, sample.disk) || sample.is_disk_full,
            ),
            (LimitKind::WallTime, is_long(self.limits.wall_time, sample.at)),
            (
                LimitKind::Stalled,
                is_long(self.limits.stalled, sample.at.saturating_sub(self.alive.at)),
            ),
        ];
        exceeded.into_iter().find_map(|(kind, is)| is.then_some(kind))
    }

    /// The most memory in any sample, in bytes.
    #[must_use]
    pub const fn peak_memory(&self) -> u64 {
        self.peak_memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(at: u64) -> Duration {
        Duration::from_secs(at)
    }

    fn sample(at: u64) -> Sample {
        Sample {
            at: seconds(at),
            ..Sample::default()
        }
    }

    #[test]
    fn each_limit_has_its_kind() {
        let limits = Limits {
            wall_time: Some(seconds(1000)),
            stalled: Some(seconds(500)),
            memory: Some(10),
            processes: Some(10),
            disk: Some(10),
            log_size: Some(10),
        };
        for (kind, sample) in [
            (LimitKind::WallTime, sample(1000)),
            (LimitKind::Stalled, sample(500)),
            (
                LimitKind::Memory,
                Sample {
                    memory: 11,
                    ..sample(1)
                },
            ),
            (
                LimitKind::Processes,
                Sample {
                    processes: 11,
                    ..sample(1)
                },
            ),
            (LimitKind::Disk, Sample { disk: 11, ..sample(1) }),
            (
                LimitKind::Disk,
                Sample {
                    is_disk_full: true,
                    ..sample(1)
                },
            ),
            (
                LimitKind::LogSize,
                Sample {
                    output: 11,
                    ..sample(1)
                },
            ),
        ] {
            assert_eq!(Watchdog::new(limits.clone()).check(&sample), Some(kind));
            assert_eq!(Watchdog::new(limits.clone()).check(&self::sample(1)), None);
            if kind != LimitKind::Disk || !sample.is_disk_full {
                assert_eq!(Watchdog::new(Limits::default()).check(&sample), None);
            }
        }
    }

    #[test]
    fn output_and_work_are_signs_of_life_and_a_little_work_is_none() {
        let mut dog = Watchdog::new(Limits {
            stalled: Some(seconds(100)),
            ..Limits::default()
        });
        let with = |at, output, cpu| Sample {
            output,
            cpu: Duration::from_millis(cpu),
            memory: at,
            ..sample(at)
        };
        assert_eq!(dog.check(&with(90, 1, 0)), None);
        assert_eq!(dog.check(&with(180, 1, 1_000)), None);
        assert_eq!(dog.check(&with(270, 1, 1_500)), None);
        assert_eq!(dog.check(&with(280, 1, 1_600)), Some(LimitKind::Stalled));
        assert_eq!(dog.peak_memory(), 280);
    }
}
