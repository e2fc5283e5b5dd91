//! What the options of `build` do to the package.

mod place;

use std::net::TcpListener;
use std::path::Path;

use common::process::Command;
use place::{NOTHING, Place};
use testkit::need;
use testkit::tool::must;

const PACKAGE: &str = "nothing-1-1-any.pkg.tar.zst";

fn info(place: &Place) -> String {
    must(
        Command::new("bsdtar")
            .arg("-xOf")
            .arg(place.path("nothing").join(PACKAGE))
            .arg(".PKGINFO"),
    )
}

#[test]
fn a_package_that_comes_out_the_same_twice_is_reproducible() {
    let Some(place) = Place::shared() else { return };
    let lines =
        "makedepends=(flex)\npackage() { flex --version >\"$srcdir/v\"; install -Dt \"$pkgdir/usr\" \"$srcdir/v\"; }\n";
    place.package("nothing", &format!("{NOTHING}{lines}"));
    let ended = place.build("nothing", &["--reproducible"]).expect(0);
    assert!(ended.stderr.contains("building again"), "{ended:?}");
    assert_eq!(ended.stdout, format!("{PACKAGE}\n"));
}

#[test]
fn a_package_that_differs_has_failed_and_the_files_that_differ_are_named() {
    let Some(place) = Place::shared() else { return };
    let lines = "package() { date +%N >when; echo 1 >same; install -Dt \"$pkgdir/usr\" when same; }\n";
    place.package("nothing", &format!("{NOTHING}{lines}"));
    let ended = place.build("nothing", &["--reproducible"]).expect(1);
    assert!(ended.stdout.is_empty() && !place.path("nothing").join(PACKAGE).exists());
    let said = format!("not reproducible: {PACKAGE} differs in ");
    let line = ended.stderr.lines().find(|line| line.contains(&said)).unwrap();
    assert!(line.contains("usr/when") && !line.contains("usr/same"), "{line}");
}

#[test]
fn debug_packages_are_made_when_they_are_asked_for() {
    let Some(place) = Place::shared() else { return };
    let arch = std::env::consts::ARCH;
    let text = NOTHING.replace("(any)", "($CARCH)");
    let lines = "build() { echo 'int main(void) { return 0; }' >m.c; cc $CFLAGS -g -o m m.c; }\n\
                 package() { install -D m \"$pkgdir/usr/bin/m\"; }\n";
    place.package("nothing", &format!("{text}{lines}"));
    let (package, debug) = (
        format!("nothing-1-1-{arch}.pkg.tar.zst\n"),
        format!("nothing-debug-1-1-{arch}.pkg.tar.zst\n"),
    );
    assert_eq!(place.build("nothing", &[]).expect(0).stdout, package);
    assert_eq!(
        place.build("nothing", &["--debug"]).expect(0).stdout,
        format!("{package}{debug}")
    );
}

#[test]
fn the_network_ends_with_the_phase_that_is_named() {
    let Some(place) = Place::shared() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // What reaches the network reaches the host's loopback.
    let functions = ["prepare", "build", "check", "package"].map(|name| {
        format!("{name}() {{ if (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>&-; then echo 'online: {name}'; fi; }}\n")
    });
    place.package("nothing", &format!("{NOTHING}{}", functions.concat()));
    for (option, expected) in [
        (&["--network", "fetch"][..], &[][..]),
        (&[], &["prepare"]),
        (&["--network", "prepare"], &["prepare"]),
        (&["--network", "build"], &["prepare", "build", "check", "package"]),
    ] {
        let ended = place.build("nothing", option).expect(0);
        let online: Vec<&str> = ended
            .stderr
            .lines()
            .filter_map(|line| line.strip_prefix("online: "))
            .collect();
        assert_eq!(online, expected, "{option:?}");
    }
}

#[test]
fn the_time_of_the_commit_goes_into_the_package() {
    let Some(place) = Place::shared() else { return };
    place.package("nothing", NOTHING);
    let git = |arguments: &[&str]| {
        let identity = ["-c", "user.name=A", "-c", "user.email=a@port.example"];
        let command = Command::new("git").args(identity).args(arguments);
        must(
            command
                .env("GIT_COMMITTER_DATE", "1400000000 +0000")
                .directory(place.path("nothing")),
        );
    };
    git(&["init", "-q"]);
    git(&["add", "PKGBUILD"]);
    git(&["commit", "-q", "-m", "nothing"]);
    place.build("nothing", &[]).expect(0);
    assert!(info(&place).contains("builddate = 1400000000"), "{}", info(&place));
}

#[test]
fn a_device_is_there_when_it_is_bound_and_not_otherwise() {
    if !Path::new("/dev/fuse").exists() {
        need::skip("there is no /dev/fuse");
        return;
    }
    let Some(place) = Place::shared() else { return };
    place.package("nothing", &format!("{NOTHING}build() {{ test -c /dev/fuse; }}\n"));
    place.build("nothing", &[]).expect(1);
    place.build("nothing", &["--bind-rw", "/dev/fuse"]).expect(0);
}
