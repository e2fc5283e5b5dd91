//! Real machines, emulated where KVM does not work. `scripts/test-vm` runs these tests, one at a time.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers, too")]

mod bases;
mod ends;
mod killed;
#[path = "../place/mod.rs"]
mod place;

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use common::build_command::{Outcome, Phase};
use common::names::FileName;
use common::process::{Child, Command, Input, Output};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use place::{NOTHING, Place, record, wait_until};
use testkit::package::PackageSpec;
use testkit::tool::{directory, must};

/// Starts a build whose log goes into `log` of the place.
fn start(place: &Place, name: &str, arguments: &[&str]) -> Child {
    let log = File::create(place.path("log")).unwrap();
    let command = place.build(name, arguments).into_command();
    command.output(Output::Log(log, 1 << 24)).spawn().unwrap()
}

/// Whether the log of a build that was started says so.
fn is_said(place: &Place, words: &str) -> bool {
    fs::read_to_string(place.path("log")).is_ok_and(|log| log.contains(words))
}

fn checksum(path: &Path) -> String {
    must(Command::new("sha256sum").arg(path))
}

/// A copy of a script of the project, which finds the programs under test and no others.
fn script(place: &Place, name: &str) -> Command {
    let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts").join(name);
    let copy: PathBuf = place.path(name);
    fs::copy(original, &copy).unwrap();
    let path = format!("{}:{}", directory().display(), std::env::var("PATH").unwrap());
    place.equip(Command::new(copy)).env("PATH", path)
}

#[test]
#[ignore = "boots virtual machines: scripts/test-vm"]
fn a_package_is_built_and_comes_back_with_its_log_and_the_guest_reaches_nothing_of_the_host() {
    let Some(place) = Place::new() else { return };
    place.arch_vm(&["install"]).run().expect(0);
    let before = checksum(&place.base().join("disk.qcow2"));
    // A service of the host's that nothing of a build may reach.
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    service.set_nonblocking(true).unwrap();
    let port = service.local_addr().unwrap().port();
    place.write("hello/.hidden/file", "hidden\n");
    place.write(
        "hello/hello.c",
        "int puts(const char *);\nint main() { return puts(\"hello\") < 0; }\n",
    );
    let package = format!(
        "pkgname=hello\npkgver=1\npkgrel=1\narch=(any)\nmakedepends=(flex)\n\
         prepare() {{\n  for host in 10.0.2.2 10.0.3.2; do ! curl -sm2 --noproxy '*' http://$host:{port}/ || return 1; done\n  \
         for host in 127.0.0.1 localhost; do ! curl -sfm9 http://$host:{port}/ || return 1; done\n  \
         curl -sfm9 -o db http://arch-vm.mirror{mirror}/host/os/{arch}/host.db\n}}\n\
         build() {{\n  ! curl -sm9 http://arch-vm.mirror/ || return 1\n  flex --version\n  cat /startdir/.hidden/file\n  \
         gcc -o hello /startdir/hello.c && ./hello\n}}\n\
         package() {{ install -D -t \"$pkgdir/usr/bin\" hello; }}\n",
        mirror = std::env::var("PORTSMITH_TEST_MIRROR").unwrap(),
        arch = std::env::consts::ARCH,
    );
    place.package("hello", &package);
    let ended = place.build("hello", &["--json", "--", "--log"]).run().expect(0);
    let built = record(&ended);
    assert_eq!(built.outcome, Outcome::Built);
    let names: Vec<&str> = built.packages.iter().map(FileName::as_str).collect();
    assert_eq!(names, ["hello-1-1-any.pkg.tar.zst"]);
    assert!(place.path("hello/hello-1-1-any.pkg.tar.zst").is_file());
    let log = format!("hello/hello-1-1-{}-build.log", std::env::consts::ARCH);
    let log = fs::read_to_string(place.path(&log)).unwrap();
    assert!(log.contains("hidden") && log.contains("hello"), "{log}");
    assert!(built.phases.iter().any(|time| time.phase == Phase::Build), "{built:?}");
    assert!(built.peak_memory.unwrap() > 64 << 20 && built.cpu_milliseconds.unwrap() > 0);
    assert!(service.accept().is_err(), "somebody reached the host's loopback");
    assert_eq!(checksum(&place.base().join("disk.qcow2")), before);
    place.assert_nothing_is_left();
}

#[test]
#[ignore = "boots virtual machines: scripts/test-vm"]
fn a_guest_that_goes_on_from_a_snapshot_has_the_time_and_randomness_of_its_own() {
    let Some(place) = Place::new() else { return };
    let look = [
        "run",
        "--",
        "sh",
        "-c",
        "date +%s; head -c 16 /dev/urandom | od -A n -t x1",
    ];
    let now = || common::clock::Now::read().unix;
    // The first one may make the snapshot: for the second it is old.
    let first = place.arch_vm(&look).run().expect(0).stdout;
    let before = now();
    let second = place.arch_vm(&look).run().expect(0).stdout;
    let after = now();
    let (time, random) = second.split_once('\n').unwrap();
    let time: u64 = time.parse().unwrap();
    assert!((before..=after).contains(&time), "{before} {time} {after}");
    assert_ne!(first.split_once('\n').unwrap().1, random);
    place.assert_nothing_is_left();
}

