//! Many callers at one time, holders of locks that are killed, clocks that are set, and lists that a person edited.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use common::clock::Now;
use common::config::Config;
use common::process::Command;
use common::repository::Repositories;
use testkit::master::Master;
use testkit::need;
use testkit::package::PackageSpec;
use testkit::tool::{Ended, Tool, program};

/// Longest time that a test waits for something to happen.
const LONG: Duration = Duration::from_secs(60);

/// Waits until something is so.
#[track_caller]
fn until(mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "it does not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// An upload: a tar archive of one unsigned package.
fn upload(master: &Master, spec: &PackageSpec) -> Vec<u8> {
    let place = tempfile::tempdir_in(master.root()).unwrap();
    let path = spec.write(place.path()).unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_path_with_name(&path, path.file_name().unwrap()).unwrap();
    builder.into_inner().unwrap()
}

#[test]
fn two_hundred_callers_at_once_get_two_hundred_orders_out_of_a_thousand() {
    const CALLERS: usize = 200;
    let names: Vec<String> = (0..1000).map(|number| format!("p{number}")).collect();
    let master = Master::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let running: Vec<_> = (0..CALLERS)
        .map(|number| {
            let tool = master.tool("get-assignment", &format!("s{number}"));
            let tool = tool.env("PORTSMITH_LOCK_WAIT_SECONDS", "600");
            tool.into_command().spawn().unwrap()
        })
        .collect();
    let mut given = BTreeSet::new();
    for child in running {
        let finished = child.wait().unwrap();
        let said = String::from_utf8_lossy(&finished.stderr).into_owned();
        assert_eq!(finished.status.code(), Some(0), "{said}");
        given.insert(finished.text());
    }
    assert_eq!(given.len(), CALLERS);
    assert_eq!(master.read("build-list").lines().count(), 1000);
    let journal = master.read("journal");
    assert_eq!(
        journal.lines().filter(|line| line.contains("\tassigned\t")).count(),
        CALLERS
    );
    let leases = std::fs::read_dir(master.path("builders")).unwrap().count();
    assert_eq!(leases, CALLERS);
}

#[test]
fn a_hundred_returns_into_one_repository_at_once_are_all_published() {
    const BUILDERS: usize = 100;
    let names: Vec<String> = (0..BUILDERS).map(|number| format!("p{number}")).collect();
    let master = Master::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    master.configure("require_signatures=no\nlock_wait_seconds=600\n");
    let running: Vec<_> = names
        .iter()
        .map(|name| {
            master.ask(name, &[name]).expect(0);
            let package = upload(&master, &PackageSpec::new(name, "1-1.0").arch("any"));
            let order = master.order(name);
            let tool = master.tool("return-assignment", name).args(order.split(' '));
            tool.args(["0"]).stdin(package)
        })
        .map(|tool| tool.into_command().spawn().unwrap())
        .collect();
    for child in running {
        let finished = child.wait().unwrap();
        let said = String::from_utf8_lossy(&finished.stderr).into_owned();
        assert_eq!(finished.status.code(), Some(0), "{said}");
    }
    let directory = master.state().join("repositories");
    let text = format!("arch=x86_64\nrepo_dir='{}'\n", directory.display());
    let repositories = Repositories::open(&Config::from_text(&text).unwrap()).unwrap();
    let packages = repositories.packages(&"staging".parse().unwrap()).unwrap();
    let published: BTreeSet<String> = packages.iter().map(|entry| entry.name.to_string()).collect();
    assert_eq!(published, names.into_iter().collect());
    assert_eq!(packages.len(), BUILDERS);
    assert_eq!(
        (repositories.check().unwrap(), master.read("build-list")),
        (Vec::new(), String::new())
    );
}

#[test]
fn two_builders_return_one_order_at_once_and_it_is_done_once() {
    for is_same in [true, false] {
        let master = Master::new(&["a", "b"]);
        master.configure("require_signatures=no\n");
        master.ask("s1", &["a"]).expect(0);
        master.ask("s2", &["a"]).expect(0);
        let spec = PackageSpec::new("a", "1-1.0").arch("any");
        let one = upload(&master, &spec);
        let other = if is_same {
            one.clone()
        } else {
            upload(&master, &spec.file("usr/bin/a", "other"))
        };
        let mut codes: Vec<i32> = std::thread::scope(|scope| {
            let returning = [("s1", one), ("s2", other)].map(|(builder, upload)| {
                let master = &master;
                scope.spawn(move || master.give_back(builder, "a", "0", upload).code)
            });
            returning.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        codes.sort_unstable();
        assert_eq!(codes, if is_same { [0, 0] } else { [0, 2] });
        let states: Vec<String> = std::fs::read_dir(master.path("package-states"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert!(states.len() == 1 && states[0].ends_with(".done"), "{states:?}");
        assert_eq!(master.read("build-list"), format!("{}\n", master.order("b")));
        assert_eq!(master.read("builders/s1") + &master.read("builders/s2"), "");
        let journal = master.read("journal");
        assert_eq!(journal.lines().filter(|line| line.contains("\treturned\t")).count(), 1);
    }
}

#[test]
fn scenario_38_a_late_return_counts_unless_another_builder_has_finished() {
    for is_late_first in [true, false] {
        let master = Master::new(&["a"]);
        master.configure("require_signatures=no\nlease_seconds=20\n");
        let spec = PackageSpec::new("a", "1-1.0").arch("any");
        let late = upload(&master, &spec);
        let other = upload(&master, &spec.file("usr/bin/a", "other"));
        master.ask("s1", &[]).expect(0);
        master.write("builders/s1", &seen(&master, 60, 60, None));
        master.ask("s2", &[]).expect(0);
        if is_late_first {
            master.give_back("s1", "a", "0", late.clone()).expect(0);
            master.give_back("s2", "a", "0", other).expect(2);
            master.give_back("s1", "a", "0", late).expect(0);
        } else {
            master.give_back("s2", "a", "0", other).expect(0);
            master.give_back("s1", "a", "0", late).expect(2);
        }
        assert_eq!(master.read("build-list"), "");
    }
}

#[test]
fn scenario_46_those_who_share_an_order_fail_alone_and_the_first_result_counts() {
    let master = Master::new(&["a", "b"]);
    master.configure("require_signatures=no\n");
    let package = |name: &str, text: &str| {
        let spec = PackageSpec::new(name, "1-1.0").arch("any");
        upload(&master, &spec.file("usr/bin/a", text))
    };
    let list = master.read("build-list");
    for name in ["a", "b"] {
        master.ask("s1", &[name]).expect(0);
        master.ask("s2", &[name]).expect(0);
        if name == "a" {
            let nothing = tar::Builder::new(Vec::new()).into_inner().unwrap();
            master.give_back("s1", name, "ERROR", nothing).expect(0);
            assert_eq!(master.read(&master.fact(name, "locked")), "s2\n");
            assert_eq!(master.read("build-list"), list, "the line has not moved");
        } else {
            master.give_back("s1", name, "0", package(name, "one")).expect(0);
        }
        let code = if name == "a" { 0 } else { 2 };
        master.give_back("s2", name, "0", package(name, "two")).expect(code);
    }
    assert_eq!(master.read("build-list"), "");
}

#[test]
fn the_death_of_a_lock_holder_hinders_nobody() {
    if !need::programs(&["strace"]) {
        return;
    }
    let master = Master::new(&["a", "b"]);
    // From now on it is known what the orders yield, and the first rename is that of a lease.
    master.ask("s9", &["b"]).expect(0);
    // Stopped at its first rename, with the lock held.
    let strace = Tool::at(Path::new("strace"))
        .args(["-qq", "-o", "/dev/null", "-e"])
        .args(["inject=rename,renameat,renameat2:signal=SIGSTOP:when=1"])
        .args([program("get-assignment")]);
    let holder = master
        .equip(strace, &master.state(), "s1")
        .into_command()
        .spawn()
        .unwrap();
    let mut pid = String::new();
    until(|| {
        let text = master.read("build-list.lock");
        pid = text.split(' ').next().unwrap_or_default().to_owned();
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Stopped by a signal, or by strace on its behalf.
        text.contains("get-assignment")
            && matches!(status.rsplit(") ").next().and_then(|s| s.get(..1)), Some("T" | "t"))
    });
    let ended = master
        .tool("get-assignment", "s2")
        .env("PORTSMITH_LOCK_WAIT_SECONDS", "0")
        .run()
        .expect(1);
    assert!(
        ended
            .stderr
            .contains(&format!("locked by process {pid} get-assignment")),
        "{ended:?}"
    );
    assert!(ended.stdout.is_empty(), "{ended:?}");
    Command::new("kill").args(["-KILL", &pid]).run().unwrap();
    holder.wait().unwrap();
    assert_eq!(
        master.ask("s2", &[]).expect(0).stdout,
        format!("{} 0\n", master.order("a"))
    );
}

/// The lease of s1 on `a`, last seen so long ago on both clocks; seconds before now, or after it where negative.
fn seen(master: &Master, wall: i64, boot: i64, boot_id: Option<&str>) -> String {
    let now = Now::read();
    let at = |clock: u64, ago: i64| clock.saturating_add_signed(-ago);
    format!(
        "{} 0 building 5 {} {} {} 1\n",
        master.order("a"),
        at(now.unix, wall),
        boot_id.unwrap_or(&now.boot_id),
        at(now.boot_seconds, boot)
    )
}

#[test]
fn a_lease_ends_by_silence_and_not_by_a_clock_that_is_set() {
    let year = 365 * 86400;
    let master = Master::new(&["a"]);
    master.configure("lease_seconds=20\n");
    let offered = |lease: String| {
        master.write(&master.fact("a", "locked"), "s1\n");
        master.write("builders/s1", &lease);
        master.write("builders/s2", "");
        master.ask("s2", &[]).code
    };
    assert_eq!(offered(seen(&master, 10, 10, None)), 3, "a sign of life");
    assert_eq!(offered(seen(&master, 60, 60, None)), 0, "silence");
    assert_eq!(offered(seen(&master, year, 10, None)), 3, "set forward");
    assert_eq!(offered(seen(&master, -year, 10, None)), 3, "set back");
    assert_eq!(
        offered(seen(&master, -year, 60, None)),
        3,
        "set back, the clocks disagree"
    );
    assert_eq!(
        offered(seen(&master, 60, -1000, Some("an-earlier-boot"))),
        0,
        "silent since the reboot"
    );
    assert_eq!(
        offered(seen(&master, 10, 60, Some("an-earlier-boot"))),
        3,
        "just rebooted"
    );
    // A sign of life puts both clocks right, and asking again does, too.
    master.write("builders/s2", "");
    for code in [0, 3] {
        master.write("builders/s1", &seen(&master, 60, 60, None));
        if code == 3 {
            master
                .tool("ping-from-builder", "s1")
                .args(["building"])
                .run()
                .expect(0);
        }
        master.ask("s2", &[]).expect(code);
        master.write("builders/s2", "");
    }
}

/// What is said of a file, and that the words are there.
#[track_caller]
fn complains(ended: &Ended, words: &[&str]) {
    for word in words {
        assert!(ended.stderr.contains(word), "{word:?} is missing: {ended:?}");
    }
}

#[test]
fn slips_in_the_build_list_are_reported_with_their_lines_and_lose_nothing() {
    let master = Master::new(&["a", "b", "c"]);
    master.configure("require_signatures=no\n");
    let (a, b, c) = (master.order("a"), master.order("b"), master.order("c"));
    let half = &c[..30];
    // Line ends of another system, junk, an empty line, half a line, and no newline at the end.
    master.write("build-list", &format!("{a}\r\nwhat is this\r\n\n{half}\n{b}"));
    let ended = master.ask("s1", &[]).expect(0);
    complains(&ended, &["build-list line 2 ", "build-list line 4 "]);
    assert_eq!(ended.stdout, format!("{a} 0\n"));
    let package = upload(&master, &PackageSpec::new("a", "1-1.0").arch("any"));
    let ended = master.give_back("s1", "a", "0", package).expect(0);
    complains(&ended, &["build-list line 2 ", "build-list line 4 "]);
    assert_eq!(master.read("build-list"), format!("what is this\n{half}\n{b}\n"));
    assert_eq!(master.ask("s1", &[]).expect(0).stdout, format!("{b} 0\n"));
}

#[test]
fn slips_in_the_graph_and_in_the_priorities_are_reported_with_their_lines() {
    let master = Master::new(&["b: a", "a", "c"]);
    // The line of b is cut: what it needs is found out again.
    master.write("build-graph", "a\r\nb make\nc");
    master.write("priorities", "nothing\r\na 2\r\n\nb many\nc 7");
    let ended = master.ask("s1", &[]).expect(0);
    complains(
        &ended,
        &["build-graph line 2", "priorities line 1 ", "priorities line 4 "],
    );
    assert_eq!(ended.stdout, format!("{} 0\n", master.order("c")));
    assert_eq!(
        master.ask("s2", &[]).expect(0).stdout,
        format!("{} 0\n", master.order("a"))
    );
    master.ask("s3", &[]).expect(2);
    let explained = master.ask("s3", &["--explain", "b"]).expect(0).stdout;
    assert_eq!(explained, "b: waits for a (make)\n");
}

#[test]
fn slips_in_locks_and_leases_are_reported_with_their_lines_and_lose_nothing() {
    let master = Master::new(&["a", "b"]);
    let lease = |builder: &str, pkgbase: &str| {
        master.ask(builder, &[pkgbase]).expect(0);
        master.read(&format!("builders/{builder}")).trim_end().to_owned()
    };
    let of_s1 = lease("s1", "a");
    master.write(&master.fact("a", "locked"), "s1\r\nwho? me\ns9");
    master.write("builders/s1", &format!("{of_s1}\r\n{}", &of_s1[..60]));
    let ended = master.ask("s2", &["a"]).expect(0);
    complains(&ended, &[".locked line 2 ", "builders/s1 line 2 "]);
    let locked: BTreeSet<String> = master
        .read(&master.fact("a", "locked"))
        .lines()
        .map(str::to_owned)
        .collect();
    let expected = ["s1", "s2", "s9", "who? me"].map(str::to_owned);
    assert_eq!(locked, BTreeSet::from(expected));
    // The next writers of the lease: a sign of life, and a failure that is returned.
    let ended = master
        .tool("ping-from-builder", "s1")
        .args(["building"])
        .run()
        .expect(0);
    complains(&ended, &["builders/s1 line 2 "]);
    let kept = master.read("builders/s1");
    assert!(
        kept.starts_with(&format!("{} 0 building ", master.order("a"))),
        "{kept}"
    );
    assert!(kept.ends_with(&format!("\n{}\n", &of_s1[..60])), "{kept}");
    let nothing = tar::Builder::new(Vec::new()).into_inner().unwrap();
    master.configure("require_signatures=no\n");
    master.give_back("s1", "a", "ERROR", nothing).expect(0);
    assert_eq!(master.read("builders/s1"), format!("{}\n", &of_s1[..60]));
    let locked = master.read(&master.fact("a", "locked"));
    assert!(locked.contains("who? me\n") && !locked.contains("s1\n"), "{locked}");
}

#[test]
fn a_torn_journal_is_closed_by_the_next_writer() {
    let master = Master::new(&["a"]);
    master.write("journal", "17\tassig");
    master.ask("s1", &[]).expect(0);
    let journal = master.read("journal");
    let lines: Vec<&str> = journal.lines().collect();
    assert_eq!((lines.len(), lines[0]), (2, "17\tassig"));
    assert!(lines[1].contains("\tassigned\ta\t"), "{journal}");
}
