//! The tool as a process: what it removes, what it leaves, and the exit codes.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::time::{Duration, SystemTime};

use common::lock::{Lock, Mode, Patience};
use common::process::{Command, Input, Output};
use testkit::master::Master;
use testkit::tool::Ended;

fn cleanup(master: &Master, words: &[&str]) -> Ended {
    master.tool("cleanup", "").args(words).run()
}

/// Writes a log of an order that came so many days ago.
fn log(master: &Master, shelf: &str, pkgbase: &str, (name, days): (&str, u64), text: &[u8]) {
    let order = master.order(pkgbase).replace(' ', ".");
    let directory = master.path("logs").join(shelf).join(pkgbase).join(order);
    fs::create_dir_all(&directory).unwrap();
    let mut file = File::create(directory.join(name)).unwrap();
    file.write_all(text).unwrap();
    let time = SystemTime::now() - Duration::from_secs(days * 86_400);
    file.set_modified(time).unwrap();
}

/// The names of the logs of an order.
fn logs(master: &Master, shelf: &str, pkgbase: &str) -> BTreeSet<String> {
    let order = master.order(pkgbase).replace(' ', ".");
    let directory = master.path("logs").join(shelf).join(pkgbase).join(order);
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn old_metadata_of_what_no_package_is_any_longer_goes() {
    let master = Master::new(&["a"]);
    let ids = ["a", "b", "c"].map(|digit| digit.repeat(40));
    let [present, past, recent] = &ids;
    fs::create_dir(master.path("metadata")).unwrap();
    let path = |name: &str| master.path("metadata").join(format!("{name}.srcinfo"));
    for (name, days) in [(present, 100), (past, 100), (recent, 80), (&"abc".to_owned(), 100)] {
        master.write(&format!("metadata/{name}.srcinfo"), "pkgbase = a\n");
        let time = SystemTime::now() - Duration::from_secs(days * 86_400);
        File::open(path(name)).unwrap().set_modified(time).unwrap();
    }
    // Nobody knows yet what packages are.
    assert_eq!(cleanup(&master, &[]).expect(0).stdout, "");
    master.write("metadata/bundle", &format!("{present} 12\npkgbase = a\n\n"));
    let expected = format!("{}\n", path(past).display());
    assert_eq!(cleanup(&master, &["-n"]).expect(0).stdout, expected);
    assert!(path(past).exists());
    assert_eq!(cleanup(&master, &[]).expect(0).stdout, expected);
    assert!(!path(past).exists() && path(present).exists() && path(recent).exists() && path("abc").exists());
    master.configure("kept_metadata_days=79\n");
    assert_eq!(
        cleanup(&master, &[]).expect(0).stdout,
        format!("{}\n", path(recent).display())
    );
}

#[test]
fn scenario_71_facts_of_vanished_orders_go_and_each_order_keeps_its_newest_logs() {
    let master = Master::new(&["a", "a.b"]);
    for state in ["locked", "broken", "blocked"] {
        master.write(&master.fact("gone", state), "eurobuild3\n");
        master.write(&master.fact("a", state), "eurobuild3\n");
    }
    master.write(&master.fact("built", "done"), "built-1-1-any.pkg.tar.zst\n");
    master.write(&master.fact("approved", "tested"), "approved-1-1-any.pkg.tar.zst\n");
    for number in 0..12 {
        // The newest one has the first name: what counts is when a log came.
        log(&master, "error", "a", (&format!("{number:02}"), number), b"");
    }
    for pkgbase in ["a.b", "built", "approved", "gone"] {
        log(&master, "error", pkgbase, ("log", 400), b"");
    }
    fs::create_dir_all(master.path("logs/error/a/notes of mine")).unwrap();
    let printed = cleanup(&master, &[]).expect(0).stdout;
    assert_eq!(printed.lines().count(), 3 + 2 + 2, "{printed}");
    for state in ["locked", "broken", "blocked"] {
        assert!(!master.path(&master.fact("gone", state)).exists());
        assert!(master.path(&master.fact("a", state)).exists());
    }
    let newest: BTreeSet<String> = (0..10).map(|number| format!("{number:02}")).collect();
    assert_eq!(logs(&master, "error", "a"), newest);
    assert_eq!(logs(&master, "error", "a.b").len(), 1);
    assert_eq!(logs(&master, "error", "built").len(), 1);
    assert!(!master.path("logs/error/approved").exists() && !master.path("logs/error/gone").exists());
    assert!(master.path("logs/error/a/notes of mine").exists());
    assert_eq!(cleanup(&master, &[]).expect(0).stdout, "");
}

#[test]
fn old_logs_of_success_go_but_for_those_that_report_text_relocations() {
    let master = Master::new(&["a"]);
    let compressed = Command::new("gzip").input(Input::Bytes(
        b"b E: ELF file ('usr/lib/b.so') has text relocations.".into(),
    ));
    let compressed = compressed.run().unwrap().stdout;
    log(
        &master,
        "success",
        "a",
        ("old.namcap.gz", 15),
        b"a W: nothing of worth\n",
    );
    log(&master, "success", "a", ("bad.namcap.gz", 15), &compressed);
    log(&master, "success", "a", ("new.namcap.gz", 13), b"");
    let dry = cleanup(&master, &["-n", "--json"]).expect(0).stdout;
    assert!(dry.starts_with("[\"/") && dry.contains("old.namcap.gz"), "{dry}");
    assert_eq!(logs(&master, "success", "a").len(), 3);
    cleanup(&master, &[]).expect(0);
    let left = BTreeSet::from(["bad.namcap.gz", "new.namcap.gz"].map(str::to_owned));
    assert_eq!(logs(&master, "success", "a"), left);
    master.configure("kept_success_log_days=1\n");
    assert!(cleanup(&master, &[]).expect(0).stdout.ends_with("new.namcap.gz\n"));
}

#[test]
fn a_held_lock_an_insane_master_and_a_lost_list_change_nothing() {
    let master = Master::new(&["a"]);
    master.configure("lock_wait_seconds=0\n");
    log(&master, "error", "gone", ("log", 1), b"");
    let lock = Lock::acquire(&master.path("build-list.lock"), Mode::Exclusive, Patience::Never).unwrap();
    let ended = cleanup(&master, &[]).expect(0);
    assert!(ended.stderr.contains("is locked by"), "{}", ended.stderr);
    drop(lock);
    // A child of another test that was forked just now may still have the lock for a moment.
    master.configure("");
    master.write("build-master-sanity", "files are missing\n");
    cleanup(&master, &[]).expect(0);
    master.write("build-master-sanity", "");
    let list = master.read("build-list");
    master.write("build-list", "a line that somebody has to mend\n");
    cleanup(&master, &[]).expect(74);
    fs::remove_file(master.path("build-list")).unwrap();
    cleanup(&master, &[]).expect(74);
    assert_eq!(logs(&master, "error", "gone").len(), 1);
    master.write("build-list", &list);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let tool = master.tool("cleanup", "").into_command();
    let ended = tool.output(Output::Stdout(full)).wait().unwrap();
    assert_eq!(ended.status.code(), Some(74));
    assert!(logs(&master, "error", "gone").is_empty());
}

#[test]
fn mistakes_have_their_own_codes() {
    let master = Master::new(&["a"]);
    cleanup(&master, &["a"]).expect(64);
    assert!(cleanup(&master, &["--help"]).expect(0).stdout.contains("Exit codes"));
    master.configure("kept_error_logs=many\n");
    cleanup(&master, &[]).expect(78);
}
