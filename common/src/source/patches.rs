//! Patches of the customization for a package's own directory: `PKGBUILD.d/*.patch`, in the order of their names.
//!
//! They are applied by `git apply` to upstream's PKGBUILD and files, after files of ours were laid over them and before
//! our PKGBUILD is appended. git refuses a patch that leads out of the directory or through a symbolic link, and one
//! that does not apply changes nothing. The patches themselves are no files of the directory.

use std::path::Path;
use std::time::Duration;

use crate::process::{Cause, Command, Input, ProcessError};

/// Their directory in a package's directory of the customization repository.
pub(super) const PATCHES: &str = "PKGBUILD.d";
/// How long one may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Whether a path of the customization is a patch for the package.
pub(super) fn is_patch(path: &[String]) -> bool {
    matches!(path, [directory, name] if directory == PATCHES && name.ends_with(".patch"))
}

/// Applies a patch to the files of a directory.
///
/// # Errors
/// What git says: it does not apply, or it is none.
pub(super) fn apply(directory: &Path, patch: Vec<u8>) -> Result<(), ProcessError> {
    // Without the ceiling git would take a repository above for the one that is meant, and pass over all files.
    let ceiling = directory.parent().unwrap_or(Path::new("/"));
    Command::new("git")
        .directory(directory)
        .env("GIT_CEILING_DIRECTORIES", ceiling)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .args(["apply", "--whitespace=nowarn", "-"])
        .input(Input::Bytes(patch))
        .timeout(LIMIT)
        .run()
        .map(drop)
}

/// What is wrong with a patch, on one line; `None` when git itself did not work.
pub(super) fn complaint(error: &ProcessError) -> Option<String> {
    match &error.cause {
        Cause::Code { tail, .. } => Some(format!("does not apply: {tail}")),
        _ => None,
    }
}
