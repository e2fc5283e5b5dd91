//! The tool as a process: exit codes, locks, options, order and loops.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod scenario;

use std::fs;

use common::lock::{Lock, Mode, Patience};
use common::process::Command;
use scenario::Scenario;

#[test]
fn scenario_16_a_loop_is_named_and_its_members_are_on_the_list() {
    let scenario = Scenario::of(&[
        ("core/bar", "make:foo"),
        ("core/foo", "make:bar"),
        ("core/x", "make:foo"),
    ]);
    scenario.commit();
    scenario.write("build-list.loops/loop_7", "old\n");
    let (_, stderr) = scenario.ends(0, &[]);
    assert!(stderr.contains("dependency loop: bar foo"), "{stderr}");
    assert_eq!(scenario.list(), ["bar", "foo", "x"]);
    assert_eq!(scenario.read("build-list.loops/loop_1"), "bar\nfoo\n");
    assert_eq!(fs::read_dir(scenario.work("build-list.loops")).unwrap().count(), 1);
}

#[test]
fn scenario_17_every_line_comes_after_what_it_needs_also_with_versions() {
    let scenario = Scenario::of(&[
        ("core/a", "make:b<9 check:c"),
        ("core/b", "run:virtual>=2"),
        ("core/c", "make:libd.so=1-64"),
        ("core/d", "provides:libd.so=1-64 provides:virtual=2"),
    ]);
    scenario.commit();
    scenario.ends(0, &[]);
    assert_eq!(scenario.list(), ["d", "b", "c", "a"]);
}

#[test]
fn scenario_18_the_emergency_brake_changes_nothing() {
    let mut scenario = Scenario::of(&[("core/a", ""), ("core/b", ""), ("core/c", "")]);
    scenario.conf.push_str("max_deletions=1\n");
    scenario.commit();
    scenario.ends(0, &[]);
    let before = scenario.snapshot();
    scenario.drop("a/");
    scenario.drop("b/");
    scenario.commit();
    let (_, stderr) = scenario.ends(3, &[]);
    assert!(stderr.contains("2 packages would be on the deletion list"), "{stderr}");
    assert_eq!(scenario.snapshot(), before);
    scenario.put("core/b", "");
    scenario.commit();
    scenario.ends(0, &[]);
    assert_eq!(scenario.deletions(), ["a"]);
}

#[test]
fn scenario_19_a_held_lock_and_an_insane_master_are_no_errors() {
    let scenario = Scenario::of(&[("core/a", "")]);
    scenario.commit();
    fs::create_dir_all(scenario.work("")).unwrap();
    let lock = Lock::acquire(&scenario.work("build-list.lock"), Mode::Exclusive, Patience::Never).unwrap();
    let (stdout, stderr) = scenario.ends(0, &[]);
    assert!(stdout.is_empty() && stderr.contains("is locked by"), "{stderr}");
    assert!(scenario.list().is_empty());
    let waiting = scenario.command(&["--wait"]).spawn().unwrap();
    drop(lock);
    assert!(waiting.wait().unwrap().status.success());
    assert_eq!(scenario.list(), ["a"]);
    scenario.write("build-master-sanity", "files are missing\n");
    let (_, stderr) = scenario.ends(0, &["-b"]);
    assert!(stderr.contains("insane: files are missing"), "{stderr}");
}

#[test]
fn missing_repositories_are_made_when_nobody_works_on_them_and_the_master_is_sane() {
    let scenario = Scenario::of(&[("core/a", "")]);
    scenario.commit();
    fs::create_dir_all(scenario.work("")).unwrap();
    let place = scenario.work("published");
    let run = || {
        let command = scenario.command(&[]).env("PORTSMITH_REPO_DIR", &place);
        String::from_utf8(command.wait().unwrap().stderr).unwrap()
    };
    let lock = Lock::acquire(
        &scenario.work("package-database.lock"),
        Mode::Exclusive,
        Patience::Never,
    )
    .unwrap();
    let said = run();
    assert!(said.contains("not made now") && !place.join("core").exists(), "{said}");
    drop(lock);
    scenario.write("build-master-sanity", "files are missing\n");
    let said = run();
    assert!(said.contains("not made now") && !place.join("core").exists(), "{said}");
    scenario.write("build-master-sanity", "");
    let said = run();
    assert!(said.contains("have been made") && place.join("core").exists(), "{said}");
}

