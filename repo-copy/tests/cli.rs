//! The contract of `repo-copy` and of the original's `copy-to-build-support`, as processes.

use common::lock::{Lock, Mode, Patience};
use common::names::Repository;
use common::process::Command;
use testkit::master::Master;
use testkit::need;
use testkit::package::PackageSpec;
use testkit::tool::{Ended, Tool};

fn run(master: &Master, words: &[&str]) -> Ended {
    let tool = Tool::at(env!("CARGO_BIN_EXE_repo-copy").as_ref());
    master.equip(tool, &master.state(), "operator").args(words).run()
}

fn publish(master: &Master, (name, version): (&str, &str), to: &str) {
    master.publish(&PackageSpec::new(name, version), to);
}

fn published(master: &Master, repository: &str) -> Vec<String> {
    let repository: Repository = repository.parse().expect("a repository");
    let packages = master.repositories().packages(&repository).expect("a database");
    packages.iter().map(|entry| entry.file_name.to_string()).collect()
}

#[test]
fn packages_are_copied_from_the_most_stable_repository_that_has_them() {
    let master = Master::new(&[]);
    publish(&master, ("a", "2-1"), "staging");
    publish(&master, ("a", "1-1"), "core");
    publish(&master, ("b", "1-1"), "testing");
    let file = "b-1-1-x86_64.pkg.tar.zst";
    let words = ["--to", "build-support", "a", file];
    let expected = format!("a-1-1-x86_64.pkg.tar.zst core\n{file} testing\n");
    assert_eq!(run(&master, &[&["-n"], &words[..]].concat()).expect(0).stdout, expected);
    assert!(published(&master, "build-support").is_empty(), "-n only looks");
    assert_eq!(run(&master, &words).expect(0).stdout, expected);
    assert_eq!(published(&master, "build-support"), ["a-1-1-x86_64.pkg.tar.zst", file]);
    assert_eq!(
        published(&master, "core"),
        ["a-1-1-x86_64.pkg.tar.zst"],
        "a copy and no move"
    );
    let path = master.repositories().path(&"build-support".parse().unwrap());
    assert!(path.join(file).exists());
    // Once more changes nothing; a named source and a newer version do.
    let before = std::fs::read_link(path.join(".current")).unwrap();
    assert_eq!(run(&master, &words).expect(0).stdout, "");
    assert_eq!(std::fs::read_link(path.join(".current")).unwrap(), before);
    let newer = run(&master, &["--to", "build-support", "--from", "staging", "a"]).expect(0);
    assert_eq!(newer.stdout, "a-2-1-x86_64.pkg.tar.zst staging\n");
    let ended = run(&master, &["--to", "build-support", "a"]).expect(2);
    assert!(
        ended
            .stderr
            .contains("build-support has a 2-1, which is newer than 1-1"),
        "{ended:?}"
    );
}

#[test]
fn what_cannot_be_done_changes_nothing() {
    let master = Master::new(&[]);
    publish(&master, ("a", "1-1"), "core");
    for (words, said) in [
        (
            &["--to", "build-support", "a", "nothing"][..],
            "no repository has nothing",
        ),
        (&["--to", "extra", "a"], "extra is no standalone repository"),
        (
            &["--to", "build-support", "--from", "elsewhere", "a"],
            "elsewhere is in none",
        ),
        (
            &["--to", "build-support", "--from", "extra", "a"],
            "no repository has a",
        ),
    ] {
        let ended = run(&master, words).expect(2);
        assert!(ended.stderr.contains(said), "{ended:?}");
    }
    for words in [
        &["a"][..],
        &["--to", "build-support"],
        &["--to", "../x", "a"],
        &["--frobnicate"],
    ] {
        run(&master, words).expect(64);
    }
    master.configure("lock_wait_seconds=0\n");
    let lock = Lock::acquire(&master.path("package-database.lock"), Mode::Exclusive, Patience::Never).unwrap();
    run(&master, &["--to", "build-support", "a"]).expect(1);
    drop(lock);
    master.write("build-master-sanity", "wait\n");
    run(&master, &["--to", "build-support", "a"]).expect(1);
    assert!(published(&master, "build-support").is_empty());
}

#[test]
fn the_script_of_the_original_copies_into_build_support() {
    if !need::programs(&["bash"]) {
        return;
    }
    let master = Master::new(&[]);
    publish(&master, ("a", "1-1"), "extra");
    let script = master.script("copy-to-build-support");
    let ended = script.args(["a-1-1-x86_64.pkg.tar.zst"]).run().expect(0);
    assert_eq!(ended.stdout, "a-1-1-x86_64.pkg.tar.zst extra\n");
    let database = master
        .repositories()
        .path(&"build-support".parse().unwrap())
        .join("build-support.db");
    let listing = Command::new("bsdtar").arg("-tf").arg(database).run().unwrap().text();
    assert!(listing.lines().any(|line| line == "a-1-1/desc"), "{listing}");
}
