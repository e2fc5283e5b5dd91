//! The usual answer: the first of the untried orders that waits for nothing.
//!
//! It is found without the lock and without owned names of all orders; with the lock held it is only looked whether
//! somebody was faster ([`Seen::still_holds`], and the state files of the one order). Everything that is not usual is
//! left to [`crate::selection`], which decides in all cases and, where this gives an answer, decides the same: orders
//! asked for by name, leases of the builder itself, expired leases, failures, loops, and lines that somebody has to be
//! told about.

use std::cmp::Reverse;
use std::path::PathBuf;

use common::atomic::{self, Stamp};
use common::build_graph::{self, Force};
use common::lease::{Lease, LeaseFile};
use common::names::{Builder, NameMap};
use common::order_fields::{self, OrderFields};
use common::priorities::Priorities;
use common::state::{self, State};
use common::work_dir::WorkDir;

use crate::standing::LeaseClock;

/// The state directory as it was at one moment.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    list: String,
    graph: String,
    stamps: Option<[Stamp; 2]>,
    states: Vec<String>,
    priorities: String,
    leases: Vec<(Builder, LeaseFile)>,
}

impl Seen {
    pub(crate) fn read(work_dir: &WorkDir) -> anyhow::Result<Self> {
        Ok(Self {
            stamps: stamps(work_dir),
            list: atomic::read_text(&work_dir.build_list())?.unwrap_or_default(),
            graph: atomic::read_text(&work_dir.build_graph())?.unwrap_or_default(),
            // The states before the leases: an order that is given back in between is then held for somebody's.
            states: work_dir.states().names()?,
            priorities: atomic::read_text(&work_dir.priorities())?.unwrap_or_default(),
            leases: work_dir.leases().files()?.into_iter().collect(),
        })
    }

    /// Whether list, graph and the leases of this builder are the same still.
    pub(crate) fn still_holds(&self, work_dir: &WorkDir, builder: &Builder) -> anyhow::Result<bool> {
        let is_same = |path: PathBuf, text: &str| atomic::read_text(&path).map(|now| now.unwrap_or_default() == text);
        let are_same = self.stamps.is_some() && self.stamps == stamps(work_dir)
            || is_same(work_dir.build_list(), &self.list)? && is_same(work_dir.build_graph(), &self.graph)?;
        Ok(are_same && work_dir.leases().of(builder)? == self.leases_of(builder))
    }

    fn leases_of(&self, builder: &Builder) -> &[Lease] {
        let of_builder = self.leases.iter().find(|(other, _)| other == builder);
        of_builder.map_or(&[], |(_, file)| &file.leases)
    }

    /// What is recorded of other orders of that package.
    pub(crate) fn others_of<'s>(&'s self, order: OrderFields<'s>) -> impl Iterator<Item = (OrderFields<'s>, State)> {
        let named = self.states.iter().filter(move |name| name.starts_with(order.pkgbase));
        let named = named.filter_map(|name| state::split_name(name));
        named.filter(move |(other, _)| other.pkgbase == order.pkgbase && *other != order)
    }
}

fn stamps(work_dir: &WorkDir) -> Option<[Stamp; 2]> {
    Some([Stamp::of(&work_dir.build_list())?, Stamp::of(&work_dir.build_graph())?])
}

/// What is known of an order.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    priority: i64,
    is_leased: bool,
    is_locked: bool,
    is_broken: bool,
    is_blocked: bool,
}

/// The orders on the list with what decides among those that have not been tried.
#[derive(Debug)]
pub(crate) struct Glance<'s> {
    lines: Vec<&'s str>,
    places: NameMap<&'s str, usize>,
    /// What the graph says of each order; `None`: nothing.
    edges: Vec<Option<build_graph::Line<'s>>>,
    marks: Vec<Mark>,
}

impl<'s> Glance<'s> {
    /// `None` when something of what was seen is not usual.
    pub(crate) fn of(seen: &'s Seen, builder: &Builder, clock: &LeaseClock<'_>) -> Option<Self> {
        let lines = order_fields::lines(&seen.list)?;
        let mut places = NameMap::with_capacity_and_hasher(lines.len(), Default::default());
        for (place, line) in lines.iter().enumerate() {
            if places.insert(order_fields::pkgbase(line), place).is_some() {
                return None;
            }
        }
        let mut glance = Self {
            edges: vec![None; lines.len()],
            marks: vec![Mark::default(); lines.len()],
            lines,
            places,
        };
        glance.take_graph(&seen.graph)?;
        glance.take_states(&seen.states);
        glance.take_priorities(&seen.priorities)?;
        glance.take_leases(&seen.leases, builder, clock)?;
        Some(glance)
    }

    fn take_graph(&mut self, graph: &'s str) -> Option<()> {
        for line in build_graph::lines(graph) {
            if let Some(place) = self.places.get(line.pkgbase)
                && self.edges[*place].replace(line).is_some()
            {
                return None;
            }
        }
        Some(())
    }

