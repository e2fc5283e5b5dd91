//! Where a run is: its phase, how long each one took, how much the package wrote.
//!
//! What the package writes passes through here on its way to standard error, and the lines that announce a phase are
//! recognized. Phases never go back: what a package prints can only end its own phase too early.

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::build_command::{Phase, PhaseTime};
use common::cli::{Level, Messages};
use common::process::Output;

/// Longest line that is looked at, in bytes.
const LONGEST_LINE: usize = 256;

/// Shared by everybody who takes part in a run.
#[derive(Debug, Clone)]
pub(crate) struct Progress(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    began: Instant,
    entered: Vec<(Phase, Instant)>,
    output: u64,
    line: Vec<u8>,
}

impl Progress {
    /// A run that began then.
    pub(crate) fn since(began: Instant) -> Self {
        Self(Arc::new(Mutex::new(State {
            began,
            entered: vec![(Phase::Setup, began)],
            output: 0,
            line: Vec::new(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on to a phase; nothing happens when it is not a later one.
    pub(crate) fn enter(&self, phase: Phase) {
        self.state().enter(phase);
    }

    /// Goes on to a phase that makepkg does not announce, and writes so into the log.
    pub(crate) fn announce(&self, phase: Phase, messages: Messages) {
        self.enter(phase);
        if messages.is_said(Level::Normal) {
            drop(writeln!(std::io::stderr().lock(), "{}", phase.announcement()));
        }
    }

    /// The present phase.
    pub(crate) fn phase(&self) -> Phase {
        self.state().phase()
    }

    /// Since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        self.state().began.elapsed()
    }

    /// Bytes that the package wrote.
    pub(crate) fn output(&self) -> u64 {
        self.state().output
    }

    /// How long each phase took until now.
    pub(crate) fn times(&self) -> Vec<PhaseTime> {
        let state = self.state();
        let ends = state.entered.iter().skip(1).map(|(_, begin)| *begin);
        let ends = ends.chain([Instant::now()]);
        let times = state.entered.iter().zip(ends).map(|((phase, begin), end)| PhaseTime {
            phase: *phase,
            milliseconds: milliseconds(end.saturating_duration_since(*begin)),
        });
        times.collect()
    }

    /// Lets what the package writes pass to standard error.
    pub(crate) fn pass_output(&self) -> Output {
        let progress = self.clone();
        Output::Through(Box::new(move |bytes| {
            progress.state().look_at(bytes);
            // There is nobody to tell that stderr is gone.
            drop(std::io::stderr().lock().write_all(bytes));
        }))
    }
}

impl State {
    fn phase(&self) -> Phase {
        self.entered.last().map_or(Phase::Setup, |(phase, _)| *phase)
    }

    fn enter(&mut self, phase: Phase) {
        if phase > self.phase() {
            self.entered.push((phase, Instant::now()));
        }
    }

    fn look_at(&mut self, bytes: &[u8]) {
        self.output += bytes.len() as u64;
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LONGEST_LINE.saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                let announced = Phase::announced_by(&String::from_utf8_lossy(&self.line));
                self.line.clear();
                if let Some(phase) = announced {
                    self.enter(phase);
                }
            }
        }
    }
}

/// Whole milliseconds.
pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_recognized_across_pieces_of_output_and_never_go_back() {
        let progress = Progress::since(Instant::now());
        let look_at = |text: &str| progress.state().look_at(text.as_bytes());
        progress.enter(Phase::Sources);
        look_at("noise\n==> Starting bu");
        assert_eq!(progress.phase(), Phase::Sources);
        look_at("ild()...\n==> Starting prepare()...\n");
        assert_eq!(progress.phase(), Phase::Build);
        look_at(&"x".repeat(100_000));
        look_at("\n==> Starting package_a()...\n");
        let phases: Vec<Phase> = progress.times().iter().map(|time| time.phase).collect();
        assert_eq!(phases, [Phase::Setup, Phase::Sources, Phase::Build, Phase::Package]);
        assert!(progress.output() > 100_000);
        assert!(progress.state().line.capacity() < 4 * LONGEST_LINE);
    }
}
