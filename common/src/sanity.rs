//! `build-master-sanity`: non-empty means that the master is insane, with the reason inside. Tools that change state
//! refuse to work then.

use std::path::Path;

use crate::atomic::{self, FileError};

/// Why the master is insane; `None` when it is well.
///
/// # Errors
/// The flag exists and cannot be read.
pub fn complaint(flag: &Path) -> Result<Option<String>, FileError> {
    Ok(atomic::read_text(flag)?
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty()))
}
