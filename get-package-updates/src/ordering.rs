//! How the list is ordered, as the configuration and the journal say.

use common::build_times;
use common::config::Config;
use common::graph::{BuildTimes, Checks, Policy};
use common::work_dir::WorkDir;

/// Whether what is needed for check() counts.
pub(crate) const CHECKS: &str = "check_dependencies";
/// Whether the members of loops are built twice.
const TWICE: &str = "build_loops_twice";

/// How the list is ordered.
#[derive(Debug, Default)]
pub(crate) struct Ordering {
    /// Whether what is needed for check() counts.
    pub(crate) checks: Checks,
    /// Whether the members of loops are built twice.
    pub(crate) is_two_stage: bool,
    times: Option<BuildTimes>,
}

impl Ordering {
    /// Reads configuration and journal.
    pub(crate) fn read(config: &Config) -> anyhow::Result<Self> {
        let checks = if config.switch(CHECKS, true)? {
            Checks::Count
        } else {
            Checks::LeaveOut
        };
        Ok(Self {
            checks,
            is_two_stage: config.switch(TWICE, false)?,
            times: build_times::read(&WorkDir::open(config)?.journal())?,
        })
    }

    pub(crate) fn policy(&self) -> Policy<'_> {
        Policy {
            checks: self.checks,
            times: self.times.as_ref(),
        }
    }
}
