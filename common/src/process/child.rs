//! A running child: waiting for its end, its time limit, ending its whole group.

use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use super::streams::Served;
use super::{Cause, Check, Finished, tail};
use crate::interrupt::Interrupt;

/// How long a process group may take to end after TERM.
const GRACE: Duration = Duration::from_secs(5);
/// How long a pipe may stay open after KILL.
const AFTER_KILL: Duration = Duration::from_secs(1);
/// How often an interrupt is looked at, and a check made.
const TICK: Duration = Duration::from_millis(50);

/// A running child. Dropping it ends its process group.
pub struct Child {
    pub(super) child: std::process::Child,
    pub(super) ended: Receiver<()>,
    pub(super) streams: Served,
    pub(super) timeout: Option<Duration>,
    pub(super) started: Instant,
    pub(super) interrupt: Option<Interrupt>,
    pub(super) check: Option<Check>,
    pub(super) survivors: Survivors,
    pub(super) reaped: bool,
}

/// What becomes of others in the process group of a child that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Survivors {
    /// It is their own affair.
    Stay,
    /// They end with it.
    End,
}

/// Why waiting went on no longer.
enum Verdict {
    Ended,
    TimedOut(Duration),
    Stopped(String),
    Interrupted,
}

impl Child {
    /// The process id, which is also that of its group.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.reaped && matches!(self.ended.try_recv(), Err(TryRecvError::Empty))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// The time limit ends or this process is interrupted; the whole group is then ended.
    pub fn wait(mut self) -> Result<Finished, Cause> {
        let verdict = self.watch();
        match (&verdict, self.survivors) {
            (Verdict::Ended, Survivors::Stay) => {}
            // Until the child is reaped its group cannot be somebody else's.
            (Verdict::Ended, Survivors::End) => self.signal(Signal::SIGKILL),
            _ => self.end_group(),
        }
        let status = self.child.wait()?;
        self.reaped = true;
        let deadline = Instant::now() + GRACE;
        let stdout = self.collect(Stream::Stdout, deadline);
        let stderr = self.collect(Stream::Stderr, deadline);
        if let Some(writer) = self.streams.writer.take() {
            drop(writer.join());
        }
        match verdict {
            Verdict::Ended => Ok(Finished { status, stdout, stderr }),
            Verdict::TimedOut(limit) => Err(Cause::Timeout {
                limit,
                tail: tail(if stderr.is_empty() { &stdout } else { &stderr }),
            }),
            Verdict::Stopped(why) => Err(Cause::Stopped(why)),
            Verdict::Interrupted => Err(Cause::Interrupted),
        }
    }

    fn watch(&mut self) -> Verdict {
        let longest = match (&self.interrupt, &self.check) {
            (None, None) => Duration::from_secs(3600),
            _ => TICK,
        };
        loop {
            let left = self.timeout.map(|limit| limit.saturating_sub(self.started.elapsed()));
            let step = left.map_or(longest, |left| left.min(longest));
            match self.ended.recv_timeout(step) {
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return Verdict::Ended,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.interrupt.as_ref().is_some_and(Interrupt::is_raised) {
                return Verdict::Interrupted;
            }
            if let Some(why) = self.check.as_mut().and_then(|check| check()) {
                return Verdict::Stopped(why);
            }
            match self.timeout {
                Some(limit) if self.started.elapsed() >= limit => return Verdict::TimedOut(limit),
                _ => {}
            }
        }
    }

    /// TERM to the group, a grace time, then KILL.
    fn end_group(&self) {
        self.signal(Signal::SIGTERM);
        if self.ended.recv_timeout(GRACE) == Err(RecvTimeoutError::Timeout) {
            self.signal(Signal::SIGKILL);
        }
    }

    /// Sends a signal to the process group. That it is gone already is no error.
    pub fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            killpg(Pid::from_raw(pid), signal).ok();
        }
    }

    /// What a stream delivered. Processes that outlive their leader would hold the pipe open: they are ended. One that has
    /// left the group and still holds it cannot be: what it has to say is not waited for.
    fn collect(&mut self, stream: Stream, deadline: Instant) -> Vec<u8> {
        let handle = match stream {
            Stream::Stdout => self.streams.stdout.take(),
            Stream::Stderr => self.streams.stderr.take(),
        };
        let Some(handle) = handle else {
            return Vec::new();
        };
        while !handle.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        if !handle.is_finished() {
            self.signal(Signal::SIGKILL);
            let deadline = Instant::now() + AFTER_KILL;
            while !handle.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        match handle.is_finished() {
            true => handle.join().unwrap_or_default(),
            false => Vec::new(),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            self.end_group();
            drop(self.child.wait());
        }
    }
}

#[derive(Clone, Copy)]
enum Stream {
    Stdout,
    Stderr,
}

/// Tells when the child has ended without reaping it, so that its group can be signalled safely until then.
pub(super) fn watch(child: &std::process::Child) -> Receiver<()> {
    let (sender, receiver) = channel();
    let pid = i32::try_from(child.id()).map(Pid::from_raw);
    std::thread::spawn(move || {
        if let Ok(pid) = pid {
            let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
            while waitid(Id::Pid(pid), flags) == Err(nix::Error::EINTR) {}
        }
        sender.send(()).ok();
    });
    receiver
}
