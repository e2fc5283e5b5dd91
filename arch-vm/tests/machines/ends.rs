//! How builds end that do not end well: each with its outcome, what was said so far, and nothing left behind.

use std::fs::{self, File};
use std::path::PathBuf;

use common::build_command::Outcome;
use common::process::Command;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use testkit::need;
use testkit::tool::must;

use crate::place::{NOTHING, Place, record, wait_until};
use crate::{is_said, start};

#[test]
#[ignore = "boots virtual machines: scripts/test-vm"]
fn each_way_to_fail_has_its_outcome_and_leaves_nothing() {
    let Some(place) = Place::new() else { return };
    let cases: &[(&str, &[&str], &str, i32)] = &[
        ("depends=(no-such-package)\n", &[], "dependencies", 2),
        ("source=(there-is-none)\nsha256sums=(SKIP)\n", &[], "sources", 3),
        ("prepare() { false; }\n", &[], "failed-prepare", 1),
        (
            "prepare() { sudo sh -c 'echo o >/proc/sysrq-trigger'; sleep 99; }\n",
            &[],
            "failed-prepare",
            1,
        ),
        (
            "prepare() { dd if=/dev/urandom of=big bs=1M count=900; }\n",
            &["--overlay", "100"],
            "limit-disk",
            4,
        ),
        (
            "prepare() {\n  fallocate -l $(($(df --output=avail -k /build | tail -n 1) - 512))K big\n  \
             head -c 9000000 /dev/zero >more\n}\n",
            &[],
            "limit-disk",
            4,
        ),
        (
            "prepare() { b() { b | b & }; b; sleep 999; }\n",
            &["--process-limit", "300", "--time-limit", "40"],
            "limit-wall-time",
            4,
        ),
    ];
    for (lines, arguments, outcome, code) in cases {
        place.package("bad", &format!("{NOTHING}{lines}"));
        let arguments: Vec<&str> = ["--json"].into_iter().chain(arguments.iter().copied()).collect();
        let ended = place.build("bad", &arguments).run().expect(*code);
        let record = record(&ended);
        assert_eq!(record.outcome.id(), *outcome, "{lines}: {ended:#?}");
        assert!(record.packages.is_empty() && record.message.is_some(), "{record:?}");
        assert!(
            ended.stderr.contains("==> Starting dependencies..."),
            "the log so far: {ended:#?}"
        );
        place.assert_nothing_is_left();
    }
}

/// A small file system in memory, as long as this lives.
struct Mounted(PathBuf);

impl Mounted {
    fn new(place: &Place, mib: u32) -> Option<Self> {
        if !Uid::effective().is_root() {
            need::skip("mounting a file system needs root");
            return None;
        }
        let path = place.path("small");
        fs::create_dir(&path).unwrap();
        let size = format!("size={mib}m,mode=755");
        must(
            Command::new("mount")
                .args(["-t", "tmpfs", "-o", &size, "small"])
                .arg(&path),
        );
        Some(Self(path))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        must(Command::new("umount").arg(&self.0));
    }
}

#[test]
#[ignore = "boots virtual machines: scripts/test-vm"]
fn a_full_disk_of_the_host_ends_the_build_and_nothing_is_left_there() {
    let Some(place) = Place::new() else { return };
    let Some(small) = Mounted::new(&place, 128) else { return };
    place.package(
        "bad",
        &format!("{NOTHING}prepare() {{ dd if=/dev/urandom of=big bs=1M count=90 conv=fsync; }}\n"),
    );
    let overlays = small.0.display().to_string();
    let arguments = ["--overlay-dir", &overlays, "--overlay", "120"];
    let build = start(&place, "bad", &arguments);
    wait_until("a machine at work", || {
        is_said(&place, "==> Starting dependencies...") || !build.is_running()
    });
    // Somebody else needs the room.
    File::create(small.0.join("other")).unwrap().set_len(0).unwrap();
    must(Command::new("fallocate").args(["-l", "90M"]).arg(small.0.join("other")));
    assert_eq!(build.wait().unwrap().status.code(), Some(4));
    assert!(is_said(&place, "disk"), "{:?}", fs::read_to_string(place.path("log")));
    place.assert_nothing_is_left();
    fs::remove_file(small.0.join("other")).unwrap();
    assert_eq!(fs::read_dir(&small.0).unwrap().count(), 0);
    let refused = place.build("bad", &["--overlay-dir", &overlays]).run().expect(5);
    assert!(refused.stderr.contains("a machine may write 2048 MiB"), "{refused:#?}");
}

#[test]
#[ignore = "boots virtual machines: scripts/test-vm"]
fn a_guest_that_never_boots_is_given_up_with_what_its_console_said() {
    let Some(place) = Place::new() else { return };
    File::create(place.path("empty.img"))
        .unwrap()
        .set_len(16 << 20)
        .unwrap();
    place.package("nothing", NOTHING);
    let arguments = ["--json", "--image", "../empty.img", "--boot-limit", "4"];
    let ended = place.build("nothing", &arguments).run().expect(5);
    let record = record(&ended);
    assert_eq!(record.outcome, Outcome::Machine);
    assert!(record.message.unwrap().contains("the console said"), "{ended:#?}");
    place.assert_nothing_is_left();
}

#[test]
#[ignore = "boots virtual machines: scripts/test-vm"]
fn a_signal_ends_a_build_with_code_6() {
    let Some(place) = Place::new() else { return };
    place.package("nothing", NOTHING);
    let build = start(&place, "nothing", &[]);
    wait_until("a machine", || !place.machines().is_empty());
    kill(Pid::from_raw(i32::try_from(build.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(build.wait().unwrap().status.code(), Some(6));
    place.assert_nothing_is_left();
}
