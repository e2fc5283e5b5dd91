//! Commands in a guest, over one ssh connection that all of them share.
//!
//! Invariant: the guest's host key is known, so it is our guest that answers; nothing of the caller's ssh configuration
//! or agent is used. A remote command is text for the guest's shell: each word is quoted here, and the guest is not
//! trusted with anything but its own files.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use common::account::Account;
use common::interrupt::Interrupt;
use common::process::{Cause, Child, Command, Finished, Output};

use crate::hardware::{RELAY, shell_word};

/// The shared connection's socket in a machine's directory.
const SOCKET: &str = "ssh.sock";
/// The name under which the guest's host key is known.
const ALIAS: &str = "arch-vm";
/// The account of every guest.
const USER: &str = "user@127.0.0.1";
/// How long one attempt to connect may take.
const ATTEMPT: Duration = Duration::from_secs(30);
/// How often it is looked whether the connection is there.
const TICK: Duration = Duration::from_millis(5);
/// Pause after an attempt that was refused.
const PAUSE: Duration = Duration::from_millis(200);

/// Who runs a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    /// `user`, who builds.
    Builder,
    /// root, by sudo.
    Root,
}

/// How a guest is entered.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The machine's directory.
    pub(crate) directory: PathBuf,
    /// The port of the host's loopback.
    pub(crate) port: u16,
    /// The private key.
    pub(crate) identity: PathBuf,
    /// Whether the guest's host key is in `known_hosts`.
    pub(crate) is_known: bool,
    /// The account that ssh runs as, when root calls.
    pub(crate) account: Option<Account>,
}

impl Entry {
    /// The arguments of ssh, without a command: for us and for a person.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let known_hosts = self.directory.join("known_hosts").display().to_string();
        let strict = if self.is_known { "yes" } else { "accept-new" };
        let options = [
            format!("UserKnownHostsFile={known_hosts}"),
            format!("StrictHostKeyChecking={strict}"),
            format!("HostKeyAlias={ALIAS}"),
            "GlobalKnownHostsFile=none".to_owned(),
            "IdentitiesOnly=yes".to_owned(),
            "LogLevel=ERROR".to_owned(),
            // The way is loopback; where the guest's processor is emulated, other ciphers cost seconds.
            "Ciphers=aes128-gcm@openssh.com,aes128-ctr,chacha20-poly1305@openssh.com".to_owned(),
            "KexAlgorithms=curve25519-sha256".to_owned(),
        ];
        let mut arguments: Vec<String> = ["-F", "none", "-i"].map(Into::into).to_vec();
        arguments.push(self.identity.display().to_string());
        for option in options {
            arguments.extend(["-o".into(), option]);
        }
        arguments.extend(["-p".into(), self.port.to_string()]);
        arguments
    }

    fn ssh(&self) -> Command {
        Command::new("ssh")
            .args(self.arguments())
            .args(["-o", "BatchMode=yes", "-S", SOCKET])
            .directory(&self.directory)
            .account(self.account.as_ref())
    }

    /// Replaces this process by ssh, for a person.
    pub(crate) fn exec(&self, command: &[String]) -> common::process::ProcessError {
        let ssh = match &self.account {
            None => Command::new("ssh"),
            Some(account) => Command::new("setpriv").args([
                "--reuid",
                &account.uid.to_string(),
                "--regid",
                &account.gid.to_string(),
                "--clear-groups",
                "ssh",
            ]),
        };
        let terminal: &[&str] = if command.is_empty() { &["-t"] } else { &[] };
        let words: Vec<String> = command.iter().map(|word| shell_word(word)).collect();
        ssh.args(self.arguments())
            .args(terminal)
            .arg(USER)
            .args(words)
            .env("TERM", "xterm")
            .exec()
    }
}

/// A guest that ssh has entered.
pub(crate) struct Guest {
    entry: Entry,
    stop: Interrupt,
    /// None when it was cut.
    connection: Option<Child>,
}

impl Guest {
    /// Connects; a guest that refuses is asked again until the deadline.
    pub(crate) fn connect(entry: Entry, stop: &Interrupt, deadline: Instant) -> Result<Self> {
        let socket = entry.directory.join(SOCKET);
        loop {
            let child = entry
                .ssh()
                .args(["-M", "-N", "-o", "ConnectTimeout=30", USER])
                .interrupt(stop)
                .spawn()?;
            let attempt = Instant::now() + ATTEMPT;
            while child.is_running() && Instant::now() < attempt.min(deadline) && !stop.is_raised() {
                // It appears when the guest has let us in.
                if socket.exists() {
                    return Ok(Self {
                        entry,
                        stop: stop.clone(),
                        connection: Some(child),
                    });
                }
                std::thread::sleep(TICK);
            }
            if stop.is_raised() {
                bail!("the machine ended before ssh was ready");
            }
            if Instant::now() >= deadline {
                drop(child);
                bail!("ssh does not answer");
            }
            if !child.is_running() {
                stop.sleep(PAUSE);
            }
        }
    }

    /// A command in the guest with an environment of its own. It ends when the machine does.
    pub(crate) fn command<I>(&self, user: User, variables: &[(String, String)], argv: I) -> Command
    where
        I: IntoIterator<Item: AsRef<OsStr>>,
    {
        let mut words: Vec<String> = match user {
            User::Root => ["sudo", "-n", "--"].map(Into::into).to_vec(),
            User::Builder => Vec::new(),
        };
        let home = match user {
            User::Root => "/root",
            User::Builder => "/build",
        };
        words.extend(["env", "-i", "LANG=C.UTF-8", "SHELL=/bin/bash"].map(Into::into));
        words.extend([
            format!("HOME={home}"),
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/bin:/usr/bin/site_perl:/usr/bin/vendor_perl:/usr/bin/core_perl"
                .into(),
        ]);
        words.extend(variables.iter().map(|(name, value)| format!("{name}={value}")));
        words.extend(
            argv.into_iter()
                .map(|word| word.as_ref().to_string_lossy().into_owned()),
        );
        let line: Vec<String> = words.iter().map(|word| shell_word(word)).collect();
        self.entry
            .ssh()
            .args(["-o", "ControlMaster=no", "-T", USER, &line.join(" ")])
            .interrupt(&self.stop)
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// It does not end with 0, or the machine ends before it.
    pub(crate) fn run(&self, what: &str, command: Command) -> Result<Finished> {
        match command.output(Output::Capture).run() {
            Ok(finished) => Ok(finished),
            Err(error) => match error.cause {
                Cause::Interrupted => bail!("{what}: the machine ended"),
                cause => bail!("{what}: {cause}"),
            },
        }
    }

    /// Ends the connection. It holds the pipes of its commands as long as a guest says nothing, also when their clients
    /// were killed.
    pub(crate) fn hang_up(&mut self) {
        self.connection = None;
    }

    /// Lets further commands end with another interrupt.
    pub(crate) fn end_with(&mut self, interrupt: &Interrupt) {
        self.stop = interrupt.clone();
    }
}

/// Variables with which a guest's programs find the network, as long as it has one.
pub(crate) fn network_variables() -> Vec<(String, String)> {
    ["http_proxy", "https_proxy", "ftp_proxy", "all_proxy"]
        .map(|name| (name.to_owned(), format!("http://{RELAY}")))
        .to_vec()
}

/// The line of `known_hosts` for a guest's public host key.
pub(crate) fn known_host(public_key: &str) -> String {
    let mut words = public_key.split_ascii_whitespace();
    let (kind, key) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    format!("{ALIAS} {kind} {key}\n")
}
