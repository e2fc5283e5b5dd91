//! What decides the order: loops in two stages, checks left out, the times of earlier builds, and the report.

mod scenario;

use scenario::Scenario;

fn loop_and_more() -> Scenario {
    Scenario::of(&[
        ("core/bar", "make:foo"),
        ("core/foo", "make:bar check:x"),
        ("core/x", "make:foo"),
    ])
}

#[test]
fn every_dropped_edge_is_in_the_report_with_its_reason() {
    let scenario = loop_and_more();
    scenario.commit();
    scenario.ends(0, &[]);
    assert_eq!(scenario.list(), ["bar", "foo", "x"]);
    assert_eq!(
        scenario.read("build-graph.dropped"),
        "bar foo make 1 break\nfoo x check 1 check\n"
    );
}

#[test]
fn without_checks_their_edges_make_no_loop_and_exclude_nobody() {
    let mut scenario = loop_and_more();
    scenario.commit();
    scenario.ends(0, &["--no-check"]);
    assert_eq!(scenario.read("build-graph.dropped").lines().count(), 1);
    assert_eq!(scenario.read("build-list.loops/loop_1"), "bar\nfoo\n");
    scenario.ends(0, &["--no-pull"]);
    assert_eq!(
        scenario.read("build-list.loops/loop_1"),
        "bar\nfoo\nx\n",
        "the option is of one run"
    );
    scenario.conf.push_str("check_dependencies=no\n");
    scenario.ends(0, &["--no-pull"]);
    assert_eq!(scenario.read("build-list.loops/loop_1"), "bar\nfoo\n");
}

#[test]
fn a_loop_is_built_in_two_stages_when_that_is_configured() {
    let mut scenario = Scenario::of(&[
        ("core/bar", "make:foo"),
        ("core/foo", "make:bar"),
        ("core/x", "make:foo"),
    ]);
    scenario.conf.push_str("build_loops_twice=yes\n");
    scenario.commit();
    scenario.ends(0, &[]);
    assert_eq!(scenario.read("second-stage"), "1 bar foo\n");
    scenario.all_built();
    let (_, stderr) = scenario.ends(0, &["-v"]);
    assert_eq!(scenario.list(), ["bar", "foo"], "{stderr}");
    assert!(stderr.contains("second stage of its loop"), "{stderr}");
    assert_eq!(scenario.read("second-stage"), "2 bar foo\n");
    let before = scenario.snapshot();
    scenario.ends(0, &[]);
    assert_eq!(scenario.snapshot(), before);
    scenario.all_built();
    scenario.ends(0, &["--no-pull"]);
    assert!(scenario.list().is_empty());
    assert!(!scenario.work("second-stage").exists());
}

#[test]
fn what_took_long_and_has_much_behind_it_comes_first() {
    let scenario = Scenario::of(&[
        ("core/a", ""),
        ("core/b", ""),
        ("core/behind-a", "make:a"),
        ("core/slow", "make:b"),
    ]);
    scenario.commit();
    let line = |time: u32, event: &str, pkgbase: &str| {
        let (revision, zeros) = ("1".repeat(40), "0".repeat(40));
        format!("{time}\t{event}\t{pkgbase}\t{revision}\t{zeros}\tcore\tone\t-\n")
    };
    let mut journal = String::new();
    for (name, seconds) in [("a", 10), ("b", 10), ("behind-a", 10), ("slow", 500)] {
        journal.push_str(&line(1000, "assigned", name));
        journal.push_str(&line(1000 + seconds, "returned", name));
    }
    scenario.write("journal", &journal);
    scenario.ends(0, &[]);
    assert_eq!(scenario.list(), ["b", "slow", "a", "behind-a"]);
}
