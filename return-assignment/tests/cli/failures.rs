//! Builds that failed come back: counting, logs.

use std::fs;

use crate::master::{Master, put, tar};
use common::state::{State, order_id};

#[test]
fn failures_are_counted_and_their_logs_kept_one_directory_an_order() {
    let Some(master) = Master::new() else { return };
    let log = master.directory.path().join("new/2018-01-29T12:00:00.build-log.gz");
    let order = master.lease("a", &["b1", "b2"], 0);
    put(&log, b"one");
    master
        .run("b1", &order, "ERROR", tar(std::slice::from_ref(&log)))
        .expect(0);
    assert_eq!(
        master.work_dir.states().read(&order, State::Locked).unwrap().unwrap(),
        ["b2"]
    );
    assert_eq!((master.leases("b1"), master.leases("b2")), (0, 1));
    put(&log, b"two");
    master
        .run("b2", &order, "ERROR", tar(std::slice::from_ref(&log)))
        .expect(0);
    assert!(!master.has(&order, State::Locked));
    let broken = master.work_dir.states().read(&order, State::Broken).unwrap().unwrap();
    assert_eq!(broken.len(), 2);
    let logs = master.work_dir.root().join("logs/error/a").join(order_id(&order));
    assert_eq!(fs::read(logs.join("2018-01-29T12:00:00.build-log.gz")).unwrap(), b"one");
    assert_eq!(
        fs::read(logs.join("2018-01-29T12:00:00-2.build-log.gz")).unwrap(),
        b"two"
    );
    assert_eq!(master.list(), format!("{order}\n"));
    // A failure without any log counts, too; a later success clears everything.
    let order = master.lease("a", &["b1"], 0);
    master.run("b1", &order, "ERROR", tar(&[])).expect(0);
    assert_eq!(
        master
            .work_dir
            .states()
            .read(&order, State::Broken)
            .unwrap()
            .unwrap()
            .len(),
        3
    );
    let order = master.lease("a", &["b1"], 0);
    master
        .run("b1", &order, "0", tar(&master.packages_of_a("1-1.0")))
        .expect(0);
    assert!(!master.has(&order, State::Broken));
}
