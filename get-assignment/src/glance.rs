//! The usual answer, found fast: the first of the untried orders that waits for nothing.
//!
//! The list and the graph of a whole distribution are read without the lock, and line by line: what they say of all
//! orders is not kept. With the lock held it is seen whether they are still the same, and who has what.
//!
//! Everything that is not usual is left to [`crate::selection`], which decides in all cases and, where this gives an
//! answer, decides the same: orders asked for by name, priorities, leases of the builder itself, failures, loops, and
//! lines that somebody has to be told about. Not looked for are a second line of a package on the list, of which the
//! first counts, and edges of orders behind the head: get-package-updates and the full look tell of those.

use common::atomic;
use common::build_graph::{self, Force};
use common::build_list::Order;
use common::lease::LeaseFile;
use common::lines;
use common::names::{Builder, NameMap};
use common::order::fields::{self, OrderFields};
use common::priorities::Priorities;
use common::state::{self, State};
use common::work_dir::WorkDir;

use crate::basis::{self, Stamps};
use crate::standing::LeaseClock;

/// So many orders at the head of the list are looked at.
const HEAD: usize = 2_000;

/// What is recorded of orders.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The names of the state files.
    states: Vec<String>,
    leases: Vec<(Builder, LeaseFile)>,
    /// Or lines that are none.
    has_priorities: bool,
}

impl Seen {
    pub(crate) fn read(work_dir: &WorkDir) -> anyhow::Result<Self> {
        let text = atomic::read_text(&work_dir.priorities())?.unwrap_or_default();
        let (priorities, complaints) = Priorities::parse(&text);
        Ok(Self {
            states: work_dir.states().names()?,
            leases: work_dir.leases().files()?.into_iter().collect(),
            has_priorities: !complaints.is_empty() || priorities.iter().any(|(_, priority)| priority != 0),
        })
    }

    /// What is recorded of other orders of that package.
    pub(crate) fn others_of(&self, order: &Order) -> Vec<(Order, State)> {
        let its = |name: &&String| name.starts_with(order.pkgbase.as_str());
        let named = self
            .states
            .iter()
            .filter(its)
            .filter_map(|name| state::split_name(name));
        named
            .filter_map(|(other, state)| Some((other.check().ok()?, state)))
            .filter(|(other, _)| other.pkgbase == order.pkgbase && other != order)
            .collect()
    }
}

/// The orders that are leased, blocked or have failed, by pkgbase.
#[derive(Debug, Default)]
struct Taken<'s>(NameMap<&'s str, OrderFields<'s>>);

impl<'s> Taken<'s> {
    /// `None` when something of what was seen is not usual.
    fn of(seen: &'s Seen, builder: &Builder, clock: &LeaseClock<'_>) -> Option<Self> {
        let mut taken = Self::default();
        for (order, state) in seen.states.iter().filter_map(|name| state::split_name(name)) {
            if matches!(state, State::Broken | State::Blocked) {
                taken.add(order)?;
            }
        }
        for (other, file) in &seen.leases {
            let is_usual = file.complaints.is_empty() && (other != builder || file.leases.is_empty());
            if !is_usual {
                return None;
            }
            for lease in file.leases.iter().filter(|lease| clock.is_live(lease)) {
                taken.add(OrderFields::of(&lease.assignment.order))?;
            }
        }
        Some(taken)
    }

    /// `None` when another order of the same package is taken, too.
    fn add(&mut self, order: OrderFields<'s>) -> Option<()> {
        (*self.0.entry(order.pkgbase).or_insert(order) == order).then_some(())
    }

    /// Whether an order is not among them; `None` when another one of the same package is.
    fn is_free(&self, line: &str) -> Option<bool> {
        match self.0.get(fields::pkgbase(line)) {
            None => Some(true),
            Some(order) => (OrderFields::of_line(line)? == *order).then_some(false),
        }
    }
}

/// The orders at the head of the list that wait for nothing, whoever has them.
#[derive(Debug)]
pub(crate) struct Ready {
    lines: Vec<String>,
    stamps: Option<Stamps>,
}

