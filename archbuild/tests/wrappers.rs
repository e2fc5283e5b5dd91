//! archbuild under the names of devtools' and aurutils-qemu's commands.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers, too")]

mod place;

use std::fs;
use std::path::Path;

use common::process::Command;
use place::{NOTHING, Place};
use testkit::tool;

/// A wrapper in a directory of the place, with our archbuild first in PATH.
fn wrapper(place: &Place, name: &str, directory: &str, arguments: &[&str]) -> (i32, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../scripts/wrappers")
        .join(name);
    let path = format!("{}:{}", tool::directory().display(), std::env::var("PATH").unwrap());
    let command = Command::new(script)
        .args(arguments)
        .env("PATH", path)
        .env("HOME", place.path(""))
        .env("PORTSMITH_CONFIG", place.path("portsmith.conf"))
        .directory(place.path(directory));
    let finished = command.wait().unwrap();
    assert!(finished.status.code() == Some(0) || !finished.stderr.is_empty());
    (finished.status.code().unwrap(), finished.text())
}

#[test]
fn the_commands_of_devtools_and_aurutils_build_packages() {
    let Some(place) = Place::shared() else { return };
    let chroots = place.chroots().to_str().unwrap().to_owned();
    let root = format!("{chroots}/root");
    place.package("nothing", &NOTHING.replace("(any)", "(mips)"));
    for name in ["mkarchroot", "mkarchroot-qemu"] {
        assert_eq!(wrapper(&place, name, ".", &["-s", &root, "base-devel"]).0, 0);
        assert_eq!(wrapper(&place, name, ".", &[]).0, 64);
    }
    assert_eq!(wrapper(&place, "arch-nspawn", ".", &[&root, "pacman", "-Syu"]).0, 0);
    let listed = wrapper(&place, "arch-nspawn-qemu", ".", &[&root, "sh", "-c", "echo $((6 * 7))"]);
    assert_eq!(listed, (0, "42".to_owned()));
    // The package is for another architecture: aurutils-qemu does not mind.
    let arguments = ["-c", "-u", "-r", &chroots, "--", "--nocheck"];
    assert_eq!(wrapper(&place, "makechrootpkg", "nothing", &arguments).0, 1);
    let built = wrapper(&place, "makechrootpkg-qemu", "nothing", &arguments);
    let file = format!("nothing-1-1-{}.pkg.tar.zst", std::env::consts::ARCH);
    assert_eq!(built, (0, file.clone()));
    let options = ["-D", &chroots, "--no-prepare"];
    assert_eq!(
        wrapper(&place, "aur-chroot-qemu", "nothing", &options),
        (0, file.clone())
    );
    fs::create_dir(place.path("repo")).unwrap();
    let repository = place.path("repo").display().to_string();
    let options = ["-d", "own", "-r", &repository, "-D", &chroots];
    assert_eq!(wrapper(&place, "aur-build-qemu", "nothing", &options).0, 2);
    tool::must(
        Command::new("repo-add")
            .args(["-q", "own.db.tar.gz"])
            .directory(place.path("repo")),
    );
    tool::must(Command::new("chmod").arg("755").arg(place.path("")));
    assert_eq!(wrapper(&place, "aur-build-qemu", "nothing", &options).0, 0);
    assert!(place.path("repo").join(&file).is_file());
    assert_eq!(wrapper(&place, "aur-build-qemu", "nothing", &options).0, 22);
}
