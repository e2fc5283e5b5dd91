//! build-packages as a process, against a master that answers as each test wants.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

mod ladder;
mod local;
mod site;
mod trouble;

use common::process::Command;
use testkit::packaging::{FILE, LINK, Remote};

use crate::site::Site;

const GOOD: &str =
    "grep -q '^pkgrel=1.0$' PKGBUILD && : >\"$PKGDEST/a-1-1.0-any.pkg.tar.zst\" && : >\"$PKGDEST/x-1-1-any.pkg.tar\"";

#[test]
fn scenario_53_one_order_is_built_with_its_sub_pkgrel_and_only_what_is_expected_is_returned() {
    let site = Site::new(GOOD);
    site.run(&[]).expect(0);
    assert_eq!(site.uploaded(0), ["a-1-1.0-any.pkg.tar.zst"]);
    let calls = site.read("calls");
    let calls: Vec<&str> = calls.lines().collect();
    assert_eq!(calls.len(), 2, "one build by default: {calls:?}");
    assert!(calls[0].ends_with("-i /keys/id -p 2222 slave@master.example get-assignment --wait 10 --files"));
    assert!(calls[1].ends_with(&format!("slave@master.example return-assignment {} 0", site.order())));
    assert_eq!(site.outbox(), 0);
    assert_eq!(std::fs::read_dir(site.path("work/builds")).unwrap().count(), 0);
}

#[test]
fn scenario_54_straws_are_tried_in_their_order_and_all_logs_are_returned_at_once() {
    let site = Site::new("echo no luck; exit 1");
    site.run(&["-x"]).expect(0);
    assert_eq!(site.read("builds"), "\n-c\n-- --nocheck\n");
    let logs = site.uploaded(0);
    assert_eq!(logs.len(), 3, "one log an attempt, also within one second: {logs:?}");
    assert!(logs.iter().all(|name| name.ends_with(".build-log.gz")), "{logs:?}");
    assert!(site.read("calls").trim_end().ends_with(" ERROR"));
    let text = site.uploaded_logs(0);
    assert!(text.contains("no luck") && text.contains("attempt 1 with :"), "{text}");
}

#[test]
fn a_build_that_ends_well_without_the_expected_package_is_a_failure() {
    let site = Site::new(": >\"$PKGDEST/other-1-1.0-any.pkg.tar.zst\"");
    let ended = site.run(&[]).expect(0);
    assert!(ended.stderr.contains("did not make a-1-1.0-any"), "{ended:?}");
    assert!(site.read("calls").trim_end().ends_with(" ERROR"));
}

#[test]
fn a_package_with_files_that_lead_out_of_its_directory_is_a_failure_of_the_package() {
    let mut site = Site::new(GOOD);
    let remote = Remote::new(&site.path("hostile.git"));
    let files = [
        ("a/repos/core-any/PKGBUILD", FILE, "pkgname=a\n"),
        ("a/repos/core-any/fix.patch", LINK, "/etc/passwd"),
    ];
    site.revision = remote.commit(&files).to_string();
    std::fs::remove_dir_all(site.path("packages.git")).unwrap();
    std::fs::rename(site.path("hostile.git"), site.path("packages.git")).unwrap();
    site.write("assignment", &format!("{} 0\na-1-1.0-any.pkg.tar.zst\n", site.order()));
    let ended = site.run(&[]).expect(0);
    assert!(ended.stderr.contains("fix.patch"), "{ended:?}");
    assert!(site.read("calls").trim_end().ends_with(" ERROR"));
    assert_eq!(site.uploaded(0).len(), 1, "with a log that says why");
}

#[test]
fn scenario_55_the_same_archive_is_uploaded_until_the_master_has_decided() {
    let site = Site::new(GOOD);
    site.answer("return-assignment", "1\n255\n0\n");
    site.run(&[]).expect(0);
    let first = std::fs::read(site.path("upload.0")).unwrap();
    for number in [1, 2] {
        assert_eq!(std::fs::read(site.path(&format!("upload.{number}"))).unwrap(), first);
    }
    assert_eq!(site.outbox(), 0);
}

#[test]
fn scenario_55_an_outdated_build_is_dropped_and_a_refused_one_stops_the_builder_and_is_kept() {
    let site = Site::new(GOOD);
    site.answer("get-assignment", "0\n0\n3\n");
    site.answer("return-assignment", "2\n4\n");
    let ended = site.run(&["-n", "0"]).expect(1);
    assert!(ended.stderr.contains("refused with 4: because"), "{ended:?}");
    assert_eq!(site.outbox(), 0);
    assert_eq!(std::fs::read_dir(site.path("work/refused")).unwrap().count(), 1);
}

