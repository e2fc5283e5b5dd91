//! The contract of `modify-package-state`, as a process.

use std::path::PathBuf;

use common::lock::{Lock, Mode, Patience};
use testkit::master::Master;
use testkit::package::PackageSpec;
use testkit::tool::{Ended, Tool};

const BUGS: &str = "id,category,type,severity,summary\n1,Packages: Testing,Bug,High,[a] breaks\n";

fn run(master: &Master, words: &[&str], stdin: &str) -> Ended {
    let tool = Tool::at(env!("CARGO_BIN_EXE_modify-package-state").as_ref());
    master
        .equip(tool, &master.state(), "operator")
        .args(words)
        .stdin(stdin.as_bytes().to_vec())
        .run()
}

/// The first field of an order's lines in FILE.
fn id(master: &Master, pkgbase: &str) -> String {
    master.order(pkgbase).replace(' ', ".")
}

fn file(master: &Master, text: &str) -> PathBuf {
    let path = master.root().join("file");
    common::atomic::write(&path, text.as_bytes()).expect("the file is written");
    path
}

fn has(master: &Master, pkgbase: &str, state: &str) -> bool {
    master.path(&master.fact(pkgbase, state)).exists()
}

#[test]
fn scenario_66_orders_are_blocked_with_a_reason_and_unblocked() {
    let master = Master::new(&["z", "a", "b"]);
    let good = format!("{} wait for FS#1 or foo\n", id(&master, "z"));
    let text = format!("{good}{}\nnobody because\n{}\n", id(&master, "a"), "../x y");
    let path = file(&master, &text);
    let path = path.to_str().unwrap();
    let ended = run(&master, &["-b", path], "").expect(2);
    for said in [
        "a: a block needs a reason",
        "nobody is not on the build list",
        "line 4: ",
        "lines refused: 3",
    ] {
        assert!(ended.stderr.contains(said), "{ended:?}");
    }
    assert_eq!(master.read(&master.fact("z", "blocked")), "wait for FS#1 or foo\n");
    assert_eq!(std::fs::read_to_string(path).unwrap(), good, "what was changed");
    assert!(!has(&master, "a", "blocked"));
    assert!(master.read("journal").contains("\tblocked\tz\t"));

    // Again, nothing changes; another reason does; an older order is not meant.
    run(&master, &["-b", path], "").expect(0);
    assert_eq!(std::fs::read_to_string(path).unwrap(), "");
    run(&master, &["--no-report", "--block", "-"], "z another reason\n").expect(0);
    assert_eq!(master.read(&master.fact("z", "blocked")), "another reason\n");
    let older = id(&master, "z").replacen(&master.order("z")[2..12], "0123456789", 1);
    run(&master, &["-nu", "-"], &format!("{older}\n")).expect(2);
    assert!(has(&master, "z", "blocked"));
    let path = file(&master, &good);
    run(&master, &["-u", path.to_str().unwrap()], "").expect(0);
    assert!(!has(&master, "z", "blocked"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), good);
}

#[test]
fn scenario_66_a_file_that_cannot_be_used_is_2_and_a_slip_of_the_caller_64() {
    let master = Master::new(&["z"]);
    for words in [
        &["-n", "-u", "/nonexistent"][..],
        &["-u", "/nonexistent"],
        &["-u", "/dev/stdin"],
    ] {
        run(&master, words, "z\n").expect(2);
    }
    let path = file(&master, "z\n");
    let path = path.to_str().unwrap();
    for words in [
        &["-b", "-u", path][..],
        &[path],
        &["-b"],
        &["--list", path],
        &["--json", "-b", path],
        &["-b", path, path],
        &["--frobnicate"],
    ] {
        run(&master, words, "").expect(64);
    }
    assert!(run(&master, &["--help"], "").expect(0).stdout.contains("FILE"));
    assert_eq!(std::fs::read_to_string(path).unwrap(), "z\n");
}

