//! What a transaction does to pool and repositories, and what it refuses.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use common::lock::Patience;
use common::process::Command;
use common::repository::RepositoryError;
use testkit::need;
use testkit::package::PackageSpec;

use crate::{House, NOW, name, pkgname, put};

#[test]
fn every_configured_repository_exists_after_the_first_transaction() {
    let house = House::new();
    house.add("staging", &PackageSpec::new("a", "1-1"));
    for repository in [
        "core",
        "extra",
        "community",
        "testing",
        "community-staging",
        "build-support",
    ] {
        assert!(
            house.path(repository).join(format!("{repository}.db")).exists(),
            "{repository}"
        );
        assert!(house.names(repository).is_empty());
    }
    assert_eq!(house.names("staging"), ["a-1-1"]);
    let files = house.repositories.file_names().unwrap();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].to_string(), "a-1-1-x86_64.pkg.tar.zst");
    let last_update = fs::read_to_string(house.directory.path().join("repos/lastupdate")).unwrap();
    assert_eq!(last_update, format!("{NOW}\n"));
}

#[test]
fn the_same_transaction_again_changes_nothing() {
    let house = House::new();
    let spec = PackageSpec::new("a", "1-1");
    assert_eq!(house.add("core", &spec).number, Some(1));
    let again = house.add("core", &spec);
    assert_eq!(again.number, None);
    assert!(again.changed.is_empty(), "{again:?}");
}

#[test]
fn a_published_file_is_never_replaced_by_other_content() {
    let house = House::new();
    house.add("core", &PackageSpec::new("a", "1-1"));
    let other = PackageSpec::new("a", "1-1").file("usr/bin/a", "evil");
    let error = house.add_at(NOW, "core", &other).unwrap_err();
    assert!(matches!(error, RepositoryError::Differs(_)), "{error}");
    // An orphan in the pool, which a killed tool left, gives way.
    let orphan = PackageSpec::new("b", "1-1");
    put(
        &house.directory.path().join("repos/pool").join(orphan.file_name()),
        b"half",
    );
    house.add("core", &orphan);
    assert_eq!(house.names("core"), ["a-1-1", "b-1-1"]);
}

#[test]
fn a_reader_always_finds_one_whole_generation() {
    let house = House::new();
    house.add("core", &PackageSpec::new("a", "1-1"));
    let done = std::sync::atomic::AtomicBool::new(false);
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    let core = house.path("core");
    let looks = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut looks = 0;
            while !done.load(relaxed) {
                let generation = core.join(fs::read_link(core.join(".current")).unwrap());
                let list = |kind: &str| -> Vec<String> {
                    let database = generation.join(format!("core.{kind}.tar.gz"));
                    let entries = house.unpacked(&database);
                    let desc = entries.iter().filter(|(path, _)| path.ends_with("/desc"));
                    desc.map(|(_, text)| text.lines().nth(1).unwrap().to_owned()).collect()
                };
                let named = list("db");
                assert_eq!(named, list("files"));
                for file in named {
                    assert!(core.join(&file).exists(), "{file}");
                }
                looks += 1;
            }
            looks
        });
        for number in 2..30 {
            house.add("core", &PackageSpec::new("a", &format!("{number}-1")));
            house.repositories.clean(NOW).unwrap();
        }
        done.store(true, relaxed);
        reader.join().unwrap()
    });
    assert!(looks > 3, "{looks} looks");
}

#[test]
fn a_package_moves_with_its_file_and_older_ones_go_after_the_grace_time() {
    let house = House::new();
    house.add("core", &PackageSpec::new("a", "1-1"));
    house.add("testing", &PackageSpec::new("a", "2-1"));
    let mut transaction = house.repositories.transaction();
    transaction.move_package(&pkgname("a"), &name("testing"), &name("core"));
    transaction.commit(NOW, Patience::Never).unwrap();
    assert_eq!(house.names("core"), ["a-2-1"]);
    assert!(house.names("testing").is_empty());
    let (old, new) = ("a-1-1-x86_64.pkg.tar.zst", "a-2-1-x86_64.pkg.tar.zst");
    assert!(house.path("core").join(new).exists());
    house.repositories.clean(NOW + 99).unwrap();
    assert!(house.path("core").join(old).exists() && house.path("testing").join(new).exists());
    house.repositories.clean(NOW + 100).unwrap();
    assert!(!house.path("core").join(old).exists() && !house.path("testing").join(new).exists());
    assert!(house.path("core").join(new).exists());
    let pool = house.directory.path().join("repos/pool");
    assert!(pool.join(old).exists(), "kept generations name it");
}

