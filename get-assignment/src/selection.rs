//! Which order is handed out: a pure function of the situation.
//!
//! Preference: the same lease again; asked for by name; priority; never tried, in list order; one order of a loop none
//! of whose members has a live lease; longest since the last failure. It is total: if any order may be built, one is
//! handed out. An order that waits for another one on the list may not be built, unless it breaks a loop.

mod loops;

use std::cmp::Reverse;
use std::collections::BTreeSet;

use common::build_list::Order;
use common::lease::Lease;
use common::names::{Builder, PkgBase};

use crate::standing::{LeaseClock, Situation, Standing};
pub(crate) use loops::loop_breakers;

/// Who asks, and what for.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The builder.
    pub builder: &'a Builder,
    /// The order that it wants.
    pub wanted: Option<&'a PkgBase>,
    /// The orders that it works on.
    pub have: &'a [PkgBase],
    /// 0: one lease, asking again returns it; else the most leases that it may have.
    pub limit: u64,
    /// Orders that turned out not to be fit for being handed out.
    pub passed_over: &'a BTreeSet<Order>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Print this lease again.
    Again(Lease),
    /// Let the builder work on an order that others work on too, with their sub_pkgrel.
    Share(Order, u32),
    /// Hand out this order.
    Fresh(Order),
    /// The builder has as many leases as it may have.
    LimitReached,
    /// Some order is free, but none can be built now.
    NoneNow,
    /// There is nothing to do, or the wanted order is not on the list.
    Nothing,
}

/// Chooses.
#[must_use]
pub fn choose(situation: &Situation, request: &Request<'_>, clock: &LeaseClock<'_>) -> Choice {
    if let Some(choice) = of_own_leases(situation, request, clock) {
        return choice;
    }
    if let Some(wanted) = request.wanted {
        let place = situation.places.get(wanted);
        let Some((order, standing)) = place.map(|place| (&situation.orders[*place], &situation.standings[*place]))
        else {
            return Choice::Nothing;
        };
        if !request.passed_over.contains(order)
            && let Some(choice) = wanted_order(situation, order, standing, clock)
        {
            return choice;
        }
    }
    let mut best = best_candidate(situation, request, &[]);
    if may_be_beaten(best, situation) {
        best = best_candidate(situation, request, &loop_breakers(situation));
    }
    match best {
        Some((_, order)) => Choice::Fresh(order.clone()),
        None if situation.standings.iter().any(Standing::is_pending) => Choice::NoneNow,
        None => Choice::Nothing,
    }
}

/// The best of the orders that may be built, with those that break a loop as far as they are given.
fn best_candidate<'a>(
    situation: &'a Situation,
    request: &Request<'_>,
    breakers: &[Option<usize>],
) -> Option<(Rank, &'a Order)> {
    let ranked = situation
        .entries()
        .enumerate()
        .filter_map(|(position, (order, standing))| {
            let breaker = breakers.get(position).copied().flatten();
            let rank = rank(standing, breaker, position).filter(|_| standing.is_pending())?;
            Some((rank, order))
        });
    ranked
        .filter(|(_, order)| !request.passed_over.contains(*order))
        .min_by_key(|(rank, _)| *rank)
}

/// Whether an order that breaks a loop could be better: which ones do takes long to find out.
fn may_be_beaten(best: Option<(Rank, &Order)>, situation: &Situation) -> bool {
    let mut waiting = situation
        .standings
        .iter()
        .filter(|standing| standing.is_pending() && standing.is_waiting());
    match best {
        Some(((priority, 0, ..), _)) => waiting.any(|standing| Reverse(standing.priority) < priority),
        _ => waiting.next().is_some(),
    }
}

/// What the builder's own leases answer already.
fn of_own_leases(situation: &Situation, request: &Request<'_>, clock: &LeaseClock<'_>) -> Option<Choice> {
    let held: Vec<&Lease> = situation
        .leases
        .get(request.builder)
        .into_iter()
        .flatten()
        .filter(|lease| is_still_held(situation, lease, request.builder, clock))
        .collect();
    let forgotten = held
        .iter()
        .find(|lease| !request.have.contains(&lease.assignment.order.pkgbase));
    match forgotten {
        Some(lease) => Some(Choice::Again((*lease).clone())),
        None if request.limit > 0 && held.len() as u64 >= request.limit => Some(Choice::LimitReached),
        None if request.limit == 0 && !held.is_empty() => Some(Choice::LimitReached),
        None => None,
    }
}

/// Its order is on the list, and if the lease has expired, nobody else has taken the order over.
fn is_still_held(situation: &Situation, lease: &Lease, builder: &Builder, clock: &LeaseClock<'_>) -> bool {
    situation
        .standing(&lease.assignment.order)
        .is_some_and(|standing| clock.is_live(lease) || standing.leased_to.iter().all(|other| other == builder))
}

