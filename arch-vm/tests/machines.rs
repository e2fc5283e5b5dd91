//! Real machines, emulated where KVM does not work. `scripts/test-vm` runs these tests, one at a time.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers, too")]

mod place;

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;

use common::build_command::{Outcome, Phase};
use common::names::FileName;
use common::process::{Child, Command, Output};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use place::{NOTHING, Place, record, wait_until};
use testkit::tool::must;

fn checksum(path: &Path) -> String {
    must(Command::new("sha256sum").arg(path))
}

/// Starts a build whose log goes into `log` of the place.
fn start(place: &Place, name: &str, arguments: &[&str]) -> Child {
    let log = File::create(place.path("log")).unwrap();
    let command = place.build(name, arguments).into_command();
    command.output(Output::Log(log, 1 << 24)).spawn().unwrap()
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
    let log = fs::read_to_string(place.path("hello/hello-1-1-any-build.log")).unwrap();
    assert!(log.contains("hidden") && log.contains("hello"), "{log}");
    assert!(built.phases.iter().any(|time| time.phase == Phase::Build), "{built:?}");
    assert!(service.accept().is_err(), "somebody reached the host's loopback");
    assert_eq!(checksum(&place.base().join("disk.qcow2")), before);
    place.assert_nothing_is_left();
}

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
    place.arch_vm(&["update"]).run().expect(0);
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
            "prepare() { b() { b | b & }; b; sleep 999; }\n",
            &["--process-limit", "300", "--time-limit", "90"],
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

#[test]
#[ignore = "boots virtual machines: scripts/test-vm"]
fn a_guest_that_never_boots_is_given_up_with_what_its_console_said() {
    let Some(place) = Place::new() else { return };
    File::create(place.path("empty.img"))
        .unwrap()
        .set_len(16 << 20)
        .unwrap();
    // Root's programs run as another account, which has to find it.
    fs::set_permissions(place.path("."), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
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
fn clean_removes_what_a_killed_build_left_in_each_phase() {
    let Some(place) = Place::new() else { return };
    place.arch_vm(&["install"]).run().expect(0);
    place.package("nothing", &format!("{NOTHING}prepare() {{ sleep 999; }}\n"));
    let is_said = |words: &str| {
        let log = fs::read_to_string(place.path("log")).unwrap_or_default();
        log.contains(words)
    };
    type IsReached<'a> = &'a dyn Fn() -> bool;
    let phases: [(&str, IsReached<'_>); 4] = [
        ("while a machine is made", &|| !place.machines().is_empty()),
        ("while it boots", &|| {
            place.machines().iter().any(|path| path.join("qmp.sock").exists())
        }),
        ("while it is brought up to date", &|| {
            is_said("==> Starting dependencies...")
        }),
        ("while the package runs", &|| is_said("==> Starting prepare()...")),
    ];
    for (what, is_reached) in phases {
        let build = start(&place, "nothing", &["--start", "boot"]);
        wait_until(what, || is_reached() || !build.is_running());
        assert!(build.is_running(), "{what}");
        kill(Pid::from_raw(i32::try_from(build.id()).unwrap()), Signal::SIGKILL).unwrap();
        assert!(!build.wait().unwrap().status.success());
        place.arch_vm(&["clean"]).run().expect(0);
        place.assert_nothing_is_left();
    }
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

#[test]
#[ignore = "boots virtual machines: scripts/test-vm"]
fn a_kept_machine_can_be_entered_and_ended() {
    let Some(place) = Place::new() else { return };
    place.package(
        "bad",
        &format!("{NOTHING}prepare() {{ echo seen >/tmp/seen; false; }}\n"),
    );
    let ended = place.build("bad", &["--json", "--keep", "failure"]).run().expect(1);
    let id = record(&ended).kept.unwrap();
    let listed = place.arch_vm(&["list"]).run().expect(0).stdout;
    assert!(
        listed.contains(&format!("machine {id} {} kept", std::env::consts::ARCH)),
        "{listed}"
    );
    place.arch_vm(&["clean"]).run().expect(0);
    let seen = place.arch_vm(&["ssh", &id, "--", "cat", "/tmp/seen"]).run().expect(0);
    assert_eq!(seen.stdout, "seen\n");
    must(Command::new(place.path(&format!("bad/cleanup.{id}"))));
    assert!(!place.path(&format!("bad/cleanup.{id}")).exists());
    place.arch_vm(&["ssh", &id]).run().expect(64);
    place.assert_nothing_is_left();
}

#[test]
#[ignore = "boots virtual machines: scripts/test-vm"]
fn an_image_that_keeps_the_guest_contract_is_known_as_such() {
    let Some(place) = Place::new() else { return };
    fs::set_permissions(place.path("."), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let arch = std::env::consts::ARCH;
    place.arch_vm(&["install", arch, "copy.qcow2"]).run().expect(0);
    let checked = place.arch_vm(&["check", "copy.qcow2", arch]).run().expect(0);
    assert!(
        checked.stdout.contains("user can do everything by sudo"),
        "{checked:#?}"
    );
    place.assert_nothing_is_left();
}
