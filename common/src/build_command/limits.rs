//! What a build may use, by option, else by key; 0 is no limit.

use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::config::{Config, ConfigError};

/// Seconds without output and work, where nothing is configured.
const STALLED_SECONDS: u64 = 7200;
/// Processes and threads at one time, where nothing is configured.
const PROCESSES: u64 = 8192;
/// MiB of output, where nothing is configured.
const LOG_MIB: u64 = 1024;

/// Options that limit a build. 0: no limit.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Limits (0: none)")]
pub struct LimitArgs {
    /// End the build after so many seconds (key limit_seconds)
    #[arg(long, value_name = "SECONDS")]
    pub time_limit: Option<u64>,
    /// End it when it neither writes anything nor works for so many seconds (key limit_stalled_seconds)
    #[arg(long, value_name = "SECONDS")]
    pub stall_limit: Option<u64>,
    /// Let all its processes together have so much memory (key limit_memory_mib)
    #[arg(long, value_name = "MIB")]
    pub memory_limit: Option<u64>,
    /// Let it have so many processes and threads (key limit_processes)
    #[arg(long, value_name = "NUMBER")]
    pub process_limit: Option<u64>,
    /// Let it write so much to the disk (key limit_disk_mib)
    #[arg(long, value_name = "MIB")]
    pub disk_limit: Option<u64>,
    /// Let it write so much output (key limit_log_mib)
    #[arg(long, value_name = "MIB")]
    pub log_limit: Option<u64>,
}

/// The limits of one build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// From its beginning to its end.
    pub wall_time: Option<Duration>,
    /// Without output and without work.
    pub stalled: Option<Duration>,
    /// Bytes of memory of all its processes together.
    pub memory: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u64>,
    /// Bytes that it adds to the disk.
    pub disk: Option<u64>,
    /// Bytes of output.
    pub log_size: Option<u64>,
}

impl Limits {
    /// The limits that options and configuration set.
    ///
    /// # Errors
    /// A value of the configuration is no whole number.
    pub fn read(args: &LimitArgs, config: &Config) -> Result<Self, ConfigError> {
        let number = |option: Option<u64>, key, default| -> Result<Option<u64>, ConfigError> {
            let value = match option {
                Some(value) => value,
                None => config.number(key, default)?,
            };
            Ok(Some(value).filter(|value| *value > 0))
        };
        let seconds = |option, key, default| Ok(number(option, key, default)?.map(Duration::from_secs));
        let mib = |option, key, default| Ok(number(option, key, default)?.map(|value| value.saturating_mul(1 << 20)));
        Ok(Self {
            wall_time: seconds(args.time_limit, "limit_seconds", 0)?,
            stalled: seconds(args.stall_limit, "limit_stalled_seconds", STALLED_SECONDS)?,
            memory: mib(args.memory_limit, "limit_memory_mib", 0)?,
            processes: number(args.process_limit, "limit_processes", PROCESSES)?,
            disk: mib(args.disk_limit, "limit_disk_mib", 0)?,
            log_size: mib(args.log_limit, "limit_log_mib", LOG_MIB)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_beats_a_key_and_zero_is_no_limit() {
        let config = Config::from_text("limit_seconds=60\nlimit_memory_mib=2\nlimit_processes=0\n").unwrap();
        let args = LimitArgs {
            time_limit: Some(5),
            log_limit: Some(0),
            ..LimitArgs::default()
        };
        let limits = Limits::read(&args, &config).unwrap();
        assert_eq!(limits.wall_time, Some(Duration::from_secs(5)));
        assert_eq!(limits.memory, Some(2 << 20));
        assert_eq!((limits.processes, limits.log_size, limits.disk), (None, None, None));
        assert_eq!(limits.stalled, Some(Duration::from_secs(STALLED_SECONDS)));
    }
}
