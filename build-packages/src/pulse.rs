//! What a build does just now, what is to end it, and the thread that looks at both while it runs.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::interrupt::Interrupt;

use crate::log::Follower;

/// How often is looked.
const TICK: Duration = Duration::from_millis(50);

/// What is done, and the log that is written.
#[derive(Debug, Default)]
struct Now {
    activity: &'static str,
    log: Follower,
}

/// How things stand, for somebody outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// `preparing`, `building` …, while something is built the phase that the log names.
    pub(crate) phase: &'static str,
    /// Size of the log of the present attempt in bytes.
    pub(crate) log_size: u64,
    /// The log's last line.
    pub(crate) last_line: String,
}

/// The pulse of one build.
#[derive(Debug)]
pub(crate) struct Pulse {
    now: Mutex<Now>,
    /// Ends the build: raised by the user's SIGINT or when the order is lost.
    pub(crate) stop: Interrupt,
    /// The order is no longer this builder's.
    pub(crate) revoked: Interrupt,
    /// The build is over.
    pub(crate) over: Interrupt,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        let now = Now {
            activity: "preparing",
            log: Follower::default(),
        };
        Self {
            now: Mutex::new(now),
            stop: Interrupt::new(),
            revoked: Interrupt::new(),
            over: Interrupt::new(),
        }
    }

    /// Says what is done from now on.
    pub(crate) fn enter(&self, activity: &'static str) {
        self.now().activity = activity;
    }

    /// Says which log is written from now on.
    pub(crate) fn follow(&self, log: &Path) {
        self.now().log = Follower::new(log);
    }

    /// Reads what is new in the log: to be called before the log goes, for its last words.
    pub(crate) fn look(&self) {
        self.now().log.look();
    }

    /// How things stand.
    pub(crate) fn standing(&self) -> Standing {
        let mut now = self.now();
        now.log.look();
        Standing {
            phase: match (now.activity, now.log.phase) {
                ("building", Some(phase)) => phase.as_str(),
                (activity, _) => activity,
            },
            log_size: now.log.size,
            last_line: now.log.last_line.clone(),
        }
    }

    /// Runs `work` while `observe` is called again and again; `abort` ends it.
    pub(crate) fn during<T>(
        &self,
        abort: &Interrupt,
        mut observe: impl FnMut(&Self) + Send,
        work: impl FnOnce() -> T,
    ) -> T {
        std::thread::scope(|scope| {
            // Beside the observer, which may wait for the master.
            scope.spawn(|| {
                while !self.over.is_raised() {
                    if abort.is_raised() {
                        self.stop.raise();
                    }
                    std::thread::sleep(TICK);
                }
            });
            scope.spawn(|| {
                while !self.over.is_raised() {
                    observe(self);
                    std::thread::sleep(TICK);
                }
            });
            let _over = RaiseOnDrop(&self.over);
            work()
        })
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the observing also when the work panics, or the scope would wait for ever.
struct RaiseOnDrop<'a>(&'a Interrupt);

impl Drop for RaiseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.raise();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_phase_of_a_build_is_the_one_that_its_log_names() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        common::atomic::write(&log, b"==> Starting check()...\nsome test\n").unwrap();
        let pulse = Pulse::new();
        pulse.follow(&log);
        assert_eq!(pulse.standing().phase, "preparing");
        pulse.enter("building");
        let standing = pulse.standing();
        assert_eq!((standing.phase, standing.last_line.as_str()), ("check", "some test"));
        assert_eq!(standing.log_size, 34);
    }

    #[test]
    fn an_abort_ends_the_work() {
        let (pulse, abort) = (Pulse::new(), Interrupt::new());
        abort.raise();
        pulse.during(&abort, |_| {}, || pulse.stop.sleep(Duration::from_secs(600)));
        assert!(pulse.over.is_raised());
    }
}
