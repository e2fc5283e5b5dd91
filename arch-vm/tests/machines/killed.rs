//! arch-vm killed at every stage, and what `arch-vm clean` makes of it: nothing is left, nothing runs.

use std::fs;
use std::path::Path;

use common::process::Child;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::place::{NOTHING, Place, wait_until};
use crate::{is_said, start};

/// Kills it as soon as it is so far.
#[track_caller]
fn kill_when(what: &str, build: Child, mut is_reached: impl FnMut() -> bool) {
    wait_until(what, || is_reached() || !build.is_running());
    assert!(build.is_running(), "{what}");
    kill(Pid::from_raw(i32::try_from(build.id()).unwrap()), Signal::SIGKILL).unwrap();
    assert!(!build.wait().unwrap().status.success());
}

/// Removes what is left, and looks.
#[track_caller]
fn clean(place: &Place) {
    place.arch_vm(&["clean"]).run().expect(0);
    place.assert_nothing_is_left();
}

#[test]
#[ignore = "boots virtual machines: scripts/test-vm"]
fn clean_removes_what_a_killed_build_left_in_each_phase() {
    let Some(place) = Place::new() else { return };
    place.arch_vm(&["install"]).run().expect(0);
    let sleeping = |function: &str| format!("{NOTHING}{function}() {{ sleep 999; }}\n");
    // A log that takes long to be handed out.
    let large = format!("{NOTHING}package() {{ truncate -s 900M /logdest/large.log; }}\n");
    let phases: [(String, &[&str], &str); 8] = [
        (NOTHING.to_owned(), &[], "==> Starting dependencies..."),
        (NOTHING.to_owned(), &[], "==> Starting sources..."),
        (sleeping("prepare"), &[], "==> Starting prepare()..."),
        (sleeping("prepare"), &["--keep", "failure"], "==> Starting prepare()..."),
        (sleeping("build"), &[], "==> Starting build()..."),
        (sleeping("check"), &[], "==> Starting check()..."),
        (sleeping("package"), &[], "==> Starting package()..."),
        (large, &[], "==> Starting delivery..."),
    ];
    for (package, arguments, words) in phases {
        place.package("nothing", &package);
        let build = start(&place, "nothing", arguments);
        kill_when(words, build, || is_said(&place, words));
        clean(&place);
        assert!(!place.path("nothing/nothing-1-1-any.pkg.tar.zst").exists(), "{words}");
    }
}

#[test]
#[ignore = "boots virtual machines: scripts/test-vm"]
fn clean_removes_a_machine_that_was_killed_while_it_came_up() {
    let Some(place) = Place::new() else { return };
    place.package("nothing", NOTHING);
    place.arch_vm(&["install"]).run().expect(0);
    for how in ["snapshot", "boot"] {
        for keep in ["never", "failure"] {
            let build = start(&place, "nothing", &["--start", how, "--keep", keep]);
            kill_when(how, build, || has_in_machine(&place, "qmp.sock"));
            clean(&place);
            let build = start(&place, "nothing", &["--start", how, "--keep", keep]);
            kill_when(how, build, || has_in_machine(&place, "machine.json"));
            clean(&place);
        }
    }
}

fn has_in_machine(place: &Place, name: &str) -> bool {
    place.machines().iter().any(|path| path.join(name).exists())
}

#[test]
#[ignore = "boots virtual machines: scripts/test-vm"]
fn clean_removes_an_overlay_elsewhere_of_a_machine_that_nothing_is_written_down_of() {
    let Some(place) = Place::new() else { return };
    place.package("nothing", NOTHING);
    place.arch_vm(&["run", "--", "true"]).run().expect(0);
    let overlays = place.path("overlays");
    fs::create_dir(&overlays).unwrap();
    // Makes the overlay and then takes its time, for as long as the test does: nobody else ends it.
    let slow = format!(
        "#!/bin/sh\nPATH=${{PATH#*:}}\nqemu-img \"$@\" && case $* in\n*{0}*) while [ -d {0} ]; do sleep 0.1; done ;;\nesac\n",
        overlays.display()
    );
    place.program("slow/qemu-img", &slow);
    let path = format!("{}:{}", place.path("slow").display(), std::env::var("PATH").unwrap());
    let overlay_dir = overlays.display().to_string();
    let build = place
        .build("nothing", &["--overlay-dir", &overlay_dir])
        .env("PATH", path);
    let build = build.into_command().spawn().unwrap();
    kill_when("an overlay", build, || has_files(&overlays));
    assert!(!has_in_machine(&place, "machine.json"));
    clean(&place);
    assert!(!has_files(&overlays));
}

fn has_files(directory: &Path) -> bool {
    fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some())
}

#[test]
#[ignore = "boots virtual machines: scripts/test-vm"]
fn clean_removes_a_snapshot_that_nobody_finishes() {
    let Some(place) = Place::new() else { return };
    place.package("nothing", NOTHING);
    place.arch_vm(&["install"]).run().expect(0);
    let snapshots = place.base().join("snapshots");
    let begun = || {
        let entries = fs::read_dir(&snapshots).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        // Other hardware has another one, which is finished; locks stay.
        names
            .filter(|name| !name.starts_with('.') && name.contains("-1-520-"))
            .count()
    };
    let build = start(&place, "nothing", &["--memory", "520"]);
    kill_when("a snapshot in the making", build, || {
        begun() > 0 && has_in_machine(&place, "qmp.sock")
    });
    clean(&place);
    assert_eq!(begun(), 0);
}
