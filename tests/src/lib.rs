//! The testkit: real parts for the tests of several tools, each in a directory of its own.
//!
//! What it starts it ends again; what is missing on the machine is a visible skip on a laptop and a failure where `CI`
//! is set.

pub mod cgroup;
pub mod distribution;
pub mod fault;
pub mod gpg;
pub mod master;
pub mod need;
pub mod package;
pub mod packaging;
pub mod port;
pub mod raw_tar;
pub mod reader;
pub mod relay;
pub mod s3;
pub mod sshd;
pub mod tool;
pub mod web;
