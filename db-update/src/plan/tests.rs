//! Plans of small ports, and random ones against a slow and simple judge ([`judge`]).

mod judge;

use std::collections::{BTreeMap, BTreeSet};

use common::config::Config;
use common::repository::Contents;
use common::soname::Sonames;
use proptest::prelude::*;

use super::*;
use crate::neighbours::Neighbour;
use crate::situation::Pace;

/// A package: `name version`, then `needs X`, `gives X`, `in GROUP`, `of PKGBASE`, `linked X` or `library X`.
fn entry(text: &str) -> (Entry, Sonames) {
    let words: Vec<&str> = text.split(' ').collect();
    let (name, version) = (words[0], words[1]);
    let values = |kind: &str| -> Vec<&str> {
        let pairs = words[2..].chunks(2).filter(|pair| pair[0] == kind);
        pairs.map(|pair| pair[1]).collect()
    };
    let block = |field: &str, values: Vec<&str>| match &values[..] {
        [] => String::new(),
        values => format!("%{field}%\n{}\n\n", values.join("\n")),
    };
    let desc = format!(
        "%FILENAME%\n{name}-{version}-any.pkg.tar.zst\n\n%NAME%\n{name}\n\n%VERSION%\n{version}\n\n%ARCH%\nany\n\n{}{}{}{}",
        block("BASE", values("of")),
        block("GROUPS", values("in")),
        block("PROVIDES", values("gives")),
        block("DEPENDS", values("needs"))
    );
    let sonames = Sonames {
        needed: values("linked").iter().map(|soname| soname.parse().unwrap()).collect(),
        provided: values("library").iter().map(|soname| soname.parse().unwrap()).collect(),
    };
    (Entry::parse(&desc).unwrap(), sonames)
}

fn order(pkgbase: &str) -> Order {
    format!("{pkgbase} {0} {0} core", "1".repeat(40)).parse().unwrap()
}

/// A port out of `(repository, package)`; what lies in staging is `done`, what lies in testing is `tested`, both by pkgbase.
fn situation(packages: &[(&str, &str)]) -> Situation {
    let mut situation = Situation::default();
    for (repository, text) in packages {
        let (entry, sonames) = entry(text);
        situation.links.insert(entry.file_name.to_string(), sonames);
        let state = match *repository {
            "staging" => Some(State::Done),
            "testing" => Some(State::Tested),
            _ => None,
        };
        if let Some(state) = state {
            let known = situation.orders.entry(order(entry.pkgbase.as_str()));
            known
                .or_insert_with(|| (state, Vec::new()))
                .1
                .push(entry.file_name.to_string());
        }
        situation
            .contents
            .entry(repository.parse().unwrap())
            .or_default()
            .push(entry);
    }
    situation
}

fn classes() -> Classes {
    Classes::from_config(&Config::from_text("").unwrap()).unwrap()
}

fn plan(situation: &Situation, request: &Request) -> Plan {
    Plan::make(&classes(), situation, request).unwrap()
}

/// The pkgbases that move.
fn moving(situation: &Situation) -> Vec<String> {
    moved(&plan(situation, &Request::default()))
}

fn moved(plan: &Plan) -> Vec<String> {
    let mut names: Vec<String> = plan
        .moves
        .iter()
        .map(|movement| movement.order.pkgbase.to_string())
        .collect();
    names.sort();
    names
}

#[test]
fn a_package_waits_for_what_it_needs_and_takes_it_along() {
    let a = ("staging", "a 2-1 needs b>=2");
    let (old, new) = (("core", "b 1-1"), ("staging", "b 2-1"));
    assert_eq!(moving(&situation(&[old, a, new])), ["a", "b"]);
    assert!(moving(&situation(&[old, a])).is_empty());
    assert_eq!(moving(&situation(&[a])), ["a"], "b comes from elsewhere");
}

#[test]
fn a_library_waits_until_its_users_are_rebuilt() {
    let (lib, user) = (
        ("core", "lib 1-1 gives lib.so=1-64"),
        ("core", "user 1-1 needs lib.so=1-64"),
    );
    let new_lib = ("staging", "lib 2-1 gives lib.so=2-64");
    let new_user = ("staging", "user 1-2 needs lib.so=2-64");
    assert!(moving(&situation(&[lib, user, new_lib])).is_empty());
    assert!(moving(&situation(&[lib, user, new_user])).is_empty());
    assert_eq!(moving(&situation(&[lib, user, new_lib, new_user])), ["lib", "user"]);
}

