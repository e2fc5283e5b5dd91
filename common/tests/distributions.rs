//! The dependency engine on real distributions, against an oracle that resolves by brute force and finds components
//! with another algorithm.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use common::graph::{Packages, Plan, Policy, Reason, plan};
use common::names::PkgBase;
use common::sync_database::Databases;
use petgraph::algo::kosaraju_scc;
use petgraph::graphmap::DiGraphMap;
use testkit::distribution::{self, Distribution};

/// For each package the number of its component.
type Components<'a> = BTreeMap<&'a str, usize>;

fn components<'a>(distribution: &'a Distribution, edges: impl Iterator<Item = (&'a str, &'a str)>) -> Components<'a> {
    let mut graph: DiGraphMap<&str, ()> = DiGraphMap::new();
    for base in distribution.bases() {
        graph.add_node(base);
    }
    for (from, to) in edges {
        graph.add_edge(from, to, ());
    }
    let components = kosaraju_scc(&graph);
    let numbered = components.iter().enumerate();
    numbered
        .flat_map(|(number, members)| members.iter().map(move |member| (*member, number)))
        .collect()
}

/// Components of more than one member, by their members.
fn loops<'a>(components: &Components<'a>) -> Vec<Vec<&'a str>> {
    let mut members: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for (name, number) in components {
        members.entry(*number).or_default().push(name);
    }
    let mut loops: Vec<Vec<&str>> = members.into_values().filter(|members| members.len() > 1).collect();
    loops.sort();
    loops
}

/// What every package is built with: the package of that name, or what is in the group.
fn chroot(distribution: &Distribution) -> BTreeSet<&str> {
    let of = |name: &'static str| {
        let package = distribution.packages.iter().find(|package| package.name == name);
        let group = distribution.group(name).filter(|_| package.is_none());
        package
            .map(|package| package.base.as_str())
            .into_iter()
            .chain(group)
            .collect::<Vec<_>>()
    };
    of("base").into_iter().chain(of("base-devel")).collect()
}

fn planned(packages: &Packages<'_>) -> Plan {
    plan(packages, packages.names().iter().copied(), &Policy::default())
}

fn check(set: &Path) {
    let files = distribution::databases(set);
    let databases = Databases::read(&files).unwrap();
    assert!(databases.complaints.is_empty(), "{:?}", databases.complaints);
    let packages = databases.packages();
    let plan = planned(&packages);
    let distribution = Distribution::read(&files);
    let bases = distribution.bases();
    let position: BTreeMap<&str, usize> = plan
        .order
        .iter()
        .enumerate()
        .map(|(i, name)| (name.as_str(), i))
        .collect();
    assert_eq!(
        position.keys().copied().collect::<BTreeSet<_>>(),
        bases,
        "every package once"
    );

    let edges = distribution.edges(|base, need| distribution.chosen(base, need));
    let ours: BTreeSet<(&str, &str, &str)> = resolved(&packages);
    let theirs: BTreeSet<(&str, &str, &str)> = edges
        .iter()
        .map(|(from, to, kind)| (*from, *to, kind.as_str()))
        .collect();
    assert_eq!(ours.difference(&theirs).next(), None, "an edge that the oracle has not");
    assert_eq!(
        theirs.difference(&ours).next(),
        None,
        "an edge that only the oracle has"
    );

    let pairs: BTreeSet<(&str, &str)> = edges.iter().map(|(from, to, _)| (*from, *to)).collect();
    let declared = components(&distribution, pairs.iter().copied());
    let violated = pairs
        .iter()
        .filter(|(from, to)| declared[from] != declared[to] && position[to] > position[from]);
    assert_eq!(violated.count(), 0, "edges between components");

    let chroot = chroot(&distribution);
    let implied = bases
        .iter()
        .flat_map(|base| chroot.iter().map(move |member| (*base, *member)));
    let implied: Vec<(&str, &str)> = implied.filter(|(from, to)| from != to).collect();
    let all = components(&distribution, pairs.iter().copied().chain(implied.iter().copied()));
    let violated = implied
        .iter()
        .filter(|(from, to)| all[from] != all[to] && position[to] > position[from]);
    assert_eq!(violated.count(), 0, "what everything is built with comes first");

    let found: Vec<Vec<&str>> = plan
        .loops
        .iter()
        .map(|it| it.iter().map(PkgBase::as_str).collect())
        .collect();
    assert_eq!(found, loops(&declared));
    let dropped: BTreeSet<(&str, &str)> = plan
        .dropped
        .iter()
        .filter(|dropped| dropped.reason != Reason::Implied)
        .map(|dropped| (dropped.pkgbase.as_str(), dropped.needs.as_str()))
        .collect();
    let against: BTreeSet<(&str, &str)> = pairs
        .iter()
        .copied()
        .filter(|(from, to)| position[to] > position[from])
        .collect();
    assert_eq!(
        dropped, against,
        "every edge against the order is reported, and no other"
    );
    say(set, bases.len(), &found, &plan);
}

/// Every edge, by the names.
fn resolved<'a>(packages: &Packages<'a>) -> BTreeSet<(&'a str, &'a str, &'static str)> {
    let chosen = packages.chosen();
    let name = |node: u32| packages.names()[node as usize].as_str();
    let edges = chosen
        .nodes()
        .flat_map(|node| chosen.of(node).iter().map(move |need| (node, need.node, need.kinds)));
    let named = edges.flat_map(|(from, to, kinds)| {
        let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
        kinds.into_iter().map(move |kind| (name(from), name(to), kind))
    });
    named.collect()
}

#[expect(clippy::print_stdout, reason = "the sizes of the loops are to be seen")]
fn say(set: &Path, bases: usize, loops: &[Vec<&str>], plan: &Plan) {
    let sizes: Vec<usize> = loops.iter().map(Vec::len).collect();
    let count = |reason| plan.dropped.iter().filter(|dropped| dropped.reason == reason).count();
    println!(
        "{}: {bases} pkgbases, {} loops with {} members, sizes {sizes:?}; edges dropped: {} for tests, {} to run, {} to build",
        set.file_name().unwrap().display(),
        sizes.len(),
        sizes.iter().sum::<usize>(),
        count(Reason::Check),
        count(Reason::Run),
        count(Reason::Break)
    );
}

#[test]
fn every_distribution_is_ordered_as_the_oracle_says() {
    for set in distribution::sets() {
        check(&set);
    }
}

#[test]
fn the_sequence_of_the_packages_changes_nothing() {
    for set in distribution::sets() {
        let databases = Databases::read(&distribution::databases(&set)).unwrap();
        let infos: Vec<_> = databases.infos().collect();
        let order = |step: usize| {
            // A step that has no factor in common with the count reaches every package, which is looked at below.
            let sequence = (0..infos.len()).map(|place| infos[place * step % infos.len()]);
            let packages = Packages::new(sequence.clone().map(|(name, info)| (name, Some(info))));
            assert_eq!(packages.names().len(), infos.len());
            plan(&packages, sequence.map(|(name, _)| name), &Policy::default())
        };
        let sorted = order(1);
        // A prime, and the sequence from its end.
        for step in [7919, infos.len() - 1] {
            let shuffled = order(step);
            assert_eq!(shuffled, sorted, "{}", set.display());
            assert_eq!(shuffled.graph(), sorted.graph(), "{}", set.display());
        }
    }
}
