//! What two or more of the Portsmith tools need, one concept a module.
//!
//! The formats and the agreements between the tools are described in `docs/formats.md`.

#[cfg(not(any(feature = "libalpm13", feature = "libalpm15", feature = "libalpm16")))]
compile_error!(
    "choose the libalpm of this machine: --features common/libalpm13 (Debian 12), common/libalpm15 (Debian 13) \
     or common/libalpm16 (Arch); scripts/cargo does it by itself"
);

pub mod account;
pub mod agreement;
mod alpm;
pub mod archive;
pub mod assignment;
pub mod atomic;
pub mod bug_list;
pub mod build_command;
pub mod build_graph;
pub mod build_list;
pub mod build_times;
pub mod cli;
pub mod clock;
pub mod config;
pub mod ending;
pub mod exit;
pub mod generations;
pub mod git;
pub mod graph;
pub mod interrupt;
pub mod journal;
pub mod lease;
pub mod lines;
pub mod lock;
pub mod logs;
pub mod metadata;
pub mod names;
pub mod order;
pub mod package;
pub mod parallel;
pub mod priorities;
pub mod process;
pub mod release;
pub mod repository;
pub mod sanity;
pub mod signature;
pub mod soname;
pub mod source;
pub mod srcinfo;
pub mod state;
pub mod sync_database;
pub mod used_directory;
pub mod vanished;
pub mod vercmp;
pub mod version;
pub mod work_dir;