#[test]
fn scenario_67_packages_are_approved_unless_a_bug_is_open_and_approval_is_taken_back() {
    let master = Master::new(&["z", "a", "b"]);
    let bugs = master.root().join("bugs.csv");
    common::atomic::write(&bugs, BUGS.as_bytes()).unwrap();
    master.configure(&format!("bug_list_url='{}'\n", bugs.display()));
    for name in ["z", "a", "b"] {
        master.write(
            &master.fact(name, "testing"),
            &format!("{name}-1-1.0-any.pkg.tar.zst\n"),
        );
    }
    let text = format!("z-1-1.0-any.pkg.tar.zst\n{}\nb-9-9-any.pkg.tar.zst\n", id(&master, "a"));
    let path = file(&master, &text);
    let path = path.to_str().unwrap();
    let ended = run(&master, &["-t", path], "").expect(2);
    assert!(
        ended.stderr.contains("a has an open bug") && ended.stderr.contains("b-9-9-any.pkg.tar.zst is not in testing")
    );
    assert!(has(&master, "z", "tested") && !has(&master, "z", "testing"));
    assert!(has(&master, "a", "testing") && has(&master, "b", "testing"));
    assert_eq!(std::fs::read_to_string(path).unwrap(), "z-1-1.0-any.pkg.tar.zst\n");
    assert!(master.read("journal").contains("\ttested\tz\t"));
    // A bug alone is no mistake of the caller; once more changes nothing.
    run(&master, &["-nt", "-"], "a\nz\n").expect(0);
    run(&master, &["-nf", "-"], &format!("{}\n", id(&master, "z"))).expect(0);
    assert!(has(&master, "z", "testing"));

    // Bugs that come later: what is approved and named is so no more.
    run(&master, &["-nt", "-"], "z\nb\n").expect(0);
    common::atomic::write(&bugs, BUGS.replace("[a]", "[a] and [b z]").as_bytes()).unwrap();
    run(&master, &["--check-bugs"], "").expect(0);
    assert!(has(&master, "z", "testing") && has(&master, "b", "testing"));
    // Without the list nobody knows.
    std::fs::remove_file(&bugs).unwrap();
    for words in [&["-nt", "-"][..], &["--check-bugs"]] {
        let ended = run(&master, words, "b\n").expect(1);
        assert!(ended.stderr.contains("nothing is approved"), "{ended:?}");
    }
    assert!(has(&master, "b", "testing"));
}

#[test]
fn only_the_file_that_was_tested_is_approved_by_its_checksum() {
    let master = Master::new(&["z"]);
    let pool = master.state().join("repositories/pool");
    std::fs::create_dir_all(&pool).unwrap();
    let path = PackageSpec::new("z", "1-1.0").arch("any").write(&pool).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let sums = common::process::Command::new("sha512sum")
        .arg(&path)
        .run()
        .unwrap()
        .text();
    let sum = sums.split(' ').next().unwrap();
    master.write(&master.fact("z", "testing"), &format!("{name}\n"));
    let ended = run(&master, &["-nt", "-"], &format!("{} {name}\n", "0".repeat(128))).expect(2);
    assert!(ended.stderr.contains("another file of this name"), "{ended:?}");
    assert!(has(&master, "z", "testing"));
    run(&master, &["-nt", "-"], &format!("{sum}  {name}\n")).expect(0);
    assert!(has(&master, "z", "tested"));
}

#[test]
fn states_are_listed_for_people_and_programs() {
    let master = Master::new(&["z", "a"]);
    master.write(&master.fact("a", "testing"), "a-1-1.0-any.pkg.tar.zst\n");
    master.write(&master.fact("a", "locked"), "b1\n");
    run(&master, &["-nb", "-"], "z wait a while\n").expect(0);
    let ended = run(&master, &["--list"], "").expect(0);
    let (a, z) = (id(&master, "a"), id(&master, "z"));
    let expected = format!("{a} testing a-1-1.0-any.pkg.tar.zst\n{z} blocked wait a while\n");
    assert_eq!(ended.stdout, expected);
    let ended = run(&master, &["--list", "--json"], "").expect(0);
    let lines: Vec<serde_json::Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["files"][0], "a-1-1.0-any.pkg.tar.zst");
    assert_eq!(
        (&lines[1]["pkgbase"], &lines[1]["reason"]),
        (&"z".into(), &"wait a while".into())
    );
    assert!(lines[0].get("reason").is_none() && lines[1].get("files").is_none());
}

#[test]
fn a_held_lock_and_an_insane_master_change_nothing_and_say_so() {
    let master = Master::new(&["z"]);
    master.configure("lock_wait_seconds=0\n");
    let path = file(&master, "z because\n");
    let path = path.to_str().unwrap();
    let lock = Lock::acquire(&master.path("build-list.lock"), Mode::Exclusive, Patience::Never).unwrap();
    let ended = run(&master, &["-b", path], "").expect(1);
    assert!(ended.stderr.contains("is locked by"), "{ended:?}");
    drop(lock);
    master.write("build-master-sanity", "a file is missing\n");
    let ended = run(&master, &["-b", path], "").expect(1);
    assert!(ended.stderr.contains("a file is missing"), "{ended:?}");
    assert!(!has(&master, "z", "blocked"));
    assert_eq!(std::fs::read_to_string(path).unwrap(), "z because\n");
}
