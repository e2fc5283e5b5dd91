//! `return-assignment` killed, or on a disk that is full or fails: the same upload again completes the work.

use std::fs;
use std::path::Path;

use crate::master::{Master, STAGED, tar};
use common::process::{Command, Input};
use common::state::State;
use testkit::need;

#[test]
fn a_killed_return_is_completed_by_the_same_upload() {
    if !need::programs(&["strace"]) {
        return;
    }
    let Some(master) = Master::new() else { return };
    let upload = tar(&master.packages_of_a("1-1.0"));
    let mut killed = 0;
    for step in (1..60).step_by(3) {
        let order = master.lease("a", &["b1"], 0);
        let inject = format!("inject=rename:signal=SIGKILL:when={step}");
        let config = master.directory.path().join("portsmith.conf");
        let ended = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-e", &inject])
            .arg(env!("CARGO_BIN_EXE_return-assignment"))
            .args([Path::new("--config"), &config])
            .args(order.to_string().split(' '))
            .arg("0")
            .env("PORTSMITH_BUILDER", "b1")
            .input(Input::Bytes(upload.clone()))
            .wait()
            .unwrap();
        killed += usize::from(ended.status.code() != Some(0));
        master.run("b1", &order, "0", upload.clone()).expect(0);
        assert_eq!(master.published("staging"), STAGED, "killed at rename {step}");
        assert_eq!(master.list(), "");
        assert!(!master.has(&order, State::Locked) && master.leases("b1") == 0);
        assert_eq!(
            master.work_dir.states().read(&order, State::Done).unwrap().unwrap(),
            STAGED
        );
        // From the beginning again: nothing published.
        fs::remove_dir_all(master.directory.path().join("repos")).unwrap();
        master.work_dir.states().remove(&order, State::Done).unwrap();
    }
    assert!(killed >= 5, "{killed} points");
}

#[test]
fn a_full_disk_or_a_failing_one_is_a_passing_trouble() {
    if !need::programs(&["strace"]) {
        return;
    }
    let Some(master) = Master::new() else { return };
    let upload = tar(&master.packages_of_a("1-1.0"));
    let mut failed = 0;
    for fault in [
        "write:error=ENOSPC",
        "fsync:error=EIO",
        "rename:error=ENOSPC",
        "openat:error=EMFILE",
    ] {
        for step in [1, 3, 7, 12, 20, 30, 60, 120] {
            let order = master.lease("a", &["b1"], 0);
            let config = master.directory.path().join("portsmith.conf");
            let ended = Command::new("strace")
                .args([
                    "-f",
                    "-qq",
                    "-o",
                    "/dev/null",
                    "-e",
                    &format!("inject={fault}:when={step}"),
                ])
                .arg(env!("CARGO_BIN_EXE_return-assignment"))
                .args([Path::new("--config"), &config])
                .args(order.to_string().split(' '))
                .arg("0")
                .env("PORTSMITH_BUILDER", "b1")
                .input(Input::Bytes(upload.clone()))
                .wait()
                .unwrap();
            // The dynamic linker and reading the configuration fail in ways of their own.
            let code = ended.status.code();
            assert!(matches!(code, Some(0 | 1 | 78 | 127)), "{fault} {step}: {ended:?}");
            failed += usize::from(code == Some(1));
            master.run("b1", &order, "0", upload.clone()).expect(0);
            assert_eq!(master.published("staging"), STAGED, "{fault} {step}");
            assert_eq!(master.list(), "");
            fs::remove_dir_all(master.directory.path().join("repos")).unwrap();
            master.work_dir.states().remove(&order, State::Done).unwrap();
        }
    }
    assert!(failed >= 8, "{failed} failures");
}
