//! A child that is to be started: what it runs, in what surroundings, for how long.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::child::{Survivors, watch};
use super::streams::Streams;
use super::{Cause, Child, Finished, Input, Output, ProcessError, tail};
use crate::account::Account;
use crate::interrupt::Interrupt;

/// What a shell does that starts a child in a control group: a process moves itself, and is the child only then. Nothing of
/// the child can stay outside.
const ENTER_GROUP: &str = r#"echo 0 >"$0"/cgroup.procs && exec "$@""#;

/// Looks at a running child every few moments; what it returns is why the child is ended.
pub type Check = Box<dyn FnMut() -> Option<String> + Send>;

/// A child process to be started.
pub struct Command {
    argv: Vec<OsString>,
    environment: BTreeMap<OsString, OsString>,
    directory: Option<PathBuf>,
    input: Input,
    output: Output,
    timeout: Option<Duration>,
    account: Option<Account>,
    group: Option<PathBuf>,
    interrupt: Option<Interrupt>,
    check: Option<Check>,
    survivors: Survivors,
}

impl Command {
    /// A child that runs `program`, looked up in PATH.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut environment = BTreeMap::new();
        if let Some(path) = std::env::var_os("PATH") {
            environment.insert("PATH".into(), path);
        }
        environment.insert("LANG".into(), "C".into());
        Self {
            argv: vec![program.as_ref().to_owned()],
            environment,
            directory: None,
            input: Input::Null,
            output: Output::Capture,
            timeout: None,
            account: None,
            group: None,
            interrupt: None,
            check: None,
            survivors: Survivors::Stay,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.argv.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, arguments: I) -> Self {
        self.argv.extend(arguments.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the child's environment.
    #[must_use]
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .insert(key.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// Empties the child's environment, PATH included.
    #[must_use]
    pub fn env_clear(mut self) -> Self {
        self.environment.clear();
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn directory(mut self, path: impl AsRef<Path>) -> Self {
        self.directory = Some(path.as_ref().to_owned());
        self
    }

    /// Sets what the child reads; nothing by default.
    #[must_use]
    pub fn input(mut self, input: Input) -> Self {
        self.input = input;
        self
    }

    /// Sets where its output goes; captured by default.
    #[must_use]
    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    /// Ends the child's process group after so long; never by default.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Runs the child as another account, without supplementary groups. Only root can.
    #[must_use]
    pub fn account(mut self, account: Option<&Account>) -> Self {
        self.account = account.cloned();
        self
    }

    /// Starts the child in a control group (cgroup v2), by its directory. It runs only when it is there.
    #[must_use]
    pub fn control_group(mut self, directory: Option<&Path>) -> Self {
        self.group = directory.map(Path::to_owned);
        self
    }

    /// Ends the child when the interrupt is raised.
    #[must_use]
    pub fn interrupt(mut self, interrupt: &Interrupt) -> Self {
        self.interrupt = Some(interrupt.clone());
        self
    }

    /// Ends what is left of its process group when the child itself has ended.
    #[must_use]
    pub const fn end_survivors(mut self) -> Self {
        self.survivors = Survivors::End;
        self
    }

    /// Looks every 50 ms or so whether the child has to be ended; it is waited for meanwhile, so the check has to be quick.
    #[must_use]
    pub fn check(mut self, check: impl FnMut() -> Option<String> + Send + 'static) -> Self {
        self.check = Some(Box::new(check));
        self
    }

    /// Runs the child to its end; a non-zero end is an error.
    ///
    /// # Errors
    /// Every end but exit code 0.
    pub fn run(self) -> Result<Finished, ProcessError> {
        let command = self.to_string();
        let finished = self.wait()?;
        let tail = || {
            let stream = if finished.stderr.is_empty() {
                &finished.stdout
            } else {
                &finished.stderr
            };
            tail(stream)
        };
        let cause = match (finished.status.code(), finished.status.signal()) {
            (Some(0), _) => return Ok(finished),
            (Some(code), _) => Cause::Code { code, tail: tail() },
            (None, signal) => Cause::Signal {
                signal: signal.unwrap_or(0),
                tail: tail(),
            },
        };
        Err(ProcessError { command, cause })
    }

    /// Runs the child to its end, whatever that is; the caller looks at the status.
    ///
    /// # Errors
    /// It cannot be started, its time limit ends or this process is interrupted.
    pub fn wait(self) -> Result<Finished, ProcessError> {
        let command = self.to_string();
        self.spawn()?.wait().map_err(|cause| ProcessError { command, cause })
    }

    /// Starts the child and returns at once.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(self) -> Result<Child, ProcessError> {
        let command = self.to_string();
        self.start().map_err(|source| ProcessError {
            command,
            cause: Cause::Io(source),
        })
    }

    /// Replaces this process by the program, with the streams that this process has; returns only when that fails.
    pub fn exec(self) -> ProcessError {
        let command = self.to_string();
        #[expect(clippy::disallowed_methods, reason = "this is the module that starts children")]
        let source = std::process::Command::new(&self.argv[0])
            .args(&self.argv[1..])
            .env_clear()
            .envs(&self.environment)
            .exec();
        ProcessError {
            command,
            cause: Cause::Io(source),
        }
    }

    fn start(self) -> io::Result<Child> {
        let mut command = self.program();
        command.env_clear().envs(&self.environment).process_group(0);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        if let Some(account) = &self.account {
            command.uid(account.uid).gid(account.gid);
        }
        let streams = Streams::connect(&mut command, self.input, self.output)?;
        let mut child = command.spawn()?;
        // It holds the child's ends of pipes.
        drop(command);
        Ok(Child {
            ended: watch(&child),
            streams: streams.serve(&mut child),
            child,
            timeout: self.timeout,
            started: Instant::now(),
            interrupt: self.interrupt,
            check: self.check,
            survivors: self.survivors,
            reaped: false,
        })
    }

    /// The program with its arguments, by way of a shell into its control group.
    #[expect(clippy::disallowed_methods, reason = "this is the module that starts children")]
    fn program(&self) -> std::process::Command {
        let Some(group) = &self.group else {
            let mut command = std::process::Command::new(&self.argv[0]);
            command.args(&self.argv[1..]);
            return command;
        };
        let mut shell = std::process::Command::new("/bin/sh");
        shell.args(["-c", ENTER_GROUP]).arg(group).args(&self.argv);
        shell
    }
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, argument) in self.argv.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(&argument.to_string_lossy())?;
        }
        Ok(())
    }
}
