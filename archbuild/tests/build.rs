//! Real builds with real pacman and makepkg out of the test mirror.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers, too")]

mod place;

use std::fs;

use common::process::Command;
use place::{NOTHING, Place};
use testkit::gpg::GpgHome;
use testkit::need;
use testkit::tool::must;

const ARCH: &str = std::env::consts::ARCH;

fn names(place: &Place, directory: &str) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(place.path(directory))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_package_with_a_make_dependency_is_built_and_listed() {
    let Some(place) = Place::shared() else { return };
    place.package(
        "words",
        "pkgbase=words\npkgname=(words words-doc)\npkgver=1.2\npkgrel=3\narch=($CARCH)\nmakedepends=('flex>=2')\n\
         source=(main.c)\nsha256sums=(SKIP)\noptions=(debug)\n\
         build() { flex --version; cc $CFLAGS -o words main.c; }\n\
         check() { ./words; }\n\
         package_words() { install -D words \"$pkgdir/usr/bin/words\"; }\n\
         package_words-doc() { arch=(any); install -D main.c \"$pkgdir/usr/share/main.c\"; }\n",
    );
    place.write("words/main.c", "int main(void) { return 0; }\n");
    fs::create_dir(place.path("packages")).unwrap();
    let ended = place
        .archbuild(&["build"])
        .directory(&place.path("words"))
        .env("PKGDEST", place.path("packages"))
        .env("PACKAGER", "A Packager <packager@port.example>")
        .env("SOURCE_DATE_EPOCH", "1234567890")
        .run()
        .expect(0);
    let expected = [
        format!("words-1.2-3-{ARCH}.pkg.tar.zst"),
        "words-doc-1.2-3-any.pkg.tar.zst".to_owned(),
    ];
    assert_eq!(ended.stdout.lines().collect::<Vec<_>>(), expected);
    assert_eq!(names(&place, "packages"), expected);
    assert_eq!(names(&place, "words"), ["PKGBUILD", "main.c"]);
    let package = place.path("packages").join(&expected[0]);
    let info = must(Command::new("bsdtar").arg("-xOf").arg(&package).arg(".PKGINFO"));
    assert!(info.contains("packager = A Packager <packager@port.example>"), "{info}");
    assert!(info.contains("builddate = 1234567890"), "{info}");
}

#[test]
fn an_ordinary_user_builds_as_root_does() {
    let Some(place) = Place::shared() else { return };
    place.package("nothing", NOTHING);
    let Some(command) = place.as_account("nothing") else {
        return;
    };
    let listed = must(command.arg("build"));
    assert_eq!(listed, "nothing-1-1-any.pkg.tar.zst");
    assert_eq!(names(&place, "nothing"), ["PKGBUILD", "nothing-1-1-any.pkg.tar.zst"]);
}

#[test]
fn an_ordinary_user_builds_packages_of_the_demo_of_which_some_need_others() {
    let Some(place) = Place::shared() else { return };
    let Some(sources) = need::directory("PORTSMITH_TEST_SOURCES") else {
        return;
    };
    let mut installed: Vec<String> = Vec::new();
    for directory in [
        "packages/ed/repos/core-x86_64",
        "packages/zlib/repos/core-x86_64",
        "community/gzrt/repos/community-x86_64",
        "packages/tree/repos/extra-x86_64",
        "community/figlet/repos/community-x86_64",
    ] {
        let pkgbase = place.demo_package(directory, &sources);
        let Some(mut command) = place.as_account(&pkgbase) else {
            return;
        };
        command = command.args(["-q", "build"]).env("PORTSMITH_SRCDEST", &sources);
        for package in &installed {
            command = command.args(["-I", package]);
        }
        let listed = must(command);
        let made = place.packages_of(&pkgbase);
        assert_eq!(listed.lines().count(), made.len());
        installed.extend(made.iter().map(|path| path.to_str().unwrap().to_owned()));
    }
    assert!(installed.len() >= 5, "{installed:?}");
}

