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
fn what_took_long_and_has_much_behind_it_comes_first_also_when_the_journal_was_rotated() {
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
    let build = |name, seconds: u32| line(1000, "assigned", name) + &line(1000 + seconds, "returned", name);
    let rest = ["a", "b", "behind-a"].map(|name| build(name, 10)).concat();
    let in_order = |journal: &str, rotated: &str| {
        scenario.write("journal", journal);
        scenario.write("journal.1", rotated);
        scenario.ends(0, &["--no-pull"]);
        scenario.list()
    };
    scenario.ends(0, &[]);
    let by_time = ["b", "slow", "a", "behind-a"];
    assert_eq!(
        in_order(&rest, ""),
        ["a", "b", "behind-a", "slow"],
        "all take equally long"
    );
    assert_eq!(in_order(&(rest.clone() + &build("slow", 500)), ""), by_time);
    assert_eq!(
        in_order(&rest, &build("slow", 500)),
        by_time,
        "it is in the rotated one"
    );
    assert_eq!(
        in_order(
            &line(1500, "returned", "slow"),
            &(rest + &line(1000, "assigned", "slow"))
        ),
        by_time,
        "the build went on while it was rotated"
    );
}