/// An order that is asked for by name: blocks and failures do not matter, and it is shared.
fn wanted_order(situation: &Situation, order: &Order, standing: &Standing, clock: &LeaseClock<'_>) -> Option<Choice> {
    let shared = situation
        .leases
        .values()
        .flatten()
        .find(|lease| lease.assignment.order == *order && clock.is_live(lease));
    match shared {
        Some(lease) => Some(Choice::Share(order.clone(), lease.assignment.sub_pkgrel)),
        None if !standing.is_waiting() => Some(Choice::Fresh(order.clone())),
        None => None,
    }
}

/// How good a candidate is: the smallest is taken; `None` when it may not be built.
type Rank = (Reverse<i64>, u8, u64, usize, usize);

fn rank(standing: &Standing, breaker: Option<usize>, position: usize) -> Option<Rank> {
    let priority = Reverse(standing.priority);
    match (!standing.is_waiting(), breaker) {
        (true, _) if !standing.is_broken() => Some((priority, 0, 0, 0, position)),
        (false, Some(left)) if !standing.is_broken() => Some((priority, 1, 0, left, position)),
        // A loop that fails again and again must not keep the other failures from their turn.
        (true, _) | (false, Some(_)) => Some((priority, 2, standing.last_failure, 0, position)),
        (false, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::build_list::BuildList;
    use common::clock::Now;

    fn order(pkgbase: &str) -> Order {
        Order {
            pkgbase: pkgbase.parse().unwrap(),
            revision: "1".repeat(40).parse().unwrap(),
            mod_revision: "2".repeat(40).parse().unwrap(),
            repository: "core".parse().unwrap(),
        }
    }

    fn builder(name: &str) -> Builder {
        name.parse().unwrap()
    }

    /// `"a"`, `"b: a"` (b needs a) …, in list order.
    fn situation(lines: &[&str]) -> Situation {
        let mut graph = String::new();
        let mut names: Vec<&str> = Vec::new();
        for line in lines {
            let (pkgbase, needs) = line.split_once(':').unwrap_or((line, ""));
            let needs: String = needs
                .split_whitespace()
                .map(|needed| format!(" make:{needed}"))
                .collect();
            graph += &format!("{pkgbase}{needs}\n");
            names.push(pkgbase);
        }
        let mut situation = Situation::of(BuildList::new(names.into_iter().map(order)));
        assert!(situation.take_needs(&graph, &mut Vec::new()));
        situation
    }

    fn of<'a>(situation: &'a mut Situation, pkgbase: &str) -> &'a mut Standing {
        let place = situation.places[pkgbase];
        &mut situation.standings[place]
    }

    fn lease(situation: &mut Situation, name: &str, pkgbase: &str, seen: u64) {
        let assignment = common::assignment::Assignment {
            order: order(pkgbase),
            sub_pkgrel: 7,
        };
        let lease = Lease::new(assignment, &now(seen));
        if !lease.is_expired(&now(NOW), 100) {
            of(situation, pkgbase).leased_to.insert(builder(name));
        }
        situation.leases.entry(builder(name)).or_default().push(lease);
    }

    const NOW: u64 = 1_000;

    fn now(unix: u64) -> Now {
        Now {
            unix,
            boot_id: "boot".to_owned(),
            boot_seconds: unix,
        }
    }

    struct Ask<'a> {
        wanted: Option<&'a str>,
        have: &'a [&'a str],
        limit: u64,
    }

    const ANYTHING: Ask<'_> = Ask {
        wanted: None,
        have: &[],
        limit: 0,
    };

    fn ask(situation: &Situation, name: &str, ask: &Ask<'_>) -> Choice {
        let wanted: Option<PkgBase> = ask.wanted.map(|name| name.parse().unwrap());
        let have: Vec<PkgBase> = ask.have.iter().map(|name| name.parse().unwrap()).collect();
        let passed_over = BTreeSet::new();
        let request = Request {
            builder: &builder(name),
            wanted: wanted.as_ref(),
            have: &have,
            limit: ask.limit,
            passed_over: &passed_over,
        };
        let time = now(NOW);
        let clock = LeaseClock {
            now: &time,
            lease_seconds: 100,
        };
        choose(situation, &request, &clock)
    }

    fn given(situation: &Situation) -> Choice {
        ask(situation, "s1", &ANYTHING)
    }

    #[test]
    fn scenario_25_nothing_on_the_list_or_all_blocked_or_leased_is_nothing_to_do() {
        assert_eq!(given(&situation(&[])), Choice::Nothing);
        let mut all = situation(&["a", "b"]);
        of(&mut all, "a").blocked = Some("why".to_owned());
        lease(&mut all, "s2", "b", NOW);
        assert_eq!(given(&all), Choice::Nothing);
    }

    #[test]
    fn scenario_25_and_26_an_order_that_waits_is_not_handed_out() {
        let mut two = situation(&["b: a", "a"]);
        assert_eq!(given(&two), Choice::Fresh(order("a")));
        lease(&mut two, "s2", "a", NOW);
        assert_eq!(given(&two), Choice::NoneNow);
    }

    #[test]
    fn scenario_27_a_blocked_order_is_had_only_by_name_and_holds_its_dependants_back() {
        let mut two = situation(&["a", "b: a"]);
        of(&mut two, "a").blocked = Some("wait for FS#1".to_owned());
        assert_eq!(given(&two), Choice::NoneNow);
        let by_name = Ask {
            wanted: Some("a"),
            ..ANYTHING
        };
        assert_eq!(ask(&two, "s1", &by_name), Choice::Fresh(order("a")));
    }

    #[test]
    fn scenario_28_the_same_lease_again_and_sharing_by_name() {
        let mut two = situation(&["a", "c"]);
        lease(&mut two, "s1", "a", NOW);
        assert!(matches!(given(&two), Choice::Again(lease) if lease.assignment.order == order("a")));
        let by_name = Ask {
            wanted: Some("a"),
            ..ANYTHING
        };
        assert_eq!(ask(&two, "s3", &by_name), Choice::Share(order("a"), 7));
    }

    #[test]
    fn scenario_29_fresh_orders_first_then_those_that_failed_longest_ago() {
        let mut three = situation(&["a", "b", "c"]);
        for (pkgbase, failed) in [("a", 50), ("b", 40)] {
            let standing = of(&mut three, pkgbase);
            (standing.failures, standing.last_failure) = (1, failed);
        }
        assert_eq!(given(&three), Choice::Fresh(order("c")));
        lease(&mut three, "s2", "c", NOW);
        assert_eq!(given(&three), Choice::Fresh(order("b")));
    }

    #[test]
    fn scenario_31_one_member_of_a_loop_at_a_time_and_none_that_waits_for_others() {
        let mut ring = situation(&["foo: bar other", "bar: foo", "other: late", "late"]);
        lease(&mut ring, "s9", "late", NOW);
        assert_eq!(given(&ring), Choice::Fresh(order("bar")), "foo waits for other, too");
        lease(&mut ring, "s2", "bar", NOW);
        assert_eq!(given(&ring), Choice::NoneNow);
    }

    #[test]
    fn scenario_32_the_order_that_breaks_most_loops_and_after_a_failure_another() {
        let mut rings = situation(&["y: x", "x: y z", "z: x"]);
        assert_eq!(given(&rings), Choice::Fresh(order("x")));
        of(&mut rings, "x").failures = 1;
        assert_eq!(given(&rings), Choice::Fresh(order("y")));
    }

    #[test]
    fn a_failing_loop_and_other_failures_take_turns() {
        let mut three = situation(&["foo: bar", "bar: foo", "a"]);
        for (pkgbase, failed) in [("foo", 50), ("bar", 60), ("a", 40)] {
            let standing = of(&mut three, pkgbase);
            (standing.failures, standing.last_failure) = (1, failed);
        }
        assert_eq!(given(&three), Choice::Fresh(order("a")));
        of(&mut three, "a").last_failure = 70;
        assert_eq!(given(&three), Choice::Fresh(order("foo")));
    }

    #[test]
    fn scenario_33_the_limit_counts_the_orders_that_the_builder_says_it_has() {
        let mut many = situation(&["a", "b", "c"]);
        lease(&mut many, "s1", "a", NOW);
        lease(&mut many, "s1", "b", NOW);
        let limited = |have| Ask {
            wanted: None,
            have,
            limit: 2,
        };
        assert_eq!(ask(&many, "s1", &limited(&["a", "b"])), Choice::LimitReached);
        assert!(
            matches!(ask(&many, "s1", &limited(&["a"])), Choice::Again(lease) if lease.assignment.order == order("b"))
        );
    }

    #[test]
    fn scenario_34_list_order_counts_by_number() {
        let names: Vec<String> = (1..=12).map(|n| format!("p{n}")).collect();
        let mut many = situation(&names.iter().map(String::as_str).collect::<Vec<_>>());
        of(&mut many, "p1").blocked = Some("why".to_owned());
        assert_eq!(given(&many), Choice::Fresh(order("p2")));
    }

    #[test]
    fn scenario_38_an_expired_lease_is_offered_to_another_and_not_again_to_the_first() {
        let mut one = situation(&["a"]);
        lease(&mut one, "s1", "a", NOW - 200);
        assert!(matches!(given(&one), Choice::Again(_)), "nobody else has it");
        assert_eq!(ask(&one, "s2", &ANYTHING), Choice::Fresh(order("a")));
        lease(&mut one, "s2", "a", NOW);
        assert_eq!(given(&one), Choice::Nothing);
    }

    #[test]
    fn priority_beats_the_order_of_the_list() {
        let mut two = situation(&["a", "b"]);
        of(&mut two, "b").priority = 5;
        assert_eq!(given(&two), Choice::Fresh(order("b")));
    }

    #[test]
    fn a_wanted_order_that_waits_gives_way_and_one_off_the_list_is_nothing() {
        let two = situation(&["a", "b: a"]);
        let wants = |wanted| Ask {
            wanted: Some(wanted),
            ..ANYTHING
        };
        assert_eq!(ask(&two, "s1", &wants("b")), Choice::Fresh(order("a")));
        assert_eq!(ask(&two, "s1", &wants("x")), Choice::Nothing);
    }
}
