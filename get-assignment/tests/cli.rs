//! get-assignment as a process: exit codes, what is on disk afterwards, other callers, trouble.

use std::time::Duration;

use common::lock::{Lock, Mode, Patience};
use testkit::master::Master;
use testkit::tool::Tool;

#[test]
fn scenario_26_the_first_order_is_handed_out_and_recorded_before_it_is_printed() {
    let master = Master::new(&["a", "b: a"]);
    let given = master.ask("s1", &[]).expect(0);
    assert_eq!(given.stdout, format!("{} 0\n", master.order("a")));
    assert_eq!(master.read(&master.fact("a", "locked")), "s1\n");
    assert!(
        master
            .read("builders/s1")
            .starts_with(&format!("{} 0 assigned ", master.order("a")))
    );
    master.ask("s2", &[]).expect(2);
    assert!(master.read("journal").contains("\tassigned\ta\t"));
}

#[test]
fn scenario_28_asking_again_changes_nothing_and_sharing_adds_a_name() {
    let master = Master::new(&["a", "c"]);
    let first = master.ask("s1", &["--files"]).expect(0);
    assert!(first.stdout.ends_with("\na-1-1.0-any.pkg.tar.zst\n"), "{first:?}");
    assert_eq!(master.ask("s1", &["--files"]).expect(0).stdout, first.stdout);
    let shared = master.ask("s3", &["a"]).expect(0);
    assert_eq!(shared.stdout, format!("{} 0\n", master.order("a")));
    assert_eq!(master.read(&master.fact("a", "locked")), "s1\ns3\n");
    let json = master.ask("s1", &["--json", "--files"]).expect(0).stdout;
    assert!(
        json.contains("\"pkgbase\":\"a\"") && json.contains("a-1-1.0-any"),
        "{json}"
    );
}

#[test]
fn scenario_25_no_list_is_3_and_an_unknown_name_too() {
    let master = Master::new(&["a"]);
    master.ask("s1", &["nonesuch"]).expect(3);
    std::fs::remove_file(master.path("build-list")).unwrap();
    let ended = master.ask("s1", &[]).expect(3);
    assert!(ended.stdout.is_empty());
}

#[test]
fn scenario_30_states_of_an_older_revision_go_and_published_ones_stay() {
    let master = Master::new(&["a"]);
    let old = |state: &str| format!("package-states/a.{}.{}.core.{state}", "5".repeat(40), "0".repeat(40));
    for state in ["locked", "broken", "done", "testing"] {
        master.write(&old(state), "x\n");
    }
    master.ask("s1", &[]).expect(0);
    let is_there: Vec<bool> = ["locked", "broken", "done", "testing"]
        .iter()
        .map(|state| master.path(&old(state)).exists())
        .collect();
    assert_eq!(is_there, [false, false, true, true]);
}

#[test]
fn scenario_36_a_held_lock_or_an_insane_master_is_1_with_empty_stdout() {
    let master = Master::new(&["a"]);
    master.configure("lock_wait_seconds=1\n");
    for name in ["build-list.lock", "sanity-check.lock"] {
        let lock = master.path("").join(name);
        let _held = Lock::acquire(&lock, Mode::Exclusive, Patience::Never).unwrap();
        let ended = master.ask("s1", &[]).expect(1);
        assert!(ended.stdout.is_empty(), "{ended:?}");
        assert!(
            ended.stderr.contains(&std::process::id().to_string()),
            "it says who holds the lock: {ended:?}"
        );
    }
    master.write("build-master-sanity", "a file is gone\n");
    let ended = master.ask("s1", &[]).expect(1);
    assert!(
        ended.stdout.is_empty() && ended.stderr.contains("a file is gone"),
        "{ended:?}"
    );
}

#[test]
fn scenario_37_callers_at_one_time_get_different_orders() {
    let names: Vec<String> = (0..8).map(|n| format!("p{n}")).collect();
    let master = Master::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut given: Vec<String> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..8)
            .map(|n| {
                scope.spawn({
                    let master = &master;
                    move || {
                        master
                            .tool("get-assignment", &format!("s{n}"))
                            .env("PORTSMITH_LOCK_WAIT_SECONDS", "60")
                            .run()
                            .expect(0)
                            .stdout
                    }
                })
            })
            .collect();
        asking.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    given.sort();
    given.dedup();
    assert_eq!(given.len(), 8, "{given:?}");
}

#[test]
fn scenario_50_a_loop_is_what_is_still_on_the_list_whatever_its_file_says() {
    let master = Master::new(&["foo: bar late", "bar: foo", "late"]);
    let without = |names: &[&str]| {
        let list = master.read("build-list");
        let is_kept = |line: &&str| !names.contains(&line.split(' ').next().unwrap());
        let kept: String = list.lines().filter(is_kept).map(|line| format!("{line}\n")).collect();
        master.write("build-list", &kept);
    };
    std::fs::create_dir_all(master.path("build-list.loops")).unwrap();
    master.write("build-list.loops/loop_1", "bar\nfoo\n");
    assert!(master.ask("s9", &["late"]).expect(0).stdout.starts_with("late "));
    // bar has come back: foo is in no loop any more and waits for what it needs.
    without(&["bar"]);
    master.ask("s1", &[]).expect(2);
    without(&["late"]);
    assert!(master.ask("s1", &[]).expect(0).stdout.starts_with("foo "));
}

