//! Which builds run beside each other. What `build_alone` names is built with nothing beside it: it waits until the
//! others have ended, and no order is asked for until it has been returned, so that it does not wait for ever.

use std::collections::BTreeSet;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError, TryLockResult};
use std::time::Duration;

use common::interrupt::Interrupt;
use common::names::PkgBase;

/// How often is looked whether the others have ended.
const TICK: Duration = Duration::from_millis(50);

/// The builds of one builder.
#[derive(Debug)]
pub(crate) struct Company<'a> {
    alone: &'a BTreeSet<PkgBase>,
    running: RwLock<()>,
}

/// A build that runs, until this is dropped.
#[expect(dead_code, reason = "the locks are there to be held")]
pub(crate) enum Presence<'a> {
    /// With nothing beside it.
    Alone(RwLockWriteGuard<'a, ()>),
    /// Beside others.
    Beside(RwLockReadGuard<'a, ()>),
}

impl<'a> Company<'a> {
    /// Nobody yet; these will want to be alone.
    pub(crate) fn new(alone: &'a BTreeSet<PkgBase>) -> Self {
        Self {
            alone,
            running: RwLock::new(()),
        }
    }

    /// Whether a package is built with nothing beside it.
    pub(crate) fn wants_none(&self, pkgbase: &PkgBase) -> bool {
        self.alone.contains(pkgbase)
    }

    /// Waits until a build may run; none when it is ended before.
    pub(crate) fn join(&self, pkgbase: &PkgBase, stop: &Interrupt) -> Option<Presence<'_>> {
        while !stop.is_raised() {
            let presence = match self.wants_none(pkgbase) {
                true => granted(self.running.try_write()).map(Presence::Alone),
                false => granted(self.running.try_read()).map(Presence::Beside),
            };
            if presence.is_some() {
                return presence;
            }
            stop.sleep(TICK);
        }
        None
    }
}

/// Nothing is guarded that a panic could have left in disorder.
fn granted<T>(lock: TryLockResult<T>) -> Option<T> {
    match lock {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
