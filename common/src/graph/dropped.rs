//! The report of edges that do not hold in an order: one a line, with the reason.
//!
//! Format of the file: `pkgbase needs kinds loop reason`, blank-separated: the order that is built before what it needs,
//! that, the kinds with commas between (`-` for what every package is built with), the number of the loop (`-` where it
//! is none that somebody declared), and why.

use std::fmt;

use serde::Serialize;

use super::kinds::{Kinds, Tier};
use crate::build_graph::Kind;
use crate::names::PkgBase;

/// Why an edge does not hold in the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Everything is built with base-devel, and a member of it cannot wait for itself.
    Implied,
    /// It is for tests only.
    Check,
    /// It is to run only.
    Run,
    /// The loop is broken at this order.
    Break,
}

impl Reason {
    /// The reason for an edge of these kinds.
    pub(super) const fn of(kinds: Kinds) -> Self {
        match kinds.tier() {
            Tier::Implied => Self::Implied,
            Tier::Check => Self::Check,
            Tier::Run => Self::Run,
            Tier::Make => Self::Break,
        }
    }

    /// The word in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Implied => "implied",
            Self::Check => "check",
            Self::Run => "run",
            Self::Break => "break",
        }
    }
}

/// An edge against the order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Dropped {
    /// Who needs.
    pub pkgbase: PkgBase,
    /// Whom.
    pub needs: PkgBase,
    /// What for; nothing where every package needs it.
    pub kinds: Vec<Kind>,
    /// The loop that both are in, by its number among the plan's loops from 1 on.
    #[serde(rename = "loop")]
    pub loop_number: Option<usize>,
    /// Why it does not hold.
    pub reason: Reason,
}

impl Dropped {
    /// The line of the file, without its end.
    #[must_use]
    pub fn line(&self) -> String {
        let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.as_str()).collect();
        let kinds = if kinds.is_empty() {
            "-".to_owned()
        } else {
            kinds.join(",")
        };
        let number = self
            .loop_number
            .map_or_else(|| "-".to_owned(), |number| number.to_string());
        let (pkgbase, needs, reason) = (&self.pkgbase, &self.needs, self.reason.as_str());
        format!("{pkgbase} {needs} {kinds} {number} {reason}")
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.reason {
            Reason::Implied => "as a part of what everything is built with",
            Reason::Check => "for its tests only",
            Reason::Run => "to run only",
            Reason::Break => "and the loop has to begin somewhere",
        };
        write!(
            f,
            "{} is built before {}, which it needs {why}",
            self.pkgbase, self.needs
        )
    }
}
