//! A terminal for a shell in a working copy: one of its own, between which and ours every byte is carried.
//!
//! The shell never has our terminal open, so nothing in the copy can type into it or change it.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::pty::openpty;
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use rustix::termios::{tcgetwinsize, tcsetwinsize};

/// How often the size of our terminal is looked at.
const SIZE_CHECK: Duration = Duration::from_millis(500);

/// Whether a person sits in front of us.
pub(crate) fn is_there() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// The end of the other terminal that is ours. Dropping it gives our own terminal back.
pub(crate) struct Terminal {
    before: Termios,
    output: Option<JoinHandle<()>>,
}

impl Terminal {
    /// Opens the other terminal and begins to carry. Returns its far end, for the shell.
    pub(crate) fn open() -> Result<(Self, File)> {
        let opening = "cannot open a terminal";
        let ends = openpty(None, None).context(opening)?;
        let before = tcgetattr(io::stdin()).context(opening)?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(io::stdin(), SetArg::TCSANOW, &raw).context(opening)?;
        let clone = || ends.master.try_clone().context(opening);
        let (to_shell, from_shell, sized) = (clone()?, clone()?, clone()?);
        // Files of our own: the standard streams are locked by main.
        let mut input = File::from(io::stdin().as_fd().try_clone_to_owned().context(opening)?);
        let mut screen = File::from(io::stdout().as_fd().try_clone_to_owned().context(opening)?);
        // These two end with this process: nobody can wait for a person's next key.
        std::thread::spawn(move || carry(&mut input, &mut File::from(to_shell)));
        std::thread::spawn(move || follow_size(&sized));
        let output = std::thread::spawn(move || carry(&mut File::from(from_shell), &mut screen));
        let terminal = Self {
            before,
            output: Some(output),
        };
        Ok((terminal, File::from(ends.slave)))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The shell has ended: what it wrote last is still on its way.
        if let Some(output) = self.output.take() {
            drop(output.join());
        }
        tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.before).ok();
    }
}

/// Until one side is gone.
fn carry(from: &mut impl Read, to: &mut impl Write) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).and_then(|()| to.flush()).is_err() {
            break;
        }
    }
}

/// Gives the other terminal the size of ours, and again when that changes.
fn follow_size(terminal: &OwnedFd) {
    let mut known = None;
    while let Ok(size) = tcgetwinsize(io::stdin()) {
        if known != Some((size.ws_row, size.ws_col)) {
            known = Some((size.ws_row, size.ws_col));
            if tcsetwinsize(terminal.as_fd(), size).is_err() {
                break;
            }
        }
        std::thread::sleep(SIZE_CHECK);
    }
}
