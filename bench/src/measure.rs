//! Running one process and measuring it.
//!
//! The time is from just before the start to the end as the parent sees it: what a caller waits.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nix::sys::resource::{UsageWho, getrusage};

/// A program with its arguments and the whole of its environment but PATH.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    environment: BTreeMap<OsString, OsString>,
    input: Option<PathBuf>,
    directory: Option<PathBuf>,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Measured {
    /// From start to end.
    pub(crate) time: Duration,
    /// What it printed.
    pub(crate) stdout: String,
}

impl Program {
    /// A program of the project: it lies next to this one.
    pub(crate) fn of_project(name: &str) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("cannot find out where this program lies")?;
        let path = own.with_file_name(name);
        ensure!(path.is_file(), "{} is not built: run scripts/bench", path.display());
        Ok(Self::at(path))
    }

    /// A program of the system; `None` when PATH does not have it.
    pub(crate) fn of_system(name: &str) -> Option<Self> {
        let path = std::env::var_os("PATH")?;
        let found = std::env::split_paths(&path).map(|directory| directory.join(name));
        found.into_iter().find(|path| path.is_file()).map(Self::at)
    }

    fn at(path: PathBuf) -> Self {
        Self {
            path,
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            input: None,
            directory: None,
        }
    }

    #[must_use]
    pub(crate) fn args<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, arguments: I) -> Self {
        self.arguments
            .extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    #[must_use]
    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.insert(key.into(), value.as_ref().to_owned());
        self
    }

    /// Lets it read a file.
    #[must_use]
    pub(crate) fn input(mut self, path: &Path) -> Self {
        self.input = Some(path.to_owned());
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub(crate) fn directory(mut self, path: &Path) -> Self {
        self.directory = Some(path.to_owned());
        self
    }

    /// Runs it; any end but success is an error.
    pub(crate) fn run(&self) -> anyhow::Result<Measured> {
        let before = Instant::now();
        let output = self.start()?.wait_with_output().context("cannot wait for a program")?;
        let time = before.elapsed();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{} {:?}: {}: {}",
            self.path.display(),
            self.arguments,
            output.status,
            complaint.trim_end()
        );
        Ok(Measured { time, stdout })
    }

    /// The largest resident set that it reached, in KiB. It is measured below a small process of its own, since a child
    /// begins with the memory of its parent.
    pub(crate) fn peak(&self) -> anyhow::Result<u64> {
        let own = std::env::current_exe().context("cannot find out where this program lies")?;
        let mut measuring = Self::at(own)
            .args(["--peak-of"])
            .args([&self.path])
            .args(&self.arguments);
        measuring.environment = self.environment.clone();
        let text = measuring.run()?.stdout;
        text.trim().parse().with_context(|| format!("{text:?} is no number"))
    }

    fn start(&self) -> anyhow::Result<Child> {
        let mut command = command(&self.path);
        command.args(&self.arguments).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(&self.environment);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(match &self.input {
            Some(path) => Stdio::from(File::open(path).with_context(|| format!("cannot read {}", path.display()))?),
            None => Stdio::null(),
        });
        command
            .spawn()
            .with_context(|| format!("cannot start {}", self.path.display()))
    }
}

/// Runs a program and returns the largest resident set of it, in KiB. Its answer goes nowhere.
pub(crate) fn peak_of_child(program: &OsStr, arguments: &[OsString]) -> anyhow::Result<u64> {
    let name = program.display();
    let status = command(Path::new(program))
        .args(arguments)
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {name}"))?;
    ensure!(status.success(), "{name}: {status}");
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("cannot read the usage of the child")?;
    Ok(u64::try_from(usage.max_rss()).unwrap_or(0))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a measured process is started and waited for with nothing in between that takes time"
)]
fn command(path: &Path) -> Command {
    Command::new(path)
}
