//! Transactions that were killed, and those that are taken back.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use common::lock::Patience;
use common::process::Command;
use common::repository::{Commit, RepositoryError, Standing, Transition};
use common::state::State;
use testkit::package::PackageSpec;

use crate::{House, NOW, databases, name, pkgname};

fn take_back(house: &House, since: u64) -> Result<Commit, RepositoryError> {
    let mut records = house.repositories.transactions().unwrap();
    records.retain(|record| record.number >= since);
    let mut transaction = house.repositories.transaction();
    transaction.take_back(&records)?;
    transaction.commit(NOW, Patience::Never)
}

#[test]
fn transactions_are_taken_back_with_their_databases_to_the_byte_and_their_states() {
    let house = House::new();
    for repository in ["core", "testing"] {
        for number in 0..40 {
            house.add(repository, &PackageSpec::new(&format!("p{number}"), "1-1"));
        }
    }
    house.add("testing", &PackageSpec::new("a", "2-1"));
    let before = ["core", "testing"].map(|repository| databases(&house, repository));
    let transition = Transition {
        order: format!("a {0} {0} core", "0".repeat(40)).parse().unwrap(),
        before: Standing::In(State::Tested, vec!["a-2-1-x86_64.pkg.tar.zst".to_owned()]),
        after: Standing::Finished,
    };
    let mut transaction = house.repositories.transaction();
    transaction.move_package(&pkgname("a"), &name("testing"), &name("core"));
    transaction.note_transitions([transition.clone()]);
    let moved = transaction.commit(NOW, Patience::Never).unwrap().number.unwrap();
    assert_eq!(house.repositories.unsettled().unwrap().len(), 1);
    house.repositories.settle(moved).unwrap();
    house.add("core", &PackageSpec::new("b", "1-1"));
    let time = fs::metadata(house.path("core").join("core.db")).unwrap().mtime();
    let back = take_back(&house, moved).unwrap().number.unwrap();
    assert_eq!(
        ["core", "testing"].map(|repository| databases(&house, repository)),
        before
    );
    assert!(fs::metadata(house.path("core").join("core.db")).unwrap().mtime() > time);
    let record = house.repositories.unsettled().unwrap().pop().unwrap();
    assert_eq!((record.number, record.transitions), (back, vec![transition.reversed()]));
    // Taking that back, too, is as if nothing had happened.
    take_back(&house, back).unwrap();
    assert!(house.names("core").contains(&"a-2-1".to_owned()) && !house.names("testing").contains(&"a-2-1".to_owned()));
}

#[test]
fn what_is_needed_to_take_transactions_back_is_kept_and_nothing_more() {
    let house = House::with("kept_generations=3\n");
    house.add("core", &PackageSpec::new("a", "1-1"));
    for release in 2..9 {
        house.add("testing", &PackageSpec::new("a", &format!("1-{release}")));
    }
    house.repositories.clean(NOW + 100).unwrap();
    let kept = |repository: &str| {
        let generations = fs::read_dir(house.path(repository).join(".generations")).unwrap();
        let mut numbers: Vec<u64> = generations
            .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
            .collect();
        numbers.sort_unstable();
        numbers
    };
    assert_eq!((kept("core"), kept("testing")), (vec![1], vec![5, 6, 7, 8]));
    // Builders' copies count as links.
    fs::remove_dir_all(house.directory.path().join("new")).unwrap();
    house.repositories.clean(NOW + 200).unwrap();
    let pool = house.directory.path().join("repos/pool");
    let has = |release: u64| pool.join(format!("a-1-{release}-x86_64.pkg.tar.zst")).exists();
    assert_eq!(
        (1..9).filter(|release| has(*release)).collect::<Vec<_>>(),
        [1, 5, 6, 7, 8]
    );
    take_back(&house, 6).unwrap();
    assert_eq!(house.names("testing"), ["a-1-5"]);
    assert!(house.path("testing").join("a-1-5-x86_64.pkg.tar.zst").exists());
}

#[test]
fn a_generation_that_nobody_published_is_removed_and_one_that_was_begun_is_completed() {
    let house = House::new();
    house.add("core", &PackageSpec::new("a", "1-1"));
    // As if a tool had been killed before the first rename: copies of generation 1 under number 2.
    let generations = |repository: &str| house.path(repository).join(".generations");
    let copy = |repository: &str, from: &str, to: &str| {
        Command::new("cp")
            .arg("-a")
            .args([generations(repository).join(from), generations(repository).join(to)])
            .run()
            .unwrap();
    };
    copy("core", "1", "2");
    copy("extra", "1", "2");
    let commit = house.add("core", &PackageSpec::new("b", "1-1"));
    assert_eq!(commit.number, Some(2), "{commit:?}");
    assert_eq!(commit.warnings.len(), 2, "{commit:?}");
    // As if it had been killed after the rename in core: extra follows.
    copy("extra", "1", "2");
    let commit = house.add("staging", &PackageSpec::new("c", "1-1"));
    assert!(commit.warnings[0].contains("completed"), "{commit:?}");
    assert_eq!(
        fs::read_link(house.path("extra").join(".current")).unwrap(),
        Path::new(".generations/2")
    );
    assert_eq!(commit.number, Some(3));
}