#[test]
fn scenario_20_the_options_do_what_they_say() {
    let mut scenario = Scenario::of(&[("core/a", ""), ("core/b", "make:a")]);
    scenario.commit();
    scenario.ends(0, &[]);
    let text = scenario.read("build-list");
    let reversed: String = text.lines().rev().map(|line| format!("{line}\n")).collect();
    scenario.put("core/c", "");
    scenario.commit();
    scenario.write("build-list", &reversed);
    scenario.ends(0, &["--no-pull"]);
    assert_eq!(scenario.read("build-list"), text);
    let before = scenario.snapshot();
    assert_eq!(scenario.ends(0, &["-n", "-x", "a"]).0, "+a\n+b\n");
    assert!(scenario.ends(0, &["--dry-run"]).0.starts_with("c "));
    assert_eq!(scenario.snapshot(), before);
    scenario.ends(2, &["-x", "a", "-x", "b"]);
    scenario.ends(64, &["--what"]);
    scenario.ends(64, &["a"]);
    scenario.ends(64, &["-x", "../a"]);
    assert!(scenario.ends(0, &["--help"]).0.contains("--test-exclusion"));
    let json: serde_json::Value = serde_json::from_str(&scenario.ends(0, &["--json"]).0).unwrap();
    assert_eq!(json["scheduled"][0]["pkgbase"], "c");
    assert_eq!(json["scheduled"][0]["reason"], "new");
    assert_eq!(json["orders"], 3);
}

#[test]
fn a_date_takes_every_repository_back_to_its_last_commit_before_it() {
    let mut scenario = Scenario::of(&[("core/a", ""), ("community/c", "")]);
    let old = scenario.commit_at(1_000_000);
    scenario.put("core/b", "");
    scenario.drop("c/");
    let new = scenario.commit_at(2_000_000);
    scenario.ends(2, &["--date", "@999999"]);
    scenario.ends(64, &["--date", "yesterday"]);
    scenario.ends(64, &["-n", "--date", "@1"]);
    scenario.ends(0, &["-d", "1970-01-13"]);
    assert_eq!(scenario.list(), ["a", "c"]);
    assert_eq!(scenario.read("packages.revision"), format!("{}\n", old[0]));
    scenario.ends(0, &[]);
    assert_eq!(
        (scenario.list(), scenario.deletions()),
        (vec!["a".into(), "b".into()], vec!["c".to_owned()])
    );
    assert_eq!(scenario.read("packages.revision"), format!("{}\n", new[0]));
}

#[test]
fn without_what_was_processed_last_no_pull_changes_nothing() {
    let scenario = Scenario::of(&[("core/a", "")]);
    scenario.commit();
    scenario.ends(0, &[]);
    fs::remove_file(scenario.work("packages.revision")).unwrap();
    let before = scenario.snapshot();
    let (_, stderr) = scenario.ends(0, &["-n"]);
    assert!(stderr.contains("nothing of packages has been processed"), "{stderr}");
    assert_eq!(scenario.snapshot(), before);
}

#[test]
fn an_unreadable_repository_is_one_sentence_and_changes_nothing() {
    let mut scenario = Scenario::of(&[("core/a", "")]);
    scenario.commit();
    scenario.ends(0, &[]);
    let before = scenario.snapshot();
    scenario.put("core/b", "");
    scenario.commit();
    let objects = scenario.port.directory.path().join("packages.git/objects");
    fs::rename(&objects, objects.with_file_name("gone")).unwrap();
    let (_, stderr) = scenario.ends(2, &[]);
    assert!(
        stderr.contains("git repository packages") && stderr.lines().count() == 1,
        "{stderr}"
    );
    assert_eq!(scenario.snapshot(), before);
}