    fn take_states(&mut self, names: &[String]) {
        for (order, state) in names.iter().filter_map(|name| state::split_name(name)) {
            if let Some(place) = self.place_of(order) {
                let mark = &mut self.marks[place];
                match state {
                    State::Locked => mark.is_locked = true,
                    State::Broken => mark.is_broken = true,
                    State::Blocked => mark.is_blocked = true,
                    State::Done | State::Testing | State::Tested => {}
                }
            }
        }
    }

    fn take_priorities(&mut self, text: &str) -> Option<()> {
        let (priorities, complaints) = Priorities::parse(text);
        for (pkgbase, priority) in priorities.iter() {
            if let Some(place) = self.places.get(pkgbase.as_str()) {
                self.marks[*place].priority = priority;
            }
        }
        complaints.is_empty().then_some(())
    }

    fn take_leases(&mut self, files: &[(Builder, LeaseFile)], own: &Builder, clock: &LeaseClock<'_>) -> Option<()> {
        for (builder, file) in files {
            for lease in &file.leases {
                if let Some(place) = self.place_of(OrderFields::of(&lease.assignment.order)) {
                    if builder == own {
                        return None;
                    }
                    self.marks[place].is_leased |= clock.is_live(lease);
                }
            }
            if !file.complaints.is_empty() {
                return None;
            }
        }
        Some(())
    }

    fn place_of(&self, order: OrderFields<'_>) -> Option<usize> {
        let place = *self.places.get(order.pkgbase)?;
        (OrderFields::of_line(self.lines[place]) == Some(order)).then_some(place)
    }

