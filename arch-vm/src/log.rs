//! The log of a build, which is what a build command writes to standard error: passed on as it comes, counted for the
//! limit, and read for the phase that it announces.

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::atomic::Ordering;
use std::time::Instant;

use common::build_command::{Phase, PhaseTime};

use crate::watch::Progress;

/// Longest part of a line that is looked at.
const LONGEST_LINE: u64 = 64 << 10;

/// The phases that were entered, and when.
#[derive(Debug)]
pub(crate) struct Log {
    entered: Vec<(Phase, Instant)>,
}

impl Log {
    /// A log that begins now, with the first phase.
    pub(crate) fn begin() -> Self {
        Self {
            entered: vec![(Phase::Setup, Instant::now())],
        }
    }

    /// The phase that runs.
    pub(crate) fn phase(&self) -> Phase {
        self.entered.last().map_or(Phase::Setup, |(phase, _)| *phase)
    }

    /// Enters a phase that makepkg does not announce.
    pub(crate) fn enter(&mut self, phase: Phase) {
        if self.note(phase) {
            // There is nobody to tell that stderr is gone.
            drop(writeln!(std::io::stderr().lock(), "{}", phase.announcement()));
        }
    }

    /// How long each phase took so far.
    pub(crate) fn times(&self) -> Vec<PhaseTime> {
        let ends = self.entered.iter().skip(1).map(|(_, at)| *at).chain([Instant::now()]);
        let both = self.entered.iter().zip(ends);
        both.map(|((phase, began), end)| PhaseTime {
            phase: *phase,
            milliseconds: u64::try_from(end.saturating_duration_since(*began).as_millis()).unwrap_or(u64::MAX),
        })
        .collect()
    }

    /// Passes output on until it ends.
    pub(crate) fn copy(&mut self, from: impl Read, progress: &Progress) {
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        loop {
            line.clear();
            match (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(count) => progress.output.fetch_add(count as u64, Ordering::Relaxed),
            };
            drop(std::io::stderr().lock().write_all(&line));
            if let Some(phase) = Phase::announced_by(&String::from_utf8_lossy(&line)) {
                self.note(phase);
            }
        }
    }

    /// Phases only go on; the log of a hostile package may say anything.
    fn note(&mut self, phase: Phase) -> bool {
        let is_later = phase > self.phase();
        if is_later {
            self.entered.push((phase, Instant::now()));
        }
        is_later
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_read_and_output_is_counted() {
        let (mut log, progress) = (Log::begin(), Progress::default());
        let text = "==> Retrieving sources...\nx\n==> Starting build()...\n==> Starting prepare()...\nno newline";
        log.copy(text.as_bytes(), &progress);
        assert_eq!(log.phase(), Phase::Build);
        assert_eq!(progress.output.load(Ordering::Relaxed), text.len() as u64);
        let phases: Vec<Phase> = log.times().iter().map(|time| time.phase).collect();
        assert_eq!(phases, [Phase::Setup, Phase::Sources, Phase::Build]);
    }
}
