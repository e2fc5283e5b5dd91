//! The `archbuild` command as a library.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::ExitCode;

/// Runs the tool.
pub fn main(_args: impl IntoIterator<Item = OsString>, _stdin: &mut dyn Read, _stdout: &mut dyn Write) -> ExitCode {
    ExitCode::from(70)
}
