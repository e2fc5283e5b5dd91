//! The dependency engine on small examples and random graphs.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};

use common::build_graph::{BuildGraph, Force};
use common::graph::{
    BuildTimes, Checks, Dropped, Exclusion, Exclusions, Packages, Plan, Policy, Reason, closure, plan,
};
use common::names::PkgBase;
use common::srcinfo::SrcInfo;
use proptest::prelude::*;

/// A package from words: `name`, then `make:x`, `run:x`, `check:x`, `provides:x`, `group:x`, `pkgname:x`, `version:x`.
fn info(text: &str) -> (PkgBase, SrcInfo) {
    let mut words = text.split_whitespace();
    let name = words.next().unwrap();
    let mut base = String::new();
    let mut packages = vec![name.to_owned()];
    let mut version = "1";
    for word in words {
        let (key, value) = word.split_once(':').unwrap();
        let key = match key {
            "make" => "makedepends",
            "run" => "depends",
            "check" => "checkdepends",
            "group" => "groups",
            "pkgname" => {
                packages.push(value.to_owned());
                continue;
            }
            "version" => {
                version = value;
                continue;
            }
            other => other,
        };
        base.push_str(&format!("\t{key} = {value}\n"));
    }
    let mut all = format!("pkgbase = {name}\n\tpkgver = {version}\n\tpkgrel = 1\n{base}");
    for package in packages {
        all.push_str(&format!("\npkgname = {package}\n"));
    }
    (
        name.parse().unwrap(),
        SrcInfo::parse(&all, &"i686".parse().unwrap()).unwrap(),
    )
}

fn infos(texts: &[&str]) -> BTreeMap<PkgBase, SrcInfo> {
    texts.iter().map(|text| info(text)).collect()
}

fn planned(texts: &[&str]) -> Plan {
    let infos = infos(texts);
    let packages = Packages::new(infos.iter().map(|(name, info)| (name, Some(info))));
    plan(&packages, infos.keys(), &Policy::default())
}

fn order(plan: &Plan) -> Vec<&str> {
    plan.order.iter().map(PkgBase::as_str).collect()
}

fn excluded(texts: &[&str], listed: &[&str]) -> Exclusions {
    let infos = infos(texts);
    let packages = Packages::new(infos.iter().map(|(name, info)| (name, Some(info))));
    let listed = listed
        .iter()
        .map(|name| (name.parse().unwrap(), (*name).to_owned()))
        .collect();
    closure(&packages, listed, Checks::Count)
}

#[test]
fn what_is_needed_comes_first_by_name_provision_soname_and_group() {
    let plan = planned(&[
        "a make:b",
        "b run:virtual",
        "c provides:virtual run:libd.so=1-64",
        "d provides:libd.so=1-64 check:tools",
        "e group:tools",
        "f group:tools",
    ]);
    assert_eq!(order(&plan), ["e", "f", "d", "c", "b", "a"]);
    assert_eq!(
        plan.graph().to_string(),
        "a make:b\nb run:c\nc run:d\nd check:e check:f\ne\nf\n"
    );
    assert!(plan.loops.is_empty() && plan.dropped.is_empty());
}

#[test]
fn versions_decide_whether_a_package_is_meant() {
    let plan = planned(&[
        "a make:c<9",
        "b make:c>=9",
        "c version:9",
        "d make:libc.so=2-64",
        "e provides:libc.so=1-64",
    ]);
    assert_eq!(plan.graph().to_string(), "a\nb make:c\nc\nd\ne\n");
}

#[test]
fn a_package_does_not_wait_for_its_own_parts_or_for_what_it_provides() {
    let plan = planned(&[
        "a pkgname:a-libs run:a-libs make:java",
        "b provides:java",
        "java-jdk provides:java make:java",
    ]);
    assert_eq!(plan.graph().to_string(), "a make:b\nb\njava-jdk\n");
}

#[test]
fn a_package_without_metadata_is_waited_for_by_its_name() {
    let infos = infos(&["a make:broken>=2"]);
    let broken: PkgBase = "broken".parse().unwrap();
    let known = infos.iter().map(|(name, info)| (name, Some(info)));
    let packages = Packages::new(known.chain([(&broken, None)]));
    let plan = plan(&packages, infos.keys().chain([&broken]), &Policy::default());
    assert_eq!(plan.graph().to_string(), "a make:broken\nbroken\n");
}

