//! The contract of every build command (`archbuild build`, `arch-vm build`, anything that `build_command` names): its
//! options, the outcomes with their exit codes, and the record that `--json` prints.
//!
//! Called as `COMMAND [-c] [-- MAKEPKG-ARGUMENTS]` in the directory of the PKGBUILD; products are the new
//! `*.pkg.tar.*` in `$PKGDEST` or there. Exit codes are docs/formats.md, "Build command": 0 built, 1 a function of the
//! package failed, 2 dependencies, 3 sources, 4 a limit, 5 the machine (chroot or VM), 6 interrupted. With `--json`
//! standard output is one line, a [`Record`], whatever the outcome; without it, one line a package file. A foreign
//! command knows codes only: [`Outcome::from_code`].

mod caller;
mod limits;
mod options;
mod outcome;
mod phase;
mod record;
mod watchdog;

pub use caller::{Variables, Workplace, passed, variables_of_builds, variables_to_network};
pub use limits::{LimitArgs, Limits};
pub use options::{BuildArgs, Keep, NetworkUntil, TargetArgs};
pub use outcome::{LimitKind, Outcome, OutcomeError};
pub use phase::{Phase, PhaseError};
pub use record::{Enforcement, PhaseTime, Record};
pub use watchdog::{Sample, Watchdog};
