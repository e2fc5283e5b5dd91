//! The contract of `sanity-check`, as a process.

use std::fs;
use std::path::PathBuf;

use common::config::Config;
use common::lock::{Lock, Mode, Patience};
use testkit::master::Master;
use testkit::package::PackageSpec;
use testkit::tool::{Ended, Tool};

const FLAG: &str = "build-master-sanity";

fn run(master: &Master, words: &[&str]) -> Ended {
    let tool = Tool::at(env!("CARGO_BIN_EXE_sanity-check").as_ref());
    master.equip(tool, &master.state(), "operator").args(words).run()
}

/// A master with one package in staging and everything in order.
fn master() -> Master {
    let master = Master::new(&["a", "b"]);
    master.configure("require_signatures=no\n");
    let name = publish(&master, "a", "staging");
    master.write(&master.fact("a", "done"), &format!("{name}\n"));
    let list = master
        .read("build-list")
        .replace(&format!("{}\n", master.order("a")), "");
    master.write("build-list", &list);
    master
}

fn publish(master: &Master, name: &str, to: &str) -> String {
    master.publish(&PackageSpec::new(name, "1-1.0").arch("any"), to)
}

fn pool(master: &Master, name: &str) -> PathBuf {
    master.state().join("repositories/pool").join(name)
}

#[test]
fn scenario_70_a_good_state_is_sane_and_the_flag_goes() {
    let master = master();
    assert_eq!(run(&master, &[]).expect(0).stdout, "");
    master.write(FLAG, "sanity-check: build-list: something of yesterday\n");
    run(&master, &["--quiet"]).expect(0);
    assert!(!master.path(FLAG).exists());
    run(&master, &["frobnicate"]).expect(64);
    // Nothing is published yet, nothing is to be done: that is a new master, and no insane one.
    run(&Master::new(&[]), &[]).expect(0);
}

#[test]
fn scenario_70_whatever_does_not_agree_raises_the_flag_and_stops_the_tools() {
    type Damage = fn(&Master);
    let damages: [(&str, &str, Damage); 8] = [
        ("git-repositories", "packages: the clone has no commit", |master| {
            master.write("packages.revision", &format!("{}\n", "f".repeat(40)));
        }),
        ("build-list", "build-list line 2: expected", |master| {
            let list = master.read("build-list");
            master.write("build-list", &format!("{list}a line that is none\n"));
        }),
        ("build-list", "b is on the list already", |master| {
            let list = master.read("build-list");
            master.write("build-list", &format!("{list}{list}"));
        }),
        (
            "build-list",
            "b is on the build list and on the deletion list",
            |master| {
                master.write("deletion-list", "b\n");
            },
        ),
        ("repos", "the repository gremlin is published", |master| {
            let directory = master.state().join("repositories/gremlin/os/x86_64");
            fs::create_dir_all(&directory).unwrap();
            common::atomic::write(&directory.join("gremlin.db"), b"").unwrap();
        }),
        ("package-database", "staging: a-1-1.0-any.pkg.tar.zst", |master| {
            fs::remove_file(pool(master, "a-1-1.0-any.pkg.tar.zst")).unwrap();
        }),
        (
            "state-files",
            "is done, but a-2-1.0-any.pkg.tar.zst is not published there",
            |master| {
                let done = master.fact("a", "done");
                master.write(&done, "a-1-1.0-any.pkg.tar.zst\na-2-1.0-any.pkg.tar.zst\n");
            },
        ),
        (
            "state-files",
            "staging: no order's state has b-1-1.0-any.pkg.tar.zst",
            |master| {
                publish(master, "b", "staging");
            },
        ),
    ];
    for (check, said, damage) in damages {
        let master = master();
        damage(&master);
        let ended = run(&master, &["-n"]).expect(1);
        assert!(
            ended.stdout.starts_with(&format!("{check}: ")) && ended.stdout.contains(said),
            "{ended:?}"
        );
        assert!(!master.path(FLAG).exists(), "-n only looks");
        run(&master, &[]).expect(1);
        let flag = master.read(FLAG);
        assert!(
            flag.starts_with(&format!("sanity-check: {check}: ")) && flag.contains(said),
            "{flag}"
        );
        let config = format!("work_dir='{}'\n", master.path("").display());
        let work_dir = common::work_dir::WorkDir::open(&Config::from_text(&config).unwrap()).unwrap();
        assert!(work_dir.insanity().unwrap().is_some());
        // The other checks do not speak for this one.
        let others = [
            "git-repositories",
            "build-list",
            "repos",
            "package-database",
            "state-files",
        ];
        let others: Vec<&str> = others.into_iter().filter(|other| *other != check).collect();
        run(&master, &others).expect(0);
        assert_eq!(master.read(FLAG), flag);
    }
}

#[test]
fn a_package_without_signature_is_one_where_signatures_are_required() {
    let master = master();
    master.configure("");
    let ended = run(&master, &["--json", "package-database"]).expect(1);
    let complaint: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(complaint["check"], "package-database");
    assert_eq!(
        complaint["complaint"],
        "staging: a-1-1.0-any.pkg.tar.zst has no signature"
    );
}

#[test]
fn what_the_next_run_completes_is_no_insanity() {
    let master = master();
    // A return was killed between publishing and its state: the builder still has the order, and returns it again.
    publish(&master, "b", "staging");
    master.write(&master.fact("b", "locked"), "b1\n");
    let ended = run(&master, &[]).expect(0);
    assert!(
        ended
            .stderr
            .contains("mends itself: staging: no order's state has b-1-1.0-any.pkg.tar.zst"),
        "{ended:?}"
    );
    // A link to a database was lost.
    fs::remove_file(master.state().join("repositories/staging/os/x86_64/staging.db")).unwrap();
    run(&master, &[]).expect(0);
    assert!(!master.path(FLAG).exists());
}

#[test]
fn what_a_person_wrote_into_the_flag_stays_and_a_held_lock_is_no_error() {
    let master = master();
    master.write(FLAG, "moving to a new disk\n");
    run(&master, &[]).expect(0);
    master.write("deletion-list", "b\n");
    run(&master, &[]).expect(1);
    assert_eq!(master.read(FLAG), "moving to a new disk\n");
    master.write(FLAG, "");
    master.configure("lock_wait_seconds=0\nrequire_signatures=no\n");
    let lock = Lock::acquire(&master.path("package-database.lock"), Mode::Exclusive, Patience::Never).unwrap();
    let ended = run(&master, &[]).expect(0);
    assert!(ended.stderr.contains("is locked by"), "{ended:?}");
    drop(lock);
    run(&master, &[]).expect(1);
    assert!(master.read(FLAG).starts_with("sanity-check: build-list: b is on"));
}
