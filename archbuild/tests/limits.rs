//! What a build may use, and what it is called when it uses more.

mod place;

use common::build_command::{LimitKind, Outcome, Phase};
use common::process::Command;
use place::{NOTHING, Place, processes, wait_until};
use testkit::tool::{must, program};

#[test]
fn each_limit_ends_the_build_and_has_a_name() {
    let Some(place) = Place::shared() else { return };
    let marker = format!("8001.{}", std::process::id());
    for (kind, option, lines) in [
        (
            LimitKind::WallTime,
            ["--time-limit", "4"],
            "while :; do echo; sleep 1; done",
        ),
        (LimitKind::Stalled, ["--stall-limit", "2"], ":"),
        (
            LimitKind::Memory,
            ["--memory-limit", "100"],
            "perl -e '$x = \"x\" x (300 << 20); sleep 600'",
        ),
        (
            LimitKind::Processes,
            ["--process-limit", "100"],
            "bomb() { bomb | bomb & }; bomb",
        ),
        (
            LimitKind::Disk,
            ["--disk-limit", "50"],
            "dd if=/dev/zero of=big bs=1M count=200",
        ),
        (LimitKind::LogSize, ["--log-limit", "1"], "yes"),
    ] {
        let text = format!("{NOTHING}check() {{ {lines}; sleep {marker}; }}\n");
        place.package("nothing", &text);
        let (code, record) = place.record("nothing", &["-q", option[0], option[1]]);
        assert_eq!((code, record.outcome), (4, Outcome::Limit(Some(kind))), "{record:?}");
        assert_eq!(record.phases.last().map(|time| time.phase), Some(Phase::Check));
        assert!(record.packages.is_empty() && record.message.is_some(), "{record:?}");
        wait_until("without processes of the build", || {
            !processes().iter().any(|(_, line)| line.contains(&marker))
        });
    }
}

#[test]
fn time_is_limited_before_anything_of_the_package_is_built() {
    let Some(place) = Place::shared() else { return };
    let marker = format!("8002.{}", std::process::id());
    place.package("reading", &format!("{NOTHING}sleep {marker}\n"));
    // What is installed for a package may have a script that never ends.
    place.write(
        "hangs/hangs.install",
        &format!("post_install() {{ sleep {marker}; }}\n"),
    );
    let hangs = NOTHING.replace("nothing", "hangs");
    place.package("hangs", &format!("{hangs}install=hangs.install\n"));
    place.build("hangs", &[]).expect(0);
    place.package("installing", NOTHING);
    let file = place.path("hangs/hangs-1-1-any.pkg.tar.zst");
    for (name, option, kind) in [
        ("reading", "--stall-limit", LimitKind::Stalled),
        ("reading", "--time-limit", LimitKind::WallTime),
        ("installing", "--time-limit", LimitKind::WallTime),
    ] {
        let more = ["-q", option, "3", "-I", file.to_str().expect("UTF-8")];
        let more = if name == "installing" { &more[..] } else { &more[..3] };
        let (code, record) = place.record(name, more);
        assert_eq!((code, record.outcome), (4, Outcome::Limit(Some(kind))), "{record:?}");
        assert_eq!(record.phases.last().map(|time| time.phase), Some(Phase::Dependencies));
        wait_until("without processes", || {
            !processes().iter().any(|(_, line)| line.contains(&marker))
        });
    }
}

#[test]
fn a_machine_or_a_person_that_allows_few_processes_is_no_trouble() {
    let Some(place) = Place::shared() else { return };
    place.package("nothing", NOTHING);
    place.build("nothing", &["--process-limit", "50"]).expect(0);
    let build = Command::new("prlimit")
        .args(["--nproc=2000:2000", "--"])
        .arg(program("archbuild"))
        .args(["build", "--process-limit", "8000"])
        .env("PORTSMITH_CONFIG", place.path("portsmith.conf"))
        .directory(place.path("nothing"));
    must(build);
}

#[test]
fn a_build_that_works_in_silence_is_not_stalled() {
    let Some(place) = Place::shared() else { return };
    place.package(
        "nothing",
        &format!("{NOTHING}build() {{ timeout 5 yes >/dev/null || :; }}\n"),
    );
    place.build("nothing", &["--stall-limit", "2"]).expect(0);
}

#[test]
fn the_record_says_what_was_built_where_it_failed_and_what_it_used() {
    let Some(place) = Place::shared() else { return };
    place.package(
        "nothing",
        &format!("{NOTHING}check() {{ perl -e '$x = \"x\" x (100 << 20)'; }}\n"),
    );
    let (code, record) = place.record("nothing", &[]);
    assert_eq!((code, record.outcome), (0, Outcome::Built));
    let packages: Vec<&str> = record.packages.iter().map(|name| name.as_str()).collect();
    assert_eq!(packages, ["nothing-1-1-any.pkg.tar.zst"]);
    assert!(record.peak_memory.is_some_and(|bytes| bytes > 100 << 20), "{record:?}");
    assert!(record.cpu_milliseconds.is_some_and(|time| time > 50), "{record:?}");
    assert!(record.limits.is_some(), "{record:?}");
    let phases: Vec<Phase> = record.phases.iter().map(|time| time.phase).collect();
    let expected = [
        Phase::Setup,
        Phase::Dependencies,
        Phase::Sources,
        Phase::Check,
        Phase::Package,
        Phase::Delivery,
    ];
    assert_eq!(phases, expected);
    for (function, phase) in [
        ("prepare", Phase::Prepare),
        ("build", Phase::Build),
        ("check", Phase::Check),
        ("package", Phase::Package),
    ] {
        place.package("nothing", &format!("{NOTHING}{function}() {{ false; }}\n"));
        let (code, record) = place.record("nothing", &[]);
        assert_eq!((code, record.outcome), (1, Outcome::Failed(Some(phase))), "{record:?}");
    }
    place.package("nothing", "pkgname=(\n");
    assert_eq!(place.record("nothing", &[]).1.outcome, Outcome::Failed(None));
}
