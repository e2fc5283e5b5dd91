//! The command as a process, as far as no machine is needed for it.

mod place;

use place::{NOTHING, Place};
use testkit::tool::Tool;

#[test]
fn an_unknown_option_or_a_missing_sub_command_is_64() {
    for arguments in [
        &["--no-such-option"][..],
        &[],
        &["build", "--cpus", "0"],
        &["list", "extra"],
    ] {
        let ended = Tool::new("arch-vm").args(arguments).run().expect(64);
        assert!(ended.stdout.is_empty(), "{ended:#?}");
    }
}

#[test]
fn help_names_the_exit_codes() {
    let ended = Tool::new("arch-vm").args(["--help"]).run().expect(0);
    assert!(ended.stdout.contains("6 interrupted"), "{ended:#?}");
}

#[test]
fn a_directory_without_pkgbuild_is_64_and_a_destination_that_is_none_too() {
    let Some(place) = Place::new() else { return };
    let ended = place.arch_vm(&["build"]).run().expect(64);
    assert!(ended.stderr.contains("there is no PKGBUILD in"), "{ended:#?}");
    place.package("nothing", NOTHING);
    let ended = place
        .build("nothing", &[])
        .env("PKGDEST", "/no/such/directory")
        .run()
        .expect(64);
    assert!(ended.stderr.contains("is not a directory"), "{ended:#?}");
}

#[test]
fn an_architecture_without_machine_and_a_machine_that_is_not_there_are_64() {
    let Some(place) = Place::new() else { return };
    let ended = place.arch_vm(&["install", "armv7h"]).run().expect(64);
    assert!(
        ended.stderr.contains("no virtual machine is known for armv7h"),
        "{ended:#?}"
    );
    for arguments in [["stop", "nobody"], ["ssh", "../x"], ["console", "nobody"]] {
        place.arch_vm(&arguments).run().expect(64);
    }
}

#[test]
fn a_wrong_layout_is_78_and_named() {
    let Some(place) = Place::new() else { return };
    let ended = place
        .arch_vm(&["list"])
        .env("PORTSMITH_VM_LAYOUT", "/:8G:jfs")
        .run()
        .expect(78);
    assert!(ended.stderr.contains("vm_layout"), "{ended:#?}");
}

#[test]
fn a_repository_that_nobody_knows_the_place_of_is_78() {
    let Some(place) = Place::new() else { return };
    place.package("nothing", NOTHING);
    let ended = place
        .build("nothing", &[std::env::consts::ARCH, "testing"])
        .run()
        .expect(78);
    assert!(ended.stderr.contains("--repo testing=URL"), "{ended:#?}");
}

#[test]
fn the_list_is_empty_or_has_one_record_a_line() {
    let Some(place) = Place::new() else { return };
    let ended = place.arch_vm(&["list", "--json"]).run().expect(0);
    for line in ended.stdout.lines() {
        assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
    }
}
