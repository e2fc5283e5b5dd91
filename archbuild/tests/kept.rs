//! Working copies that stay, layers that are used again, and what both need of older roots.

mod place;

use std::fs;

use common::build_command::Phase;
use common::process::{Command, Input, Signal};
use place::{NOTHING, Place, processes, wait_for_process, wait_until};
use testkit::need;
use testkit::tool::must;

/// The place of one test: nobody else's copies and layers are there.
fn place(name: &str) -> Option<Place> {
    let place = Place::with_chroots(name)?;
    place.archbuild(&["clean", "--kept"]).run().expect(0);
    Some(place)
}

fn listed(place: &Place, beginning: &str) -> Vec<String> {
    let ended = place.archbuild(&["list"]).run().expect(0);
    let lines = ended.stdout.lines().filter(|line| line.starts_with(beginning));
    lines.map(str::to_owned).collect()
}

#[test]
fn a_kept_copy_can_be_entered_until_it_is_removed() {
    let Some(place) = place("kept") else { return };
    place.package(
        "nothing",
        &format!("{NOTHING}build() {{ echo trace >trace; false; }}\n"),
    );
    let (code, record) = place.record("nothing", &["--keep", "failure"]);
    let name = record.kept.unwrap();
    assert_eq!(code, 1);
    let shown = listed(&place, "copy");
    assert!(
        shown.len() == 1 && shown[0].starts_with(&format!("copy {name} kept failed-build nothing ")),
        "{shown:?}"
    );
    let look = |arguments: &[&str], command: &str| {
        let arguments: Vec<&str> = ["shell"].iter().chain(arguments).copied().collect();
        let arguments: Vec<&str> = arguments.into_iter().chain(["--", "sh", "-c", command]).collect();
        place.archbuild(&arguments).run()
    };
    assert_eq!(
        look(&[], "cat /build/nothing/src/trace; id -u").expect(0).stdout,
        "trace\n1000\n"
    );
    assert_eq!(
        look(&[&name, "--root"], "touch /usr/mark; id -u").expect(0).stdout,
        "0\n"
    );
    look(&[&name], "test -e /usr/mark").expect(0);
    // Whoever is in it may be killed: it stays.
    let marker = format!("8201.{}", std::process::id());
    let sleeping = place.archbuild(&["shell", "--", "sleep", &marker]).into_command();
    let sleeping = sleeping.spawn().unwrap();
    wait_for_process(&format!("sleep {marker}"));
    look(&[&name], "true").expect(5);
    sleeping.signal(Signal::SIGKILL);
    sleeping.wait().unwrap();
    wait_until("let in again", || look(&[&name], "test -e /usr/mark").code == 0);
    assert!(!processes().iter().any(|(_, line)| line.contains(&marker)));
    look(&["copy-none"], "true").expect(5);
    let ended = place.archbuild(&["clean", "copy-none"]).run().expect(5);
    assert!(ended.stderr.contains("no kept working copy copy-none"), "{ended:?}");
    place.archbuild(&["clean"]).run().expect(0);
    assert_eq!(listed(&place, "copy").len(), 1);
    place.archbuild(&["clean", &name]).run().expect(0);
    assert_eq!(listed(&place, "copy"), Vec::<String>::new());
    look(&[], "true").expect(5);
}

