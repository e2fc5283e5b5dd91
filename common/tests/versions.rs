//! Which versions of a package stay and which go: the table of archlinux32, line by line, and versions kept on purpose.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic, as tests do")]

use std::collections::BTreeMap;
use std::fs;

use common::config::Config;
use common::lock::Patience;
use common::names::Repository;
use common::package::PackageFile;
use common::process::Command;
use common::repository::{Arrival, Classes, Contents, Entry, NewPackage, Repositories};
use testkit::need;
use testkit::package::PackageSpec;

const EVERYWHERE: [&str; 8] = [
    "core",
    "extra",
    "testing",
    "community-testing",
    "staging",
    "community-staging",
    "build-support",
    "other-standalone",
];

fn entry(version: &str, arch: &str) -> Entry {
    Entry::parse(&format!(
        "%FILENAME%\na-{version}-{arch}.pkg.tar.zst\n\n%NAME%\na\n\n%VERSION%\n{version}\n\n%ARCH%\n{arch}\n\n"
    ))
    .unwrap()
}

/// Which repositories lose `a` when version 2-1 of it enters one, all of them having it in this version.
fn losers(entered: &str, there: &str) -> Vec<String> {
    losers_of(&entry("2-1", "x86_64"), entered, &entry(there, "x86_64"))
}

fn losers_of(arriving: &Entry, entered: &str, there: &Entry) -> Vec<String> {
    let config = Config::from_text("standalone_package_repositories='build-support other-standalone'\n").unwrap();
    let classes = Classes::from_config(&config).unwrap();
    let contents: Contents = EVERYWHERE
        .into_iter()
        .map(|name| (name.parse().unwrap(), vec![there.clone()]))
        .collect::<BTreeMap<_, _>>();
    let to: Repository = entered.parse().unwrap();
    let gone = classes.superseded(&to, &Arrival::from(arriving), &contents);
    gone.iter().map(ToString::to_string).collect()
}

#[test]
fn a_package_in_a_standalone_repository_takes_nothing_from_others() {
    for version in ["1-1", "2-1"] {
        assert!(losers("build-support", version).is_empty());
    }
}

#[test]
fn a_package_in_staging_takes_the_same_and_older_ones_from_other_staging_ones() {
    assert_eq!(losers("staging", "1-1"), ["community-staging"]);
    assert_eq!(losers("staging", "2-1"), ["community-staging"]);
    assert!(losers("staging", "3-1").is_empty());
}

#[test]
fn a_package_in_testing_takes_older_ones_from_staging_and_the_same_from_other_testing_ones() {
    let older = ["community-staging", "community-testing", "staging"];
    assert_eq!(losers("testing", "1-1"), older);
    assert_eq!(losers("testing", "2-1"), ["community-testing"]);
    assert!(losers("testing", "3-1").is_empty());
}

#[test]
fn a_package_in_stable_takes_older_ones_from_all_and_the_same_from_other_stable_ones() {
    let older = ["community-staging", "community-testing", "extra", "staging", "testing"];
    assert_eq!(losers("core", "1-1"), older);
    assert_eq!(losers("core", "2-1"), ["extra"]);
    assert!(losers("core", "3-1").is_empty());
}

#[test]
fn the_same_version_is_older_when_it_changed_between_any_and_an_architecture() {
    let (any, native) = (entry("2-1", "any"), entry("2-1", "x86_64"));
    for (arriving, there) in [(&any, &native), (&native, &any)] {
        let gone = losers_of(arriving, "testing", there);
        assert_eq!(gone, ["community-staging", "community-testing", "staging"]);
    }
    assert_eq!(losers_of(&any, "testing", &any), ["community-testing"]);
}

#[test]
fn what_is_older_is_what_vercmp_says() {
    if !need::programs(&["vercmp"]) {
        return;
    }
    for (arriving, there) in [
        ("1.10-1", "1.9-1"),
        ("1.9-1", "1.10-1"),
        ("1:1-1", "2-1"),
        ("2-1", "1:1-1"),
        ("1.0-1", "1.0rc1-1"),
        ("1.0rc1-1", "1.0-1"),
        ("1.0+0-1", "1.0-1"),
        ("1-1.10", "1-1.9"),
        ("1-2", "1-1.9"),
        ("20240101-1", "1:0-1"),
    ] {
        let vercmp = Command::new("vercmp").args([there, arriving]).run().unwrap().text();
        let is_lost = !losers_of(&entry(arriving, "x86_64"), "core", &entry(there, "x86_64")).is_empty();
        assert_eq!(is_lost, vercmp != "1", "{arriving} enters where {there} is");
    }
}

#[test]
fn older_versions_stay_where_several_are_kept_and_go_with_the_package() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::create_dir(root.join("new")).unwrap();
    let text = format!(
        "arch=x86_64\nrepo_dir='{}'\nkept_versions=3\ngrace_seconds=0\nkept_generations=0\n",
        root.join("repos").display()
    );
    let repositories = Repositories::open(&Config::from_text(&text).unwrap()).unwrap();
    let core: Repository = "core".parse().unwrap();
    // The last change of a file in the pool counts, too, by the clock of the disk.
    let later = 4_000_000_000;
    for version in ["1-1", "2-1", "9-1", "10-1"] {
        let path = PackageSpec::new("a", version).write(&root.join("new")).unwrap();
        let file = PackageFile::read(&path).unwrap();
        let mut transaction = repositories.transaction();
        transaction.add(&core, NewPackage { file, signature: None });
        transaction.commit(1, Patience::Never).unwrap();
        fs::remove_file(path).unwrap();
        repositories.clean(later).unwrap();
    }
    let served = || {
        let entries = fs::read_dir(repositories.path(&core)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.contains(".pkg.tar")).collect();
        names.sort();
        names
    };
    let file = |version: &str| format!("a-{version}-x86_64.pkg.tar.zst");
    assert_eq!(served(), [file("10-1"), file("2-1"), file("9-1")]);
    assert_eq!(repositories.file_names().unwrap().len(), 3, "the pool has no more");
    let mut transaction = repositories.transaction();
    transaction.remove(&core, &"a".parse().unwrap());
    transaction.commit(1, Patience::Never).unwrap();
    repositories.clean(later).unwrap();
    assert!(served().is_empty());
}
