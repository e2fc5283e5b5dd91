//! `scripts/build-master-status`: where a master stands, for eyes, `awk` and a web server.

use std::collections::BTreeMap;
use testkit::master::Master;
use testkit::package::PackageSpec;
use testkit::tool::Ended;

fn ask(master: &Master, words: &[&str]) -> Ended {
    master.script("build-master-status").args(words).run()
}

#[test]
fn what_is_to_be_done_and_what_is_done_is_counted() {
    let master = Master::new(&["a", "b: a", "c", "d", "e"]);
    master.write(&master.fact("c", "blocked"), "broken by FS#1, can be built later\n");
    master.write(&master.fact("d", "broken"), "eurobuild 1500000000\n");
    master.publish(&PackageSpec::new("x", "1-1"), "core");
    master.publish(&PackageSpec::new("y", "1-1"), "extra");
    master.publish(&PackageSpec::new("z", "1-1"), "testing");
    master.write(&master.fact("z", "testing"), "z-1-1-x86_64.pkg.tar.zst\n");
    master.write("deletion-list", "gone\nolder\n");
    master.ask("eurobuild", &["e"]).expect(0);
    let text = ask(&master, &[]).expect(0).stdout;
    let found: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once(' ')).collect();
    let expected = [
        ("sane", "yes"),
        ("to_build", "5"),
        ("can_be_built", "2"),
        ("handed_out", "1"),
        ("waiting_for_others", "1"),
        ("blocked", "1"),
        ("failed_before", "1"),
        ("loops", "0"),
        ("orders_in_staging", "0"),
        ("orders_in_testing", "1"),
        ("orders_approved", "0"),
        ("to_be_deleted", "2"),
        ("packages_in_stable", "2"),
        ("build", "eurobuild e assigned 0 0"),
    ];
    assert_eq!(found, expected.into(), "{text}");
    let page = ask(&master, &["--html"]).expect(0).stdout;
    for row in [
        "<tr><td>to_build</td><td>5</td></tr>",
        "<tr><td>eurobuild</td><td>e</td><td>assigned</td><td>0</td><td>0</td></tr>",
    ] {
        assert!(page.contains(row), "{page}");
    }
    // A figure that cannot be had is no zero.
    let database = master.state().join("repositories/extra/os/x86_64/extra.db");
    std::fs::remove_file(&database).expect("it was a link");
    common::atomic::write(&database, b"what is this").expect("there is room");
    assert_ne!(ask(&master, &[]).code, 0);
    std::fs::remove_file(&database).expect("it was a file");
    master.write("build-master-sanity", "the clones are gone\n");
    assert!(ask(&master, &[]).expect(0).stdout.starts_with("sane no\n"));
}

#[test]
fn a_master_that_cannot_be_explained_has_no_figures() {
    let master = Master::new(&["a"]);
    master.configure("lease_seconds=many\n");
    let ended = ask(&master, &[]);
    assert_ne!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains("lease_seconds"), "{ended:?}");
}

#[test]
fn an_unknown_word_is_a_mistake() {
    let master = Master::new(&["a"]);
    assert!(ask(&master, &["-x"]).expect(64).stderr.contains("Usage"));
    assert!(ask(&master, &["--help"]).expect(0).stdout.contains("Usage"));
}
