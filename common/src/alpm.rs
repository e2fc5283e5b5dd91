//! libalpm, in the version of this machine. It reads sync databases ([`crate::sync_database`]), so that what pacman reads
//! can be read. A program that uses nothing of it does not load it.

#[cfg(feature = "libalpm13")]
pub(crate) use alpm13 as binding;
#[cfg(all(feature = "libalpm15", not(feature = "libalpm13")))]
pub(crate) use alpm15 as binding;
#[cfg(all(feature = "libalpm16", not(any(feature = "libalpm13", feature = "libalpm15"))))]
pub(crate) use alpm16 as binding;
