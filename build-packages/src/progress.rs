//! One line on a terminal that says how far a local build is.

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::pulse::Pulse;

/// How often the line is written.
const PAUSE: Duration = Duration::from_millis(200);
/// Columns where the terminal does not say how many it has.
const COLUMNS: usize = 80;

/// The line of one build.
pub(crate) struct Progress<'a> {
    title: &'a str,
    began: Instant,
    last: Option<Instant>,
    columns: usize,
}

impl<'a> Progress<'a> {
    /// The line of a build of this name, on a terminal that is so wide.
    pub(crate) fn new(title: &'a str, columns: Option<usize>) -> Self {
        Self {
            title,
            began: Instant::now(),
            last: None,
            columns: columns.filter(|columns| *columns > 20).unwrap_or(COLUMNS),
        }
    }

    /// Writes the line when it is time to; a message of ours replaces it (`common::cli`).
    pub(crate) fn show(&mut self, pulse: &Pulse) {
        if self.last.is_some_and(|last| last.elapsed() < PAUSE) {
            return;
        }
        self.last = Some(Instant::now());
        let standing = pulse.standing();
        let line = line(
            self.title,
            self.began.elapsed().as_secs(),
            (standing.phase, standing.log_size, &standing.last_line),
        );
        let line: String = line.chars().take(self.columns - 1).collect();
        let mut stderr = std::io::stderr().lock();
        // A terminal that is gone needs no line.
        drop(write!(stderr, "\r\x1b[K{line}").and_then(|()| stderr.flush()));
    }

    /// Takes the line away.
    pub(crate) fn clear() {
        let mut stderr = std::io::stderr().lock();
        drop(write!(stderr, "\r\x1b[K").and_then(|()| stderr.flush()));
    }
}

fn line(title: &str, seconds: u64, (phase, log_size, last_line): (&str, u64, &str)) -> String {
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    let kib = log_size.div_ceil(1024);
    format!(
        "{title}: {phase} {minutes}:{seconds:02}, log {kib} KiB: {}",
        last_line.trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_phase_time_size_and_the_last_words() {
        let said = line("zlib", 83, ("check", 2049, "  all tests passed"));
        assert_eq!(said, "zlib: check 1:23, log 3 KiB: all tests passed");
    }
}
