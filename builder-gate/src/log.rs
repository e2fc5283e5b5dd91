//! `ssh-log`: who asked for what, `YYYY-MM-DD HH:MM:SS builder command`, a line each.
//!
//! Bounded: from [`ROTATE_AT`] on it is renamed to `ssh-log.1`. Appended with one write, so that lines of callers at
//! one time do not mix. A log that cannot be written stops nobody from working.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use common::cli::one_line;
use common::clock::{Now, format_utc};
use common::names::Builder;

/// Size in bytes from which on a new log is begun.
const ROTATE_AT: u64 = 1 << 20;
/// Bytes of a command that are logged.
const MAX_LOGGED: usize = 500;

/// Adds a line.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn append(path: &Path, now: &Now, builder: &Builder, command: &str) -> io::Result<()> {
    let open = || OpenOptions::new().append(true).create(true).open(path);
    let mut file = open()?;
    if file.metadata()?.len() > ROTATE_AT {
        std::fs::rename(path, path.with_extension("1"))?;
        file = open()?;
    }
    let command: String = command.chars().take(MAX_LOGGED).collect();
    let time = format_utc(now.unix, "%Y-%m-%d %H:%M:%S");
    file.write_all(format!("{time} {builder} {}\n", one_line(&command)).as_bytes())
}
