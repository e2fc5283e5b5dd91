//! What is published, and where, when packages come back, as a process, with real gpg and git.

use std::fs;

use crate::master::{Master, STAGED, commit, put, tar};
use common::build_list::Order;
use common::journal::Event;
use common::lock::Patience;
use common::state::State;
use testkit::package::PackageSpec;

#[test]
fn packages_are_published_and_the_order_is_done() {
    let Some(master) = Master::new() else { return };
    let order = master.lease("a", &["b1", "b2"], 0);
    master.lease("solo", &["b3"], 0);
    let upload = tar(&master.packages_of_a("1-1.0"));
    master.run("b1", &order, "0", upload.clone()).expect(0);
    assert_eq!(master.published("staging"), STAGED);
    let staging = master.repositories.path(&"staging".parse().unwrap());
    for file in STAGED {
        assert!(staging.join(file).exists() && staging.join(format!("{file}.sig")).exists());
        let sonames = master.work_dir.metadata_directory().join("sonames").join(file);
        assert!(fs::read_to_string(sonames).unwrap().starts_with("sha256 "));
    }
    assert_eq!(master.list(), format!("{}\n", master.order("solo")));
    let done = master.work_dir.states().read(&order, State::Done).unwrap().unwrap();
    assert_eq!(done, STAGED);
    assert!(!master.has(&order, State::Locked) && !master.has(&order, State::Broken));
    assert_eq!(
        (master.leases("b1"), master.leases("b2"), master.leases("b3")),
        (0, 0, 1)
    );
    let journal = master.work_dir.journal().read().unwrap();
    assert_eq!(journal.last().unwrap().event, Event::Returned);

    // The same again is accepted and changes nothing; other files are outdated.
    let before = master.snapshot();
    master.run("b1", &order, "0", upload).expect(0);
    let other = [PackageSpec::new("a", "1-1.0").file("usr/bin/a", "other")];
    let ended = master
        .run("b2", &order, "0", tar(&master.signed(&other, &master.keyring)))
        .expect(2);
    assert!(ended.stderr.contains("not on the build list"), "{ended:?}");
    assert_eq!(before, master.snapshot());
}

#[test]
fn a_newer_build_takes_the_place_of_an_older_one_in_staging() {
    let Some(master) = Master::new() else { return };
    let order = master.lease("a", &["b1"], 0);
    master
        .run("b1", &order, "0", tar(&master.packages_of_a("1-1.0")))
        .expect(0);
    // The older state becomes that of another revision, of which one package is made no more.
    let mut older = order.clone();
    older.revision = "e".repeat(40).parse().unwrap();
    let states = master.work_dir.states();
    let old_solo = "solo-0-1-x86_64.pkg.tar.zst";
    states
        .write(&older, State::Done, [STAGED[0], STAGED[1], old_solo])
        .unwrap();
    states.write(&older, State::Tested, ["x"]).unwrap();
    states.remove(&order, State::Done).unwrap();
    let mut transaction = master.repositories.transaction();
    let path = PackageSpec::new("solo", "0-1")
        .write(&master.directory.path().join("new"))
        .unwrap();
    let file = common::package::PackageFile::read(&path).unwrap();
    let package = common::repository::NewPackage { file, signature: None };
    transaction.add(&"staging".parse().unwrap(), package);
    transaction.commit(1, Patience::Never).unwrap();
    let order = master.lease("a", &["b1"], 1);
    master
        .run("b1", &order, "1", tar(&master.packages_of_a("1-1.1")))
        .expect(0);
    assert_eq!(
        master.published("staging"),
        ["a-1-1.1-x86_64.pkg.tar.zst", "a-docs-1-1.1-any.pkg.tar.zst"]
    );
    assert!(!master.has(&older, State::Done) && master.has(&older, State::Tested));
}

#[test]
fn a_package_of_multilib_goes_where_the_customization_keeps_it() {
    let Some(master) = Master::new() else { return };
    let customization = master.directory.path().join("customization");
    fs::create_dir(&customization).unwrap();
    let run = |list: &str, version: &str| {
        put(&customization.join("extra-from-multilib"), list.as_bytes());
        drop(fs::remove_dir_all(customization.join(".git")));
        let head = commit(&customization);
        let order: Order = format!("lisp {} {head} multilib", master.revision).parse().unwrap();
        put(&master.work_dir.build_list(), format!("{order}\n").as_bytes());
        master.work_dir.states().write(&order, State::Locked, ["b1"]).unwrap();
        let number = version.rsplit('.').next().unwrap();
        let upload = tar(&master.signed(&[PackageSpec::new("lisp", version)], &master.keyring));
        let tool = master
            .tool("b1", &order, number)
            .env("PORTSMITH_REPO_NAMES", "packages customization");
        let tool = tool.env("PORTSMITH_REPO_PATHS__CUSTOMIZATION", customization.join(".git"));
        tool.stdin(upload).run().expect(0);
    };
    run("cmucl\n", "1-1.0");
    assert_eq!(master.published("community-staging"), ["lisp-1-1.0-x86_64.pkg.tar.zst"]);
    run("# moved\nlisp # too\n", "1-1.1");
    assert_eq!(master.published("staging"), ["lisp-1-1.1-x86_64.pkg.tar.zst"]);
    assert!(master.published("community-staging").is_empty());
}

#[test]
fn an_order_of_a_standalone_repository_is_published_there_and_has_no_stages() {
    let Some(master) = Master::new() else { return };
    let mut order = master.order("crutch");
    order.repository = "build-support".parse().unwrap();
    put(&master.work_dir.build_list(), format!("{order}\n").as_bytes());
    master.lease_order(&order, &["b1"], 0);
    let upload = tar(&master.signed(&[PackageSpec::new("crutch", "1-1.0")], &master.keyring));
    master.run("b1", &order, "0", upload.clone()).expect(0);
    assert_eq!(master.published("build-support"), ["crutch-1-1.0-x86_64.pkg.tar.zst"]);
    assert!(master.published("staging").is_empty());
    assert_eq!(master.list(), "");
    assert!(State::ALL.iter().all(|state| !master.has(&order, *state)));
    assert_eq!(
        master.work_dir.journal().read().unwrap().last().unwrap().event,
        Event::Returned
    );
    // The same again is accepted and changes nothing.
    let before = master.snapshot();
    master.run("b1", &order, "0", upload).expect(0);
    assert_eq!(before, master.snapshot());
}

#[test]
fn unsigned_packages_are_taken_where_the_policy_says_so() {
    let Some(master) = Master::new() else { return };
    let order = master.lease("solo", &["b1"], 0);
    let path = PackageSpec::new("solo", "1-1.0")
        .write(&master.directory.path().join("new"))
        .unwrap();
    let tool = master.tool("b1", &order, "0").env("PORTSMITH_REQUIRE_SIGNATURES", "no");
    tool.stdin(tar(&[path])).run().expect(0);
    assert_eq!(master.published("staging"), ["solo-1-1.0-x86_64.pkg.tar.zst"]);
}
