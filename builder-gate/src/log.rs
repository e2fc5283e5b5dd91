//! `ssh-log`: who asked for what, `YYYY-MM-DD HH:MM:SS builder command`, a line each.
//!
//! Bounded: from [`ROTATE_AT`] on it is renamed to `ssh-log.1`, by one caller at a time (`ssh-log.lock`). Appended with
//! one write, so that lines of callers at one time do not mix. A log that cannot be written stops nobody from working.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use common::cli::one_line;
use common::clock::{Now, format_utc};
use common::lock::{Lock, Mode, Patience};
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
        rotate(path)?;
        file = open()?;
    }
    let command: String = command.chars().take(MAX_LOGGED).collect();
    let time = format_utc(now.unix, "%Y-%m-%d %H:%M:%S");
    file.write_all(format!("{time} {builder} {}\n", one_line(&command)).as_bytes())
}

/// Begins a new log, unless another caller has just done so or is about to.
fn rotate(path: &Path) -> io::Result<()> {
    let Ok(_held) = Lock::acquire(&path.with_extension("lock"), Mode::Exclusive, Patience::Never) else {
        return Ok(());
    };
    if std::fs::metadata(path)?.len() > ROTATE_AT {
        std::fs::rename(path, path.with_extension("1"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(path: &Path) -> u64 {
        std::fs::metadata(path).map_or(0, |metadata| metadata.len())
    }

    #[test]
    fn the_log_is_bounded_and_the_last_lines_are_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ssh-log");
        let builder = "eurobuild3".parse().unwrap();
        let now = Now {
            unix: 1_517_227_200,
            boot_id: "-".to_owned(),
            boot_seconds: 0,
        };
        let command = "\u{fc}".repeat(1 << 20);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        append(&path, &now, &builder, &command).unwrap();
                    }
                });
            }
        });
        append(&path, &now, &builder, "a\nb\u{1b}[2J\rc").unwrap();
        let old = path.with_extension("1");
        // One that finds another rotating writes on: some lines more than the limit, as the scheduler wants.
        assert!(length(&path) <= 2 * ROTATE_AT, "{}", length(&path));
        assert!((ROTATE_AT..=2 * ROTATE_AT).contains(&length(&old)), "{}", length(&old));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().last(), Some("2018-01-29 12:00:00 eurobuild3 a b [2J c"));
        let kept = text.lines().count() + std::fs::read_to_string(&old).unwrap().lines().count();
        assert!(
            text.lines()
                .all(|line| line.starts_with("2018-01-29 12:00:00 eurobuild3 "))
        );
        assert!(kept > 1000, "{kept}");
    }
}
