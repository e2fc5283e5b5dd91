//! Where each order on the build list stands: what is known of it, gathered with the build-list lock held.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use common::atomic::{self, FileError};
use common::build_graph::{BuildGraph, Force, Kind};
use common::build_list::{BuildList, Order};
use common::clock::Now;
use common::lease::Lease;
use common::names::{Builder, NameMap, PkgBase};
use common::state::{State, States};
use common::work_dir::WorkDir;

/// What is known of one order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Builders with a live lease.
    pub leased_to: BTreeSet<Builder>,
    /// Why an operator holds it back.
    pub blocked: Option<String>,
    /// Failed attempts.
    pub failures: usize,
    /// Unix time of the last failed attempt.
    pub last_failure: u64,
    /// Larger first.
    pub priority: i64,
    /// The other orders that it waits for, sorted.
    pub waits_for: Vec<(Kind, PkgBase)>,
}

impl Standing {
    /// Neither leased to anybody nor blocked.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.leased_to.is_empty() && self.blocked.is_none()
    }

    /// Whether it has been tried and failed.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.failures > 0
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.leased_to.is_empty() {
            let names: Vec<&str> = self.leased_to.iter().map(Builder::as_str).collect();
            parts.push(format!("leased to {}", names.join(", ")));
        }
        if let Some(reason) = &self.blocked {
            parts.push(format!("blocked: {reason}"));
        }
        if !self.waits_for.is_empty() {
            let needs: Vec<String> = self
                .waits_for
                .iter()
                .map(|(kind, pkgbase)| format!("{pkgbase} ({})", kind.as_str()))
                .collect();
            parts.push(format!("waits for {}", needs.join(", ")));
        }
        if self.failures > 0 {
            let times = if self.failures == 1 { "once" } else { "times" };
            let count = if self.failures == 1 {
                String::new()
            } else {
                format!("{} ", self.failures)
            };
            parts.push(format!("broken {count}{times}"));
        }
        if self.is_pending() && self.waits_for.is_empty() {
            parts.push("can be built".to_owned());
        }
        f.write_str(&parts.join("; "))
    }
}

/// Everything that decides what is handed out.
#[derive(Debug, Clone, Default)]
pub struct Situation {
    /// The orders in list order, with their standings.
    pub orders: Vec<(Order, Standing)>,
    /// The leases of all builders, live or not.
    pub leases: BTreeMap<Builder, Vec<Lease>>,
    /// Lines of `builders/` and `priorities` that cannot be read.
    pub complaints: Vec<String>,
    /// Every recorded fact, also of orders that are not on the list.
    pub facts: BTreeMap<Order, Vec<State>>,
    /// Where in `orders` each package is; filled by [`Situation::of`].
    pub places: NameMap<PkgBase, usize>,
}

impl Situation {
    /// The orders with what they wait for; `None` when the graph does not know every order.
    #[must_use]
    pub fn of(list: &BuildList, graph: &BuildGraph) -> Option<Self> {
        let mut orders: Vec<(Order, Standing)> = list
            .orders()
            .map(|order| (order.clone(), Standing::default()))
            .collect();
        let mut places = NameMap::with_capacity_and_hasher(orders.len(), Default::default());
        places.extend(
            orders
                .iter()
                .enumerate()
                .map(|(place, (order, _))| (order.pkgbase.clone(), place)),
        );
        let mut known = 0;
        for (pkgbase, edges) in graph.orders() {
            let Some(place) = places.get(pkgbase) else {
                continue;
            };
            known += 1;
            orders[*place].1.waits_for = edges
                .iter()
                .filter(|edge| edge.force == Force::Firm && places.contains_key(&edge.needs))
                .map(|edge| (edge.kind, edge.needs.clone()))
                .collect();
        }
        (known == orders.len()).then(|| Self {
            orders,
            places,
            ..Self::default()
        })
    }

