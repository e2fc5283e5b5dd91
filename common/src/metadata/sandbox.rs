//! Evaluating one PKGBUILD where it can do no harm.
//!
//! A bash with the installed libmakepkg in a bubblewrap of its own: no network, none of the machine's files but /usr
//! (read-only) and the package's directory (read-only), a private /tmp, an empty environment, never root, with limits
//! on time, memory, processes, file size and output. Its result comes through a pipe that no other evaluation has.
//!
//! What it says is a claim about itself and nothing more: a PKGBUILD could define the very functions that print it. So
//! all that the frame around the result proves is that the PKGBUILD neither ended the evaluation nor wrote into the
//! result by the way; that it names its own pkgbase, is read strictly and makes nobody else's metadata is what counts.
//! The lints of makepkg are not run: they cost ten times as much, and the build runs them.

mod memory;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use tempfile::TempDir;
use thiserror::Error;

use crate::account::Account;
use crate::atomic::{FileError, TEMPORARY_PREFIX};
use crate::interrupt::Interrupt;
use crate::names::Arch;
use crate::process::{Cause, Command, Finished, Output, ProcessError};
use memory::MEMORY_LIMIT;

/// Prints the `.SRCINFO` of the PKGBUILD in the working directory: `bash -c SCRIPT evaluate BEGIN END` in a sandbox. Has
/// the limits of each process.
pub const SCRIPT: &str = include_str!("evaluate.sh");
/// First line of the output: the sandbox came up, so what fails later is the PKGBUILD's.
pub const BEGIN: &str = "# evaluated by portsmith";
/// Its last line.
pub const END: &str = "# end of the evaluation";
/// How long one PKGBUILD may take. It takes 15 ms of work; on a busy machine that takes longer.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// Bytes that are read of its result, and of its messages. The longest of 15,000 packages has 200 KB.
const OUTPUT_LIMIT: usize = 4 << 20;
/// Size of the private /tmp in bytes.
const TMP_SIZE: &str = "33554432";

/// A PKGBUILD that was not evaluated.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// The sandbox did not come up: bubblewrap or libmakepkg is missing or may not do its work here.
    #[error("the sandbox does not work: {0}")]
    Sandbox(ProcessError),
    /// The PKGBUILD failed or took too long.
    #[error("{0}")]
    Failed(Cause),
    /// It took too much memory.
    #[error("it takes more than {} MiB of memory", MEMORY_LIMIT >> 20)]
    Memory,
    /// It wrote too much.
    #[error("it writes more than {OUTPUT_LIMIT} bytes")]
    Output,
    /// It ended the evaluation, or wrote into the result.
    #[error("it ends its own evaluation or writes into the result")]
    Frame,
    /// It wrote something that is no text.
    #[error("its output is not UTF-8")]
    NotText,
}

impl SandboxError {
    /// Whether the PKGBUILD is at fault, and not this machine.
    #[must_use]
    pub fn is_of_content(&self) -> bool {
        !matches!(self, Self::Sandbox(_))
    }
}

/// How PKGBUILDs are evaluated here.
#[derive(Debug)]
pub(super) struct Sandbox {
    account: Option<Account>,
    arch: Arch,
}

/// A directory that the unprivileged account can read, removed when it is dropped.
pub(super) fn directory() -> Result<TempDir, FileError> {
    let parent = std::env::temp_dir();
    tempfile::Builder::new()
        .prefix(TEMPORARY_PREFIX)
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in(&parent)
        .map_err(FileError::at("make a directory in", parent))
}

impl Sandbox {
    pub(super) fn new(account: Option<Account>, arch: Arch) -> Self {
        Self { account, arch }
    }

    /// The `.SRCINFO` of the PKGBUILD in a directory.
    pub(super) fn evaluate(&self, directory: &Path) -> Result<String, SandboxError> {
        let finished = watched(self.command(directory))?;
        if finished.stdout.len().max(finished.stderr.len()) >= OUTPUT_LIMIT {
            return Err(SandboxError::Output);
        }
        let cause = cause(&finished);
        let text = String::from_utf8(finished.stdout).map_err(|_| SandboxError::NotText)?;
        let Some(text) = text.strip_prefix(BEGIN).and_then(|rest| rest.strip_prefix('\n')) else {
            return Err(SandboxError::Sandbox(ProcessError {
                command: "bwrap".to_owned(),
                cause,
            }));
        };
        if !finished.status.success() {
            return Err(SandboxError::Failed(cause));
        }
        let framed = text.strip_suffix(&format!("{END}\n"));
        let content = framed.filter(|content| !content.lines().any(|line| line == BEGIN || line == END));
        content.map(str::to_owned).ok_or(SandboxError::Frame)
    }

    fn command(&self, directory: &Path) -> Command {
        let mut command = Command::new("bwrap")
            .account(self.account.as_ref())
            .timeout(TIME_LIMIT)
            .output(Output::CaptureUpTo(OUTPUT_LIMIT))
            .args([
                "--unshare-all",
                "--die-with-parent",
                "--new-session",
                "--clearenv",
                "--hostname",
                "sandbox",
            ])
            .args(["--cap-drop", "ALL", "--ro-bind", "/usr", "/usr"]);
        for name in ["bin", "sbin", "lib", "lib32", "lib64"] {
            let path = Path::new("/").join(name);
            command = match fs::read_link(&path) {
                Ok(target) => command.arg("--symlink").arg(target).arg(path),
                Err(_) if path.is_dir() => command.arg("--ro-bind").arg(&path).arg(&path),
                Err(_) => command,
            };
        }
        let arch = self.arch.as_str();
        command
            .args([
                "--dev", "/dev", "--proc", "/proc", "--size", TMP_SIZE, "--tmpfs", "/tmp",
            ])
            .arg("--ro-bind")
            .arg(directory)
            .args(["/startdir", "--remount-ro", "/", "--chdir", "/startdir"])
            .args(["--setenv", "PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"])
            .args(["--setenv", "HOME", "/tmp", "--setenv", "LANG", "C.UTF-8"])
            .args(["--setenv", "CARCH", arch, "--setenv", "CHOST"])
            .arg(format!("{arch}-pc-linux-gnu"))
            .args(["bash", "--noprofile", "--norc", "-c", SCRIPT, "evaluate", BEGIN, END])
    }
}

/// Runs a sandbox to its end with an eye on its memory.
fn watched(command: Command) -> Result<Finished, SandboxError> {
    let interrupt = Interrupt::new();
    let child = command.interrupt(&interrupt).spawn().map_err(SandboxError::Sandbox)?;
    let (running, ended) = channel();
    let id = child.id();
    let result = std::thread::scope(|scope| {
        let interrupt = &interrupt;
        scope.spawn(move || memory::watch(id, &ended, interrupt));
        let result = child.wait();
        drop(running);
        result
    });
    result.map_err(|cause| match cause {
        Cause::Interrupted => SandboxError::Memory,
        Cause::Timeout { .. } => SandboxError::Failed(cause),
        _ => SandboxError::Sandbox(ProcessError {
            command: "bwrap".to_owned(),
            cause,
        }),
    })
}

/// How it ended, with the last lines that it wrote.
fn cause(finished: &Finished) -> Cause {
    let messages = String::from_utf8_lossy(&finished.stderr);
    let lines: Vec<&str> = messages
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    Cause::Code {
        code: finished.status.code().unwrap_or(-1),
        tail: lines[lines.len().saturating_sub(3)..].join(" / "),
    }
}
