//! Where the output of a child goes while it runs: into memory, into a log with a limit, to a function.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::Taker;

/// Captured bytes a stream; more is counted and dropped.
const CAPTURE_LIMIT: usize = 16 << 20;

/// Where a drained stream goes.
pub(super) enum Sink {
    Capture(Vec<u8>),
    CaptureUpTo(usize, Vec<u8>),
    Log(Arc<Mutex<Log>>),
    Function(Taker),
}

pub(super) struct Log {
    file: File,
    left: u64,
    is_cut: bool,
}

impl Sink {
    pub(super) fn capture() -> (Self, Self) {
        (Self::Capture(Vec::new()), Self::Capture(Vec::new()))
    }

    pub(super) fn capture_up_to(limit: usize) -> (Self, Self) {
        (
            Self::CaptureUpTo(limit, Vec::new()),
            Self::CaptureUpTo(limit, Vec::new()),
        )
    }

    pub(super) fn log(file: File, limit: u64) -> (Self, Self) {
        let log = Arc::new(Mutex::new(Log {
            file,
            left: limit,
            is_cut: false,
        }));
        (Self::Log(Arc::clone(&log)), Self::Log(log))
    }

    /// Takes what was read; false when nothing more is wanted.
    fn take(&mut self, bytes: &[u8]) -> bool {
        match self {
            Self::Capture(buffer) => {
                keep(bytes, buffer, CAPTURE_LIMIT);
                true
            }
            Self::CaptureUpTo(limit, buffer) => {
                keep(bytes, buffer, *limit);
                buffer.len() < *limit
            }
            Self::Log(log) => {
                log.lock().unwrap_or_else(PoisonError::into_inner).write(bytes);
                true
            }
            Self::Function(function) => {
                function(bytes);
                true
            }
        }
    }
}

fn keep(bytes: &[u8], buffer: &mut Vec<u8>, limit: usize) {
    let room = limit.saturating_sub(buffer.len());
    buffer.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

impl Log {
    fn write(&mut self, bytes: &[u8]) {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX);
        let kept = &bytes[..bytes.len().min(room)];
        self.left -= kept.len() as u64;
        let mut written = self.file.write_all(kept);
        if kept.len() < bytes.len() && !self.is_cut {
            self.is_cut = true;
            written = written.and_then(|()| self.file.write_all(b"\n==> log cut here: its size limit is reached\n"));
        }
        // A full disk must not stop the draining, or the child would hang.
        drop(written);
    }
}

pub(super) fn drain(mut stream: impl Read + Send + 'static, mut sink: Sink) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut buffer = [0; 16 << 10];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) if !sink.take(&buffer[..count]) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        drop(stream);
        match sink {
            Sink::Capture(bytes) | Sink::CaptureUpTo(_, bytes) => bytes,
            Sink::Log(_) | Sink::Function(_) => Vec::new(),
        }
    })
}
