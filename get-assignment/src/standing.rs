//! Where each order on the build list stands: what is known of it, gathered with the build-list lock held.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use common::atomic::{self, FileError};
use common::build_graph::{self, Force, Kind};
use common::build_list::{BuildList, Order, Places};
use common::clock::Now;
use common::lease::Lease;
use common::names::Builder;
use common::priorities::Priorities;
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
    /// Which of [`Situation::needs`] are its own.
    needs: Range<usize>,
}

impl Standing {
    /// Neither leased to anybody nor blocked.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.leased_to.is_empty() && self.blocked.is_none()
    }

    /// Whether it waits for other orders.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.needs.is_empty()
    }

    /// Whether it has been tried and failed.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.failures > 0
    }
}

/// Everything that decides what is handed out.
#[derive(Debug, Clone, Default)]
pub struct Situation {
    /// The orders in list order.
    pub orders: Vec<Order>,
    /// Where each of them stands.
    pub standings: Vec<Standing>,
    /// The leases of all builders, live or not.
    pub leases: BTreeMap<Builder, Vec<Lease>>,
    /// Lines of `builders/` and `priorities` that cannot be read.
    pub complaints: Vec<String>,
    /// Every recorded fact, also of orders that are not on the list.
    pub facts: BTreeMap<Order, Vec<State>>,
    /// Where in `orders` each package is.
    pub places: Places,
    /// What each order waits for, those of one order together: the kind, and the place of the other order.
    needs: Vec<(Kind, usize)>,
}

impl Situation {
    /// The orders of a list, with no needs yet.
    #[must_use]
    pub fn of(list: BuildList) -> Self {
        let (orders, places) = list.into_orders();
        Self {
            standings: vec![Standing::default(); orders.len()],
            orders,
            places,
            ..Self::default()
        }
    }

    /// Takes the needs out of the text of a build-graph: the firm ones between orders on the list. What is wrong with its
    /// lines is added to `complaints`; false when it does not know every order.
    pub fn take_needs(&mut self, graph: &str, complaints: &mut Vec<String>) -> bool {
        let mut is_known = vec![false; self.orders.len()];
        self.needs = Vec::with_capacity(graph.len() / 16);
        for line in build_graph::lines(graph) {
            let begin = self.needs.len();
            let mut is_whole = true;
            for edge in line.edges() {
                match edge {
                    Ok((kind, Force::Firm, needed)) => {
                        self.needs.extend(self.places.get(needed).map(|needed| (kind, *needed)));
                    }
                    Ok((_, Force::Relaxed, _)) => {}
                    Err(error) => {
                        is_whole = false;
                        complaints.push(format!("build-graph line {}: {error}", line.number));
                    }
                }
            }
            if let Some(place) = self.places.get(line.pkgbase)
                && is_whole
            {
                // A person may have given it a second line.
                let before = std::mem::take(&mut self.standings[*place].needs);
                self.needs.extend_from_within(before);
                self.standings[*place].needs = begin..self.needs.len();
                is_known[*place] = true;
            }
        }
        is_known.iter().all(|is_known| *is_known)
    }

    /// What an order waits for: the kind, and the place of the other order.
    #[must_use]
    pub fn waits_for(&self, standing: &Standing) -> &[(Kind, usize)] {
        &self.needs[standing.needs.clone()]
    }

    /// The orders with their standings, in list order.
    pub fn entries(&self) -> impl Iterator<Item = (&Order, &Standing)> {
        self.orders.iter().zip(&self.standings)
    }

    /// Reads the state directory. Reasons of blocks are empty and a failed order has one failure without a time, until
    /// [`Situation::read_histories`].
    ///
    /// # Errors
    /// A file of it cannot be read.
    pub fn read_facts(&mut self, work_dir: &WorkDir, clock: &LeaseClock<'_>) -> Result<(), FileError> {
        self.facts = work_dir.states().list()?;
        for standing in &mut self.standings {
            *standing = Standing {
                needs: standing.needs.clone(),
                ..Standing::default()
            };
        }
        let text = atomic::read_text(&work_dir.priorities())?.unwrap_or_default();
        let (priorities, mut complaints) = Priorities::parse(&text);
        for (pkgbase, priority) in priorities.iter() {
            if let Some(place) = self.places.get(pkgbase) {
                self.standings[*place].priority = priority;
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
                if let Some(place) = place_of(&self.orders, &self.places, &lease.assignment.order) {
                    self.standings[place].leased_to.insert(builder.clone());
                }
            }
        }
        for (order, states) in &self.facts {
            if let Some(place) = place_of(&self.orders, &self.places, order) {
                let standing = &mut self.standings[place];
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
        for (order, standing) in self.orders.iter().zip(&mut self.standings) {
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
        Some(&self.standings[place_of(&self.orders, &self.places, order)?])
    }

    /// The leases of a builder whose orders are on the list, live or not.
    #[must_use]
    pub fn held_by(&self, builder: &Builder) -> Vec<Lease> {
        let mut held = self.leases.get(builder).cloned().unwrap_or_default();
        held.retain(|lease| self.standing(&lease.assignment.order).is_some());
        held
    }

    /// What is recorded of other orders of the same package.
    #[must_use]
    pub fn others_of(&self, order: &Order) -> Vec<(Order, State)> {
        let is_other = |other: &Order| other.pkgbase == order.pkgbase && other != order;
        let others = self.facts.iter().filter(|(other, _)| is_other(other));
        others
            .flat_map(|(other, states)| states.iter().map(|state| (other.clone(), *state)))
            .collect()
    }

    /// A standing in words.
    #[must_use]
    pub fn describe(&self, standing: &Standing) -> String {
        let mut parts = Vec::new();
        if !standing.leased_to.is_empty() {
            let names: Vec<&str> = standing.leased_to.iter().map(Builder::as_str).collect();
            parts.push(format!("leased to {}", names.join(", ")));
        }
        if let Some(reason) = &standing.blocked {
            parts.push(format!("blocked: {reason}"));
        }
        if standing.is_waiting() {
            let needs = self.waits_for(standing).iter();
            let needs: Vec<String> = needs
                .map(|(kind, place)| format!("{} ({})", self.orders[*place].pkgbase, kind.as_str()))
                .collect();
            parts.push(format!("waits for {}", needs.join(", ")));
        }
        match standing.failures {
            0 => {}
            1 => parts.push("broken once".to_owned()),
            count => parts.push(format!("broken {count} times")),
        }
        if standing.is_pending() && !standing.is_waiting() {
            parts.push("can be built".to_owned());
        }
        parts.join("; ")
    }
}

fn place_of(orders: &[Order], places: &Places, order: &Order) -> Option<usize> {
    let place = *places.get(&order.pkgbase)?;
    (orders[place] == *order).then_some(place)
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