#[test]
fn inside_a_loop_check_edges_are_relaxed_first_and_run_edges_next() {
    let check = planned(&["a make:b", "b check:a run:c", "c make:b"]);
    assert_eq!(check.loops, [["a", "b", "c"].map(|name| name.parse().unwrap())]);
    assert_eq!(check.graph().to_string(), "a make:b\nb run~c check~a\nc make:b\n");
    assert_eq!(check.order.first().unwrap().as_str(), "b");
    let reasons: Vec<Reason> = check.dropped.iter().map(|dropped| dropped.reason).collect();
    assert_eq!(reasons, [Reason::Check, Reason::Run]);
    let kept = planned(&["a make:b check:c", "b run:a", "c"]);
    assert_eq!(
        kept.graph().to_string(),
        "a make:b check:c\nb run~a\nc\n",
        "edges out of the loop stay"
    );
}

#[test]
fn a_loop_of_build_dependencies_begins_where_most_loops_are_broken() {
    let plan = planned(&["x make:y make:z", "y make:x", "z make:x", "w make:y"]);
    assert_eq!(order(&plan), ["x", "y", "z", "w"]);
    assert_eq!(
        plan.graph().to_string(),
        "w make:y\nx make:y make:z\ny make:x\nz make:x\n"
    );
    assert!(
        plan.dropped
            .iter()
            .all(|dropped| dropped.reason == Reason::Break && dropped.pkgbase.as_str() == "x")
    );
    assert_eq!(plan.dropped.len(), 2);
}

#[test]
fn everything_waits_for_base_devel_and_its_members_do_not_wait_for_themselves() {
    let plan = planned(&["gcc make:make", "make", "base-devel run:gcc run:make", "a", "b make:a"]);
    assert_eq!(order(&plan), ["make", "gcc", "base-devel", "a", "b"]);
    assert_eq!(
        plan.graph().to_string(),
        "a make:base-devel\nb make:a make:base-devel\nbase-devel run:gcc run:make\ngcc make~base-devel make:make\n\
         make make~base-devel\n"
    );
    let without = planned(&["gcc group:base-devel", "a"]);
    assert_eq!(without.graph().to_string(), "a make:gcc\ngcc\n");
}

#[test]
fn what_needs_something_blacklisted_is_excluded_with_it() {
    let texts = [
        "a",
        "b run:a",
        "c make:b",
        "d make:virtual",
        "e provides:virtual run:a",
        "f check:nobody",
    ];
    let all = excluded(&texts, &["a"]);
    let names: Vec<&str> = all.names().map(PkgBase::as_str).collect();
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    assert_eq!(
        all.explain(&"c".parse().unwrap()),
        "needs b, which only b would provide; b needs a, which only a would provide; a is blacklisted by a"
    );
    assert_eq!(all.explain(&"f".parse().unwrap()), "");
}

