//! The heartbeat: tells the master now and then what the builder does, and ends the build when the master says that the
//! order is no longer this builder's. Trouble with the master ends nothing.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use common::interrupt::Interrupt;

use crate::master::Connection;

/// Time between two signs of life; far below the shortest sensible lease.
const BEAT: Duration = Duration::from_secs(60);
/// Longest time that one may take.
const LIMIT: Duration = Duration::from_secs(50);
/// How often it looks whether the build has ended.
const TICK: Duration = Duration::from_millis(50);

/// What the builder does just now, and what is to end it.
#[derive(Debug)]
pub(crate) struct Pulse {
    phase: Mutex<&'static str>,
    /// Ends the build: raised by the user's SIGINT or when the order is lost.
    pub(crate) stop: Interrupt,
    /// The order is no longer this builder's.
    pub(crate) revoked: Interrupt,
    over: Interrupt,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        Self {
            phase: Mutex::new("fetching"),
            stop: Interrupt::new(),
            revoked: Interrupt::new(),
            over: Interrupt::new(),
        }
    }

    /// Says what is done from now on.
    pub(crate) fn enter(&self, phase: &'static str) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    /// Runs `work` while signs of life are sent; `abort` ends it.
    pub(crate) fn during<T>(&self, connection: &Connection<'_>, abort: &Interrupt, work: impl FnOnce() -> T) -> T {
        std::thread::scope(|scope| {
            scope.spawn(|| self.beat(connection, abort));
            let _over = RaiseOnDrop(&self.over);
            work()
        })
    }

    fn beat(&self, connection: &Connection<'_>, abort: &Interrupt) {
        let mut last = Instant::now();
        while !self.over.is_raised() {
            if abort.is_raised() {
                self.stop.raise();
            }
            if last.elapsed() >= BEAT {
                last = Instant::now();
                let phase = *self.phase.lock().unwrap_or_else(PoisonError::into_inner);
                let words = ["ping-from-builder".to_owned(), phase.to_owned()];
                let reply = connection.request(&words, None, LIMIT, &self.over);
                if reply.is_ok_and(|reply| reply.code == Some(2)) {
                    self.revoked.raise();
                    self.stop.raise();
                }
            }
            std::thread::sleep(TICK);
        }
    }
}

/// Ends the beating also when the work panics, or the scope would wait for ever.
struct RaiseOnDrop<'a>(&'a Interrupt);

impl Drop for RaiseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.raise();
    }
}
