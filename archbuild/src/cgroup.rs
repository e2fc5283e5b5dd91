//! The control groups of one run (cgroup v2), where they may be made ([`Delegation`]):
//!
//! ```text
//! archbuild-XXXXXX/      locked (flock) by the archbuild that made it, as long as that lives
//!   supervisor/          this process, and the process inside the user namespace
//!   build/               code of the package, and nothing else: limited, counted, ended as one
//! ```
//!
//! Invariant: a process enters `build/` before it runs anything of the package, and none can leave: to move it one has to
//! be able to write to files that belong to the account outside, and the sandbox shows none of them. What a killed
//! archbuild leaves has no lock: other builds remove it as soon as no process is left in it (the one inside still removes
//! its copy), `archbuild clean` ends those processes, too.

mod delegation;
mod group;
#[cfg(test)]
mod machine;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use common::account::Account;
use common::build_command::Limits;
use common::lock::{Lock, LockError};

pub(crate) use delegation::Delegation;
use delegation::SUPERVISOR;
pub(crate) use group::{Group, Usage};
use group::{PROCESSES, write};

/// Beginning of the names of groups.
const PREFIX: &str = "archbuild-";
/// How often a new group may be taken for a left one before it is locked.
const ATTEMPTS: usize = 10;

/// The groups of a run.
#[derive(Debug)]
pub(crate) struct RunGroups {
    top: PathBuf,
    origin: PathBuf,
    build: Group,
    _lock: Lock,
}

impl RunGroups {
    /// Makes the groups and goes into one of them. A process of `account` may move what it starts into that of the build.
    pub(crate) fn make(delegation: &Delegation, limits: &Limits, account: Option<&Account>) -> Result<Self> {
        // Without limits of the kernel they still count and end.
        delegation.enable().ok();
        let (top, lock) = reserve(delegation.directory())?;
        let origin = delegation::own_group(Path::new("/")).context("the own control group has vanished")?;
        let groups = Self {
            build: Group::at(top.join("build")),
            top,
            origin,
            _lock: lock,
        };
        match groups.fill(limits, account) {
            Ok(()) => Ok(groups),
            Err(error) => {
                groups.remove()?;
                Err(error)
            }
        }
    }

    fn fill(&self, limits: &Limits, account: Option<&Account>) -> Result<()> {
        let supervisor = self.top.join(SUPERVISOR);
        for directory in [&supervisor, self.build.directory()] {
            fs::create_dir(directory)?;
            fs::set_permissions(directory, Permissions::from_mode(0o755))?;
        }
        delegation::enable(&self.top)?;
        self.build
            .limit(limits)
            .context("cannot set the limits of the kernel")?;
        if let Some(account) = account {
            // Who moves a process needs both: where it comes to be, and what is above both groups.
            for directory in [&self.top, self.build.directory()] {
                chown(directory.join(PROCESSES), Some(account.uid), Some(account.gid))?;
            }
        }
        write(&supervisor.join(PROCESSES), "0").context("cannot enter a control group")
    }

    /// The group for code of the package.
    pub(crate) fn build(&self) -> &Group {
        &self.build
    }

    /// Ends what is left of the build, and removes the groups.
    pub(crate) fn remove(self) -> Result<()> {
        // The group ends, and we must not.
        write(&self.origin.join(PROCESSES), "0").context("cannot leave the control group of the run")?;
        let removing = || format!("cannot remove the control group {}", self.top.display());
        Group::at(self.top.clone()).remove().with_context(removing)
    }
}

/// A directory of our own. Nobody removes it from the moment on in which it is locked and there.
fn reserve(parent: &Path) -> Result<(PathBuf, Lock)> {
    for _ in 0..ATTEMPTS {
        let top = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(0o755))
            .tempdir_in(parent)
            .context("cannot make a control group")?
            .keep();
        if let Ok(lock) = Lock::directory(&top)
            && top.is_dir()
        {
            return Ok((top, lock));
        }
    }
    bail!("cannot lock a control group in {}", parent.display())
}

/// Which groups of killed runs to remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// Those without processes.
    Empty,
    /// All, and the processes end.
    All,
}

/// Removes groups of killed runs.
pub(crate) fn sweep(delegation: &Delegation, which: Left) -> Result<()> {
    for entry in fs::read_dir(delegation.directory())? {
        let entry = entry?;
        let path = entry.path();
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let _lock = match Lock::directory(&path) {
            Ok(lock) => lock,
            // In use, or gone.
            Err(LockError::Busy { .. } | LockError::Io { .. }) => continue,
        };
        // Somebody else may have removed it between its opening and its locking.
        if !path.is_dir() {
            continue;
        }
        let group = Group::at(path);
        if which == Left::All || group.is_empty()? {
            let removing = || format!("cannot remove the control group {}", group.directory().display());
            group.remove().with_context(removing)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_is_held_is_swept_by_nobody_and_one_that_is_not_by_somebody() {
        let Some(delegated) = testkit::cgroup::Delegated::make(None) else {
            return;
        };
        let delegation = Delegation::at(delegated.directory());
        std::thread::scope(|scope| {
            for which in [Left::Empty, Left::All, Left::Empty, Left::All] {
                let delegation = &delegation;
                scope.spawn(move || {
                    for _ in 0..50 {
                        let (top, lock) = reserve(delegation.directory()).unwrap();
                        fs::create_dir(top.join("build")).unwrap();
                        sweep(delegation, which).unwrap();
                        assert!(top.join("build").is_dir());
                        drop(lock);
                    }
                });
            }
        });
        sweep(&delegation, Left::Empty).unwrap();
        assert_eq!(delegated.others(), Vec::<PathBuf>::new());
    }
}