#[test]
fn each_kind_of_failure_has_its_code_and_leaves_no_package() {
    let Some(place) = Place::shared() else { return };
    for (name, lines, code) in [
        ("build", "build() { false; }", 1),
        ("check", "check() { false; }", 1),
        ("prepare", "prepare() { false; }", 1),
        ("broken", "this is not bash (", 1),
        ("dependency", "makedepends=(no-such-package)", 2),
        ("version", "depends=('bash>=99')", 2),
        (
            "checksum",
            "source=(file)\nsha256sums=(1234567890123456789012345678901234567890123456789012345678901234)",
            3,
        ),
        ("missing", "source=(absent)\nsha256sums=(SKIP)", 3),
        (
            "link",
            "package() { ln -s /etc/passwd /pkgdest/evil-1-1-any.pkg.tar.zst; }",
            1,
        ),
    ] {
        place.package(name, &format!("{NOTHING}{lines}\n"));
        place.write(&format!("{name}/file"), "content\n");
        let ended = place.build(name, &[]).expect(code);
        assert!(ended.stdout.is_empty(), "{name}: {ended:?}");
        assert_eq!(names(&place, name), ["PKGBUILD", "file"]);
        let last = ended.stderr.lines().last().unwrap();
        assert!(last.starts_with("archbuild: "), "{name}: {last}");
    }
}

#[test]
fn arguments_that_makepkg_does_not_know_are_no_fault_of_the_package() {
    let Some(place) = Place::shared() else { return };
    place.package("nothing", NOTHING);
    let ended = place.build("nothing", &["--", "--no-such"]).expect(5);
    assert!(ended.stderr.contains("--no-such"), "{ended:?}");
}

#[test]
fn a_command_that_needs_no_package_runs_without_the_mirror() {
    let Some(mut place) = Place::shared() else { return };
    place.archbuild(&["create"]).run().expect(0);
    let conf = fs::read_to_string(mirror_conf(&place)).unwrap();
    let server = conf.lines().find(|line| line.starts_with("Server")).unwrap();
    place.write("away.conf", &conf.replace(server, "Server = file:///nonexistent"));
    place.configure(&format!("pacman_conf='{}'\n", place.path("away.conf").display()));
    let ended = place.archbuild(&["run", "--", "echo", "here"]).run().expect(0);
    assert_eq!(ended.stdout, "here\n");
    place
        .archbuild(&["run", "--package", "flex", "--", "true"])
        .run()
        .expect(5);
}

#[test]
fn packages_that_cannot_be_delivered_are_no_fault_of_the_build() {
    let Some(place) = Place::shared() else { return };
    place.package("nothing", NOTHING);
    let build = |destination| {
        let build = place.archbuild(&["build"]).directory(&place.path("nothing"));
        build.env("PKGDEST", destination).run()
    };
    // Nobody can make a file there, not even root.
    let ended = build("/proc".into()).expect(5);
    assert!(ended.stderr.contains("/proc"), "{ended:?}");
    build(place.path("absent")).expect(64);
}

#[test]
fn check_and_its_dependencies_can_be_left_out() {
    let Some(place) = Place::shared() else { return };
    place.package(
        "nothing",
        &format!("{NOTHING}checkdepends=(no-such-package)\ncheck() {{ false; }}\n"),
    );
    place.build("nothing", &[]).expect(2);
    place.build("nothing", &["--nocheck"]).expect(0);
    place.build("nothing", &["--", "--nocheck"]).expect(0);
}

#[test]
fn sources_that_are_there_already_are_used() {
    let Some(mut place) = Place::shared() else { return };
    let address = "http://127.0.0.1:1/somewhere/known.txt";
    place.package(
        "nothing",
        &format!("{NOTHING}source=({address})\nsha256sums=(SKIP)\nbuild() {{ grep -q known known.txt; }}\n"),
    );
    place.write("sources/known.txt", "known\n");
    place.build("nothing", &[]).expect(3);
    let sources = place.path("sources");
    // The account that builds for root has to reach it, and could write to it: nothing may.
    must(Command::new("chmod").arg("755").arg(place.path("")));
    must(Command::new("chmod").arg("777").arg(&sources));
    place.configure(&format!("srcdest='{}'\n", sources.display()));
    place.build("nothing", &[]).expect(0);
    assert_eq!(names(&place, "sources"), ["known.txt"]);
}

