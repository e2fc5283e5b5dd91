//! build-packages as a process, against a master that answers as each test wants.
//!
//! A real master cannot be made to answer 1, 4 or nothing at will, so a script stands in for ssh here; the end-to-end
//! tests have the real one.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use common::process::Command;
use testkit::packaging::{FILE, LINK, Remote};
use testkit::tool::{Ended, Tool, must};

/// Answers as the files beside it say: `answers/<tool>` has one exit code a line, the last one stays. Keeps what it was
/// called with and what was uploaded.
const SSH: &str = r#"#!/bin/bash
here=$(dirname "$0")
echo "$*" >>"$here/calls"
while [ $# -gt 0 ] && [ "$1" != get-assignment ] && [ "$1" != return-assignment ]; do shift; done
answers=$here/answers/$1
code=$(head -n 1 "$answers")
[ "$(wc -l <"$answers")" -gt 1 ] && sed -i 1d "$answers"
case $1 in
  get-assignment) [ "$code" != 0 ] || cat "$here/assignment" ;;
  return-assignment) cat >"$here/upload.$(ls "$here" | grep -c upload)"; echo "because" >&2 ;;
esac
exit "$code"
"#;

const ZEROS: &str = "0000000000000000000000000000000000000000";

struct Site {
    root: tempfile::TempDir,
    revision: String,
}

impl Site {
    /// A builder whose build command is this script.
    fn new(build: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let remote = Remote::new(&root.path().join("packages.git"));
        let pkgbuild = "pkgname=a\npkgver=1\npkgrel=1\narch=(any)\n";
        let revision = remote
            .commit(&[("a/repos/core-any/PKGBUILD", FILE, pkgbuild)])
            .to_string();
        let site = Self { root, revision };
        std::fs::create_dir_all(site.path("answers")).unwrap();
        site.script("ssh", SSH);
        site.script(
            "build",
            &format!(
                "#!/bin/bash\necho \"$*\" >>'{}'\n{build}",
                site.path("builds").display()
            ),
        );
        site.answer("get-assignment", "0\n3\n");
        site.answer("return-assignment", "0\n");
        site.write("assignment", &format!("{} 0\na-1-1.0-any.pkg.tar.zst\n", site.order()));
        let config = format!(
            "builder_name=one\nmaster=ssh://slave@master.example:2222\nmaster_identity=/keys/id\nssh_command='{}'\n\
             work_dir='{}'\nrepo_names=packages\nrepo_paths__packages='{}'\nbuild_command='{}'\n\
             require_signatures=no\nretry_pause_seconds=1\nstraws=': :clean_chroot: :without_check:'\n",
            site.path("ssh").display(),
            site.path("work").display(),
            site.path("packages.git").display(),
            site.path("build").display(),
        );
        site.write("builder.conf", &config);
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        common::atomic::write(&self.path(name), text.as_bytes()).unwrap();
    }

    fn script(&self, name: &str, text: &str) {
        self.write(name, text);
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn answer(&self, tool: &str, codes: &str) {
        self.write(&format!("answers/{tool}"), codes);
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn order(&self) -> String {
        format!("a {} {ZEROS} core", self.revision)
    }

    fn run(&self, words: &[&str]) -> Ended {
        Tool::new("build-packages")
            .args(["--config".as_ref(), self.path("builder.conf").as_os_str()])
            .args(words)
            .run()
    }

    /// The members of the n-th uploaded archive.
    fn uploaded(&self, number: usize) -> Vec<String> {
        let listing = must(
            Command::new("bsdtar")
                .arg("-tf")
                .arg(self.path(&format!("upload.{number}"))),
        );
        listing.lines().map(str::to_owned).collect()
    }

    fn outbox(&self) -> usize {
        std::fs::read_dir(self.path("work/outbox")).unwrap().count()
    }
}

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
    let text = must(
        Command::new("sh")
            .args(["-c", "bsdtar -xOf \"$0\" | zcat"])
            .arg(site.path("upload.0")),
    );
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
    let running = Tool::new("build-packages")
        .args(["--config".as_ref(), site.path("builder.conf").as_os_str()])
        .into_command()
        .spawn()
        .unwrap();
    while !site.read("calls").contains("return-assignment") {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    crash(running);
    site.answer("return-assignment", "0\n");
    site.answer("get-assignment", "3\n");
    let before = site.read("calls").lines().count();
    site.run(&[]).expect(0);
    let calls = site.read("calls");
    let later: Vec<&str> = calls.lines().skip(before).collect();
    assert!(
        later[0].contains("return-assignment"),
        "first what is left over: {later:?}"
    );
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
