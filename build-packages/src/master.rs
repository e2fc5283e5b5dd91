//! Talking to the build master: over ssh, or on one machine through its builder-gate.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use common::interrupt::Interrupt;
use common::names::Builder;
use common::process::{Command, Input, ProcessError, sibling};

use crate::settings::{Master, Settings, Ssh};

/// Options that keep ssh from asking and from hanging on a dead connection.
const SSH_OPTIONS: &[&str] = &[
    "-o",
    "BatchMode=yes",
    "-o",
    "ConnectTimeout=30",
    "-o",
    "ServerAliveInterval=30",
];

impl Ssh {
    /// The client up to the words of the request, which it joins with blanks: none of them has a blank or anything that
    /// a shell would act on.
    fn client(&self) -> Command {
        let (program, first) = self
            .command
            .split_first()
            .map_or(("ssh", &[][..]), |(p, rest)| (p.as_str(), rest));
        let mut client = Command::new(program).args(first).args(SSH_OPTIONS);
        if let Some(identity) = &self.identity {
            client = client.arg("-i").arg(identity);
        }
        client.arg("-p").arg(&self.port).arg(&self.destination)
    }
}

/// The master's answer to one request.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    /// The exit code; `None` when a signal ended the connection.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) text: String,
    /// What it said on standard error, on one line.
    pub(crate) message: String,
}

/// The connection of one builder.
#[derive(Debug, Clone)]
pub(crate) struct Connection<'a> {
    settings: &'a Settings,
}

impl<'a> Connection<'a> {
    pub(crate) fn new(settings: &'a Settings) -> Self {
        Self { settings }
    }

    /// Sends a request whose words are of the gate's grammar.
    ///
    /// # Errors
    /// ssh cannot be started, takes longer than `limit`, or this process is interrupted.
    pub(crate) fn request(
        &self,
        words: &[String],
        input: Option<File>,
        limit: Duration,
        interrupt: &Interrupt,
    ) -> Result<Reply, ProcessError> {
        let mut command = match &self.settings.master {
            Master::Ssh(ssh) => ssh.client().args(words),
            Master::Local(config) => local(config, &self.settings.builder, words),
        };
        for (key, value) in &self.settings.environment {
            if !key.starts_with("PORTSMITH_") {
                command = command.env(key, value);
            }
        }
        let finished = command
            .input(input.map_or(Input::Null, Input::File))
            .timeout(limit)
            .interrupt(interrupt)
            .wait()?;
        let message = String::from_utf8_lossy(&finished.stderr);
        Ok(Reply {
            code: finished.status.code(),
            text: finished.text(),
            message: message.lines().collect::<Vec<_>>().join(" / "),
        })
    }
}

fn local(config: &Path, builder: &Builder, words: &[String]) -> Command {
    Command::new(sibling("builder-gate"))
        .arg("--config")
        .arg(config)
        .arg(builder.as_str())
        .env("SSH_ORIGINAL_COMMAND", words.join(" "))
}
