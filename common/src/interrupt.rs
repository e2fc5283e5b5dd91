//! Being asked to end: SIGINT, SIGTERM and SIGHUP as a value that loops and child processes look at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

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
        let interrupt = Self::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&interrupt.0))?;
        }
        Ok(interrupt)
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
