//! Child processes: the only module that starts any.
//!
//! A child has an argument vector (never a shell with data in it), an explicit environment (PATH and LANG=C, and what
//! the caller adds), its own process group, an optional time limit (TERM to the group, a grace time, KILL), both
//! output streams drained with a limit, and a checked end: a non-zero end is an error with the command, the code or
//! signal and the last lines.

mod child;
mod error;
mod sink;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ExitStatus, Stdio};
use std::time::{Duration, Instant};

pub use nix::sys::signal::Signal;

use crate::account::Account;
use crate::interrupt::Interrupt;
pub use child::Child;
use child::watch;
pub use error::{Cause, ProcessError};
use sink::{Sink, drain};

/// Another tool of the project: the program beside this one, else the one in PATH.
#[must_use]
pub fn sibling(tool: &str) -> PathBuf {
    own_program()
        .ok()
        .and_then(|own| Some(own.parent()?.join(tool)))
        .filter(|path| path.is_file())
        .unwrap_or_else(|| PathBuf::from(tool))
}

/// The file of the running program: of one that was replaced meanwhile, as an upgrade does, the new one.
///
/// # Errors
/// The kernel does not say it.
pub fn own_program() -> io::Result<PathBuf> {
    std::env::current_exe().map(without_mark)
}

/// The kernel's mark at the path of a file that is no longer there.
fn without_mark(path: PathBuf) -> PathBuf {
    match path.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
        Some(before) => PathBuf::from(OsStr::from_bytes(before)),
        None => path,
    }
}

/// What a shell does that starts a child in a control group: a process moves itself, and is the child only then. Nothing of
/// the child can stay outside.
const ENTER_GROUP: &str = r#"echo 0 >"$0"/cgroup.procs && exec "$@""#;

/// What a child reads as its standard input.
#[derive(Debug)]
pub enum Input {
    /// Nothing.
    Null,
    /// These bytes.
    Bytes(Vec<u8>),
    /// An open file.
    File(File),
    /// What this process reads.
    Inherit,
}

/// Where the output of a child goes.
pub enum Output {
    /// Kept, up to a limit, for [`Finished`].
    Capture,
    /// Kept, up to so many bytes a stream. A child that goes on writing finds the pipe closed (SIGPIPE).
    CaptureUpTo(usize),
    /// Both streams into one file as they come, up to so many bytes; a line in the file says where it was cut.
    Log(File, u64),
    /// Standard output kept as with `Capture`, standard error into a file as with `Log`.
    LogStderr(File, u64),
    /// Both streams, in the order in which they were written, to this function as they come.
    Through(Taker),
    /// To standard error of this process, both streams: stdout is for the answer.
    ToStderr,
    /// Both streams into this file or terminal.
    Both(File),
    /// Standard output into this file or pipe, standard error to that of this process.
    Stdout(File),
    /// Standard output and error of this process.
    Inherit,
}

/// Takes what a child writes, piece by piece.
pub type Taker = Box<dyn FnMut(&[u8]) + Send>;

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
}

/// A child that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output, when captured.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error, when captured.
    pub stderr: Vec<u8>,
}