#[test]
fn a_lost_graph_is_derived_again() {
    let master = Master::new(&["b: a", "a"]);
    std::fs::remove_file(master.path("build-graph")).unwrap();
    assert!(master.ask("s1", &[]).expect(0).stdout.starts_with("a "));
}

#[test]
fn what_orders_yield_is_found_out_when_it_is_lost_or_cannot_be_read() {
    let master = Master::new(&["a", "b"]);
    master.ask("s1", &[]).expect(0);
    let expected = format!("{} 1-1 a/any\n{} 1-1 b/any\n", master.order("a"), master.order("b"));
    for broken in ["", "junk\n", &expected[..expected.len() - 3]] {
        master.write("metadata/releases", broken);
        let given = master.ask("s1", &["--files"]).expect(0).stdout;
        assert!(given.ends_with("\na-1-1.0-any.pkg.tar.zst\n"), "{given}");
    }
    std::fs::remove_file(master.path("metadata/releases")).unwrap();
    assert!(
        master
            .ask("s2", &["--files"])
            .expect(0)
            .stdout
            .ends_with("\nb-1-1.0-any.pkg.tar.zst\n")
    );
    assert_eq!(master.read("metadata/releases"), expected);
}

#[test]
fn explain_says_why_and_hands_out_nothing() {
    let master = Master::new(&["a", "b: a", "c"]);
    master.write(&master.fact("a", "broken"), "s1 5\ns2 7\n");
    master.write(&master.fact("c", "blocked"), "wait for FS#1\n");
    let all = master.ask("s1", &["--explain"]).expect(0).stdout;
    assert_eq!(
        all,
        "a: broken 2 times; can be built\nb: waits for a (make)\nc: blocked: wait for FS#1\n"
    );
    assert_eq!(
        master.ask("s1", &["--explain", "b"]).expect(0).stdout,
        "b: waits for a (make)\n"
    );
    assert!(!master.path("builders/s1").exists());
}

#[test]
fn explain_says_which_orders_can_break_a_loop() {
    let master = Master::new(&["x: y", "y: x z", "z"]);
    // A need that the graph relaxes makes nobody wait: these are firm.
    master.write("build-graph", "x make:y\ny make:x make:z\nz\n");
    assert_eq!(
        master.ask("s1", &["--explain"]).expect(0).stdout,
        "x: waits for y (make); can be built to break its loop\ny: waits for x (make), z (make)\nz: can be built\n"
    );
}

#[test]
fn waiting_is_ended_by_work_and_not_by_a_clock() {
    let master = Master::new(&["a"]);
    let list = master.read("build-list");
    master.write("build-list", "");
    let waiting = master
        .tool("get-assignment", "s1")
        .args(["--wait", "60"])
        .into_command()
        .spawn()
        .unwrap();
    while !master.path("build-list.lock").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    master.write("build-list", &list);
    let finished = waiting.wait().unwrap();
    assert_eq!(finished.status.code(), Some(0));
    assert!(finished.text().starts_with("a "));
    master.ask("s2", &["--wait", "1"]).expect(3);
}

#[test]
fn junk_in_the_list_is_reported_with_its_line_and_hinders_nobody() {
    let master = Master::new(&["a"]);
    let list = format!("half a li\r\n{}", master.read("build-list"));
    master.write("build-list", list.trim_end());
    let ended = master.ask("s1", &[]).expect(0);
    assert!(ended.stderr.contains("line 1"), "{ended:?}");
    assert!(ended.stdout.starts_with("a "));
}

#[test]
fn mistakes_of_the_caller_and_of_the_operator_have_their_own_codes() {
    let master = Master::new(&["a"]);
    master.ask("s1", &["--no-such-option"]).expect(64);
    master.ask("s1", &["a", "b"]).expect(64);
    master.ask("s1", &["../x"]).expect(64);
    let anonymous = || {
        Tool::new("get-assignment")
            .args(["--config".as_ref(), master.config().as_os_str()])
            .env("PORTSMITH_WORK_DIR", master.path(""))
            .env("PORTSMITH_REPO_DIR", master.state().join("repositories"))
    };
    let nameless = anonymous().run().expect(64);
    assert!(nameless.stderr.contains("PORTSMITH_BUILDER"), "{nameless:?}");
    anonymous().env("slave", "s1").run().expect(0);
    master.write("empty.conf", "");
    let ended = Tool::new("get-assignment")
        .args(["--config".as_ref(), master.path("empty.conf").as_os_str()])
        .env("PORTSMITH_BUILDER", "s1")
        .run()
        .expect(78);
    assert!(
        ended.stderr.contains("work_dir") && ended.stderr.lines().count() == 1,
        "{ended:?}"
    );
    let help = master.ask("s1", &["--help"]).expect(0);
    assert!(help.stdout.contains("Exit codes"));
}

#[test]
fn an_assignment_that_cannot_be_written_is_1_and_is_handed_out_again() {
    let master = Master::new(&["a"]);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let command = master
        .tool("get-assignment", "s1")
        .into_command()
        .output(common::process::Output::Stdout(full));
    let finished = command.wait().unwrap();
    assert_eq!(finished.status.code(), Some(1));
    assert!(master.ask("s1", &[]).expect(0).stdout.starts_with("a "));
}
