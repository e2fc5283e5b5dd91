//! libalpm, in the version of this machine. It compares versions, so that they are ordered as pacman orders them by
//! construction, and reads sync databases ([`crate::sync_database`]), so that what pacman reads can be read.

#[cfg(feature = "libalpm13")]
pub(crate) use alpm13 as binding;
#[cfg(all(feature = "libalpm15", not(feature = "libalpm13")))]
pub(crate) use alpm15 as binding;
#[cfg(all(feature = "libalpm16", not(any(feature = "libalpm13", feature = "libalpm15"))))]
pub(crate) use alpm16 as binding;

use std::cmp::Ordering;

/// Compares two full versions as pacman does, vercmp(8). A missing pkgrel matches every pkgrel. What stands behind a NUL
/// does not count: libalpm would not see it.
#[must_use]
#[inline]
pub fn vercmp(a: &str, b: &str) -> Ordering {
    binding::vercmp(before_nul(a), before_nul(b))
}

fn before_nul(text: &str) -> &str {
    text.split('\0').next().unwrap_or_default()
}