    /// Reads the state directory. Reasons of blocks are empty and a failed order has one failure without a time, until
    /// [`Situation::read_histories`].
    ///
    /// # Errors
    /// A file of it cannot be read.
    pub fn read_facts(&mut self, work_dir: &WorkDir, clock: &LeaseClock<'_>) -> Result<(), FileError> {
        self.facts = work_dir.states().list()?;
        for (_, standing) in &mut self.orders {
            *standing = Standing {
                waits_for: std::mem::take(&mut standing.waits_for),
                ..Standing::default()
            };
        }
        let mut complaints = Vec::new();
        for (pkgbase, priority) in priorities(work_dir, &mut complaints)? {
            if let Some(place) = self.places.get(&pkgbase) {
                self.orders[*place].1.priority = priority;
            }
        }
        self.leases.clear();
        for (builder, file) in work_dir.leases().files()? {
            self.leases.insert(builder, file.leases);
            complaints.extend(file.complaints);
        }
        self.complaints = complaints;
        for (builder, held) in &self.leases {
            for lease in held.iter().filter(|lease| clock.is_live(lease)) {
                if let Some(standing) = standing_at(&mut self.orders, &self.places, &lease.assignment.order) {
                    standing.leased_to.insert(builder.clone());
                }
            }
        }
        for (order, states) in &self.facts {
            if let Some(standing) = standing_at(&mut self.orders, &self.places, order) {
                standing.blocked = states.contains(&State::Blocked).then(String::new);
                standing.failures = usize::from(states.contains(&State::Broken));
            }
        }
        Ok(())
    }

    /// Reads why orders are blocked, and when and how often they failed.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn read_histories(&mut self, states: &States) -> Result<(), FileError> {
        for (order, standing) in &mut self.orders {
            if let Some(reason) = &mut standing.blocked {
                *reason = states.read(order, State::Blocked)?.unwrap_or_default().join(" ");
            }
            if standing.failures > 0 {
                (standing.failures, standing.last_failure) = failures(states, order)?;
            }
        }
        Ok(())
    }

    /// The standing of an order on the list.
    #[must_use]
    pub fn standing(&self, order: &Order) -> Option<&Standing> {
        self.orders
            .iter()
            .find(|(other, _)| other == order)
            .map(|(_, standing)| standing)
    }
}

fn standing_at<'o>(
    orders: &'o mut [(Order, Standing)],
    places: &NameMap<PkgBase, usize>,
    order: &Order,
) -> Option<&'o mut Standing> {
    let (found, standing) = orders.get_mut(*places.get(&order.pkgbase)?)?;
    (*found == *order).then_some(standing)
}

/// What tells live leases from expired ones.
#[derive(Debug, Clone, Copy)]
pub struct LeaseClock<'a> {
    /// The time of the request.
    pub now: &'a Now,
    /// How long a builder may be silent; 0: for ever.
    pub lease_seconds: u64,
}

impl LeaseClock<'_> {
    /// Whether the lease still holds.
    #[must_use]
    pub fn is_live(&self, lease: &Lease) -> bool {
        !lease.is_expired(self.now, self.lease_seconds)
    }
}

/// Number of failed attempts, at least one where there is a file, and time of the last; the original's lines have no
/// time.
fn failures(states: &States, order: &Order) -> Result<(usize, u64), FileError> {
    let lines = states.read(order, State::Broken)?.unwrap_or_default();
    let last = lines
        .iter()
        .filter_map(|line| line.split_ascii_whitespace().nth(1)?.parse().ok())
        .max()
        .unwrap_or(0);
    Ok((lines.len().max(1), last))
}

/// `priorities`: `pkgbase N` a line.
fn priorities(work_dir: &WorkDir, complaints: &mut Vec<String>) -> Result<BTreeMap<PkgBase, i64>, FileError> {
    let text = atomic::read_text(&work_dir.priorities())?.unwrap_or_default();
    let mut priorities = BTreeMap::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let parsed = match fields[..] {
            [pkgbase, number] => pkgbase.parse().ok().zip(number.parse().ok()),
            _ => None,
        };
        match parsed {
            Some((pkgbase, number)) => _ = priorities.insert(pkgbase, number),
            None => complaints.push(format!(
                "priorities line {} is not used: expected `pkgbase number`",
                index + 1
            )),
        }
    }
    Ok(priorities)
}