#[test]
fn a_missing_configuration_is_78() {
    let mut scenario = Scenario::new();
    scenario.conf = String::new();
    let (_, stderr) = scenario.ends(78, &[]);
    assert!(stderr.contains("work_dir is not set"), "{stderr}");
    scenario.conf = format!("work_dir={}\n", scenario.work("").display());
    let (_, stderr) = scenario.ends(78, &[]);
    assert!(stderr.contains("repo_names is not set"), "{stderr}");
}

#[test]
fn a_line_that_is_no_order_is_reported_and_kept() {
    let mut scenario = Scenario::of(&[("core/a", "")]);
    scenario.commit();
    scenario.ends(0, &[]);
    scenario.write(
        "build-list",
        &format!("half a line\r\n{}", scenario.read("build-list").trim_end()),
    );
    scenario.put("core/b", "");
    scenario.commit();
    let (_, stderr) = scenario.ends(0, &[]);
    assert!(stderr.contains("build-list line 1"), "{stderr}");
    assert_eq!(scenario.list(), ["a", "b", "half"]);
}

#[test]
fn a_reader_that_went_away_is_no_failure_and_a_full_disk_is_one() {
    let mut scenario = Scenario::of(&[("core/a", "")]);
    for (redirection, code) in [("| sleep 0", 0), (">/dev/full", 74)] {
        scenario.commit();
        let script = format!("exec 3>&1; {{ trap '' PIPE; sleep 0.1; \"$@\"; echo $? >&3; }} {redirection}");
        let tool = env!("CARGO_BIN_EXE_get-package-updates");
        let conf = scenario.port.directory.path().join("portsmith.conf");
        common::atomic::write(&conf, scenario.conf.as_bytes()).unwrap();
        let ended = Command::new("bash")
            .args(["-c", &script, "-", tool, "--config"])
            .arg(conf)
            .run()
            .unwrap();
        assert_eq!(ended.text(), code.to_string(), "{redirection}");
        scenario.put("core/b", "");
    }
    assert_eq!(scenario.list(), ["a", "b"]);
}

#[test]
fn deleting_caches_and_derived_files_costs_time_only() {
    let scenario = Scenario::of(&[
        ("core/bar", "make:foo"),
        ("core/foo", "make:bar"),
        ("core/x", "make:foo"),
    ]);
    scenario.commit();
    scenario.ends(0, &[]);
    let before: Vec<_> = scenario
        .snapshot()
        .into_iter()
        .map(|(name, (text, _))| (name, text))
        .collect();
    for name in ["build-list.loops", "metadata", "repos"] {
        fs::remove_dir_all(scenario.work(name)).unwrap();
    }
    fs::remove_file(scenario.work("build-graph")).unwrap();
    scenario.ends(0, &[]);
    let after: Vec<_> = scenario
        .snapshot()
        .into_iter()
        .map(|(name, (text, _))| (name, text))
        .collect();
    assert_eq!(after, before);
}

#[test]
fn what_is_derived_is_what_is_on_disk() {
    let scenario = Scenario::of(&[("core/foo", ""), ("core/x", "make:foo")]);
    scenario.commit();
    scenario.ends(0, &[]);
    let derived = |option: &[&str]| {
        let program = scenario.tool(env!("CARGO_BIN_EXE_derive-build-graph"), option);
        format!("{}\n", program.run().unwrap().text())
    };
    assert_eq!(derived(&[]), scenario.read("build-graph"));
    assert_eq!(derived(&["--releases"]), scenario.read("metadata/releases"));
    assert_eq!(scenario.read("metadata/releases").lines().count(), 2);
}