#[test]
fn what_is_linked_counts_like_what_is_declared() {
    let (lib, user) = (
        ("core", "lib 1-1 library lib.so=1-64"),
        ("core", "user 1-1 needs lib linked lib.so=1-64"),
    );
    let new_lib = ("staging", "lib 2-1 library lib.so=2-64");
    let plan = plan(&situation(&[lib, user, new_lib]), &Request::default());
    assert!(plan.moves.is_empty());
    assert!(matches!(
        plan.held.get(&order("lib")),
        Some(Hold::Obstacle(Obstacle::Breaks { dependent, dependency, .. })) if dependent == "user" && dependency == "lib.so=1-64"
    ));
    let new_user = ("staging", "user 1-2 needs lib linked lib.so=2-64");
    assert_eq!(moving(&situation(&[lib, user, new_lib, new_user])), ["lib", "user"]);
}

#[test]
fn users_of_less_stable_repositories_and_of_standalone_ones_lose_nothing() {
    // Nobody in testing needs the old library, but somebody in staging, or in build-support.
    let lib = ("core", "lib 1-1 gives lib.so=1-64");
    let new_lib = ("testing", "lib 2-1 gives lib.so=2-64");
    assert_eq!(moving(&situation(&[lib, new_lib])), ["lib"]);
    let standalone = ("build-support", "user 1-1 needs lib.so=1-64");
    assert!(moving(&situation(&[lib, new_lib, standalone])).is_empty());
    // An older version in staging goes when a newer one becomes stable: its user in staging is held back by that.
    let of_staging = [
        ("staging", "lib 1.5-1 gives lib.so=1.5-64"),
        ("staging", "user 1-1 needs lib.so=1.5-64"),
    ];
    assert!(!moving(&situation(&[lib, new_lib, of_staging[0], of_staging[1]])).contains(&"lib".to_owned()));
}

#[test]
fn what_a_newer_build_no_longer_makes_goes_only_when_nobody_needs_it() {
    let mut situation = situation(&[
        ("testing", "a 1-1"),
        ("testing", "a-extra 1-1 of a"),
        ("testing", "user 1-1 needs a-extra"),
        ("staging", "a 2-1"),
    ]);
    let files = ["a-1-1-any.pkg.tar.zst", "a-extra-1-1-any.pkg.tar.zst"].map(str::to_owned);
    let older: Order = format!("a {0} {0} core", "2".repeat(40)).parse().unwrap();
    situation
        .orders
        .insert(order("a"), (State::Done, vec!["a-2-1-any.pkg.tar.zst".to_owned()]));
    situation.orders.insert(older, (State::Testing, files.to_vec()));
    situation.orders.remove(&order("user"));
    assert!(moving(&situation).is_empty());
    situation.contents.get_mut("testing").unwrap().pop();
    let plan = plan(&situation, &Request::default());
    assert_eq!(moved(&plan), ["a"]);
    assert!(plan.superseded.iter().any(|(_, name)| name.as_str() == "a-extra"));
}

#[test]
fn base_is_its_members() {
    let members = [
        ("core", "glibc 1-1 in base"),
        ("core", "bash 1-1 in base needs glibc<2"),
    ];
    let user = ("staging", "user 1-1 needs base");
    assert_eq!(moving(&situation(&[members[0], members[1], user])), ["user"]);
    let held = ("staging", "glibc 2-1 in base");
    assert_eq!(
        moving(&situation(&[members[0], members[1], user, held])),
        ["user"],
        "bash would lose its glibc"
    );
}

#[test]
fn of_two_builds_of_a_package_the_newer_one_moves_and_an_older_one_replaces_nothing() {
    let mut twice = situation(&[("staging", "a 2-1"), ("community-staging", "a 1-1")]);
    let older: Order = format!("a {0} {0} community", "2".repeat(40)).parse().unwrap();
    twice
        .orders
        .insert(order("a"), (State::Done, vec!["a-2-1-any.pkg.tar.zst".to_owned()]));
    twice
        .orders
        .insert(older.clone(), (State::Done, vec!["a-1-1-any.pkg.tar.zst".to_owned()]));
    let plan = plan(&twice, &Request::default());
    assert_eq!(moved(&plan), ["a"]);
    assert!(matches!(plan.held.get(&older), Some(Hold::Newer(_))));
    assert!(moving(&situation(&[("core", "a 2-1"), ("staging", "a 1-1")])).is_empty());
}

