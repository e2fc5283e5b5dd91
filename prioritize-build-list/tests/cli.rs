//! The tool as a process: what it changes, and the exit codes.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use common::lock::{Lock, Mode, Patience};
use common::process::Output;
use testkit::master::Master;
use testkit::tool::Ended;

fn prioritize(master: &Master, words: &[&str]) -> Ended {
    master.tool("prioritize-build-list", "").args(words).run()
}

#[test]
fn scenario_64_orders_that_begin_with_the_regex_come_first() {
    let master = Master::new(&["a", "foo", "b-foo", "foobar"]);
    let list = master.read("build-list");
    assert_eq!(prioritize(&master, &["^?foo"]).expect(0).stdout, "foo 1\nfoobar 1\n");
    assert_eq!(prioritize(&master, &["^?foo"]).expect(0).stdout, "");
    assert_eq!(prioritize(&master, &["-n", "a |b-"]).expect(0).stdout, "a 2\nb-foo 2\n");
    assert_eq!(master.read("priorities"), "foo 1\nfoobar 1\n");
    let json = prioritize(&master, &["--json", "a "]).expect(0).stdout;
    assert_eq!(json, "[{\"pkgbase\":\"a\",\"priority\":2}]\n");
    assert_eq!(prioritize(&master, &["--last", "foo "]).expect(0).stdout, "foo -1\n");
    assert_eq!(
        prioritize(&master, &["--forget", "."]).expect(0).stdout.lines().count(),
        3
    );
    assert_eq!(master.read("priorities"), "");
    assert_eq!(master.read("build-list"), list);
    let ended = prioritize(&master, &["nothing"]).expect(0);
    assert!(ended.stderr.contains("no line"), "{}", ended.stderr);
}

#[test]
fn held_locks_and_an_insane_master_are_1_and_change_nothing() {
    let master = Master::new(&["a"]);
    master.configure("lock_wait_seconds=0\n");
    let lock = Lock::acquire(&master.path("build-list.lock"), Mode::Exclusive, Patience::Never).unwrap();
    let ended = prioritize(&master, &["a"]).expect(1);
    assert!(ended.stderr.contains("is locked by"), "{}", ended.stderr);
    drop(lock);
    master.write("build-master-sanity", "files are missing\n");
    prioritize(&master, &["a"]).expect(1);
    assert_eq!(master.read("priorities"), "");
}

#[test]
fn mistakes_have_their_own_codes_and_lose_nothing() {
    let master = Master::new(&["a"]);
    prioritize(&master, &[]).expect(64);
    prioritize(&master, &["a", "b"]).expect(64);
    prioritize(&master, &["("]).expect(64);
    prioritize(&master, &["--last", "--forget", "a"]).expect(64);
    assert!(prioritize(&master, &["--help"]).expect(0).stdout.contains("Exit codes"));
    master.write("priorities", "a very high\n");
    let ended = prioritize(&master, &["a"]).expect(0);
    assert!(ended.stderr.contains("priorities line 1"), "{}", ended.stderr);
    assert_eq!(master.read("priorities"), "a very high\na 1\n");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let tool = master.tool("prioritize-build-list", "").args(["--last", "a"]);
    let ended = tool.into_command().output(Output::Stdout(full)).wait().unwrap();
    assert_eq!(ended.status.code(), Some(74));
    prioritize(&master, &["--config", "/nonexistent", "a"]).expect(64);
}