    /// The orders that may be handed out, the best first, as far as nothing else could be better.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = OrderFields<'s>> {
        let mut free: Vec<usize> = (0..self.lines.len()).filter(|place| self.is_free(*place)).collect();
        free.sort_by_key(|place| Reverse(self.marks[*place].priority));
        let mut urgent = None;
        let usual = free.into_iter().map_while(move |place| {
            let mark = self.marks[place];
            // A loop or a failed order that is more urgent may be better, and an expired lease is somebody's still.
            if mark.is_locked && !mark.is_broken || urgent.is_some_and(|before| before > mark.priority) {
                return None;
            }
            let is_usual = !mark.is_broken && !self.is_waiting(place)?;
            if !is_usual {
                urgent = urgent.or(Some(mark.priority));
            }
            Some(is_usual.then_some(place))
        });
        usual
            .flatten()
            .filter_map(|place| OrderFields::of_line(self.lines[place]))
    }

    fn is_free(&self, place: usize) -> bool {
        let mark = self.marks[place];
        !mark.is_leased && !mark.is_blocked
    }

    /// Whether an order waits for another one on the list; `None` when the graph does not say it for certain.
    fn is_waiting(&self, place: usize) -> Option<bool> {
        let mut is_waiting = false;
        for edge in self.edges[place]?.edges() {
            let (_, force, needed) = edge.ok()?;
            is_waiting |= force == Force::Firm && self.places.contains_key(needed);
        }
        Some(is_waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selection::{Choice, Request, choose};
    use crate::standing::Situation;
    use common::assignment::Assignment;
    use common::build_list::{BuildList, Order};
    use common::clock::Now;
    use common::config::{Config, Environment};
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::fs;

    const NOW: u64 = 10_000;
    const LEASE_SECONDS: u64 = 100;
    const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

    fn now(unix: u64) -> Now {
        Now {
            unix,
            boot_id: "boot".to_owned(),
            boot_seconds: unix,
        }
    }

    fn order(pkgbase: &str) -> Order {
        format!("{pkgbase} {} {} core", "1".repeat(40), "2".repeat(40))
            .parse()
            .unwrap()
    }

    /// What can be wrong with an order.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Trouble {
        None,
        Blocked,
        Broken,
        /// Named in `locked`, by somebody without a lease.
        Locked,
        Leased,
        Expired,
    }

    #[derive(Debug, Clone)]
    struct Case {
        /// For each order the orders that it needs.
        needs: Vec<BTreeSet<usize>>,
        troubles: Vec<Trouble>,
        priorities: Vec<i64>,
    }

    fn cases() -> impl Strategy<Value = Case> {
        let count = NAMES.len();
        let needs = prop::collection::vec(prop::collection::btree_set(0..count, 0..2), count);
        let trouble = prop_oneof![
            6 => Just(Trouble::None),
            1 => Just(Trouble::Blocked),
            1 => Just(Trouble::Broken),
            1 => Just(Trouble::Locked),
            1 => Just(Trouble::Leased),
            1 => Just(Trouble::Expired),
        ];
        let troubles = prop::collection::vec(trouble, count);
        let priorities = prop::collection::vec(prop_oneof![4 => Just(0), 1 => -1_i64..2], count);
        (needs, troubles, priorities).prop_map(|(needs, troubles, priorities)| Case {
            needs,
            troubles,
            priorities,
        })
    }

    fn write(case: &Case, root: &std::path::Path) -> WorkDir {
        let conf = root.join("portsmith.conf");
        atomic::write(&conf, format!("work_dir={}\n", root.display()).as_bytes()).unwrap();
        let config = Config::load(Some(&conf), &Environment::new()).unwrap();
        let work_dir = WorkDir::open(&config).unwrap();
        let orders = || NAMES.iter().map(|name| order(name));
        BuildList::new(orders()).write(&work_dir.build_list()).unwrap();
        let (mut graph, mut priorities) = (String::new(), String::new());
        for (place, order) in orders().enumerate() {
            graph += NAMES[place];
            for needed in &case.needs[place] {
                graph += &format!(" make:{}", NAMES[*needed]);
            }
            graph.push('\n');
            priorities += &format!("{} {}\n", NAMES[place], case.priorities[place]);
            let state = match case.troubles[place] {
                Trouble::None => continue,
                Trouble::Blocked => State::Blocked,
                Trouble::Broken => State::Broken,
                Trouble::Locked | Trouble::Leased | Trouble::Expired => State::Locked,
            };
            work_dir.states().write(&order, state, ["x 1"]).unwrap();
            let seen = match case.troubles[place] {
                Trouble::Leased => NOW,
                Trouble::Expired => NOW - LEASE_SECONDS - 1,
                _ => continue,
            };
            let assignment = Assignment { order, sub_pkgrel: 0 };
            let lease = Lease::new(assignment, &now(seen));
            let builder = format!("builder-{place}").parse().unwrap();
            work_dir.leases().write(&builder, &[lease]).unwrap();
        }
        atomic::write(&work_dir.build_graph(), graph.as_bytes()).unwrap();
        atomic::write(&work_dir.priorities(), priorities.as_bytes()).unwrap();
        work_dir
    }

    fn in_full(work_dir: &WorkDir, builder: &Builder, clock: &LeaseClock<'_>) -> Choice {
        let (list, _) = BuildList::read(&work_dir.build_list()).unwrap();
        let mut situation = Situation::of(list);
        let graph = fs::read_to_string(work_dir.build_graph()).unwrap();
        assert!(situation.take_needs(&graph, &mut Vec::new()));
        situation.read_facts(work_dir, clock).unwrap();
        let request = Request {
            builder,
            wanted: None,
            have: &[],
            limit: 0,
            passed_over: &BTreeSet::new(),
        };
        choose(&situation, &request, clock)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn a_glance_decides_as_the_full_look_does(case in cases()) {
            let directory = tempfile::tempdir().unwrap();
            let work_dir = write(&case, directory.path());
            let (builder, time): (Builder, Now) = ("asking".parse().unwrap(), now(NOW));
            let clock = LeaseClock { now: &time, lease_seconds: LEASE_SECONDS };
            let seen = Seen::read(&work_dir).unwrap();
            let glance = Glance::of(&seen, &builder, &clock).unwrap();
            let first = glance.candidates().next();
            let full = in_full(&work_dir, &builder, &clock);
            match first {
                Some(found) => prop_assert_eq!(full, Choice::Fresh(found.check().unwrap())),
                None => {
                    let is_plain = case.troubles.iter().all(|trouble| matches!(trouble, Trouble::None | Trouble::Leased))
                        && case.priorities.iter().all(|priority| *priority == 0);
                    let is_ready = |choice: &Choice| match choice {
                        Choice::Fresh(order) => {
                            let place = NAMES.iter().position(|name| *name == order.pkgbase.as_str()).unwrap();
                            case.needs[place].is_empty()
                        }
                        _ => false,
                    };
                    prop_assert!(!(is_plain && is_ready(&full)), "{full:?} is usual and was not seen");
                }
            }
        }
    }

    #[test]
    fn what_somebody_has_to_be_told_is_left_to_the_full_look() {
        let directory = tempfile::tempdir().unwrap();
        let count = NAMES.len();
        let plain = Case {
            needs: vec![BTreeSet::new(); count],
            troubles: vec![Trouble::None; count],
            priorities: vec![0; count],
        };
        let work_dir = write(&plain, directory.path());
        let time = now(NOW);
        let clock = LeaseClock {
            now: &time,
            lease_seconds: LEASE_SECONDS,
        };
        let builder: Builder = "asking".parse().unwrap();
        let first = || {
            let seen = Seen::read(&work_dir).unwrap();
            let glance = Glance::of(&seen, &builder, &clock)?;
            glance.candidates().next().map(|order| order.pkgbase.to_owned())
        };
        assert_eq!(first().as_deref(), Some("a"));
        let leases = work_dir.leases();
        let paths = [
            work_dir.build_list(),
            work_dir.build_graph(),
            work_dir.priorities(),
            leases.directory().join("other"),
        ];
        for path in paths {
            let before = fs::read_to_string(&path).unwrap_or_default();
            atomic::write(&path, format!("a torn li\n{before}").as_bytes()).unwrap();
            assert_eq!(first(), None, "{}", path.display());
            atomic::write(&path, before.as_bytes()).unwrap();
        }
        let assignment = Assignment {
            order: order("e"),
            sub_pkgrel: 0,
        };
        leases.write(&builder, &[Lease::new(assignment, &time)]).unwrap();
        assert_eq!(first(), None, "it has a lease itself");
    }
}
