//! Directories that are in use as long as somebody holds the file [`LOCK`] in them: chroots, machines, layers.
//!
//! Removing one takes time, in which nobody may begin to use it: it gets a name that nobody looks for first. What a killed
//! process left under such a name is nobody's.

use std::fs;
use std::path::{Path, PathBuf};

use crate::atomic::{self, FileError};
use crate::lock;
use crate::names::last_part;

/// The lock's name in such a directory.
pub const LOCK: &str = "lock";
/// Beginning of the name of one that is being removed.
const GONE: &str = ".gone-";

/// Whether somebody uses it now. What cannot be locked is of no use to anybody.
#[must_use]
pub fn is_used(directory: &Path) -> bool {
    lock::is_held(&directory.join(LOCK))
}

/// Takes it away from whoever looks for it, and says where it is now; one that was set aside before stays where it is.
///
/// # Errors
/// It cannot be renamed.
pub fn set_aside(directory: &Path) -> Result<PathBuf, FileError> {
    if is_set_aside(directory) {
        return Ok(directory.to_owned());
    }
    let away = directory.with_file_name(format!("{GONE}{}", last_part(directory)));
    fs::rename(directory, &away).map_err(FileError::at("rename", directory))?;
    Ok(away)
}

/// Whether somebody wanted to remove it.
#[must_use]
pub fn is_set_aside(directory: &Path) -> bool {
    last_part(directory).starts_with(GONE)
}

/// Removes it with all that is in it. The caller knows that nobody uses it.
///
/// # Errors
/// It cannot be renamed, or something in it cannot be removed.
pub fn remove(directory: &Path) -> Result<(), FileError> {
    atomic::remove_tree(&set_aside(directory)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::{Lock, Mode, Patience};

    #[test]
    fn a_directory_is_used_while_its_lock_is_held_in_any_mode() {
        let directory = tempfile::tempdir().unwrap();
        for mode in [Mode::Shared, Mode::Exclusive] {
            let lock = Lock::acquire(&directory.path().join(LOCK), mode, Patience::Never).unwrap();
            assert!(is_used(directory.path()));
            drop(lock);
            assert!(!is_used(directory.path()));
        }
        assert!(!is_used(Path::new("/nonexistent")));
    }

    #[test]
    fn what_is_set_aside_has_another_name_once_and_can_be_removed() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("copy-1");
        fs::create_dir_all(directory.join("root/etc")).unwrap();
        let away = set_aside(&directory).unwrap();
        assert!(is_set_aside(&away) && !is_set_aside(&directory) && !directory.exists());
        assert_eq!(set_aside(&away).unwrap(), away);
        remove(&away).unwrap();
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }
}
