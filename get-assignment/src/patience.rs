//! Waiting for work: woken when the build list, a state or a lease changes, instead of asking again and again.
//!
//! Locks, logs and temporary files change with every request, this tool's own, too: they wake nobody.

use std::ffi::OsStr;
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
        let look_again = Instant::now() + LOOK_AGAIN;
        loop {
            let now = Instant::now();
            if now >= self.deadline {
                return Ok(false);
            }
            let left = self.deadline.min(look_again).saturating_duration_since(now);
            if left.is_zero() {
                return Ok(true);
            }
            let milliseconds = u16::try_from(left.as_millis().max(1)).unwrap_or(u16::MAX);
            let mut descriptors = [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)];
            match poll(&mut descriptors, PollTimeout::from(milliseconds)) {
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error),
            }
            if self.has_news()? {
                return Ok(true);
            }
        }
    }

    /// Whether something that decides has changed; takes everything that is queued.
    fn has_news(&self) -> nix::Result<bool> {
        let mut is_news = false;
        loop {
            match self.inotify.read_events() {
                // Without a name some events were lost: better looked at once too often.
                Ok(events) => {
                    is_news |= events
                        .iter()
                        .any(|event| event.name.as_ref().is_none_or(|name| decides(name)))
                }
                Err(nix::Error::EAGAIN) => return Ok(is_news),
                Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether what is handed out depends on a file of this name.
fn decides(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let is_of_requests = name.starts_with("journal") || name.starts_with("ssh-log");
    !name.starts_with('.') && !name.ends_with(".lock") && !is_of_requests
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::config::Config;
    use common::lock::Patience;
    use common::work_dir::Scope;

    #[test]
    fn a_request_of_its_own_wakes_nobody_and_a_new_list_does() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::from_text(&format!("work_dir='{}'", directory.path().display())).unwrap();
        let work_dir = WorkDir::open(&config).unwrap();
        let watch = Watch::begin(&work_dir, Instant::now() + Duration::from_secs(60)).unwrap();
        drop(work_dir.lock(Scope::BuildList, Patience::Never).unwrap());
        assert!(!watch.has_news().unwrap());
        common::atomic::write(&work_dir.build_list(), b"").unwrap();
        assert!(watch.has_news().unwrap());
        assert!(!watch.has_news().unwrap());
    }
}