#[test]
#[ignore = "boots virtual machines: scripts/test-vm"]
fn the_first_repository_that_is_named_stays_on_top() {
    let Some(place) = Place::new() else { return };
    let arch = std::env::consts::ARCH;
    for (repository, version) in [("first", "1-1"), ("second", "2-1")] {
        let directory = place.path(&format!("srv/{repository}/os/{arch}"));
        fs::create_dir_all(&directory).unwrap();
        let spec = PackageSpec::new("which-one", version).arch("any");
        let package = spec.write(&directory).unwrap();
        let database = directory.join(format!("{repository}.db.tar.gz"));
        must(Command::new("repo-add").arg("-q").args([&database, &package]));
    }
    // The names are looked for on the servers of the first repository.
    let of_mirror = fs::read_to_string(Path::new(&std::env::var("PORTSMITH_TEST_MIRROR").unwrap()).join("host.conf"));
    let server = format!("Server = file://{}/$repo/os/$arch\n", place.path("srv").display());
    let conf = of_mirror
        .unwrap()
        .replace("SigLevel = Never\n", &format!("SigLevel = Never\n{server}"));
    place.write("pacman.conf", &conf);
    place.package(
        "nothing",
        &format!(
            "{NOTHING}makedepends=(which-one)\nprepare() {{ [[ $(pacman -Q which-one) == 'which-one 1-1' ]]; }}\n"
        ),
    );
    let conf = place.path("pacman.conf").display().to_string();
    let arguments = ["--pacman-conf", &conf, arch, "first", "second"];
    place.build("nothing", &arguments).run().expect(0);
    place.assert_nothing_is_left();
}

#[test]
#[ignore = "boots virtual machines: scripts/test-vm"]
fn a_kept_machine_can_be_entered_and_ended() {
    let Some(place) = Place::new() else { return };
    place.package(
        "bad",
        &format!("{NOTHING}prepare() {{ echo seen >/tmp/seen; false; }}\n"),
    );
    let failed = script(&place, "arch.build")
        .arg(std::env::consts::ARCH)
        .directory(place.path("bad"))
        .wait();
    assert_eq!(failed.unwrap().status.code(), Some(1));
    let listed = place.arch_vm(&["list"]).run().expect(0).stdout;
    let kept = listed.lines().find(|line| line.starts_with("machine ")).unwrap();
    let words: Vec<&str> = kept.split(' ').collect();
    let id = words[1];
    assert_eq!(words[2..4], [std::env::consts::ARCH, "kept"]);
    place.arch_vm(&["clean"]).run().expect(0);
    let seen = place.arch_vm(&["ssh", id, "--", "cat", "/tmp/seen"]).run().expect(0);
    assert_eq!(seen.stdout, "seen\n");
    talk_to_console(&place, id);
    must(Command::new(place.path(&format!("bad/cleanup.{id}"))));
    assert!(!place.path(&format!("bad/cleanup.{id}")).exists());
    place.arch_vm(&["ssh", id]).run().expect(64);
    place.assert_nothing_is_left();
}

/// A shell waits on the console of a guest of ours.
fn talk_to_console(place: &Place, id: &str) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let log = File::create(place.path("console")).unwrap();
    let input = File::from(std::os::fd::OwnedFd::from(reader));
    let command = place.arch_vm(&["console", id]).into_command().input(Input::File(input));
    let console = command.output(Output::Log(log, 1 << 20)).spawn().unwrap();
    writer.write_all(b"echo answer=$((6*7))\n").unwrap();
    wait_until("an answer on the console", || {
        let text = fs::read_to_string(place.path("console")).unwrap_or_default();
        text.contains("answer=42") || !console.is_running()
    });
    kill(Pid::from_raw(i32::try_from(console.id()).unwrap()), Signal::SIGINT).unwrap();
    assert!(console.wait().unwrap().status.success());
    drop(writer);
}

#[test]
#[ignore = "boots virtual machines: scripts/test-vm"]
fn an_image_that_keeps_the_guest_contract_is_known_as_such_and_one_that_does_not_too() {
    let Some(place) = Place::new() else { return };
    let arch = std::env::consts::ARCH;
    must(script(&place, "arch.install").arg(arch).directory(place.path(".")));
    let checked = place.arch_vm(&["check", "arch.img", arch]).run().expect(0);
    assert!(
        checked.stdout.contains("user can do everything by sudo"),
        "{checked:#?}"
    );
    fs::copy("/bin/true", place.path("bad.img")).unwrap();
    let refused = place
        .arch_vm(&["check", "bad.img", "--boot-limit", "3"])
        .run()
        .expect(5);
    assert!(refused.stderr.contains("the console said"), "{refused:#?}");
    place.assert_nothing_is_left();
}
