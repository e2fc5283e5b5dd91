//! Evaluating one PKGBUILD where it can do no harm.
//!
//! A bash with the installed libmakepkg in a bubblewrap of its own: no network, none of the machine's files but /usr
//! (read-only) and the package's directory (read-only), a private /tmp, an empty environment, never root, with limits
//! on time, memory, processes, file size and output. What it says is a claim about itself and nothing more.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use thiserror::Error;

use crate::account::Account;
use crate::atomic::{FileError, TEMPORARY_PREFIX};
use crate::names::Arch;
use crate::process::{Cause, Command, Finished, ProcessError};

const SCRIPT: &str = include_str!("evaluate.sh");
/// First line of the output: the sandbox came up, so what fails later is the PKGBUILD's.
const MARK: &str = "# evaluated by portsmith";
/// How long one PKGBUILD may take. It takes 30 ms of work; on a busy machine that takes longer.
const TIME_LIMIT: Duration = Duration::from_secs(20);
/// Limits in prlimit(1)'s words. Processes are counted within the sandbox from Linux 5.14 on, for the account before.
const LIMITS: &[&str] = &[
    "--cpu=5",
    "--as=1073741824",
    "--nproc=256",
    "--fsize=16777216",
    "--nofile=256",
    "--core=0",
];
/// Size of the private /tmp.
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
        let command = self.command(directory);
        let name = "bwrap".to_owned();
        let Finished { status, stdout, stderr } = command.wait().map_err(|error| match error.cause {
            Cause::Timeout { .. } => SandboxError::Failed(error.cause),
            _ => SandboxError::Sandbox(error),
        })?;
        let text = String::from_utf8(stdout).map_err(|_| SandboxError::NotText)?;
        let content = text.strip_prefix(MARK).and_then(|rest| rest.strip_prefix('\n'));
        let cause = || {
            let tail = String::from_utf8_lossy(&stderr);
            let lines: Vec<&str> = tail.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            Cause::Code {
                code: status.code().unwrap_or(-1),
                tail: lines[lines.len().saturating_sub(3)..].join(" / "),
            }
        };
        match content {
            None => Err(SandboxError::Sandbox(ProcessError {
                command: name,
                cause: cause(),
            })),
            Some(content) if status.success() => Ok(content.to_owned()),
            Some(_) => Err(SandboxError::Failed(cause())),
        }
    }

    fn command(&self, directory: &Path) -> Command {
        let mut command = Command::new("bwrap")
            .account(self.account.as_ref())
            .timeout(TIME_LIMIT)
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
            .arg("prlimit")
            .args(LIMITS)
            .args(["--", "bash", "--noprofile", "--norc", "-c", SCRIPT, "evaluate", MARK])
    }
}
