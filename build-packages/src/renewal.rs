//! The program's own file: a builder that works without end begins anew when it was replaced, as an upgrade does.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::config::Environment;
use common::process::{Command, ProcessError, own_program};

/// How long a new file has to lie still: it may be on its way yet.
const STILL: Duration = Duration::from_secs(2);

/// The file of the running program.
#[derive(Debug)]
pub(crate) struct OwnFile {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl OwnFile {
    /// The file as it is now; one that cannot be found is never replaced.
    pub(crate) fn now() -> Self {
        let path = own_program().unwrap_or_default();
        let identity = identity(&path).map(|(identity, _)| identity);
        Self { path, identity }
    }

    /// Whether another file lies in its place.
    pub(crate) fn is_replaced(&self) -> bool {
        let still_since = |time: SystemTime| SystemTime::now().duration_since(time).unwrap_or_default();
        let Some((found, changed)) = identity(&self.path) else {
            return false;
        };
        self.identity.is_some_and(|identity| identity != found) && still_since(changed) >= STILL
    }
}

/// Device and number of a file, and when anything about it changed last.
fn identity(path: &Path) -> Option<((u64, u64), SystemTime)> {
    let found = path.metadata().ok()?;
    let nanoseconds = u32::try_from(found.ctime_nsec()).ok()?;
    let changed = UNIX_EPOCH + Duration::new(u64::try_from(found.ctime()).ok()?, nanoseconds);
    Some(((found.dev(), found.ino()), changed))
}

/// Goes on as the program that lies in the place of this one, with the same arguments; returns only when that fails.
pub(crate) fn begin_anew(arguments: &[OsString], environment: &Environment) -> ProcessError {
    let program = own_program().unwrap_or_else(|_| PathBuf::from("build-packages"));
    let mut command = Command::new(program).args(arguments.iter().skip(1));
    for (key, value) in environment {
        command = command.env(key, value);
    }
    command.exec()
}
