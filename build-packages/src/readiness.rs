//! What a builder needs and can see at once: the program of the build command, and a key that signs. Without them the
//! first order would be built for hours and could not be returned, or would be leased for nothing.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use common::config::{Config, ConfigError, Environment};
use common::process::sibling;

use crate::settings::Settings;
use crate::signing;

/// Looks whether this machine has what the configuration says.
///
/// # Errors
/// The key whose value does not do, and why.
pub(crate) fn check(settings: &Settings, config: &Config, environment: &Environment) -> Result<(), ConfigError> {
    let path = environment.get("PATH").map(String::as_str).unwrap_or_default();
    let program = settings.build_command.first().map(|word| sibling(word));
    if !program.is_some_and(|program| is_there(&program, path)) {
        return Err(config.refuse("build_command", "there is no such program"));
    }
    signing::try_key(settings)
        .map_err(|error| config.refuse("package_key", &format!("gpg cannot sign with it: {error}")))
}

/// Whether a program can be started by this name: a path, or a name that is looked up in `path`.
fn is_there(program: &Path, path: &str) -> bool {
    if program.components().count() > 1 {
        return is_program(program);
    }
    std::env::split_paths(path).any(|directory| is_program(&directory.join(program)))
}

fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_by_its_path_or_its_name() {
        assert!(is_there(Path::new("sh"), "/nonexistent:/bin") && is_there(Path::new("/bin/sh"), ""));
        for (program, path) in [
            ("sh", ""),
            ("/bin/nonexistent", "/bin"),
            ("/etc/passwd", ""),
            ("/bin", ""),
        ] {
            assert!(!is_there(Path::new(program), path), "{program}");
        }
    }
}
