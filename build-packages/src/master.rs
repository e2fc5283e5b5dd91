//! Talking to the build master: over ssh, or on one machine through its builder-gate.
//!
//! All requests of a builder share one ssh connection (ControlMaster): the first one opens it, and it ends with this
//! value, or some minutes after a builder that was killed. Its socket lies in a directory that nobody else can enter,
//! `ssh/` of `work_dir`, or, since the path of a socket has 107 bytes at most, one with a shorter path. When the connection breaks, the requests on it
//! end with 255, and the next one opens another. The process that owns one that stands still is
//! killed: asked to end it would send a farewell first, and wait as long for that as TCP does, with the output of all
//! requests in its hands.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::interrupt::Interrupt;
use common::names::Builder;
use common::process::{Cause, Command, Finished, Input, ProcessError, sibling};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::address::{Master, Ssh};
use crate::settings::{Employer, Settings};

/// Options that keep ssh from asking and from hanging on a dead connection.
const SSH_OPTIONS: &[&str] = &[
    "-o",
    "BatchMode=yes",
    "-o",
    "ConnectTimeout=30",
    "-o",
    "ServerAliveInterval=30",
    "-o",
    "ControlMaster=auto",
    "-o",
    "ControlPersist=120",
];
/// How long the process that owns the connection may take to answer.
const CONTROL_LIMIT: Duration = Duration::from_secs(10);
/// Longest path of a directory for a socket: ssh adds some twenty bytes.
const MAX_DIRECTORY: usize = 70;

impl Ssh {
    /// The client up to the destination; it joins the words of a request with blanks: none of them has a blank or
    /// anything that a shell would act on.
    fn client(&self, socket: Option<&Path>) -> Command {
        let (program, first) = self
            .command
            .split_first()
            .map_or(("ssh", &[][..]), |(p, rest)| (p.as_str(), rest));
        let mut client = Command::new(program).args(first).args(SSH_OPTIONS);
        if let Some(socket) = socket {
            client = client.arg("-o").arg(format!("ControlPath={}", socket.display()));
        }
        if let Some(identity) = &self.identity {
            client = client.arg("-i").arg(identity);
        }
        client.arg("-p").arg(&self.port)
    }
}

/// The master's answer to one request.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    /// The exit code; `None` when a signal ended the connection.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) text: String,
    /// What it said on standard error, on one line; how it ended, when it said nothing.
    pub(crate) message: String,
}

impl From<Finished> for Reply {
    fn from(finished: Finished) -> Self {
        let message = String::from_utf8_lossy(&finished.stderr);
        let message = message.lines().collect::<Vec<_>>().join(" / ");
        Self {
            code: finished.status.code(),
            text: finished.text(),
            message: match message.trim() {
                // 255 is ssh's own: the connection broke.
                "" => format!("it ended with {} and without a word", finished.status),
                _ => message,
            },
        }
    }
}

/// The connection of one builder.
#[derive(Debug)]
pub(crate) struct Connection<'a> {
    employer: &'a Employer,
    settings: &'a Settings,
    sockets: Option<Sockets>,
    /// How many files are on their way.
    uploads: AtomicUsize,
}

/// The directory of the socket.
#[derive(Debug)]
enum Sockets {
    /// In `work_dir`; stays.
    Own(PathBuf),
    /// Elsewhere; goes with this value.
    Temporary(TempDir),
}

impl Sockets {
    fn path(&self) -> &Path {
        match self {
            Self::Own(path) => path,
            Self::Temporary(directory) => directory.path(),
        }
    }
}

impl<'a> Connection<'a> {
    /// The connection to a master; nothing is opened yet.
    pub(crate) fn new(employer: &'a Employer, settings: &'a Settings) -> Self {
        let sockets = match employer.master {
            Master::Ssh(_) => private_directory(settings),
            Master::Local(_) => None,
        };
        Self {
            employer,
            settings,
            sockets,
            uploads: AtomicUsize::new(0),
        }
    }

    /// The master that it leads to.
    pub(crate) fn employer(&self) -> &Employer {
        self.employer
    }

    /// Sends a request whose words are of the gate's grammar.
    ///
    /// # Errors
    /// ssh cannot be started, takes longer than `limit`, or this process is interrupted.
    pub(crate) fn request(
        &self,
        words: &[String],
        limit: Duration,
        interrupt: &Interrupt,
    ) -> Result<Reply, ProcessError> {
        let ended = self.command(words).timeout(limit).interrupt(interrupt).wait();
        if let Err(ProcessError {
            cause: Cause::Timeout { .. },
            ..
        }) = &ended
            // Behind a file on a slow line a request waits its turn; who sends the file watches whether it gets on.
            && self.uploads.load(Ordering::SeqCst) == 0
        {
            self.hang_up();
        }
        Ok(ended?.into())
    }

