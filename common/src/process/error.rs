//! How a child can fail.

use std::io;
use std::time::Duration;

use thiserror::Error;

/// A child that did not do what it was started for.
#[derive(Debug, Error)]
#[error("{command}: {cause}")]
pub struct ProcessError {
    /// The argument vector, joined for reading.
    pub command: String,
    /// What happened.
    pub cause: Cause,
}

/// Why a child failed.
#[derive(Debug, Error)]
pub enum Cause {
    /// It could not be started or waited for.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It ended with a code other than 0.
    #[error("exit code {code}{}", last_lines(.tail))]
    Code {
        /// The exit code.
        code: i32,
        /// The last lines that it wrote.
        tail: String,
    },
    /// A signal ended it.
    #[error("ended by signal {signal}{}", last_lines(.tail))]
    Signal {
        /// The signal's number.
        signal: i32,
        /// The last lines that it wrote.
        tail: String,
    },
    /// It took longer than its limit and was ended.
    #[error("ended after its time limit of {} s{}", .limit.as_secs(), last_lines(.tail))]
    Timeout {
        /// The limit.
        limit: Duration,
        /// The last lines that it wrote.
        tail: String,
    },
    /// A check that was made while it ran wanted its end.
    #[error("{0}")]
    Stopped(String),
    /// This process was asked to end, and ended the child.
    #[error("interrupted")]
    Interrupted,
}

fn last_lines(tail: &str) -> String {
    if tail.is_empty() {
        String::new()
    } else {
        format!(": {tail}")
    }
}
