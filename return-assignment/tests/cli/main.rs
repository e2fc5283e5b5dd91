//! The contract of `return-assignment`, as a process, with real gpg and git.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic, as tests do")]

mod failures;
mod faults;
mod hostile;
mod master;
mod packages;
mod protocol;
mod refusals;