impl Finished {
    /// Standard output as text without the last newline.
    #[must_use]
    pub fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.stdout);
        text.strip_suffix('\n').unwrap_or(&text).to_owned()
    }
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
        #[expect(clippy::disallowed_methods, reason = "this is the module that starts children")]
        let mut command = match &self.group {
            None => std::process::Command::new(&self.argv[0]),
            Some(group) => {
                let mut shell = std::process::Command::new("/bin/sh");
                shell.args(["-c", ENTER_GROUP]).arg(group).arg(&self.argv[0]);
                shell
            }
        };
        command
            .args(&self.argv[1..])
            .env_clear()
            .envs(&self.environment)
            .process_group(0);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        if let Some(account) = &self.account {
            command.uid(account.uid).gid(account.gid);
        }
        let (mut bytes, mut merged) = (None, None);
        command.stdin(match self.input {
            Input::Null => Stdio::null(),
            Input::File(file) => Stdio::from(file),
            Input::Inherit => Stdio::inherit(),
            Input::Bytes(content) => {
                bytes = Some(content);
                Stdio::piped()
            }
        });
        let sink = match self.output {
            Output::Inherit => None,
            Output::ToStderr => {
                command.stdout(Stdio::from(io::stderr().lock_as_file()?));
                None
            }
            Output::Both(file) => {
                command.stdout(Stdio::from(file.try_clone()?)).stderr(Stdio::from(file));
                None
            }
            Output::Stdout(file) => {
                command.stdout(Stdio::from(file));
                None
            }
            Output::Capture => {
                command.stdout(Stdio::piped()).stderr(Stdio::piped());
                Some(Sink::capture())
            }
            Output::CaptureUpTo(limit) => {
                command.stdout(Stdio::piped()).stderr(Stdio::piped());
                Some(Sink::capture_up_to(limit))
            }
            Output::Log(file, limit) => {
                command.stdout(Stdio::piped()).stderr(Stdio::piped());
                Some(Sink::log(file, limit))
            }
            Output::Through(function) => {
                let (reader, writer) = io::pipe()?;
                command.stdout(writer.try_clone()?).stderr(writer);
                merged = Some((reader, Sink::Function(function)));
                None
            }
            Output::LogStderr(file, limit) => {
                command.stdout(Stdio::piped()).stderr(Stdio::piped());
                Some((Sink::capture().0, Sink::log(file, limit).1))
            }
        };
        let mut child = command.spawn()?;
        let writer = match (bytes, child.stdin.take()) {
            (Some(bytes), Some(stdin)) => Some(std::thread::spawn(move || feed(stdin, &bytes))),
            _ => None,
        };
        // It holds the writing ends of pipes.
        drop(command);
        let (stdout, stderr) = match sink {
            None => (merged.map(|(stream, sink)| drain(stream, sink)), None),
            Some((out, err)) => (
                child.stdout.take().map(|stream| drain(stream, out)),
                child.stderr.take().map(|stream| drain(stream, err)),
            ),
        };
        Ok(Child {
            ended: watch(&child),
            child,
            writer,
            stdout,
            stderr,
            timeout: self.timeout,
            started: Instant::now(),
            interrupt: self.interrupt,
            check: self.check,
            reaped: false,
        })
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

/// Standard error of this process as a file of its own, for a child's standard output.
trait AsOwnFile {
    fn lock_as_file(&self) -> io::Result<File>;
}

impl AsOwnFile for io::Stderr {
    fn lock_as_file(&self) -> io::Result<File> {
        use std::os::fd::AsFd;
        Ok(File::from(self.as_fd().try_clone_to_owned()?))
    }
}

fn feed(mut stdin: ChildStdin, bytes: &[u8]) {
    // A child that does not read to the end is no error: its own end tells.
    drop(stdin.write_all(bytes));
}

