//! Child processes: the only module that starts any.
//!
//! A child has an argument vector (never a shell with data in it), an explicit environment (PATH and LANG=C, and what
//! the caller adds), its own process group, an optional time limit (TERM to the group, a grace time, KILL), both
//! output streams drained with a limit, and a checked end: a non-zero end is an error with the command, the code or
//! signal and the last lines.

mod child;
mod command;
mod error;
mod program;
mod sink;
mod streams;

use std::process::ExitStatus;

pub use nix::sys::signal::Signal;

pub use child::Child;
pub use command::{Check, Command};
pub use error::{Cause, ProcessError};
pub use program::{own_program, sibling};
pub use streams::{Input, Output, Taker};

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

/// The last lines of an output, on one line.
fn tail(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join(" / ")
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::process::ExitStatusExt;
    use std::time::Duration;

    use super::*;
    use crate::interrupt::Interrupt;

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
    fn who_is_left_in_the_group_ends_when_that_is_wanted() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let output = Output::Stdout(File::from(std::os::fd::OwnedFd::from(writer)));
        let child = shell("sleep 600 & echo out").output(output).end_survivors();
        assert!(child.wait().unwrap().status.success());
        // This ends when nobody has the other end.
        let mut text = String::new();
        std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
        assert_eq!(text, "out\n");
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
