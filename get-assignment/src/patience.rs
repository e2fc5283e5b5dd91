//! Waiting for work: woken when the build list, a state or a lease changes, instead of asking again and again.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use common::work_dir::WorkDir;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// Leases expire without any file changing, so now and then it is looked again.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Watches the state directory.
pub(crate) struct Watch {
    inotify: Inotify,
    deadline: Instant,
}

impl Watch {
    /// Begins to watch; changes from now on are seen.
    pub(crate) fn begin(work_dir: &WorkDir, deadline: Instant) -> nix::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let changes = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_DELETE | AddWatchFlags::IN_CLOSE_WRITE;
        for directory in [
            work_dir.root(),
            work_dir.states().directory(),
            work_dir.leases().directory(),
        ] {
            inotify.add_watch(directory, changes)?;
        }
        Ok(Self { inotify, deadline })
    }

    /// Waits for a change; false when the time is over.
    pub(crate) fn wait(&self) -> nix::Result<bool> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let milliseconds = u16::try_from(left.min(LOOK_AGAIN).as_millis().max(1)).unwrap_or(u16::MAX);
        let mut descriptors = [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)];
        match poll(&mut descriptors, PollTimeout::from(milliseconds)) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error),
        }
        // Which change it was does not matter; what is queued has been seen.
        while self.inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
        Ok(true)
    }
}
