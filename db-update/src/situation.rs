//! What a decision is based on, read before the first change.

use std::collections::{BTreeMap, BTreeSet};

use common::build_list::Order;
use common::names::{PkgBase, Repository};
use common::repository::Contents;
use common::state::State;

use crate::decision::world::Links;
use crate::neighbours::Neighbour;

/// What is known before the decision.
#[derive(Debug, Clone, Default)]
pub(crate) struct Situation {
    /// The packages of all repositories.
    pub(crate) contents: Contents,
    /// The sonames that they need and provide.
    pub(crate) links: Links,
    /// Orders with their package files, by state: `done`, `testing`, `tested`.
    pub(crate) orders: BTreeMap<Order, (State, Vec<String>)>,
    /// Orders in testing that are approved in this run.
    pub(crate) approved: BTreeSet<Order>,
    /// Why the others in testing are not.
    pub(crate) unapproved: BTreeMap<Order, String>,
    /// Pkgbases that are to leave the repositories.
    pub(crate) deletions: BTreeSet<PkgBase>,
    /// Orders on the build list that are young enough to hold others.
    pub(crate) pending: Vec<Neighbour>,
    /// Orders in staging and testing that are old enough to hold nothing of the next stage.
    pub(crate) stale: BTreeSet<Order>,
    /// How long these have been there, for messages: `(1 of 2 days)`.
    pub(crate) ages: BTreeMap<Order, String>,
    /// Which orders are of one rebuild: those with the same word.
    pub(crate) rebuilds: BTreeMap<Order, String>,
}

/// What the operator asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    /// Orders that are not in the way of testing.
    pub(crate) unstage: BTreeSet<Order>,
    /// Orders that are not in the way of stable.
    pub(crate) stabilize: BTreeSet<Order>,
    /// Orders that move whatever breaks; nothing else is done then.
    pub(crate) force: BTreeSet<Order>,
    /// Only what lies in these repositories moves; all when it is empty.
    pub(crate) repositories: BTreeSet<Repository>,
    /// Which orders may move at all.
    pub(crate) pace: Pace,
    /// Whether orders that are not there yet hold their neighbours.
    pub(crate) neighbours: Neighbours,
}

/// Which orders may move at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Pace {
    /// All that break nothing.
    #[default]
    Full,
    /// Those that take the place of nothing that works.
    Progressive,
}

/// What orders do that are not there yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Neighbours {
    /// They hold what is connected with them.
    #[default]
    Hold,
    /// They hold what would break only.
    LetGo,
}
