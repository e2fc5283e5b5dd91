//! Another architecture than the machine's: a foreign root, and two packages of the demo port built in it by qemu.

mod place;

use std::path::Path;

use common::process::Command;
use place::Place;
use testkit::need;
use testkit::tool::must;

fn what_is(package: &Path, member: &str) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    must(
        Command::new("bsdtar")
            .arg("-xf")
            .arg(package)
            .arg(member)
            .directory(directory.path()),
    );
    must(Command::new("file").args(["-bL"]).arg(directory.path().join(member)))
}

#[test]
fn two_packages_of_which_one_needs_the_other_are_built_for_a_foreign_architecture() {
    if !need::programs(&["qemu-aarch64-static", "file", "bsdtar"]) || std::env::consts::ARCH == "aarch64" {
        return;
    }
    let Some(place) = Place::foreign("aarch64") else { return };
    let Some(sources) = need::directory("PORTSMITH_TEST_SOURCES") else {
        return;
    };
    assert_eq!(
        place.archbuild(&["run", "--", "uname", "-m"]).run().expect(0).stdout,
        "aarch64\n"
    );
    place.demo_package("packages/zlib/repos/core-x86_64", &sources);
    place.demo_package("community/gzrt/repos/community-x86_64", &sources);
    let build = |pkgbase: &str, arguments: &[&str]| {
        let arguments: Vec<&str> = ["build", "-q"].iter().chain(arguments).copied().collect();
        let build = place.archbuild(&arguments).directory(&place.path(pkgbase));
        build.env("PORTSMITH_SRCDEST", &sources).run()
    };
    // The PKGBUILDs name x86_64 alone.
    build("zlib", &[]).expect(1);
    build("zlib", &["--ignorearch", "--nocheck"]).expect(0);
    build("gzrt", &["--ignorearch"]).expect(2);
    let zlib = place.packages_of("zlib").remove(0);
    // Its check() runs what was built.
    build("gzrt", &["--ignorearch", "-I", zlib.to_str().expect("UTF-8")]).expect(0);
    let gzrt = place.packages_of("gzrt").remove(0);
    for package in [&zlib, &gzrt] {
        assert!(package.to_string_lossy().contains("-aarch64.pkg.tar"), "{package:?}");
    }
    let what = what_is(&gzrt, "usr/bin/gzrecover");
    assert!(what.contains("aarch64"), "{what}");
}

#[test]
fn check_can_be_left_out_of_emulated_builds_by_policy() {
    if !need::programs(&["qemu-aarch64-static"]) || std::env::consts::ARCH == "aarch64" {
        return;
    }
    let Some(mut place) = Place::foreign("aarch64") else {
        return;
    };
    place.configure("emulated_check=no\n");
    place.package("nothing", &format!("{}check() {{ false; }}\n", place::NOTHING));
    place.build("nothing", &[]).expect(0);
}

#[test]
fn a_missing_or_broken_interpreter_is_named() {
    let Some(mut place) = Place::shared() else { return };
    place.configure("arch=aarch64\nemulator=/bin/false\n");
    let ended = place.archbuild(&["run", "--", "true"]).run().expect(5);
    assert!(
        ended.stderr.contains("the interpreter /bin/false does not run"),
        "{ended:?}"
    );
    place.configure("arch=vax\n");
    let ended = place.archbuild(&["run", "--", "true"]).run().expect(5);
    assert!(ended.stderr.contains("no emulator is known for vax"), "{ended:?}");
}

#[test]
fn binfmt_prints_or_registers_an_interpreter_that_needs_no_copy_in_the_root() {
    if !need::programs(&["qemu-aarch64-static", "unshare"]) || std::env::consts::ARCH == "aarch64" {
        return;
    }
    let Some(place) = Place::shared() else { return };
    let line = place
        .archbuild(&["binfmt", "-n", "--arch", "aarch64"])
        .run()
        .expect(0)
        .stdout;
    assert!(
        line.starts_with(":qemu-aarch64:M::\\x7f\\x45") && line.ends_with("/qemu-aarch64-static:PF\n"),
        "{line}"
    );
    let native = place.archbuild(&["binfmt", "-n"]).run().expect(0);
    assert_eq!(native.stdout, "");
    // From Linux 6.7 on a user namespace has entries of its own, so the machine stays as it is.
    let script = format!(
        "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc || exit 77; archbuild='{} binfmt --arch aarch64'
         $archbuild; $archbuild; cat /proc/sys/fs/binfmt_misc/qemu-aarch64",
        testkit::tool::program("archbuild").display()
    );
    let finished = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .env("PORTSMITH_CONFIG", place.path("portsmith.conf"))
        .wait()
        .expect("unshare runs");
    if finished.status.code() == Some(77) {
        need::skip("a user namespace cannot mount binfmt_misc before Linux 6.7");
        return;
    }
    let (said, entry) = (String::from_utf8_lossy(&finished.stderr).into_owned(), finished.text());
    assert!(said.contains("registered") && said.contains("nothing to do"), "{said}");
    let flags = entry.lines().find_map(|line| line.strip_prefix("flags: "));
    assert!(
        entry.starts_with("enabled") && flags.is_some_and(|flags| flags.contains('F')),
        "{entry}"
    );
}

#[test]
fn binfmt_registers_no_interpreter_that_does_not_run() {
    let Some(mut place) = Place::shared() else { return };
    place.configure("arch=aarch64\nemulator=/bin/false\n");
    for arguments in [&["binfmt"][..], &["binfmt", "-n"]] {
        let ended = place.archbuild(arguments).run().expect(5);
        assert!(ended.stdout.is_empty(), "{ended:?}");
        assert!(
            ended.stderr.contains("the interpreter /bin/false does not run"),
            "{ended:?}"
        );
    }
}

#[test]
fn packages_for_i686_are_built_on_x86_64_without_an_emulator() {
    if std::env::consts::ARCH != "x86_64" {
        return;
    }
    let Some(mut place) = Place::foreign("i686") else {
        return;
    };
    place.configure("emulator=/nonexistent\n");
    place.package(
        "native",
        "pkgname=native\npkgver=1\npkgrel=1\narch=($CARCH)\n\
         build() { echo 'int main(void) { return sizeof(void *) != 4; }' >m.c; cc $CFLAGS -o m m.c; ./m; test $(uname -m) = i686; }\n\
         package() { install -D m \"$pkgdir/usr/bin/m\"; }\n",
    );
    let ended = place.build("native", &[]).expect(0);
    assert_eq!(ended.stdout, "native-1-1-i686.pkg.tar.zst\n");
    let what = what_is(&place.path("native/native-1-1-i686.pkg.tar.zst"), "usr/bin/m");
    assert!(what.contains("32-bit") && what.contains("80386"), "{what}");
}
