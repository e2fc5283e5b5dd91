//! The protocol of `return-assignment`: whose order it is, passing troubles, the command line.

use crate::master::{Master, binary, put, tar};
use common::lock::{Lock, Mode, Patience};

#[test]
fn a_cut_or_empty_upload_is_to_be_sent_again_and_changes_nothing() {
    let Some(master) = Master::new() else { return };
    let order = master.lease("a", &["b1"], 0);
    let upload = tar(&master.packages_of_a("1-1.0"));
    let before = master.snapshot();
    for bytes in [
        &b""[..],
        b"no tar at all",
        &upload[..700],
        &upload[..upload.len() - 1024],
    ] {
        for result in ["0", "ERROR"] {
            let ended = master.run("b1", &order, result, bytes.to_vec()).expect(1);
            assert!(ended.stderr.contains("upload"), "{ended:?}");
        }
    }
    assert_eq!(before, master.snapshot());
    master.run("b1", &order, "0", upload).expect(0);
}

#[test]
fn only_the_owner_of_the_order_with_the_right_number_is_heard() {
    let Some(master) = Master::new() else { return };
    let order = master.lease("a", &["b1"], 0);
    let upload = tar(&master.packages_of_a("1-1.0"));
    let before = master.snapshot();
    master.run("b2", &order, "0", upload.clone()).expect(2);
    master.run("b2", &order, "ERROR", tar(&[])).expect(2);
    master.run("b1", &order, "1", upload.clone()).expect(2);
    let mut outdated = order.clone();
    outdated.revision = "f".repeat(40).parse().unwrap();
    let ended = master.run("b1", &outdated, "0", upload.clone()).expect(2);
    assert!(ended.stderr.contains("is outdated"), "{ended:?}");
    master.run("b1", &outdated, "ERROR", tar(&[])).expect(2);
    let mut elsewhere = order.clone();
    elsewhere.repository = "extra".parse().unwrap();
    master.run("b1", &elsewhere, "0", upload.clone()).expect(2);
    assert_eq!(before, master.snapshot());
    // Without a lease the name in `locked` is enough: the lease expired, and nobody else has finished.
    master.work_dir.leases().write(&"b1".parse().unwrap(), &[]).unwrap();
    master.run("b1", &order, "0", upload).expect(0);
}

#[test]
fn a_held_lock_and_an_insane_master_are_passing_troubles() {
    let Some(master) = Master::new() else { return };
    let order = master.lease("a", &["b1"], 0);
    let upload = tar(&master.packages_of_a("1-1.0"));
    let lock = master.work_dir.root().join("package-database.lock");
    let held = Lock::acquire(&lock, Mode::Exclusive, Patience::Never).unwrap();
    let ended = master.run("b1", &order, "0", upload.clone()).expect(1);
    assert!(ended.stderr.contains("is locked by"), "{ended:?}");
    drop(held);
    let flag = master.work_dir.root().join("build-master-sanity");
    put(&flag, b"a file is missing\n");
    let ended = master.run("b1", &order, "0", upload.clone()).expect(1);
    assert!(ended.stderr.contains("a file is missing"), "{ended:?}");
    put(&flag, b"");
    master.run("b1", &order, "0", upload).expect(0);
}

#[test]
fn the_command_line_is_checked() {
    let help = binary().args(["--help"]).run().expect(0);
    assert!(help.stdout.contains("SUB_PKGREL|ERROR") && help.stderr.is_empty());
    let revision = "0".repeat(40);
    let words = ["a", &revision, &revision, "core"];
    for (extra, builder) in [
        (vec!["0", "--frobnicate"], Some("b1")),
        (vec!["0", "more"], Some("b1")),
        (vec![], Some("b1")),
        (vec!["-1"], Some("b1")),
        (vec!["error"], Some("b1")),
        (vec!["0"], None),
        (vec!["0"], Some("b 1")),
    ] {
        let mut tool = binary().args(words).args(&extra);
        if let Some(builder) = builder {
            tool = tool.env("PORTSMITH_BUILDER", builder);
        }
        tool.run().expect(64);
    }
    let ended = binary()
        .args(words)
        .args(["0", "--config", "/nonexistent"])
        .env("slave", "b1")
        .run()
        .expect(78);
    assert!(ended.stderr.contains("/nonexistent"), "{ended:?}");
}
