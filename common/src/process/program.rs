//! Where the programs of the project are.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// Another tool of the project: the program beside this one, else the one in PATH.
#[must_use]
pub fn sibling(tool: &str) -> PathBuf {
    own_program()
        .ok()
        .and_then(|own| Some(own.parent()?.join(tool)))
        .filter(|path| path.is_file())
        .unwrap_or_else(|| PathBuf::from(tool))
}

/// The file of the running program: of one that was replaced meanwhile, as an upgrade does, the new one.
///
/// # Errors
/// The kernel does not say it.
pub fn own_program() -> io::Result<PathBuf> {
    std::env::current_exe().map(without_mark)
}

/// The kernel's mark at the path of a file that is no longer there.
fn without_mark(path: PathBuf) -> PathBuf {
    match path.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
        Some(before) => PathBuf::from(OsStr::from_bytes(before)),
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_program_that_was_replaced_is_where_it_was() {
        let of = |path: &str| without_mark(PathBuf::from(path));
        assert_eq!(of("/usr/bin/archbuild (deleted)"), Path::new("/usr/bin/archbuild"));
        assert_eq!(of("/usr/bin/archbuild"), Path::new("/usr/bin/archbuild"));
        assert!(own_program().unwrap().is_file());
    }
}
