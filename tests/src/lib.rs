//! The testkit: what the tests of several tools share.

pub mod gpg;
pub mod package;
pub mod tools;
