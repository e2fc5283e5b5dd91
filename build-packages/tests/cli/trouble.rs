//! Trouble on the builder's own machine: none of it loses work, and none of it is taken for a failure of the package.

use std::fs::File;

use common::process::{Command, Finished, Signal};
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

/// Runs a script of sh in which `work` is a small file system of its own, and `$builder` calls build-packages.
fn on_a_small_disk(site: &Site, script: &str) -> Finished {
    std::fs::create_dir(site.path("work")).unwrap();
    let script = format!(
        "cd '{}' && mount -t tmpfs -o size=2m none work || exit 99\nbuilder=\"'{}' --config builder.conf\"\n{script}",
        site.path("").display(),
        testkit::tool::program("build-packages").display(),
    );
    Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .env("HOME", site.path(""))
        .wait()
        .unwrap()
}

#[test]
fn a_full_disk_is_no_failure_of_the_package() {
    let package = "$PKGDEST/a-1-1.0-any.pkg.tar.zst";
    for (build, code) in [
        ("head -c 3000000 /dev/zero; exit 1".to_owned(), 1),
        // The package fits, and what is made for its way does not.
        (format!("head -c 1500000 /dev/zero >\"{package}\""), 74),
    ] {
        let site = Site::new(&build);
        let ended = on_a_small_disk(&site, "eval \"$builder\"");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(code), "{said}");
        assert!(said.contains("No space left on device"), "{said}");
        assert!(!site.read("calls").contains("return-assignment"));
    }
}

#[test]
fn a_builder_without_room_asks_for_no_order_until_there_is_some() {
    let site = Site::new(": >\"$PKGDEST/a-1-1.0-any.pkg.tar.zst\"");
    site.configure("free_disk_mib=1\n");
    let script = "head -c 1500000 /dev/zero >work/filler; eval \"$builder\" 2>said & \n\
                  until grep -q 'MiB are free in' said; do sleep 0.05; done\n\
                  ls calls; rm work/filler; wait $!";
    let ended = on_a_small_disk(&site, script);
    assert_eq!(ended.status.code(), Some(0), "{ended:?} {}", site.read("said"));
    assert_eq!(ended.text(), "", "nothing was asked for");
    assert_eq!(site.uploaded(0), ["a-1-1.0-any.pkg.tar.zst"]);
}
