//! Being asked to end: SIGINT, SIGTERM and SIGHUP as a value that loops and child processes look at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// How often a sleeper looks whether it is to end.
const TICK: Duration = Duration::from_millis(50);

/// Set once when the process is asked to end. Clones share the value.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// An interrupt that nothing but [`Interrupt::raise`] sets.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An interrupt that SIGINT, SIGTERM and SIGHUP set; they no longer end the process.
    ///
    /// # Errors
    /// The kernel refuses the handlers.
    pub fn on_signals() -> std::io::Result<Self> {
        Self::on(&[SIGINT, SIGTERM, SIGHUP])
    }

    /// An interrupt that some signals set; they no longer end the process.
    ///
    /// # Errors
    /// The kernel refuses the handlers.
    pub fn on(signals: &[i32]) -> std::io::Result<Self> {
        let interrupt = Self::default();
        for signal in signals {
            signal_hook::flag::register(*signal, Arc::clone(&interrupt.0))?;
        }
        Ok(interrupt)
    }

    /// Sleeps, but not longer than until it is set.
    pub fn sleep(&self, time: Duration) {
        let deadline = Instant::now() + time;
        while !self.is_raised() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(TICK));
        }
    }

    /// Sets it.
    pub fn raise(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it has been set.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