#[test]
fn a_rebuild_moves_as_a_whole_or_not_at_all() {
    let mut situation = situation(&[
        ("staging", "a 1-1"),
        ("staging", "b 1-1 needs c>=2"),
        ("core", "c 1-1"),
        ("staging", "d 1-1"),
    ]);
    assert_eq!(moving(&situation), ["a", "d"]);
    for name in ["a", "b"] {
        situation.rebuilds.insert(order(name), "lib 2".to_owned());
    }
    assert_eq!(moving(&situation), ["d"]);
    situation.contents.get_mut("core").unwrap().clear();
    assert_eq!(moving(&situation), ["a", "b", "d"]);
    situation.rebuilds.insert(order("e"), "lib 2".to_owned());
    situation.pending.push(Neighbour {
        order: order("e"),
        names: BTreeSet::new(),
        needs: BTreeSet::new(),
        standing: "is on the build list".to_owned(),
    });
    let plan = plan(&situation, &Request::default());
    assert_eq!(moved(&plan), ["d"]);
    assert!(matches!(plan.held.get(&order("a")), Some(Hold::Rebuild(other)) if other.as_str() == "e"));
}

#[test]
fn a_forced_order_moves_alone_and_what_it_breaks_is_said() {
    let situation = situation(&[
        ("core", "lib 1-1 gives lib.so=1-64"),
        ("core", "user 1-1 needs lib.so=1-64"),
        ("testing", "lib 2-1 gives lib.so=2-64"),
        ("testing", "other 1-1"),
    ]);
    let request = Request {
        force: BTreeSet::from([order("lib")]),
        ..Request::default()
    };
    let plan = plan(&situation, &request);
    assert_eq!(moved(&plan), ["lib"]);
    assert!(matches!(&plan.broken[..], [Obstacle::Breaks { dependent, .. }] if dependent == "user"));
}

#[test]
fn progress_is_what_replaces_nothing_that_works() {
    let situation = situation(&[
        ("core", "works 1-1"),
        ("core", "broken 1-1 needs lib=1"),
        ("core", "lib 2-1"),
        ("testing", "works 2-1"),
        ("testing", "broken 2-1"),
        ("testing", "new 1-1"),
    ]);
    let request = Request {
        pace: Pace::Progressive,
        ..Request::default()
    };
    assert_eq!(moved(&plan(&situation, &request)), ["broken", "new"]);
    let request = Request {
        repositories: BTreeSet::from(["staging".parse().unwrap()]),
        ..Request::default()
    };
    assert!(moved(&plan(&situation, &request)).is_empty());
}

#[test]
fn unwanted_packages_go_with_their_users_and_stay_for_others() {
    let mut situation = situation(&[
        ("core", "a 1-1 needs b"),
        ("core", "b 1-1"),
        ("core", "c 1-1 linked d.so=1-64"),
        ("core", "d 1-1 library d.so=1-64"),
    ]);
    situation.deletions = ["a", "b", "d"].iter().map(|name| name.parse().unwrap()).collect();
    let plan = plan(&situation, &Request::default());
    let gone: Vec<&str> = plan.deleted.iter().map(|(_, entry)| entry.name.as_str()).collect();
    assert_eq!(gone, ["a", "b"]);
    assert_eq!(plan.needed.iter().map(PkgBase::as_str).collect::<Vec<_>>(), ["d"]);
}

