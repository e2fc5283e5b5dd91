//! Returning finished builds: a parcel of the outbox is uploaded until the master has decided about it. A finished build is
//! never thrown away for trouble on the way.

use std::time::Instant;

use crate::heartbeat::Heartbeat;
use crate::outbox::{Delivery, Parcel, Verdict};
use crate::pause::Pause;
use crate::pulse::Pulse;
use crate::workshop::{Built, Workshop};

impl Workshop<'_> {
    /// Returns whatever an earlier run left in the outbox; true when the master took or dropped all of it.
    ///
    /// # Errors
    /// The outbox cannot be read or written.
    pub(crate) fn deliver_all(&self) -> anyhow::Result<bool> {
        let mut is_well = true;
        for parcel in self.outbox.parcels()? {
            let pulse = Pulse::new();
            pulse.enter("uploading");
            let mut heartbeat = Heartbeat::new(&self.connection, &parcel.order.pkgbase);
            let beat = |pulse: &Pulse| heartbeat.beat(pulse);
            is_well &= pulse.during(&self.abort, beat, || self.deliver(&parcel))? != Built::Refused;
        }
        Ok(is_well)
    }

    /// Uploads a parcel until the master has decided about it; a finished build is never thrown away for trouble on the
    /// way. Being asked to drain does not end this, being asked to end does.
    ///
    /// # Errors
    /// The outbox cannot be read or written.
    pub(crate) fn deliver(&self, parcel: &Parcel) -> anyhow::Result<Built> {
        let pkgbase = &parcel.order.pkgbase;
        let built = match parcel.verdict {
            Verdict::Packages(_) => Built::Packages,
            Verdict::Failure => Built::Failed,
        };
        let mut pause = Pause::new(self.settings.pause);
        loop {
            match self.outbox.deliver(parcel, &self.connection, &self.abort)? {
                Delivery::Accepted => {
                    self.messages.note(format_args!("{pkgbase}: returned"));
                    return Ok(built);
                }
                Delivery::Outdated(reason) => {
                    self.messages
                        .note(format_args!("{pkgbase}: outdated, thrown away: {reason}"));
                    return Ok(built);
                }
                Delivery::Refused(code, reason) => {
                    self.messages
                        .error(format_args!("{pkgbase}: refused with {code}: {reason}"));
                    return Ok(Built::Refused);
                }
                Delivery::Later(reason) if self.abort.is_raised() => {
                    self.messages
                        .note(format_args!("{pkgbase}: stays in the outbox: {reason}"));
                    return Ok(Built::Dropped);
                }
                Delivery::Later(reason) => {
                    self.messages
                        .note(format_args!("{pkgbase}: returning it again later: {reason}"));
                    let time = pause.end(1).saturating_duration_since(Instant::now());
                    self.abort.sleep(time);
                }
            }
        }
    }
}
