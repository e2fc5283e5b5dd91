//! Running the project's programs as processes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::process::{Command, Input};

/// Longest time that a tool may take in a test.
const LIMIT: Duration = Duration::from_secs(900);

/// The directory of the programs that were built with this test.
///
/// # Panics
/// The test does not lie in a target directory of cargo.
#[must_use]
pub fn directory() -> PathBuf {
    let own = std::env::current_exe().expect("a running test has a path");
    let deps = own.parent().expect("it lies in a directory");
    // Tests lie in target/debug/deps, programs in target/debug.
    deps.parent().expect("which lies in the target directory").to_owned()
}

/// A program of the project.
///
/// # Panics
/// It has not been built: `scripts/test` builds all of them first.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let path = directory().join(name);
    assert!(path.is_file(), "{} is not built: run scripts/test", path.display());
    path
}

/// How a tool ended and what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The exit code; -1 for a signal.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ended {
    /// Checks the exit code.
    ///
    /// # Panics
    /// It is another one; everything that the tool said is shown.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }
}

/// A tool about to be run with nothing in its environment but PATH and what is given.
pub struct Tool {
    command: Command,
}

impl Tool {
    /// A program of the project.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self::at(&program(name))
    }

    /// A program at a path.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self {
            command: Command::new(path).timeout(LIMIT),
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item: AsRef<std::ffi::OsStr>>>(mut self, arguments: I) -> Self {
        self.command = self.command.args(arguments);
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command = self.command.env(key, value);
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn directory(mut self, path: &Path) -> Self {
        self.command = self.command.directory(path);
        self
    }

    /// Sets what it reads.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.command = self.command.input(Input::Bytes(bytes.into()));
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// It cannot be started or takes too long.
    #[must_use]
    #[track_caller]
    pub fn run(self) -> Ended {
        let finished = self.command.wait().expect("the tool runs to its end");
        Ended {
            code: finished.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&finished.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&finished.stderr).into_owned(),
        }
    }

    /// The command itself, to be started by the test.
    #[must_use]
    pub fn into_command(self) -> Command {
        self.command
    }
}

/// Runs a helper program that has to succeed; returns what it printed.
///
/// # Panics
/// It does not.
#[track_caller]
pub fn must(command: Command) -> String {
    match command.timeout(LIMIT).run() {
        Ok(finished) => finished.text(),
        Err(error) => panic!("{error}"),
    }
}
