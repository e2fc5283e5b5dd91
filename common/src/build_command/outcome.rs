//! How a build ended: what the exit code says, and a finer stable id for records and logs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::phase::Phase;

/// What a build was ended for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitKind {
    /// It took too long.
    WallTime,
    /// It neither wrote anything nor used the processor for too long.
    Stalled,
    /// Its processes used too much memory.
    Memory,
    /// It had too many processes.
    Processes,
    /// It wrote too much to the disk, or the disk is full.
    Disk,
    /// It wrote too much into its log.
    LogSize,
}

impl LimitKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::WallTime,
        Self::Stalled,
        Self::Memory,
        Self::Processes,
        Self::Disk,
        Self::LogSize,
    ];

    /// Its stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WallTime => "wall-time",
            Self::Stalled => "stalled",
            Self::Memory => "memory",
            Self::Processes => "processes",
            Self::Disk => "disk",
            Self::LogSize => "log-size",
        }
    }
}

/// How a build ended. Text ids: `built`, `failed` (no phase is known), `failed-PHASE`, `dependencies`, `sources`,
/// `limit` (of a foreign command), `limit-KIND`, `machine`, `interrupted`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Outcome {
    /// 0: the packages are there.
    Built,
    /// 1: a function of the package failed, or its PKGBUILD cannot be read.
    Failed(Option<Phase>),
    /// 2: dependencies cannot be installed.
    Dependencies,
    /// 3: sources cannot be fetched, or are not what they should be.
    Sources,
    /// 4: a limit was reached.
    Limit(Option<LimitKind>),
    /// 5: the chroot or virtual machine cannot be made or used; says nothing about the package.
    Machine,
    /// 6: somebody ended it.
    Interrupted,
}

/// A text that is no outcome.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no outcome of a build")]
pub struct OutcomeError(String);

impl Outcome {
    /// The exit code of the build command, 0 to 6.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Built => 0,
            Self::Failed(_) => 1,
            Self::Dependencies => 2,
            Self::Sources => 3,
            Self::Limit(_) => 4,
            Self::Machine => 5,
            Self::Interrupted => 6,
        }
    }

    /// The outcome that an exit code stands for. A foreign command's other codes, and the end by a signal (none), count
    /// as a failure of the package.
    #[must_use]
    pub const fn from_code(code: Option<i32>) -> Self {
        match code {
            Some(0) => Self::Built,
            Some(2) => Self::Dependencies,
            Some(3) => Self::Sources,
            Some(4) => Self::Limit(None),
            Some(5) => Self::Machine,
            Some(6) => Self::Interrupted,
            _ => Self::Failed(None),
        }
    }

    /// Its stable text id.
    #[must_use]
    pub fn id(self) -> String {
        match self {
            Self::Built => "built".to_owned(),
            Self::Failed(None) => "failed".to_owned(),
            Self::Failed(Some(phase)) => format!("failed-{phase}"),
            Self::Dependencies => "dependencies".to_owned(),
            Self::Sources => "sources".to_owned(),
            Self::Limit(None) => "limit".to_owned(),
            Self::Limit(Some(kind)) => format!("limit-{}", kind.as_str()),
            Self::Machine => "machine".to_owned(),
            Self::Interrupted => "interrupted".to_owned(),
        }
    }

    /// Every outcome there is.
    pub fn all() -> impl Iterator<Item = Self> {
        let plain = [
            Self::Built,
            Self::Dependencies,
            Self::Sources,
            Self::Machine,
            Self::Interrupted,
        ];
        let phases = Phase::ALL.into_iter().map(Some).chain([None]);
        let kinds = LimitKind::ALL.into_iter().map(Some).chain([None]);
        plain
            .into_iter()
            .chain(phases.map(Self::Failed))
            .chain(kinds.map(Self::Limit))
    }
}

/// In words, for messages.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Built => f.write_str("built"),
            Self::Failed(None) => f.write_str("a function of the package failed"),
            Self::Failed(Some(phase)) => write!(f, "the package failed in the phase {phase}"),
            Self::Dependencies => f.write_str("dependencies cannot be installed"),
            Self::Sources => f.write_str("sources cannot be made ready"),
            Self::Limit(None) => f.write_str("a limit was reached"),
            Self::Limit(Some(kind)) => f.write_str(match kind {
                LimitKind::WallTime => "the build took too long",
                LimitKind::Stalled => "the build stalled: no output and no work for too long",
                LimitKind::Memory => "the build used too much memory",
                LimitKind::Processes => "the build had too many processes",
                LimitKind::Disk => "the build used too much of the disk",
                LimitKind::LogSize => "the build wrote too much output",
            }),
            Self::Machine => f.write_str("trouble with the chroot or machine"),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl FromStr for Outcome {
    type Err = OutcomeError;

    fn from_str(text: &str) -> Result<Self, OutcomeError> {
        Self::all()
            .find(|outcome| outcome.id() == text)
            .ok_or_else(|| OutcomeError(text.to_owned()))
    }
}

impl TryFrom<String> for Outcome {
    type Error = OutcomeError;

    fn try_from(text: String) -> Result<Self, OutcomeError> {
        text.parse()
    }
}

impl From<Outcome> for String {
    fn from(outcome: Outcome) -> Self {
        outcome.id()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_are_distinct_and_are_read_back() {
        let ids: BTreeSet<String> = Outcome::all().map(Outcome::id).collect();
        assert_eq!(ids.len(), Outcome::all().count());
        for outcome in Outcome::all() {
            assert_eq!(outcome.id().parse(), Ok(outcome));
        }
        assert!("failed-hope".parse::<Outcome>().is_err());
    }

    #[test]
    fn a_code_says_as_much_as_it_can() {
        for outcome in Outcome::all() {
            let read = Outcome::from_code(Some(i32::from(outcome.code())));
            assert_eq!(read.code(), outcome.code());
        }
        for code in [None, Some(1), Some(7), Some(139), Some(-1)] {
            assert_eq!(Outcome::from_code(code), Outcome::Failed(None));
        }
    }
}
