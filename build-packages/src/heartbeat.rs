//! The heartbeat: tells the master now and then what the builder does and how far the log is, and ends the build when
//! the master says that the order is no longer this builder's. Trouble with the master ends nothing.

use std::time::{Duration, Instant};

use common::names::PkgBase;

use crate::master::Connection;
use crate::pulse::Pulse;

/// One sign of life may take until the next one is due, and so long at least.
const LEAST_LIMIT: Duration = Duration::from_secs(10);

/// The signs of life of one order.
pub(crate) struct Heartbeat<'a> {
    connection: &'a Connection<'a>,
    pkgbase: &'a PkgBase,
    pause: Duration,
    last: Instant,
    /// The master knows the phase only, as the first ones did.
    is_short: bool,
}

impl<'a> Heartbeat<'a> {
    /// The heartbeat of an order; the first sign of life comes after a pause.
    pub(crate) fn new(connection: &'a Connection<'a>, pkgbase: &'a PkgBase) -> Self {
        Self {
            connection,
            pkgbase,
            pause: connection.employer().heartbeat,
            last: Instant::now(),
            is_short: false,
        }
    }

    /// Gives a sign of life when it is time to. What is finished is returned whatever the master says.
    pub(crate) fn beat(&mut self, pulse: &Pulse) {
        if self.last.elapsed() < self.pause || pulse.revoked.is_raised() {
            return;
        }
        self.last = Instant::now();
        let standing = pulse.standing();
        let mut words = vec!["ping-from-builder".to_owned(), standing.phase.to_owned()];
        if !self.is_short {
            words.extend([standing.log_size.to_string(), self.pkgbase.to_string()]);
        }
        let limit = self.pause.max(LEAST_LIMIT);
        let reply = self.connection.request(&words, limit, &pulse.over);
        match reply.ok().and_then(|reply| reply.code) {
            Some(2) => {
                pulse.revoked.raise();
                pulse.stop.raise();
            }
            Some(42 | 64) => self.is_short = true,
            _ => {}
        }
    }
}
