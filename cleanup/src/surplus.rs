//! Which logs are too many, and which metadata too old: looks only.

use std::fs::{self, File};
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use common::archive;
use common::atomic::{FileError, TEMPORARY_PREFIX};
use common::build_list::Order;
use common::config::{Config, ConfigError};
use common::logs::{Logs, Shelf};
use common::metadata;
use common::names::last_part;
use common::work_dir::WorkDir;

/// What a checker of packages says when a library cannot be shared between processes: in words, and as a tag.
const TEXT_RELOCATIONS: [&str; 2] = ["text relocations", "elffile-with-textrels"];
/// Bytes of a log that are looked at.
const LOOKED_AT: u64 = 64 << 20;
/// A temporary file that is older was left by a tool that was killed.
const LEFT_OVER: Duration = Duration::from_secs(3600);

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    error_logs: usize,
    success: Duration,
    metadata: Duration,
}

impl Kept {
    /// As the configuration says.
    pub(crate) fn configured(config: &Config) -> Result<Self, ConfigError> {
        let days = |key, default| -> Result<Duration, ConfigError> {
            let days: u64 = config.number(key, default)?;
            Ok(Duration::from_secs(days.saturating_mul(86_400)))
        };
        Ok(Self {
            error_logs: config.parsed("kept_error_logs")?.unwrap_or(10),
            success: days("kept_success_log_days", 14)?,
            metadata: days("kept_metadata_days", 90)?,
        })
    }

    /// The metadata that goes.
    pub(crate) fn outdated(self, work_dir: &WorkDir, now: SystemTime) -> Result<Vec<PathBuf>, FileError> {
        metadata::outdated(work_dir, self.metadata, now)
    }

    /// The logs that go; all of an order whose logs of failures nobody needs any longer.
    pub(crate) fn surplus(
        self,
        logs: &Logs,
        is_needed: impl Fn(&Order) -> bool,
        now: SystemTime,
    ) -> Result<Vec<PathBuf>, FileError> {
        let mut gone = Vec::new();
        for (order, directory) in logs.orders(Shelf::Error)? {
            let mut found = logs_in(&directory, now)?;
            found.sort();
            let kept = if is_needed(&order) { self.error_logs } else { 0 };
            found.truncate(found.len().saturating_sub(kept));
            gone.extend(found.into_iter().map(|(_, path)| path));
        }
        for (_, directory) in logs.orders(Shelf::Success)? {
            for (time, path) in logs_in(&directory, now)? {
                if is_older(time, self.success, now) && !reports_text_relocations(&path) {
                    gone.push(path);
                }
            }
        }
        gone.sort();
        Ok(gone)
    }
}

fn is_older(time: SystemTime, age: Duration, now: SystemTime) -> bool {
    now.duration_since(time).is_ok_and(|found| found > age)
}

/// The logs of one order with their times, and what is left of one that was being written; what is being written now is
/// none.
fn logs_in(directory: &Path, now: SystemTime) -> Result<Vec<(SystemTime, PathBuf)>, FileError> {
    let read = |source| FileError::at("read", directory)(source);
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(read)? {
        let entry = entry.map_err(read)?;
        let metadata = entry.metadata().map_err(read)?;
        let time = metadata.modified().map_err(read)?;
        let is_temporary = last_part(&entry.path()).starts_with(TEMPORARY_PREFIX);
        if metadata.is_file() && (!is_temporary || is_older(time, LEFT_OVER, now)) {
            found.push((time, entry.path()));
        }
    }
    Ok(found)
}

/// Whether a log has to be seen by somebody. One that cannot be read has nothing to say.
fn reports_text_relocations(path: &Path) -> bool {
    let mut text = Vec::new();
    let read = File::open(path)
        .and_then(|file| archive::expanded(BufReader::new(file)))
        .and_then(|content| content.take(LOOKED_AT).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    read.is_ok() && TEXT_RELOCATIONS.iter().any(|words| text.contains(words))
}
