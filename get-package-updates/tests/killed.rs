//! Scenario 24: killed at any instant, or with a system call that fails, the next run ends with the files of a run that
//! nobody disturbed.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod scenario;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use common::names::Revision;
use common::process::Command;
use scenario::Scenario;
use scenario::forge::{arch, package, release};
use testkit::need;
use testkit::packaging::{FILE, srcinfo};

/// System calls that change the work directory, one a group; with those of the children (git) where it says `-f`.
const CALLS: &[(&str, &str)] = &[
    ("", "rename,renameat,renameat2"),
    ("", "unlink,unlinkat"),
    ("", "write"),
    ("-f", "rename,renameat,renameat2"),
];
/// System calls that fail, and how.
const FAULTS: &[(&str, &str)] = &[
    ("openat", "EMFILE"),
    ("write", "ENOSPC"),
    ("read", "EIO"),
    ("getdents64", "EIO"),
    ("fsync", "EIO"),
    ("renameat", "ENOSPC"),
    ("unlink", "EIO"),
];
/// At most so many calls of one kind fail, spread over the run: that is a matter of time.
const POINTS: usize = 9;
/// More than this many calls of a group are not expected.
const MANY: usize = 400;

/// A port that has everything: a processed state, then additions, changes, deletions, blocks and a loop.
fn prepared() -> (Scenario, [Revision; 3]) {
    let mut scenario = Scenario::of(&[
        ("core/a", ""),
        ("core/b", "run:a"),
        ("extra/c", "make:b"),
        ("extra/d", ""),
    ]);
    scenario.commit();
    scenario.ends(0, &[]);
    let id = scenario.line("a").unwrap().replace(' ', ".");
    scenario.write(&format!("package-states/{id}.broken"), "b 1\n");
    scenario.write(&format!("package-states/{id}.blocked"), "wait\n");
    scenario.write("priorities", "d 1\na 2\n");
    scenario.put("core/a", "ver:2 make:c");
    scenario.put("core/e", "");
    scenario.put("core/f", "make:e");
    scenario.drop("d/");
    scenario.file("blacklist", "f\n");
    scenario.file("build-manually", "e\n");
    let revisions = scenario.commit();
    (scenario, revisions)
}

/// The work directory's files without the journal, which may say a thing twice; clones, times and temporary files left out.
fn state(scenario: &Scenario) -> BTreeMap<String, String> {
    let files = scenario.snapshot().into_iter().map(|(name, (text, _))| (name, text));
    let is_state = |name: &str| {
        let is_temporary = name.split('/').any(|part| part.starts_with('.'));
        name != "journal" && !name.starts_with("repos/") && !is_temporary
    };
    files.filter(|(name, _)| is_state(name)).collect()
}

/// A strace in front of the tool.
fn traced(scenario: &Scenario, options: &[&str]) -> Command {
    let conf = scenario.port.directory.path().join("portsmith.conf");
    let tool = env!("CARGO_BIN_EXE_get-package-updates");
    let strace = Command::new("strace").arg("-qq").args(options);
    strace.args([tool, "-q", "--config"]).arg(conf)
}

fn work_as_before(scenario: &Scenario, before: &Path) {
    let work = scenario.work("");
    std::fs::remove_dir_all(&work).unwrap();
    copy(before, &work);
}

/// A copy of the work directory, and the files and events of a run that nobody disturbs.
fn undisturbed(scenario: &Scenario) -> (PathBuf, BTreeMap<String, String>, BTreeSet<String>) {
    let before = scenario.port.directory.path().join("before");
    copy(&scenario.work(""), &before);
    scenario.ends(0, &[]);
    let (expected, events) = (state(scenario), events(scenario));
    (before, expected, events)
}

/// What the journal says, without times.
fn events(scenario: &Scenario) -> BTreeSet<String> {
    let text = scenario.read("journal");
    text.lines().map(|l| l.split_once('\t').unwrap().1.to_owned()).collect()
}

fn copy(from: &Path, to: &Path) {
    Command::new("cp").args(["-a", "--"]).arg(from).arg(to).run().unwrap();
}

#[test]
fn scenario_24_a_run_that_is_killed_is_done_again_by_the_next_one() {
    if !need::programs(&["strace", "cp"]) {
        return;
    }
    let (scenario, _) = prepared();
    let (before, expected, expected_events) = undisturbed(&scenario);
    let mut killed = 0;
    for (follow, calls) in CALLS {
        for at in 1..MANY {
            work_as_before(&scenario, &before);
            let inject = format!("inject={calls}:signal=SIGKILL:when={at}");
            let mut options = vec!["-o", "/dev/null", "-e", &inject];
            options.extend(follow.split_whitespace());
            let is_killed = !traced(&scenario, &options).wait().unwrap().status.success();
            killed += usize::from(is_killed);
            scenario.ends(0, &[]);
            let point = format!("killed at call {at} of {calls} {follow}");
            assert_eq!(state(&scenario), expected, "{point}");
            assert_eq!(events(&scenario), expected_events, "{point}");
            if !is_killed {
                break;
            }
        }
    }
    drop(writeln!(std::io::stderr(), "killed at {killed} points"));
    assert!(killed > 20, "{killed}");
}