#[test]
fn a_package_file_or_another_repository_can_be_added_for_one_build() {
    let Some(place) = Place::shared() else { return };
    must(Command::new("chmod").arg("755").arg(place.path("")));
    place.package("nothing", NOTHING);
    place.build("nothing", &[]).expect(0);
    let package = place.path("nothing/nothing-1-1-any.pkg.tar.zst");
    place.package(
        "user",
        "pkgname=user\npkgver=1\npkgrel=1\narch=(any)\nmakedepends=('nothing=1')\npackage() { :; }\n",
    );
    place.build("user", &[]).expect(2);
    place.build("user", &["-I", package.to_str().unwrap()]).expect(0);
    fs::create_dir(place.path("repo")).unwrap();
    fs::rename(&package, place.path("repo/nothing-1-1-any.pkg.tar.zst")).unwrap();
    must(
        Command::new("repo-add")
            .args(["-q", "more.db.tar.gz", "nothing-1-1-any.pkg.tar.zst"])
            .directory(place.path("repo")),
    );
    let repository = format!("more=file://{}", place.path("repo").display());
    place.build("user", &["-r", &repository]).expect(0);
    place.build("user", &[]).expect(2);
}

#[test]
fn packages_of_a_repository_with_signatures_need_a_key_of_the_keyring() {
    let Some(mut place) = Place::shared() else { return };
    let make = |name| GpgHome::new(name).unwrap();
    let (good, bad, keyring) = (make("good"), make("bad"), make("trust"));
    keyring.import(&good).unwrap();
    keyring.import(&bad).unwrap();
    keyring.trust(&good).unwrap();
    must(Command::new("chmod").arg("755").arg(place.path("")));
    place.package("nothing", NOTHING);
    place.build("nothing", &[]).expect(0);
    let conf = fs::read_to_string(mirror_conf(&place)).unwrap();
    place.write(
        "pacman.conf",
        &format!(
            "[signed]\nSigLevel = PackageRequired DatabaseNever\nServer = file://{}\n{conf}",
            place.path("repo").display()
        ),
    );
    place.configure(&format!(
        "pacman_conf='{}'\nkeyring='{}'\nchroot_dir='{}-signed'\n",
        place.path("pacman.conf").display(),
        keyring.path().display(),
        place.chroots().display()
    ));
    place.package(
        "user",
        "pkgname=user\npkgver=1\npkgrel=1\narch=(any)\nmakedepends=(nothing)\npackage() { :; }\n",
    );
    for (signer, code) in [(&bad, 2), (&good, 0)] {
        drop(fs::remove_dir_all(place.path("repo")));
        fs::create_dir(place.path("repo")).unwrap();
        let package = place.path("repo/nothing-1-1-any.pkg.tar.zst");
        fs::copy(place.path("nothing/nothing-1-1-any.pkg.tar.zst"), &package).unwrap();
        signer.sign(&package).unwrap();
        must(
            Command::new("repo-add")
                .args(["-q", "signed.db.tar.gz", "nothing-1-1-any.pkg.tar.zst"])
                .directory(place.path("repo")),
        );
        place.build("user", &[]).expect(code);
    }
}

fn mirror_conf(place: &Place) -> std::path::PathBuf {
    let text = fs::read_to_string(place.path("portsmith.conf")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("pacman_conf='"))
        .unwrap();
    line.trim_end_matches('\'').into()
}

#[test]
fn builds_at_the_same_time_do_not_hinder_each_other() {
    let Some(place) = Place::shared() else { return };
    let place = &place;
    std::thread::scope(|scope| {
        let builds: Vec<_> = (0..4)
            .map(|number| {
                scope.spawn(move || {
                    let name = format!("p{number}");
                    let text = NOTHING.replace("nothing", &name);
                    place.package(
                        &name,
                        &format!("{text}makedepends=(bison flex)\nbuild() {{ bison --version; }}\n"),
                    );
                    place.build(&name, &[])
                })
            })
            .collect();
        for (number, build) in builds.into_iter().enumerate() {
            let ended = build.join().unwrap().expect(0);
            assert_eq!(ended.stdout, format!("p{number}-1-1-any.pkg.tar.zst\n"));
        }
    });
}

#[test]
fn a_command_runs_in_a_copy_that_is_thrown_away() {
    let Some(place) = Place::shared() else { return };
    let ended = place
        .archbuild(&["run", "--", "sh", "-c", "id -u; touch /usr/mark"])
        .run()
        .expect(0);
    assert_eq!(ended.stdout, "0\n");
    assert!(!place.root().join("usr/mark").exists());
    let ended = place.archbuild(&["run", "--", "sh", "-c", "exit 42"]).run().expect(1);
    assert!(ended.stderr.ends_with("archbuild: sh: exit code 42\n"), "{ended:?}");
    place
        .archbuild(&["run", "--", "test", "-e", "/usr/mark"])
        .run()
        .expect(1);
}
