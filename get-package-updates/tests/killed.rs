//! Scenario 24: killed at any instant, the next run ends with the files of a run that nobody disturbed.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod scenario;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use common::names::Revision;
use common::process::Command;
use scenario::Scenario;
use testkit::need;

/// System calls that change the work directory, one a group; with those of the children (git) where it says `-f`.
const CALLS: &[(&str, &str)] = &[
    ("", "rename,renameat,renameat2"),
    ("", "unlink,unlinkat"),
    ("", "write"),
    ("-f", "rename,renameat,renameat2"),
];
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

fn copy(from: &Path, to: &Path) {
    Command::new("cp").args(["-a", "--"]).arg(from).arg(to).run().unwrap();
}

#[test]
fn scenario_24_a_run_that_is_killed_is_done_again_by_the_next_one() {
    if !need::programs(&["strace", "cp"]) {
        return;
    }
    let (scenario, _) = prepared();
    let work = scenario.work("");
    let before = scenario.port.directory.path().join("before");
    copy(&work, &before);
    scenario.ends(0, &[]);
    let expected = state(&scenario);
    let events = |text: &str| {
        text.lines()
            .map(|l| l.split_once('\t').unwrap().1.to_owned())
            .collect::<Vec<_>>()
    };
    let expected_events: std::collections::BTreeSet<String> = events(&scenario.read("journal")).into_iter().collect();
    let mut killed = 0;
    for (follow, calls) in CALLS {
        for at in 1..MANY {
            std::fs::remove_dir_all(&work).unwrap();
            copy(&before, &work);
            let strace = Command::new("strace")
                .args(["-qq", "-o", "/dev/null", "-e"])
                .arg(format!("inject={calls}:signal=SIGKILL:when={at}"))
                .args(follow.split_whitespace());
            let conf = scenario.port.directory.path().join("portsmith.conf");
            let tool = env!("CARGO_BIN_EXE_get-package-updates");
            let ended = strace.args([tool, "-q", "--config"]).arg(&conf).wait().unwrap();
            let is_killed = !ended.status.success();
            killed += usize::from(is_killed);
            scenario.ends(0, &[]);
            assert_eq!(state(&scenario), expected, "killed at call {at} of {calls} {follow}");
            let all: std::collections::BTreeSet<String> = events(&scenario.read("journal")).into_iter().collect();
            assert_eq!(all, expected_events, "killed at call {at} of {calls} {follow}");
            if !is_killed {
                break;
            }
        }
    }
    drop(writeln!(std::io::stderr(), "killed at {killed} points"));
    assert!(killed > 20, "{killed}");
}