/// A package of one of six names in a version, with needs and provisions out of a small stock.
fn package(name: usize, version: usize) -> impl Strategy<Value = String> {
    let needs = proptest::collection::vec((0..6_usize, 0..4_usize), 0..3);
    let gives = proptest::collection::vec((0..2_usize, 1..3_usize), 0..2);
    let linked = proptest::collection::vec((0..2_usize, 1..3_usize), 0..2);
    let library = proptest::collection::vec((0..2_usize, 1..3_usize), 0..2);
    (needs, gives, linked, library).prop_map(move |(needs, gives, linked, library)| {
        let mut text = format!("p{name} {version}-1 of o{}", name % 4);
        for (other, kind) in needs {
            text += &format!(
                " needs {}",
                [
                    format!("p{other}"),
                    format!("p{other}=1"),
                    format!("p{other}>=2"),
                    format!("v{}", other % 2)
                ][kind]
            );
        }
        text.extend(gives.iter().map(|(name, version)| format!(" gives v{name}={version}")));
        text.extend(
            linked
                .iter()
                .map(|(name, version)| format!(" linked l{name}.so={version}-64")),
        );
        text.extend(
            library
                .iter()
                .map(|(name, version)| format!(" library l{name}.so={version}-64")),
        );
        text
    })
}

/// Packages in every repository; those that wait are in `from`, where the others are not.
fn port(from: &'static str) -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let place = |repository: &'static str, version: usize, odds: f64| {
        let one = move |name: usize| proptest::option::weighted(odds, package(name, version));
        let all = (one(0), one(1), one(2), one(3), one(4), one(5));
        all.prop_map(move |(a, b, c, d, e, f)| {
            let all = [a, b, c, d, e, f].into_iter().flatten();
            all.map(|text| (repository, text)).collect::<Vec<_>>()
        })
    };
    let between = if from == "testing" { "staging" } else { "testing" };
    (
        place("core", 1, 0.6),
        place("extra", 1, 0.1),
        place("build-support", 1, 0.1),
        place(between, if from == "testing" { 2 } else { 1 }, 0.2),
        place(from, 3, 0.6),
    )
        .prop_map(|(a, b, c, d, e)| [a, b, c, d, e].concat())
}

fn check(packages: &[(&'static str, String)], from: &str) -> Result<(), TestCaseError> {
    let texts: Vec<(&str, &str)> = packages
        .iter()
        .map(|(repository, text)| (*repository, text.as_str()))
        .collect();
    let mut situation = situation(&texts);
    let wanted = if from == "testing" { State::Tested } else { State::Done };
    situation.orders = BTreeMap::new();
    for (_, text) in texts.iter().filter(|(repository, _)| *repository == from) {
        let (entry, _) = entry(text);
        let known = situation.orders.entry(order(entry.pkgbase.as_str()));
        known
            .or_insert_with(|| (wanted, Vec::new()))
            .1
            .push(entry.file_name.to_string());
    }
    let plan = plan(&situation, &Request::default());
    let names: BTreeSet<PkgBase> = plan
        .moves
        .iter()
        .map(|movement| movement.order.pkgbase.clone())
        .collect();
    let judge = judge::Judge::new(&situation, from);
    prop_assert_eq!(judge.complaint(&names), None, "{:?} move", &names);
    let orders: Vec<PkgBase> = situation.orders.keys().map(|order| order.pkgbase.clone()).collect();
    let best = (0_u32..1 << orders.len())
        .map(|bits| {
            let chosen = orders.iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0);
            chosen.map(|(_, order)| order.clone()).collect::<BTreeSet<PkgBase>>()
        })
        .filter(|chosen| chosen.len() > names.len())
        .find(|chosen| judge.complaint(chosen).is_none());
    prop_assert_eq!(best, None, "is larger than {:?}", &names);
    // What the plan says is what the judge makes of it.
    let mut after: Contents = situation.contents.clone();
    judge::carry_out(&plan, &mut after);
    let places = |contents: &Contents| -> BTreeSet<(String, String)> {
        let all = contents
            .iter()
            .flat_map(|(name, entries)| entries.iter().map(move |entry| (name, entry)));
        all.map(|(name, entry)| (name.to_string(), entry.file_name.to_string()))
            .collect()
    };
    prop_assert_eq!(places(&after), places(&judge.after(&names)));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    #[test]
    fn from_staging_nothing_loses_what_it_has_and_no_larger_set_could_move(packages in port("staging")) {
        check(&packages, "staging")?;
    }

    #[test]
    fn from_testing_nothing_loses_what_it_has_and_no_larger_set_could_move(packages in port("testing")) {
        check(&packages, "testing")?;
    }
}
