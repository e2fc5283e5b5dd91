//! Room on the disk. A builder that has none asks for no order: each build would end for want of it, and count as a
//! failure of its package.

use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;

/// What has to be free, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// Directories, which need not be there yet.
    pub directories: Vec<PathBuf>,
    /// MiB in each of them; 0: whatever is free.
    pub mib: u64,
}

impl Room {
    /// What is lacking, in words.
    pub(crate) fn lack(&self) -> Option<String> {
        let is_tight = |directory: &&PathBuf| free_mib(directory).is_some_and(|free| free < self.mib);
        let tight = self.directories.iter().find(is_tight)?;
        Some(format!("less than {} MiB are free in {}", self.mib, tight.display()))
    }
}

/// MiB that others than root may use; none where nobody can say it.
fn free_mib(directory: &Path) -> Option<u64> {
    let there = directory.ancestors().find(|path| path.is_dir())?;
    let found = statvfs(there).ok()?;
    Some(found.blocks_available().saturating_mul(found.fragment_size()) >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_is_named() {
        let room = |path: &str, mib| Room {
            directories: vec!["/".into(), path.into()],
            mib,
        };
        assert_eq!(room("/nonexistent/below", 0).lack(), None);
        let lack = room("/nonexistent/below", u64::MAX).lack().unwrap();
        assert!(lack.ends_with("MiB are free in /"), "{lack}");
    }
}