/// The last lines of an output, on one line.
fn tail(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join(" / ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        Command::new("sh").arg("-c").arg(script)
    }

    #[test]
    fn output_of_both_streams_is_captured() {
        let finished = shell("echo out; echo err >&2").run().unwrap();
        assert_eq!(finished.text(), "out");
        assert_eq!(finished.stderr, b"err\n");
    }

    #[test]
    fn a_non_zero_end_is_an_error_that_names_command_code_and_last_lines() {
        let error = shell("echo one; echo bad luck >&2; exit 3")
            .run()
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("sh -c") && error.contains("exit code 3") && error.contains("bad luck"),
            "{error}"
        );
    }

    #[test]
    fn a_signal_is_told_apart_from_a_code() {
        let error = shell("kill -9 $$").run().unwrap_err();
        assert!(matches!(error.cause, Cause::Signal { signal: 9, .. }), "{error}");
    }

    #[test]
    fn a_program_that_was_replaced_is_where_it_was() {
        let of = |path: &str| without_mark(PathBuf::from(path));
        assert_eq!(of("/usr/bin/archbuild (deleted)"), Path::new("/usr/bin/archbuild"));
        assert_eq!(of("/usr/bin/archbuild"), Path::new("/usr/bin/archbuild"));
        assert!(own_program().unwrap().is_file());
    }

    #[test]
    fn a_command_that_does_not_exist_is_named() {
        let error = Command::new("no-such-command-here").run().unwrap_err().to_string();
        assert!(error.contains("no-such-command-here"), "{error}");
    }

    #[test]
    fn the_environment_is_explicit() {
        let finished = Command::new("env").env("A", "b").run().unwrap();
        let names: Vec<&str> = finished
            .stdout
            .split(|c| *c == b'\n')
            .filter_map(|line| std::str::from_utf8(line).ok()?.split_once('='))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names.len(), 3, "{names:?}");
    }

    #[test]
    fn the_whole_group_ends_with_the_time_limit() {
        let directory = tempfile::tempdir().unwrap();
        let marker = directory.path().join("alive");
        let script = format!("(sleep 1; : > {}) & sleep 60", marker.display());
        let error = shell(&script).timeout(Duration::from_millis(100)).run().unwrap_err();
        assert!(matches!(error.cause, Cause::Timeout { .. }), "{error}");
        std::thread::sleep(Duration::from_millis(1200));
        assert!(!marker.exists());
    }

    #[test]
    fn a_process_that_left_the_group_and_holds_the_output_is_not_waited_for() {
        let finished = shell("setsid sleep 30 2>&- & echo out").run().unwrap();
        assert!(finished.status.success());
    }

    #[test]
    fn a_child_runs_only_when_it_is_in_its_control_group() {
        let directory = tempfile::tempdir().unwrap();
        let group = Some(directory.path());
        let script = format!("cat {}/cgroup.procs; echo \"$1\"", directory.path().display());
        let in_group = || shell(&script).args(["sh", "a  b"]).control_group(group);
        crate::atomic::write(&directory.path().join("cgroup.procs"), b"").unwrap();
        assert_eq!(in_group().run().unwrap().text(), "0\na  b");
        std::fs::remove_dir_all(directory.path()).unwrap();
        let error = in_group().run().unwrap_err();
        assert!(error.to_string().contains("cgroup.procs"), "{error}");
    }

    #[test]
    fn an_interrupt_ends_the_child() {
        let interrupt = Interrupt::new();
        let child = shell("sleep 60").interrupt(&interrupt).spawn().unwrap();
        interrupt.raise();
        assert!(matches!(child.wait(), Err(Cause::Interrupted)));
    }

    #[test]
    fn a_child_that_writes_more_than_is_kept_finds_the_pipe_closed() {
        let finished = Command::new("yes").output(Output::CaptureUpTo(100_000)).wait().unwrap();
        assert_eq!(finished.stdout.len(), 100_000);
        assert_eq!(finished.status.signal(), Some(Signal::SIGPIPE as i32));
    }

    #[test]
    fn a_log_is_cut_at_its_limit_with_a_mark() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let log = Output::Log(File::create(&path).unwrap(), 10);
        shell("yes | head -c 100000").output(log).run().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("y\ny\ny\ny\ny\n\n==>") && text.len() < 100, "{text}");
    }

    #[test]
    fn both_streams_come_through_in_their_order_as_they_are_written() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let output = Output::Through(Box::new(move |bytes| sender.send(bytes.to_vec()).unwrap()));
        let finished = shell("echo 1; echo 2 >&2; echo 3; exit 4")
            .output(output)
            .wait()
            .unwrap();
        assert_eq!(finished.status.code(), Some(4));
        assert_eq!(receiver.iter().flatten().collect::<Vec<u8>>(), b"1\n2\n3\n");
    }

    #[test]
    fn a_check_ends_the_child_and_says_why() {
        let mut left = 3;
        let child = shell("sleep 60").check(move || {
            left -= 1;
            (left == 0).then(|| "too much".to_owned())
        });
        let error = child.wait().unwrap_err();
        assert!(
            matches!(&error.cause, Cause::Stopped(why) if why == "too much"),
            "{error}"
        );
    }

    #[test]
    fn an_answer_can_be_told_from_the_log_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let output = Output::LogStderr(File::create(&path).unwrap(), 100);
        let finished = shell("echo answer; echo message >&2").output(output).run().unwrap();
        assert_eq!(finished.text(), "answer");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "message\n");
    }

    #[test]
    fn input_larger_than_a_pipe_is_fed_while_output_is_drained() {
        let bytes = vec![b'x'; 1 << 20];
        let finished = Command::new("cat").input(Input::Bytes(bytes.clone())).run().unwrap();
        assert_eq!(finished.stdout, bytes);
    }
}
