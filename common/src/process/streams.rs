//! The streams of a child: what it reads, where its output goes, and the threads that feed and drain them.

use std::fs::File;
use std::io::{self, PipeReader, Write};
use std::os::fd::AsFd;
use std::process::{ChildStdin, Stdio};
use std::thread::JoinHandle;

use super::sink::{Sink, drain};

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
    /// Kept, up to a limit, for [`super::Finished`].
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

/// Our ends of the streams of a child that is not started yet.
pub(super) struct Streams {
    bytes: Option<Vec<u8>>,
    merged: Option<(PipeReader, Sink)>,
    sinks: Option<(Sink, Sink)>,
}

/// The threads that feed and drain a child.
pub(super) struct Served {
    pub(super) writer: Option<JoinHandle<()>>,
    pub(super) stdout: Option<JoinHandle<Vec<u8>>>,
    pub(super) stderr: Option<JoinHandle<Vec<u8>>>,
}

impl Streams {
    /// Gives a command the child's ends.
    pub(super) fn connect(command: &mut std::process::Command, input: Input, output: Output) -> io::Result<Self> {
        let mut streams = Self {
            bytes: None,
            merged: None,
            sinks: None,
        };
        command.stdin(match input {
            Input::Null => Stdio::null(),
            Input::File(file) => Stdio::from(file),
            Input::Inherit => Stdio::inherit(),
            Input::Bytes(content) => {
                streams.bytes = Some(content);
                Stdio::piped()
            }
        });
        streams.connect_output(command, output)?;
        Ok(streams)
    }

    fn connect_output(&mut self, command: &mut std::process::Command, output: Output) -> io::Result<()> {
        self.sinks = match output {
            Output::Capture => Some(Sink::capture()),
            Output::CaptureUpTo(limit) => Some(Sink::capture_up_to(limit)),
            Output::Log(file, limit) => Some(Sink::log(file, limit)),
            Output::LogStderr(file, limit) => Some((Sink::capture().0, Sink::log(file, limit).1)),
            Output::Through(function) => {
                let (reader, writer) = io::pipe()?;
                command.stdout(writer.try_clone()?).stderr(writer);
                self.merged = Some((reader, Sink::Function(function)));
                None
            }
            Output::ToStderr => {
                command.stdout(File::from(io::stderr().as_fd().try_clone_to_owned()?));
                None
            }
            Output::Both(file) => {
                command.stdout(file.try_clone()?).stderr(file);
                None
            }
            Output::Stdout(file) => {
                command.stdout(file);
                None
            }
            Output::Inherit => None,
        };
        if self.sinks.is_some() {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        Ok(())
    }

    /// Begins to feed and to drain the child, which has been started.
    pub(super) fn serve(self, child: &mut std::process::Child) -> Served {
        let writer = match (self.bytes, child.stdin.take()) {
            (Some(bytes), Some(stdin)) => Some(std::thread::spawn(move || feed(stdin, &bytes))),
            _ => None,
        };
        let (stdout, stderr) = match self.sinks {
            None => (self.merged.map(|(stream, sink)| drain(stream, sink)), None),
            Some((out, err)) => (
                child.stdout.take().map(|stream| drain(stream, out)),
                child.stderr.take().map(|stream| drain(stream, err)),
            ),
        };
        Served { writer, stdout, stderr }
    }
}

fn feed(mut stdin: ChildStdin, bytes: &[u8]) {
    // A child that does not read to the end is no error: its own end tells.
    drop(stdin.write_all(bytes));
}
