//! Many callers at one time, holders of locks that are killed, clocks that are set, and lists that a person edited.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use common::clock::Now;
use common::process::{Command, Input, Signal};
use testkit::master::Master;
use testkit::need;
use testkit::package::PackageSpec;
use testkit::tool::{Ended, program};

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
    assert_eq!(journal.lines().filter(|line| line.contains("\tassigned\t")).count(), CALLERS);
    let leases = std::fs::read_dir(master.path("builders")).unwrap().count();
    assert_eq!(leases, CALLERS);
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
fn the_death_of_a_lock_holder_hinders_nobody() {
    if !need::programs(&["strace"]) {
        return;
    }
    let master = Master::new(&["a", "b"]);
    // Stopped at its first rename, with the lock held.
    let holder = master.equip_traced("s1").spawn().unwrap();
    let mut pid = String::new();
    until(|| {
        let text = master.read("build-list.lock");
        pid = text.split(' ').next().unwrap_or_default().to_owned();
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Stopped by a signal, or by strace on its behalf.
        text.contains("get-assignment") && matches!(status.rsplit(") ").next().map(|s| &s[..1]), Some("T" | "t"))
    });
    let ended = master.tool("get-assignment", "s2").env("PORTSMITH_LOCK_WAIT_SECONDS", "0").run().expect(1);
    assert!(ended.stderr.contains(&format!("locked by process {pid} get-assignment")), "{ended:?}");
    assert!(ended.stdout.is_empty(), "{ended:?}");
    Command::new("kill").args(["-KILL", &pid]).run().unwrap();
    holder.wait().unwrap();
    assert_eq!(master.ask("s2", &[]).expect(0).stdout, format!("{} 0\n", master.order("a")));
}