#[test]
fn scenario_55_answers_to_a_request_decide_whether_to_go_on() {
    let site = Site::new(GOOD);
    site.answer("get-assignment", "1\n255\n0\n3\n");
    site.run(&["-n", "0"]).expect(0);
    assert_eq!(site.read("calls").matches("get-assignment").count(), 4);
    site.answer("get-assignment", "42\n");
    site.run(&[]).expect(1);
}

#[test]
fn a_build_that_was_not_taken_survives_a_restart() {
    let site = Site::new(GOOD);
    site.answer("return-assignment", "1\n");
    let running = site.tool(&[]).into_command().spawn().unwrap();
    while !site.read("calls").contains("return-assignment") {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    crash(running);
    site.answer("return-assignment", "1\n1\n0\n");
    site.answer("get-assignment", "3\n");
    site.configure("heartbeat_seconds=1\n");
    let before = site.read("calls").lines().count();
    site.run(&[]).expect(0);
    let calls = site.read("calls");
    let later: Vec<&str> = calls.lines().skip(before).collect();
    assert!(
        later[0].contains("return-assignment"),
        "first what is left over: {later:?}"
    );
    let signs = later
        .iter()
        .filter(|call| call.ends_with("ping-from-builder uploading 0 a"));
    assert!(signs.count() > 0, "the order is ours until then: {later:?}");
    assert_eq!(site.outbox(), 0);
}

/// Ends a child as a crash would.
fn crash(child: common::process::Child) {
    child.signal(common::process::Signal::SIGKILL);
    drop(child.wait());
}

#[test]
fn trouble_with_the_machine_is_no_failure_of_the_package() {
    let site = Site::new("exit 5");
    let ended = site.run(&[]).expect(1);
    assert!(ended.stderr.contains("this machine cannot build"), "{ended:?}");
    assert!(!site.read("calls").contains("return-assignment"));
    assert_eq!(site.read("builds").lines().count(), 3, "it is tried again");
}

#[test]
fn mistakes_are_told_apart() {
    let site = Site::new(GOOD);
    site.run(&["--no-such-option"]).expect(64);
    site.run(&["stray"]).expect(64);
    site.run(&["-s", ":hope:"]).expect(64);
    assert!(site.run(&["--help"]).expect(0).stdout.contains("SIGTERM drains"));
    site.write("builder.conf", "builder_name=one\n");
    let ended = site.run(&[]).expect(78);
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
}

#[test]
fn a_preferred_order_is_asked_for_first_and_is_no_condition() {
    let site = Site::new(GOOD);
    site.answer("get-assignment", "1\n3\n0\n3\n");
    site.run(&["-p", "zlib", "-n", "0"]).expect(0);
    let calls = site.read("calls");
    let asked: Vec<&str> = calls
        .lines()
        .filter(|line| line.contains("get-assignment"))
        .map(|line| line.rsplit(' ').next().unwrap())
        .collect();
    assert_eq!(
        asked,
        ["zlib", "zlib", "--files", "--files"],
        "again while the master is busy"
    );
}

#[test]
fn a_builder_goes_on_as_the_version_that_is_installed_in_its_place() {
    let site = Site::new(GOOD);
    site.answer("get-assignment", "0\n1\n");
    let program = site.path("build-packages");
    std::fs::copy(testkit::tool::program("build-packages"), &program).unwrap();
    let old = Command::new(&program)
        .args(["--config".as_ref(), site.path("builder.conf").as_os_str()])
        .args(["-k", "-n", "0"])
        .env("HOME", site.path(""));
    let old = old.spawn().unwrap();
    while !site.read("calls").contains("return-assignment") {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    site.script("build-packages", "#!/bin/sh\necho \"new: $*\"\nexit 9\n");
    let ended = old.wait().unwrap();
    assert_eq!(ended.status.code(), Some(9), "{ended:?}");
    let arguments = format!("new: --config {} -k -n 0", site.path("builder.conf").display());
    assert_eq!(ended.text(), arguments);
    assert_eq!(site.outbox(), 0);
}

#[test]
fn nothing_new_is_begun_after_a_time() {
    let site = Site::new(GOOD);
    site.answer("get-assignment", "0\n");
    site.run(&["-t", "0"]).expect(0);
    assert_eq!(site.read("calls"), "");
}
