//! Trouble on the builder's own machine: none of it loses work, and none of it is taken for a failure of the package.

use std::fs::File;

use common::process::{Command, Signal};
use testkit::tool::must;

use crate::site::{SOURCE_SUM, Site};

#[test]
fn local_builds_in_the_same_directory_are_left_alone() {
    let site = Site::new(": >\"$PKGDEST/a-1-1.0-any.pkg.tar.zst\"");
    std::fs::create_dir(site.path("mine")).unwrap();
    site.write("mine/PKGBUILD", "pkgname=a\n");
    let mine = site.path("mine").display().to_string();
    site.run(&["--local", &mine]).expect(0);
    // Another one is packing just now.
    let packing = site.path("work/builds/local.other/source");
    std::fs::create_dir_all(&packing).unwrap();
    site.run(&[]).expect(0);
    assert_eq!(site.uploaded(0), ["a-1-1.0-any.pkg.tar.zst"]);
    assert!(packing.exists());
    let logs = std::fs::read_dir(site.path("work/builds/local.mine/logs")).unwrap();
    assert_eq!(logs.count(), 1, "the logs of a local build stay until the next one");
}

#[test]
fn a_build_that_is_ended_while_sources_are_fetched_has_not_failed() {
    let site = Site::new("exit 3");
    std::fs::create_dir(site.path("by-hash")).unwrap();
    let source = site.path("by-hash").join(SOURCE_SUM);
    must(Command::new("mkfifo").arg(&source));
    site.configure(&format!(
        "straws=': :mirrored_source_by_hash:'\nsource_by_hash_mirror='file://{}'\n",
        site.path("by-hash").display()
    ));
    let running = site.tool(&[]).into_command().spawn().unwrap();
    // Opens when curl has begun to read.
    let mirror = File::options().write(true).open(&source).unwrap();
    running.signal(Signal::SIGINT);
    let ended = running.wait().unwrap();
    drop(mirror);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(!site.read("calls").contains("return-assignment"));
    assert_eq!(site.outbox(), 0);
}

#[test]
fn what_a_builder_lacks_is_said_before_it_asks_for_an_order() {
    for (line, key) in [
        ("package_key=nobody@port.example\n", "package_key"),
        ("build_command=/nonexistent/build\n", "build_command"),
        ("build_command=no-such-program\n", "build_command"),
    ] {
        let site = Site::new("exit 0");
        site.configure(line);
        let ended = site.run(&[]).expect(78);
        assert!(ended.stderr.contains(key), "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        assert_eq!(site.read("calls"), "");
    }
}
