//! QMP, qemu's control protocol: JSON lines over a socket. Commands are answered in their order; events come between.
//!
//! The socket lies in a machine's directory and is reached through a descriptor of that directory, since a socket's path
//! has a limit of 107 bytes.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use nix::fcntl::{OFlag, open};
use nix::sys::socket::{getsockopt, sockopt};
use nix::sys::stat::Mode;
use serde_json::{Value, json};
use thiserror::Error;

/// The socket's name in a machine's directory.
pub(crate) const SOCKET: &str = "qmp.sock";
/// How long qemu may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A machine that does not do what it is told.
#[derive(Debug, Error)]
pub(crate) enum QmpError {
    /// The socket is not there or nobody listens.
    #[error("qemu cannot be reached: {0}")]
    Connect(#[from] std::io::Error),
    /// It ended, or it says nothing any more.
    #[error("qemu does not answer {0}")]
    Silent(&'static str),
    /// It refused.
    #[error("qemu refuses {command}: {reason}")]
    Refused {
        /// The command.
        command: &'static str,
        /// What it said.
        reason: String,
    },
}

/// What happened to a machine, as qemu tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// It was switched off by its guest.
    PoweredOff,
    /// It was switched off from the outside.
    Ended,
    /// It cannot write to its overlay; it stands still.
    DiskFull,
    /// Qemu is gone.
    Gone,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Qmp {
    stream: UnixStream,
    answers: Receiver<Value>,
    /// The process id of qemu.
    pub(crate) pid: i32,
}

impl Qmp {
    /// Connects to the machine in a directory. Events go to the sender.
    ///
    /// # Errors
    /// Nobody listens, or what listens is no qemu.
    pub(crate) fn connect(directory: &Path, events: Sender<Event>) -> Result<Self, QmpError> {
        let stream = connect_in(directory, SOCKET)?;
        let pid = getsockopt(&stream, sockopt::PeerCredentials)
            .map_err(std::io::Error::from)?
            .pid();
        let reader = BufReader::new(stream.try_clone()?);
        let (sender, answers) = channel();
        std::thread::spawn(move || read(reader, &sender, &events));
        let mut qmp = Self { stream, answers, pid };
        qmp.answer("its greeting")?;
        qmp.execute("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// Gives a command and waits for its answer.
    ///
    /// # Errors
    /// It is refused, or qemu is gone.
    pub(crate) fn execute(&mut self, command: &'static str, arguments: &Value) -> Result<Value, QmpError> {
        let mut line = json!({"execute": command, "arguments": arguments}).to_string();
        line.push('\n');
        self.stream.write_all(line.as_bytes())?;
        let answer = self.answer(command)?;
        match answer.get("error") {
            None => Ok(answer.get("return").cloned().unwrap_or_default()),
            Some(error) => Err(QmpError::Refused {
                command,
                reason: error["desc"].as_str().unwrap_or("without a reason").to_owned(),
            }),
        }
    }

    /// Whether the machine runs, waits for its state, …: qemu's own word.
    ///
    /// # Errors
    /// Qemu is gone.
    pub(crate) fn status(&mut self) -> Result<String, QmpError> {
        let status = self.execute("query-status", &json!({}))?;
        Ok(status["status"].as_str().unwrap_or_default().to_owned())
    }

    /// The port of the host's loopback that leads to the guest's ssh. The kernel chose it, so no two machines have one.
    ///
    /// # Errors
    /// Qemu is gone, or has none.
    pub(crate) fn ssh_port(&mut self) -> Result<u16, QmpError> {
        let command = "human-monitor-command";
        let answer = self.execute(command, &json!({"command-line": "info usernet"}))?;
        forwarded_port(answer.as_str().unwrap_or_default()).ok_or(QmpError::Silent("where ssh is forwarded"))
    }

    fn answer(&mut self, command: &'static str) -> Result<Value, QmpError> {
        self.answers
            .recv_timeout(PATIENCE)
            .map_err(|_| QmpError::Silent(command))
    }
}

/// Connects to a socket in a directory, however long the directory's path is.
///
/// # Errors
/// Nobody listens.
pub(crate) fn connect_in(directory: &Path, name: &str) -> std::io::Result<UnixStream> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let descriptor = open(directory, flags, Mode::empty())?;
    UnixStream::connect(format!("/proc/self/fd/{}/{name}", descriptor.as_raw_fd()))
}

fn read(reader: BufReader<UnixStream>, answers: &Sender<Value>, events: &Sender<Event>) {
    for line in reader.lines().map_while(Result::ok) {
        let Ok(message) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        if let Some(name) = message["event"].as_str() {
            if let Some(event) = event(name, &message["data"]) {
                // Nobody may wait for events any more.
                drop(events.send(event));
            }
        } else if answers.send(message).is_err() {
            break;
        }
    }
    drop(events.send(Event::Gone));
}

fn event(name: &str, data: &Value) -> Option<Event> {
    match name {
        "SHUTDOWN" if data["guest"] == json!(true) => Some(Event::PoweredOff),
        "SHUTDOWN" => Some(Event::Ended),
        "BLOCK_IO_ERROR" if data["action"] == "stop" => Some(Event::DiskFull),
        _ => None,
    }
}

/// In the table of `info usernet`: `TCP[HOST_FORWARD]  9  127.0.0.1 40001  10.0.2.15  22  0  0`.
fn forwarded_port(table: &str) -> Option<u16> {
    let line = table.lines().find(|line| line.contains("TCP[HOST_FORWARD]"))?;
    line.split_ascii_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_ssh_is_found_in_the_table() {
        let table = "Hub -1 (ssh):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n  \
                     TCP[HOST_FORWARD]  13       127.0.0.1 42039       10.0.2.15    22     0     0\r\n";
        assert_eq!(forwarded_port(table), Some(42039));
        assert_eq!(forwarded_port("nothing"), None);
    }

    #[test]
    fn events_that_end_a_build_are_told_apart() {
        assert_eq!(event("SHUTDOWN", &json!({"guest": true})), Some(Event::PoweredOff));
        assert_eq!(event("SHUTDOWN", &json!({"guest": false})), Some(Event::Ended));
        assert_eq!(
            event("BLOCK_IO_ERROR", &json!({"action": "stop"})),
            Some(Event::DiskFull)
        );
        assert_eq!(event("RESUME", &json!({})), None);
    }
}
