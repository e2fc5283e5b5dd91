//! Tools that a test needs from the machine.

use std::io::Write;

/// Whether all these programs are installed. When one is missing the test is skipped and says so; where `CI` is set
/// that is a failure.
///
/// # Panics
/// A program is missing and `CI` is set.
#[must_use]
pub fn are_there(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing: Vec<&&str> = programs
        .iter()
        .filter(|program| !std::env::split_paths(&path).any(|directory| directory.join(program).is_file()))
        .collect();
    if missing.is_empty() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "missing on this machine: {missing:?}");
    drop(writeln!(
        std::io::stderr(),
        "SKIPPED: missing on this machine: {missing:?}"
    ));
    false
}