#[test]
fn what_is_not_there_cannot_be_moved_or_configured_away() {
    let house = House::new();
    house.add("core", &PackageSpec::new("a", "1-1"));
    let mut transaction = house.repositories.transaction();
    transaction.move_package(&pkgname("b"), &name("testing"), &name("core"));
    let error = transaction.commit(NOW, Patience::Never).unwrap_err();
    assert!(matches!(error, RepositoryError::NoPackage { .. }), "{error}");
    let error = house.add_at(NOW, "nowhere", &PackageSpec::new("a", "1-1")).unwrap_err();
    assert!(matches!(error, RepositoryError::Unknown(_)), "{error}");
}

#[test]
fn what_repo_add_and_repo_remove_did_is_taken_in_and_the_links_come_back() {
    if !need::programs(&["repo-add", "repo-remove"]) {
        return;
    }
    let house = House::new();
    house.add("core", &PackageSpec::new("a", "1-1"));
    house.add("core", &PackageSpec::new("b", "1-1"));
    let core = house.path("core");
    let by_hand = PackageSpec::new("hand", "1-1").write(&core).unwrap();
    let database = core.join("core.db.tar.gz");
    Command::new("repo-add")
        .arg("-q")
        .arg(&database)
        .arg(&by_hand)
        .run()
        .unwrap();
    Command::new("repo-remove")
        .arg("-q")
        .arg(&database)
        .arg("b")
        .run()
        .unwrap();
    assert_eq!(house.names("core"), ["a-1-1", "hand-1-1"]);
    let commit = house.add("core", &PackageSpec::new("c", "1-1"));
    assert!(commit.warnings[0].contains("taken in"), "{commit:?}");
    assert_eq!(house.names("core"), ["a-1-1", "c-1-1", "hand-1-1"]);
    assert!(fs::symlink_metadata(&database).unwrap().is_symlink());
    assert!(!core.join("core.db.tar.gz.old").exists() && !core.join("core.files.tar.gz.old").exists());
    let pool = house.directory.path().join("repos/pool/hand-1-1-x86_64.pkg.tar.zst");
    assert_eq!(fs::metadata(pool).unwrap().ino(), fs::metadata(by_hand).unwrap().ino());
    // Files that repo-remove left stay for the grace time, counted from when they were noticed.
    house.repositories.clean(NOW).unwrap();
    assert!(core.join("b-1-1-x86_64.pkg.tar.zst").exists());
    house.repositories.clean(NOW + 100).unwrap();
    assert!(!core.join("b-1-1-x86_64.pkg.tar.zst").exists());
    // A lock of a living process is waited for, but not for ever.
    put(&core.join("core.db.tar.gz.lck"), b"1\n");
    let error = house.add_at(NOW, "core", &PackageSpec::new("d", "1-1")).unwrap_err();
    assert!(matches!(error, RepositoryError::Busy { .. }), "{error}");
}

#[test]
fn the_publish_command_gets_the_changed_paths_and_a_failure_is_not_lost() {
    let directory = tempfile::tempdir().unwrap();
    let told = directory.path().join("told");
    let script = directory.path().join("publish");
    let write = |text: String| {
        put(&script, text.as_bytes());
        Command::new("chmod").arg("755").arg(&script).run().unwrap();
    };
    write("#!/bin/sh\nexit 1\n".to_owned());
    let house = House::with(&format!("publish_command='{}'\n", script.display()));
    house.add("core", &PackageSpec::new("a", "1-1"));
    let error = house.repositories.publish().unwrap_err().to_string();
    assert!(error.contains("wait for the next run"), "{error}");
    write(format!("#!/bin/sh\ncat > {}\n", told.display()));
    house.repositories.publish().unwrap();
    let text = fs::read_to_string(&told).unwrap();
    for path in [
        "core/os/x86_64/a-1-1-x86_64.pkg.tar.zst",
        "core/os/x86_64/core.db.tar.gz",
        "lastupdate",
    ] {
        assert!(text.lines().any(|line| line == path), "{path} in {text}");
    }
    fs::remove_file(&told).unwrap();
    house.repositories.publish().unwrap();
    assert!(!told.exists(), "nothing is left to tell");
}
