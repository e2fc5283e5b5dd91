//! Base images: made while others use the old one, when they are old, with several partitions; further disks.

use std::fs;

use crate::place::{NOTHING, Place, wait_until};

#[test]
#[ignore = "boots virtual machines: scripts/test-vm"]
fn two_builds_at_once_and_a_refresh_do_not_disturb_each_other() {
    let Some(place) = Place::new() else { return };
    place.arch_vm(&["install"]).run().expect(0);
    let old = place.base();
    for name in ["one", "two"] {
        place.package(name, &NOTHING.replace("nothing", name));
    }
    let builds = ["one", "two"].map(|name| place.build(name, &[]).into_command().spawn().unwrap());
    wait_until("two machines", || place.machines().len() >= 2);
    // A base image that is too old for the third is made anew.
    let third = place
        .arch_vm(&["run", "--", "true"])
        .env("PORTSMITH_VM_BASE_SECONDS", "0");
    third.run().expect(0);
    assert_ne!(place.base(), old);
    for build in builds {
        let ended = build.wait().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
    for name in ["one", "two"] {
        assert!(place.path(&format!("{name}/{name}-1-1-any.pkg.tar.zst")).is_file());
    }
    place.assert_nothing_is_left();
    place.arch_vm(&["clean"]).run().expect(0);
    assert!(!old.exists(), "nobody uses the old base image any more");
}

#[test]
#[ignore = "boots virtual machines: scripts/test-vm"]
fn an_old_base_image_is_used_when_there_can_be_no_new_one() {
    let Some(place) = Place::new() else { return };
    place.arch_vm(&["install"]).run().expect(0);
    let old = place.base();
    let conf = format!(
        "[gone]\nSigLevel = Never\nServer = file://{}/$repo\n",
        place.path("gone").display()
    );
    place.write("gone.conf", &conf);
    let conf = place.path("gone.conf").display().to_string();
    let run = place.arch_vm(&["--pacman-conf", &conf, "run", "--", "true"]);
    let ended = run.env("PORTSMITH_VM_BASE_SECONDS", "0").run().expect(0);
    assert!(ended.stderr.contains("the old one is used"), "{ended:#?}");
    assert_eq!(place.base(), old);
    place.assert_nothing_is_left();
}

#[test]
#[ignore = "boots virtual machines: scripts/test-vm"]
fn a_killed_installation_leaves_nothing_and_the_next_one_makes_the_partitions_that_are_wanted() {
    let Some(place) = Place::apart() else { return };
    let log = fs::File::create(place.path("log")).unwrap();
    let command = place.arch_vm(&["install"]).into_command();
    let install = command
        .output(common::process::Output::Log(log, 1 << 20))
        .spawn()
        .unwrap();
    wait_until("a base image in the making", || {
        !place.bases().is_empty() || !install.is_running()
    });
    assert!(install.is_running());
    let pid = nix::unistd::Pid::from_raw(i32::try_from(install.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    drop(install.wait());
    place.wait_for_children();
    place.arch_vm(&["clean"]).run().expect(0);
    assert!(place.bases().is_empty(), "{:?}", place.bases());

    let layout = "swap:64M /boot:64M:ext2 /:4G /home:256M";
    let look = "cat /proc/mounts /proc/swaps; blockdev --getsize64 /dev/vdb";
    let arguments = ["run", "--start", "boot", "--extra-disk", "64", "--", "bash", "-c", look];
    let ended = place
        .arch_vm(&arguments)
        .env("PORTSMITH_VM_LAYOUT", layout)
        .run()
        .expect(0);
    for words in [
        "/dev/vda3 / ext4",
        "/dev/vda2 /boot ext2",
        "/dev/vda4 /home ext4",
        "/dev/vda1",
        "67108864\n",
    ] {
        assert!(ended.stdout.contains(words), "{words}: {ended:#?}");
    }
    // The copy is told which partition has the root file system.
    let copy = place.arch_vm(&["install", std::env::consts::ARCH, "copy.qcow2"]);
    copy.run().expect(0);
    place.arch_vm(&["check", "copy.qcow2"]).run().expect(0);
    place.assert_nothing_is_left();
}