#[test]
fn a_person_at_a_terminal_gets_a_shell_with_job_control_and_their_terminal_back() {
    if !need::programs(&["script"]) {
        return;
    }
    let Some(place) = place("kept-shell") else { return };
    place.package("nothing", NOTHING);
    place.record("nothing", &["--keep", "always"]).1.kept.unwrap();
    place.archbuild(&["shell"]).run().expect(64);
    let shell = format!("{} shell && stty -a", testkit::tool::program("archbuild").display());
    let command = Command::new("script")
        .args(["-qec", &shell, "/dev/null"])
        .env("PORTSMITH_CONFIG", place.path("portsmith.conf"))
        .input(Input::Bytes(b"tty; id -un; set -o | grep monitor; exit\n".to_vec()));
    let said = must(command);
    for words in ["builduser", "/dev/", "icanon"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(
        said.lines()
            .any(|line| line.starts_with("monitor") && line.trim_end().ends_with("on")),
        "{said}"
    );
    assert!(!said.contains("not a tty") && !said.contains("-icanon"), "{said}");
}

#[test]
fn only_what_is_asked_for_is_kept() {
    let Some(place) = place("kept-some") else { return };
    for (lines, keep, is_kept) in [
        ("build() { sleep 600; }", "never", false),
        ("build() { sleep 600; }", "failure", true),
        ("", "failure", false),
        ("", "always", true),
        ("build() { false; }", "never", false),
        ("build() { false; }", "always", true),
    ] {
        place.package("nothing", &format!("{NOTHING}{lines}\n"));
        // What a limit has ended has failed, too.
        let (_, record) = place.record("nothing", &["--keep", keep, "--stall-limit", "2"]);
        assert_eq!(record.kept.is_some(), is_kept, "{record:?}");
    }
    assert_eq!(place.copies().len(), 3);
    place.archbuild(&["clean", "--kept"]).run().expect(0);
    assert_eq!(place.copies().len(), 0);
}

#[test]
fn the_same_dependencies_are_installed_once_and_packages_leave_the_cache_by_name() {
    let Some(place) = place("layers") else { return };
    place.archbuild(&["clean", "--all"]).run().expect(0);
    let package = |name: &str, dependencies: &str| {
        let text = NOTHING.replace("nothing", name);
        let look = "build() { flex --version; pacman -Q flex; touch /startdir/x; }";
        place.package(name, &format!("{text}makedepends=({dependencies})\n{look}\n"));
        place.build(name, &[]).expect(0).stderr
    };
    assert!(package("a", "flex").contains("installing flex"));
    assert!(!package("b", "flex").contains("installing flex"));
    assert!(!package("c", "flex bash").contains("installing flex"));
    assert_eq!(listed(&place, "layers"), ["layers 1"]);
    // Another set, and one for which nothing is missing.
    assert!(package("d", "flex bison").contains("installing bison"));
    assert_eq!(listed(&place, "layers"), ["layers 2"]);
    let before = listed(&place, "cache");
    place
        .archbuild(&["clean", "--package", "bison", "--package", "no-such"])
        .run()
        .expect(0);
    assert_ne!(listed(&place, "cache"), before);
}

#[test]
fn a_kept_copy_keeps_the_root_and_the_layer_that_it_lies_over() {
    let Some(place) = place("kept-old") else { return };
    place.package("nothing", &format!("{NOTHING}makedepends=(flex)\n"));
    let (_, record) = place.record("nothing", &["--keep", "always"]);
    let name = record.kept.unwrap();
    let root = fs::canonicalize(place.root()).unwrap();
    // A broken root is replaced at the next use.
    must(Command::new("rm").arg(root.join("../format")));
    common::atomic::write(&root.join("../format"), b"").unwrap();
    place.archbuild(&["create"]).run().expect(0);
    assert_eq!(listed(&place, "root").len(), 2);
    place
        .archbuild(&["shell", &name, "--", "flex", "--version"])
        .run()
        .expect(0);
    place.archbuild(&["clean", &name]).run().expect(0);
    assert_eq!(listed(&place, "root").len(), 1);
    assert_eq!(listed(&place, "layers"), ["layers 0"]);
}

#[test]
fn a_chroot_made_by_hand_is_taken_in() {
    let Some(place) = place("by-hand") else { return };
    place.archbuild(&["create"]).run().expect(0);
    let root = fs::canonicalize(place.root()).unwrap();
    let hand_made = place.path("hand-made");
    must(Command::new("cp").args(["-a", "--"]).arg(&root).arg(&hand_made));
    // As a tool that root has run would leave it.
    must(Command::new("chown").args(["-Rh", "0:0"]).arg(&hand_made));
    must(Command::new("touch").arg(hand_made.join("usr/mark")));
    place
        .archbuild(&["create", "--from", hand_made.to_str().unwrap()])
        .run()
        .expect(0);
    place.package("nothing", &format!("{NOTHING}build() {{ test -e /usr/mark; }}\n"));
    let (code, record) = place.record("nothing", &[]);
    assert_eq!((code, record.phases[1].phase), (0, Phase::Dependencies));
    place.archbuild(&["create", "--from", "/nonexistent"]).run().expect(64);
    place.archbuild(&["clean", "--all"]).run().expect(0);
}