    /// Sends a request with a file; ends when `interrupt` is raised.
    ///
    /// # Errors
    /// ssh cannot be started, or it is interrupted.
    pub(crate) fn send(&self, words: &[String], file: File, interrupt: &Interrupt) -> Result<Reply, ProcessError> {
        let command = self.command(words).input(Input::File(file)).interrupt(interrupt);
        self.uploads.fetch_add(1, Ordering::SeqCst);
        let ended = command.wait();
        self.uploads.fetch_sub(1, Ordering::SeqCst);
        Ok(ended?.into())
    }

    fn command(&self, words: &[String]) -> Command {
        let command = match &self.employer.master {
            Master::Ssh(ssh) => ssh.client(self.socket().as_deref()).arg(&ssh.destination).args(words),
            Master::Local(config) => local(config, &self.employer.builder, words),
        };
        self.with_environment(command)
    }

    fn with_environment(&self, mut command: Command) -> Command {
        for (key, value) in &self.settings.environment {
            if !key.starts_with("PORTSMITH_") {
                command = command.env(key, value);
            }
        }
        command
    }

    fn socket(&self) -> Option<PathBuf> {
        Some(self.sockets.as_ref()?.path().join("s"))
    }
}

impl Connection<'_> {
    /// Breaks the shared ssh connection: whatever waits on it ends now, and the next request opens another.
    pub(crate) fn hang_up(&self) {
        let said = self.control("check").map(|finished| finished.stderr);
        let owner = said.and_then(|said| owner_of(&String::from_utf8_lossy(&said)));
        if let Some(owner) = owner {
            // One that is gone already is as good.
            nix::sys::signal::kill(owner, nix::sys::signal::SIGKILL).ok();
        }
    }

    /// Sends a command to the process that owns the connection.
    fn control(&self, command: &str) -> Option<Finished> {
        let Master::Ssh(ssh) = &self.employer.master else {
            return None;
        };
        let socket = self.socket().filter(|socket| socket.exists())?;
        let client = ssh.client(Some(&socket)).args(["-O", command]).arg(&ssh.destination);
        let client = self.with_environment(client).timeout(CONTROL_LIMIT);
        client.wait().ok()
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        drop(self.control("exit"));
    }
}

/// The process in `Master running (pid=123)`.
fn owner_of(said: &str) -> Option<Pid> {
    let (_, rest) = said.split_once("pid=")?;
    let number: i32 = rest.split_once(')')?.0.parse().ok()?;
    (number > 1).then(|| Pid::from_raw(number))
}

/// A directory of our own for the socket; without one every request has a connection of its own.
fn private_directory(settings: &Settings) -> Option<Sockets> {
    let own = settings.work_dir.join("ssh");
    if own.as_os_str().len() <= MAX_DIRECTORY && make_private(&own).is_ok() {
        return Some(Sockets::Own(own));
    }
    let runtime = settings.environment.get("XDG_RUNTIME_DIR").map(PathBuf::from);
    let candidates = runtime.into_iter().chain([PathBuf::from("/tmp")]);
    candidates
        .filter(|path| path.is_absolute() && path.as_os_str().len() <= MAX_DIRECTORY - 12)
        // tempfile makes directories with mode 0700.
        .find_map(|path| tempfile::Builder::new().prefix("bp-").tempdir_in(path).ok())
        .map(Sockets::Temporary)
}

fn make_private(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    std::fs::set_permissions(directory, Permissions::from_mode(0o700))
}

fn local(config: &Path, builder: &Builder, words: &[String]) -> Command {
    Command::new(sibling("builder-gate"))
        .arg("--config")
        .arg(config)
        .arg(builder.as_str())
        .env("SSH_ORIGINAL_COMMAND", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_connection_is_read_from_what_ssh_says() {
        assert_eq!(owner_of("Master running (pid=5228)\r\n"), Some(Pid::from_raw(5228)));
        for said in [
            "",
            "Control socket connect(/x): No such file",
            "pid=1)",
            "pid=-5)",
            "pid=x)",
        ] {
            assert_eq!(owner_of(said), None, "{said}");
        }
    }
}