#[test]
fn another_provider_saves_a_package_from_the_blacklist() {
    let names = |texts: &[&str]| {
        let all = excluded(texts, &["a"]);
        all.names().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(names(&["a", "b run:a", "other provides:a"]), ["a"]);
    assert_eq!(names(&["a version:2", "b run:a>=2", "other provides:a=1"]), ["a", "b"]);
    assert_eq!(names(&["a group:g", "b make:g", "c group:g"]), ["a"]);
    assert_eq!(names(&["a", "b provides:a make:a"]), ["a"], "it provides it itself");
    assert_eq!(excluded(&["a", "b run:a"], &[]).names().count(), 0);
}

/// Twenty packages, the even ones in two parts, with random edges between them: to pkgbases, to second parts (of itself,
/// too), to versions that are or are not there, and to five names that random packages provide.
fn graphs() -> impl Strategy<Value = Vec<String>> {
    let kinds = || prop::sample::select(vec!["make", "run", "check"]);
    let forms = prop::sample::select(vec!["p{}", "p{}", "p{}", "p{}-libs", "p{}>=1", "p{}<1"]);
    let edge = (0..20_usize, kinds(), 0..20_usize, forms);
    let edges = prop::collection::vec(edge, 0..60);
    let provisions = prop::collection::vec((0..20_usize, 0..5_usize), 0..10);
    let wishes = prop::collection::vec((0..20_usize, kinds(), 0..5_usize), 0..10);
    (edges, provisions, wishes).prop_map(|(edges, provisions, wishes)| {
        let part = |node| {
            if node % 2 == 0 {
                format!(" pkgname:p{node}-libs")
            } else {
                String::new()
            }
        };
        let mut texts: Vec<String> = (0..20).map(|node| format!("p{node}{}", part(node))).collect();
        for (from, kind, to, form) in edges {
            texts[from].push_str(&format!(" {kind}:{}", form.replace("{}", &to.to_string())));
        }
        for (node, virtual_name) in provisions {
            texts[node].push_str(&format!(" provides:v{virtual_name}"));
        }
        for (node, kind, virtual_name) in wishes {
            texts[node].push_str(&format!(" {kind}:v{virtual_name}"));
        }
        texts
    })
}

/// Who can be reached from whom, by brute force.
fn reachable(graph: &BuildGraph) -> BTreeSet<(String, String)> {
    let mut pairs: BTreeSet<(String, String)> = graph
        .orders()
        .flat_map(|(name, edges)| edges.iter().map(move |edge| (name.to_string(), edge.needs.to_string())))
        .collect();
    loop {
        let more: BTreeSet<(String, String)> = pairs
            .iter()
            .flat_map(|(a, b)| {
                let next = pairs.iter().filter(move |(c, _)| b == c);
                next.map(move |(_, d)| (a.clone(), d.clone()))
            })
            .filter(|pair| !pairs.contains(pair))
            .collect();
        if more.is_empty() {
            return pairs;
        }
        pairs.extend(more);
    }
}

/// A package is never asked for what it provides itself, and a version that nobody has leads nowhere.
#[test]
fn self_edges_and_versions_that_nobody_has_are_no_edges() {
    let plan = planned(&[
        "a pkgname:a-libs run:a-libs make:a check:b<1",
        "b provides:v make:v run:b",
        "c provides:v make:v",
    ]);
    assert_eq!(plan.graph().to_string(), "a\nb\nc\n");
}

#[test]
fn every_edge_of_a_diamond_is_kept() {
    let plan = planned(&[
        "top make:left make:right",
        "left run:bottom",
        "right check:bottom make:left",
        "bottom",
    ]);
    assert_eq!(order(&plan), ["bottom", "left", "right", "top"]);
    assert!(plan.dropped.is_empty());
}

#[test]
fn a_provision_by_a_member_of_a_loop_is_part_of_the_loop() {
    let plan = planned(&["a make:v", "b provides:v make:c", "c run:a", "d make:c"]);
    assert_eq!(plan.loops, [["a", "b", "c"].map(|name| name.parse().unwrap())]);
    assert_eq!(order(&plan), ["c", "b", "a", "d"]);
    let lines: Vec<String> = plan.dropped.iter().map(Dropped::line).collect();
    assert_eq!(lines, ["c a run 1 run"]);
}

#[test]
fn without_check_what_is_needed_for_tests_is_neither_waited_for_nor_excludes() {
    let infos = infos(&["a make:b", "b check:a", "c check:gone", "gone"]);
    let packages = Packages::new(infos.iter().map(|(name, info)| (name, Some(info))));
    let policy = Policy {
        checks: Checks::LeaveOut,
        times: None,
    };
    let plan = plan(&packages, infos.keys(), &policy);
    assert_eq!(plan.graph().to_string(), "a make:b\nb\nc\ngone\n");
    assert!(plan.loops.is_empty());
    let listed = || BTreeMap::from([("gone".parse().unwrap(), "gone".to_owned())]);
    let names = |checks| {
        closure(&packages, listed(), checks)
            .names()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (names(Checks::LeaveOut), names(Checks::Count)),
        (vec!["gone".into()], vec!["c".into(), "gone".into()])
    );
}

#[test]
fn of_orders_that_could_come_next_the_one_with_the_longest_way_behind_it_does() {
    let infos = infos(&["a", "b", "long make:b", "short make:a"]);
    let packages = Packages::new(infos.iter().map(|(name, info)| (name, Some(info))));
    let times: BTreeMap<PkgBase, u64> = [("long", 500), ("short", 10), ("a", 20), ("b", 20)]
        .map(|(name, seconds)| (name.parse().unwrap(), seconds))
        .into();
    let times = BuildTimes::new(times);
    let policy = Policy {
        times: times.as_ref(),
        ..Policy::default()
    };
    assert_eq!(
        order(&plan(&packages, infos.keys(), &policy)),
        ["b", "long", "a", "short"]
    );
    assert_eq!(
        order(&plan(&packages, infos.keys(), &Policy::default())),
        ["a", "b", "long", "short"]
    );
}

/// A package with what it needs, for loops of any shape.
fn shape(edges: impl IntoIterator<Item = (usize, usize)>, count: usize) -> Plan {
    let mut texts: Vec<String> = (0..count).map(|node| format!("p{node:04}")).collect();
    for (from, to) in edges {
        texts[from].push_str(&format!(" make:p{to:04}"));
    }
    planned(&texts.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn loops_of_a_thousand_are_broken_where_it_is_needed() {
    let ring = shape((0..1000).map(|node| (node, (node + 1) % 1000)), 1000);
    assert_eq!((ring.loops.len(), ring.dropped.len()), (1, 1));
    let star = shape((1..1000).flat_map(|node| [(0, node), (node, 0)]), 1000);
    assert_eq!(star.order[0].as_str(), "p0000");
    assert!(star.dropped.iter().all(|dropped| dropped.pkgbase.as_str() == "p0000"));
    let pairs = shape(
        (0..500).flat_map(|pair| [(2 * pair, 2 * pair + 1), (2 * pair + 1, 2 * pair)]),
        1000,
    );
    assert_eq!((pairs.loops.len(), pairs.dropped.len()), (500, 500));
    let clique = shape(
        (0..60).flat_map(|a| (0..60).filter(move |b| *b != a).map(move |b| (a, b))),
        60,
    );
    assert_eq!((clique.loops.len(), clique.dropped.len()), (1, 60 * 59 / 2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_excluded_is_the_fixed_point_and_every_reason_leads_to_a_list(
        texts in graphs(), listed in prop::collection::btree_set(0..20_usize, 0..4),
    ) {
        let infos = infos(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let packages = Packages::new(infos.iter().map(|(name, info)| (name, Some(info))));
        let listed: BTreeMap<PkgBase, String> =
            listed.into_iter().map(|node| (format!("p{node}").parse().unwrap(), "entry".to_owned())).collect();
        let found = closure(&packages, listed.clone(), Checks::Count);
        let is_lost = |lost: &BTreeSet<&PkgBase>, name: &PkgBase| {
            let mut needs = packages.wants(name).map(|(_, dependency)| packages.satisfying(dependency));
            needs.any(|by| !by.is_empty() && by.is_subset(lost))
        };
        let mut lost: BTreeSet<&PkgBase> = listed.keys().collect();
        while let Some(name) = infos.keys().find(|name| !lost.contains(name) && is_lost(&lost, name)) {
            lost.insert(name);
        }
        prop_assert_eq!(found.names().collect::<BTreeSet<_>>(), lost);
        for name in found.names() {
            let chain = found.chain(name);
            prop_assert!(chain.len() <= infos.len());
            prop_assert!(matches!(chain.last(), Some((last, Exclusion::Listed(_))) if listed.contains_key(*last)));
            for (needer, exclusion) in &chain {
                if let Exclusion::Needs { dependency, lost } = exclusion {
                    let is_asked = |(_, it): (_, &common::srcinfo::Dependency)| it.to_string() == *dependency;
                    prop_assert!(packages.wants(needer).any(is_asked));
                    prop_assert!(!lost.is_empty() && lost.iter().all(|name| found.contains(name)));
                }
            }
        }
    }

    #[test]
    fn every_order_respects_its_edges_but_those_reported_inside_a_loop(texts in graphs(), shuffle in any::<u64>()) {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let plan = planned(&texts);
        prop_assert_eq!(plan.order.len(), 20);
        let position: BTreeMap<&PkgBase, usize> = plan.order.iter().enumerate().map(|(i, name)| (name, i)).collect();
        let graph = plan.graph();
        let reachable = reachable(&graph);
        let is_loop = |a: &PkgBase, b: &PkgBase| {
            reachable.contains(&(a.to_string(), b.to_string())) && reachable.contains(&(b.to_string(), a.to_string()))
        };
        for (name, edges) in graph.orders() {
            for edge in edges {
                let dropped = plan.dropped.iter().find(|d| d.pkgbase == *name && d.needs == edge.needs);
                prop_assert_eq!(dropped.is_none(), position[&edge.needs] < position[name]);
                match dropped.map(|dropped| dropped.reason) {
                    None => prop_assert_eq!(edge.force, Force::Firm),
                    Some(reason) => {
                        prop_assert!(is_loop(name, &edge.needs));
                        prop_assert_eq!(edge.force == Force::Firm, reason == Reason::Break);
                    }
                }
            }
        }
        for members in &plan.loops {
            prop_assert!(members.len() > 1);
            prop_assert!(members.iter().all(|a| members.iter().all(|b| a == b || is_loop(a, b))));
        }
        let mut shuffled = texts.clone();
        let length = shuffled.len();
        for index in 0..length {
            shuffled.swap(index, usize::try_from(shuffle).unwrap_or(7) % length);
        }
        prop_assert_eq!(planned(&shuffled), plan);
    }
}
