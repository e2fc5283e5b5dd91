//! Whether a file is still the same, without reading it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// What a file looked like from outside at one moment: equal stamps mean that it has not changed in between. There is
/// none of a file that changed a moment ago, since a further change in the same tick of the clock would not show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp([i64; 5]);

/// Files that changed within this time may change again unseen.
const UNSETTLED: Duration = Duration::from_secs(2);

impl Stamp {
    /// Looks at a file; `None` when it has changed a moment ago or is not there.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        let age = SystemTime::now().duration_since(found.modified().ok()?).ok()?;
        let inode = i64::try_from(found.ino()).ok()?;
        let size = i64::try_from(found.size()).ok()?;
        (age >= UNSETTLED).then_some(Self([inode, size, found.mtime(), found.mtime_nsec(), found.ctime()]))
    }
}