impl Ready {
    /// Reads list and graph; `None` when something of them is not usual.
    pub(crate) fn read(work_dir: &WorkDir) -> anyhow::Result<Option<Self>> {
        let stamps = basis::stamps(work_dir);
        let mut head: Vec<String> = Vec::new();
        let mut check = fields::LineCheck::default();
        let is_usual = lines::visit(&work_dir.build_list(), |line| {
            if head.len() < HEAD {
                head.push(line.to_owned());
            }
            check.is_order(line).then_some(())
        })?;
        if is_usual.is_none() {
            return Ok(None);
        }
        let Some(needs) = needs_of(work_dir, &head)? else {
            return Ok(None);
        };
        let listed = listed(work_dir, &needs)?;
        // An order of which the graph does not know enough is one to look at everything for: it ends the usual.
        let known = head
            .into_iter()
            .zip(&needs)
            .map_while(|(line, needs)| Some((line, needs.as_ref()?)));
        let ready = known.filter(|(_, needs)| needs.iter().all(|needed| !listed[needed.as_str()]));
        let lines = ready.map(|(line, _)| line).collect();
        Ok(Some(Self { lines, stamps }))
    }

    /// Whether list and graph have certainly not changed since.
    pub(crate) fn still_holds(&self, work_dir: &WorkDir) -> bool {
        self.stamps.is_some() && self.stamps == basis::stamps(work_dir)
    }

    /// The order that is handed out, if nothing else could be better.
    pub(crate) fn first(&self, seen: &Seen, builder: &Builder, clock: &LeaseClock<'_>) -> Option<Order> {
        if seen.has_priorities {
            return None;
        }
        let taken = Taken::of(seen, builder, clock)?;
        for line in &self.lines {
            if taken.is_free(line)? {
                return line.parse().ok();
            }
        }
        None
    }
}

/// What each order waits for as far as it is on the list: firm edges of the graph. Of an order of which the graph says
/// nothing, or nothing that can be read, `None`; of all when it says something twice.
fn needs_of(work_dir: &WorkDir, head: &[String]) -> anyhow::Result<Option<Vec<Option<Vec<String>>>>> {
    let places = head
        .iter()
        .enumerate()
        .map(|(place, line)| (fields::pkgbase(line), place));
    let places: NameMap<&str, usize> = places.collect();
    let mut needs: Vec<Option<Vec<String>>> = vec![None; head.len()];
    let is_usual = lines::visit(&work_dir.build_graph(), |line| {
        for line in build_graph::lines(line) {
            let Some(place) = places.get(line.pkgbase) else {
                continue;
            };
            let mut of_line = Vec::new();
            for edge in line.edges() {
                let (_, force, needed) = edge.ok()?;
                if force == Force::Firm {
                    of_line.push(needed.to_owned());
                }
            }
            if needs[*place].replace(of_line).is_some() {
                return None;
            }
        }
        Some(())
    })?;
    Ok(is_usual.map(|()| needs))
}

/// Which of the needed orders are on the list.
fn listed<'n>(work_dir: &WorkDir, needs: &'n [Option<Vec<String>>]) -> anyhow::Result<NameMap<&'n str, bool>> {
    let all = needs.iter().flatten().flatten().map(|needed| (needed.as_str(), false));
    let mut listed: NameMap<&str, bool> = all.collect();
    if !listed.is_empty() {
        lines::visit(&work_dir.build_list(), |line| {
            if let Some(is_listed) = listed.get_mut(fields::pkgbase(line)) {
                *is_listed = true;
            }
            Some(())
        })?;
    }
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selection::{Choice, Request, choose};
    use crate::standing::Situation;
    use common::assignment::Assignment;
    use common::build_list::BuildList;
    use common::clock::Now;
    use common::config::{Config, Environment};
    use common::lease::Lease;
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
            let builder = format!("builder-{place}");
            work_dir.states().write(&order, state, [&builder]).unwrap();
            let seen = match case.troubles[place] {
                Trouble::Leased => NOW,
                Trouble::Expired => NOW - LEASE_SECONDS - 1,
                _ => continue,
            };
            let assignment = Assignment { order, sub_pkgrel: 0 };
            let lease = Lease::new(assignment, &now(seen));
            work_dir.leases().write(&builder.parse().unwrap(), &[lease]).unwrap();
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
            let first = Ready::read(&work_dir).unwrap().unwrap().first(&seen, &builder, &clock);
            let full = in_full(&work_dir, &builder, &clock);
            match first {
                Some(found) => prop_assert_eq!(full, Choice::Fresh(found)),
                None => {
                    let is_plain = case.troubles.iter().all(|trouble| matches!(trouble, Trouble::None | Trouble::Leased | Trouble::Locked | Trouble::Expired))
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
            let found = Ready::read(&work_dir).unwrap()?.first(&seen, &builder, &clock);
            found.map(|order| order.pkgbase.to_string())
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
