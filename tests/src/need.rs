//! What a test needs of the machine.

use std::path::PathBuf;

/// Whether all programs are there. When one is missing the test is skipped visibly, and fails where `CI` is set.
///
/// # Panics
/// A program is missing and `CI` is set.
#[must_use]
pub fn programs(names: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &&&str| !std::env::split_paths(&path).any(|directory| directory.join(name).is_file());
    let missing: Vec<&&str> = names.iter().filter(is_there).collect();
    missing.is_empty() || skip(&format!("missing programs: {missing:?}"))
}

/// A directory that `scripts/test` made and named in a variable; `None` is a skip.
///
/// # Panics
/// It is missing and `CI` is set.
#[must_use]
pub fn directory(variable: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable)
        .map(PathBuf::from)
        .filter(|path| path.is_dir());
    if found.is_none() {
        skip(&format!(
            "{variable} names no directory: run the tests with scripts/test"
        ));
    }
    found
}

/// Says why a test does not run; always false.
///
/// # Panics
/// `CI` is set.
#[expect(clippy::print_stderr, reason = "a skip has to be seen")]
pub fn skip(why: &str) -> bool {
    assert!(std::env::var_os("CI").is_none(), "cannot be skipped in CI: {why}");
    eprintln!("SKIPPED: {why}");
    false
}