/// The calls of one kind that are about the port's files, by their number among all of that kind.
fn calls_about(scenario: &Scenario, before: &Path, call: &str) -> Vec<(usize, String)> {
    work_as_before(scenario, before);
    let log = scenario.port.directory.path().join("strace");
    let options = [
        "-y",
        "-s",
        "0",
        "-o",
        log.to_str().unwrap(),
        "-e",
        &format!("trace={call}"),
    ];
    assert!(traced(scenario, &options).wait().unwrap().status.success());
    let place = scenario.port.directory.path().display().to_string();
    let text = std::fs::read_to_string(log).unwrap();
    let lines = text.lines().enumerate().filter(|(_, line)| line.contains(&place));
    lines.map(|(index, line)| (index + 1, line.to_owned())).collect()
}

#[test]
fn a_full_disk_a_bad_disk_and_too_many_files_lose_nothing() {
    if !need::programs(&["strace", "cp"]) {
        return;
    }
    let (scenario, _) = prepared();
    let (before, expected, expected_events) = undisturbed(&scenario);
    let (mut injected, mut failed, mut possible) = (0, 0, 0);
    for (call, errno) in FAULTS {
        let calls = calls_about(&scenario, &before, call);
        assert!(!calls.is_empty(), "no {call} is about the port's files");
        possible += calls.len();
        for (at, line) in calls.iter().step_by(calls.len().div_ceil(POINTS)) {
            work_as_before(&scenario, &before);
            let inject = format!("inject={call}:error={errno}:when={at}");
            let ended = traced(&scenario, &["-o", "/dev/null", "-e", &inject]).wait().unwrap();
            let point = format!("{errno} in {line}");
            let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
            match ended.status.code() {
                Some(0) => {}
                Some(2 | 74 | 78) => {
                    failed += 1;
                    assert!(stderr.starts_with("get-package-updates: "), "{point}: {stderr}");
                }
                other => panic!("{point}: {other:?} {stderr}"),
            }
            injected += 1;
            scenario.ends(0, &[]);
            assert_eq!(state(&scenario), expected, "{point}");
            assert_eq!(events(&scenario), expected_events, "{point}");
        }
    }
    drop(writeln!(
        std::io::stderr(),
        "{injected} faults of {possible}, {failed} of them fatal"
    ));
    assert!(failed > 20, "{failed}");
}

#[test]
fn a_git_that_is_killed_while_it_fetches_a_package_is_run_again() {
    if !need::programs(&["strace", "cp"]) {
        return;
    }
    let mut scenario = arch();
    let (remote, first) = package(&scenario, "a", "a", "glibc");
    release(&mut scenario, "core-x86_64/a", "1-1", &first);
    scenario.commit();
    scenario.ends(0, &[]);
    let text = srcinfo("a", &["depends = zlib"]);
    let second = remote.commit(&[("PKGBUILD", FILE, "pkgname=a # 2\n"), (".SRCINFO", FILE, &text)]);
    release(&mut scenario, "core-x86_64/a", "2-1", &second);
    let (_, new) = package(&scenario, "b", "b", "glibc");
    release(&mut scenario, "core-x86_64/b", "1-1", &new);
    scenario.commit();
    let (before, expected, expected_events) = undisturbed(&scenario);
    let mut killed = 0;
    for calls in ["rename,renameat,renameat2,link,linkat", "unlink,unlinkat"] {
        for at in 1..MANY {
            work_as_before(&scenario, &before);
            let inject = format!("inject={calls}:signal=SIGKILL:when={at}");
            let options = ["-f", "-o", "/dev/null", "-e", &inject];
            let ended = traced(&scenario, &options).wait().unwrap();
            let is_killed = !ended.status.success() || !ended.stderr.is_empty();
            killed += usize::from(is_killed);
            scenario.ends(0, &[]);
            let point = format!("killed at call {at} of {calls}");
            assert_eq!(state(&scenario), expected, "{point}");
            assert_eq!(events(&scenario), expected_events, "{point}");
            if !is_killed {
                break;
            }
        }
    }
    drop(writeln!(std::io::stderr(), "killed at {killed} points"));
    assert!(killed > 5, "{killed}");
}
