//! The acceptance scenarios of the original `db-update`, as a process, with packaging in git and real pacman.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic, as tests do")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::build_list::Order;
use common::clock::Now;
use common::config::Config;
use common::journal::{Entry, Event};
use common::lock::Patience;
use common::package::PackageFile;
use common::process::Command;
use common::repository::{NewPackage, Repositories};
use common::state::{State, order_id};
use common::work_dir::WorkDir;
use testkit::need;
use testkit::package::PackageSpec;
use testkit::packaging::{FILE, Remote, srcinfo};
use testkit::tool::{Ended, Tool};

const DAY: u64 = 86400;

struct Port {
    directory: tempfile::TempDir,
    work_dir: WorkDir,
    repositories: Repositories,
}

impl Port {
    fn new(extra: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let text = format!(
            "arch=x86_64\nwork_dir='{0}/work'\nrepo_dir='{0}/repos'\nlock_wait_seconds=1\n\
             repo_names=packages\nrepo_paths__packages='{0}/packages.git'\n{extra}",
            root.display()
        );
        put(&root.join("portsmith.conf"), &text);
        put(&root.join("signature"), "as good as any here");
        for name in ["work", "new"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        let config = Config::from_text(&text).unwrap();
        Self {
            work_dir: WorkDir::open(&config).unwrap(),
            repositories: Repositories::open(&config).unwrap(),
            directory,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Packages of one order, signed, in a repository.
    fn publish(&self, repository: &str, specs: &[PackageSpec]) {
        let mut transaction = self.repositories.transaction();
        for spec in specs {
            let path = spec.write(&self.path("new")).unwrap();
            let file = PackageFile::read(&path).unwrap();
            let signature = Some(self.path("signature"));
            transaction.add(&repository.parse().unwrap(), NewPackage { file, signature });
        }
        transaction.commit(1, Patience::Never).unwrap();
    }

    /// An order with one package that came to its repository some days ago.
    fn order(&self, (repository, state): (&str, State), days: u64, spec: PackageSpec) -> Order {
        let file = spec.file_name();
        let pkgbase = file.split('-').next().unwrap();
        let order: Order = format!("{pkgbase} {0} {0} core", "1".repeat(40)).parse().unwrap();
        self.publish(repository, &[spec]);
        self.work_dir.states().write(&order, state, [&file]).unwrap();
        let event = if repository == "staging" {
            Event::Returned
        } else {
            Event::Testing
        };
        self.note(event, &order, days);
        order
    }

    fn note(&self, event: Event, order: &Order, days: u64) {
        let entry = Entry {
            time: Now::read().unix - days * DAY,
            event,
            order: order.clone(),
            builder: None,
            detail: String::new(),
        };
        self.work_dir.journal().append(&[entry]).unwrap();
    }

    /// Puts an order with this metadata onto the build list, some days ago.
    fn pend(&self, pkgbase: &str, lines: &[&str], days: u64) -> Order {
        let directory = format!("{pkgbase}/repos/core-x86_64");
        let info = srcinfo(pkgbase, lines);
        let revision = Remote::new(&self.path("packages.git")).commit(&[
            (&format!("{directory}/.SRCINFO"), FILE, &info),
            (&format!("{directory}/PKGBUILD"), FILE, "pkgname=x\n"),
        ]);
        let order: Order = format!("{pkgbase} {revision} {} core", "0".repeat(40)).parse().unwrap();
        put(&self.work_dir.build_list(), &format!("{order}\n"));
        self.note(Event::Scheduled, &order, days);
        order
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let tool = Tool::at(Path::new(env!("CARGO_BIN_EXE_db-update")));
        let tool = tool.args([Path::new("--config"), &self.path("portsmith.conf")]);
        tool.args(arguments).run()
    }

    /// `name-version` of a repository, in its order.
    fn published(&self, repository: &str) -> Vec<String> {
        let packages = self.repositories.packages(&repository.parse().unwrap()).unwrap();
        packages
            .iter()
            .map(|entry| format!("{}-{}", entry.name, entry.version))
            .collect()
    }

    fn states(&self, order: &Order) -> Vec<State> {
        self.work_dir.states().list().unwrap().remove(order).unwrap_or_default()
    }

    /// Every file below the work directory and the repositories, but for caches and locks.
    fn everything(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut all = BTreeMap::new();
        let mut pending = vec![self.path("work"), self.path("repos")];
        while let Some(directory) = pending.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.is_symlink() {
                    if !path.ends_with("metadata") {
                        pending.push(path);
                    }
                } else if path.extension().is_none_or(|extension| extension != "lock") {
                    all.insert(path.clone(), fs::read(&path).unwrap_or_default());
                }
            }
        }
        all
    }

    /// What a real pacman that follows these repositories sees of them, as `pacman -Sl` prints it.
    fn seen_by_pacman(&self, repositories: &[&str]) -> String {
        let root = self.path("root");
        fs::create_dir_all(&root).unwrap();
        let sections = repositories.iter().map(|name| {
            format!(
                "[{name}]\nServer=file://{}/$repo/os/$arch\n",
                self.path("repos").display()
            )
        });
        let text = format!(
            "[options]\nArchitecture=x86_64\nSigLevel=Never\n{}",
            sections.collect::<String>()
        );
        put(&self.path("pacman.conf"), &text);
        let pacman = |words: &[&str]| {
            let command = Command::new("fakeroot")
                .arg("pacman")
                .args(words)
                .arg("--config")
                .arg(self.path("pacman.conf"));
            command
                .arg("--root")
                .arg(&root)
                .arg("--dbpath")
                .arg(&root)
                .run()
                .unwrap()
                .text()
        };
        pacman(&["-Syy"]);
        pacman(&["-Sl"])
    }
}

fn put(path: &Path, text: &str) {
    common::atomic::write(path, text.as_bytes()).unwrap();
}

fn package(name: &str, needs: &[&str]) -> PackageSpec {
    needs
        .iter()
        .fold(PackageSpec::new(name, "1-1"), |spec, need| spec.depends(need))
}

const DONE: (&str, State) = ("staging", State::Done);
const UNTESTED: (&str, State) = ("testing", State::Testing);
const TESTED: (&str, State) = ("testing", State::Tested);

/// z on the list needs x to run, and w to be built; x and v, both in staging, need y.
fn scenario_57(days: u64) -> (Port, [Order; 5]) {
    let port = Port::new("");
    let v = port.order(DONE, 0, package("v", &["y"]));
    let w = port.order(DONE, 0, package("w", &[]));
    let x = port.order(DONE, 0, package("x", &["y"]));
    let y = port.order(DONE, 0, package("y", &[]));
    let z = port.pend("z", &["depends = x", "makedepends = w"], days);
    (port, [v, w, x, y, z])
}

#[test]
fn scenario_57_what_is_connected_with_a_pending_order_stays_and_the_rest_moves() {
    let (port, [v, w, ..]) = scenario_57(0);
    port.run(&[]).expect(0);
    assert_eq!(port.published("testing"), ["w-1-1"]);
    assert_eq!(port.published("staging"), ["v-1-1", "x-1-1", "y-1-1"]);
    assert_eq!(
        (port.states(&w), port.states(&v)),
        (vec![State::Testing], vec![State::Done])
    );
    let place = port.repositories.path(&"testing".parse().unwrap());
    for file in ["w-1-1-x86_64.pkg.tar.zst", "w-1-1-x86_64.pkg.tar.zst.sig"] {
        assert!(place.join(file).exists(), "{file}");
    }
    let chain = port.run(&["--explain", "v"]).expect(0).stdout;
    let lines: Vec<&str> = chain.lines().collect();
    assert_eq!(
        lines,
        [
            "v: waits: it needs y of y, which waits",
            "y: waits: x needs y, which waits",
            "x: waits: z needs x, which is on the build list (0 of 7 days)",
            "z: is on the build list",
        ]
    );
    if need::programs(&["pacman", "fakeroot"]) {
        let seen = port.seen_by_pacman(&["testing", "staging"]);
        assert_eq!(seen, "testing w 1-1\nstaging v 1-1\nstaging x 1-1\nstaging y 1-1");
    }
}

#[test]
fn scenario_58_a_tested_package_stays_while_an_untested_one_needs_it() {
    let port = Port::new("");
    port.publish("extra", &[PackageSpec::new("q", "0.8-1")]);
    port.publish(
        "core",
        &[PackageSpec::new("q", "0.9-1"), PackageSpec::new("u", "0.9-1")],
    );
    port.publish("staging", &[PackageSpec::new("q", "0.9-1")]);
    let q = port.order(TESTED, 8, package("q", &[]));
    let u = port.order(UNTESTED, 0, package("u", &["q"]));
    port.run(&[]).expect(0);
    assert_eq!(port.published("testing"), ["q-1-1", "u-1-1"]);
    let chain = port.run(&["--explain", "q"]).expect(0).stdout;
    assert!(
        chain.contains("u needs q, which is in testing and not approved (0 of 14 days)"),
        "{chain}"
    );

    port.work_dir
        .states()
        .change(&u, State::Testing, State::Tested)
        .unwrap();
    port.run(&[]).expect(0);
    assert_eq!(port.published("core"), ["q-1-1", "u-1-1"]);
    for repository in ["extra", "testing", "staging"] {
        assert!(port.published(repository).is_empty(), "{repository}");
    }
    assert!(port.states(&q).is_empty() && port.states(&u).is_empty());
    if need::programs(&["pacman", "fakeroot"]) {
        assert_eq!(port.seen_by_pacman(&["core", "extra"]), "core q 1-1\ncore u 1-1");
    }
}

#[test]
fn scenario_59_the_options_put_aside_what_is_in_the_way_and_a_dry_run_changes_nothing() {
    let (port, orders) = scenario_57(0);
    let old = port.order(UNTESTED, 9, package("old", &[]));
    let before = port.everything();
    let dry = port.run(&["-n"]).expect(0).stdout;
    let line =
        |order: &Order, from: &str, to: &str| format!("move \"{}\" from \"{from}\" to \"{to}\"\n", order_id(order));
    assert_eq!(
        dry,
        line(&old, "testing", "core") + &line(&orders[1], "staging", "testing")
    );
    assert_eq!(
        port.everything(),
        before,
        "not even what is old enough is marked as tested"
    );

    let z = order_id(&orders[4]);
    for arguments in [["-n", "-u", &z], ["-n", "--unstage", "z"]] {
        let dry = port.run(&arguments).expect(0).stdout;
        assert_eq!(dry.lines().count(), 5, "{dry}");
    }
    let of_staging = port.run(&["-n", "--repo", "staging", "-u", "z"]).expect(0).stdout;
    assert_eq!(of_staging.lines().count(), 4, "{of_staging}");
    for unknown in [
        ["-u", "nobody"],
        ["-s", "nobody"],
        ["-f", "nobody"],
        ["--repo", "nowhere"],
        ["-f", "z"],
    ] {
        let ended = port.run(&unknown).expect(2);
        assert!(ended.stderr.contains(unknown[1]), "{ended:?}");
    }
    port.run(&["positional"]).expect(64);
    port.run(&["-f", "x", "-p"]).expect(64);
    assert_eq!(port.everything(), before);

    // --stabilize is -s: what needs `ready` in staging is not in its way to stable.
    let ready = port.order(TESTED, 0, package("ready", &[]));
    port.order(DONE, 0, package("fresh", &["ready"]));
    for arguments in [["-n", "-s", "fresh"], ["-n", "--stabilize", "fresh"]] {
        let dry = port.run(&arguments).expect(0).stdout;
        assert!(dry.contains(&line(&ready, "testing", "core")), "{dry}");
    }
    assert!(!port.run(&["-n"]).expect(0).stdout.contains("\"ready."));
}

#[test]
fn a_forced_order_moves_alone_says_what_it_breaks_and_needs_no_approval() {
    let port = Port::new("");
    port.publish(
        "core",
        &[PackageSpec::new("lib", "0.9-1"), package("user", &["lib=0.9"])],
    );
    let lib = port.order(UNTESTED, 0, package("lib", &[]));
    port.order(TESTED, 0, package("other", &[]));
    let ended = port.run(&["-f", &order_id(&lib)]).expect(0);
    assert!(
        ended.stderr.contains("breaks something: user would lose lib=0.9"),
        "{ended:?}"
    );
    assert_eq!(port.published("core"), ["lib-1-1", "user-1-1"]);
    assert_eq!(port.published("testing"), ["other-1-1"]);
    assert!(port.states(&lib).is_empty());
}

#[test]
fn scenario_60_a_missing_package_or_signature_stops_everything_before_the_first_change() {
    for missing in ["w-1-1-x86_64.pkg.tar.zst", "w-1-1-x86_64.pkg.tar.zst.sig"] {
        let port = Port::new("");
        port.order(DONE, 0, package("v", &[]));
        port.order(DONE, 0, package("w", &[]));
        fs::remove_file(port.path("repos/pool").join(missing)).unwrap();
        let before = port.everything();
        let ended = port.run(&[]).expect(2);
        assert!(ended.stderr.contains(&format!("{missing} is absent")), "{ended:?}");
        assert_eq!(port.everything(), before);
    }
}

#[test]
fn scenario_60_of_two_builds_of_a_package_the_newer_one_moves() {
    let port = Port::new("");
    let newer = port.order(DONE, 0, PackageSpec::new("a", "2-1"));
    port.publish("community-staging", &[PackageSpec::new("a", "1-1")]);
    let older: Order = format!("a {0} {0} community", "2".repeat(40)).parse().unwrap();
    port.work_dir
        .states()
        .write(&older, State::Done, ["a-1-1-x86_64.pkg.tar.zst"])
        .unwrap();
    port.run(&[]).expect(0);
    assert_eq!(port.published("testing"), ["a-2-1"]);
    assert!(port.published("staging").is_empty() && port.published("community-staging").is_empty());
    assert_eq!(port.states(&newer), [State::Testing]);
    port.run(&[]).expect(0);
    assert!(port.states(&older).is_empty(), "none of its packages is published");
}

#[test]
fn scenario_61_what_is_old_is_approved_only_when_the_bug_list_says_nothing_of_it() {
    let port = Port::new("");
    let bugs = port.path("bugs.csv");
    let conf = fs::read_to_string(port.path("portsmith.conf")).unwrap();
    put(
        &port.path("portsmith.conf"),
        &format!("{conf}bug_list_url='{}'\n", bugs.display()),
    );
    let old = port.order(UNTESTED, 8, package("old", &[]));
    let buggy = port.order(UNTESTED, 8, package("buggy", &[]));
    let young = port.order(UNTESTED, 6, package("young", &[]));
    let unreadable = port.run(&[]).expect(0);
    assert!(
        unreadable.stderr.contains("nothing is approved by age"),
        "{unreadable:?}"
    );
    put(&bugs, "<html>the list has moved</html>\n");
    port.run(&[]).expect(0);
    assert!(port.published("core").is_empty());
    put(
        &bugs,
        "id,category,type,severity,summary\n1,Packages: Testing,Bug,High,\"[buggy, other] crash\"\n",
    );
    port.run(&[]).expect(0);
    assert_eq!(port.published("core"), ["old-1-1"]);
    assert!(port.states(&old).is_empty());
    assert_eq!(
        (port.states(&buggy), port.states(&young)),
        (vec![State::Testing], vec![State::Testing])
    );
}

#[test]
fn scenario_62_what_has_been_in_the_way_for_too_long_is_no_longer() {
    let (port, _) = scenario_57(8);
    port.run(&[]).expect(0);
    assert_eq!(port.published("testing").len(), 4);

    // On the way to stable: two days in staging, a fortnight in testing.
    for (days_in_staging, days_in_testing, moves) in [
        (1, 15, "ready2-1-1"),
        (3, 13, "ready1-1-1"),
        (1, 13, ""),
        (3, 15, "ready1-1-1 ready2-1-1"),
    ] {
        let port = Port::new("bug_list_url=/nonexistent/list\n");
        port.order(TESTED, 0, PackageSpec::new("ready1", "1-1"));
        port.order(TESTED, 0, PackageSpec::new("ready2", "1-1"));
        port.order(DONE, days_in_staging, package("fresh", &["ready1"]));
        port.order(UNTESTED, days_in_testing, package("broken", &["ready2"]));
        port.run(&[]).expect(0);
        assert_eq!(port.published("core").join(" "), moves);
    }
}

#[test]
fn without_the_rule_of_neighbours_only_what_would_break_something_stays() {
    let (port, _) = scenario_57(0);
    let conf = fs::read_to_string(port.path("portsmith.conf")).unwrap();
    put(&port.path("portsmith.conf"), &format!("{conf}neighbours_hold=no\n"));
    port.run(&[]).expect(0);
    assert_eq!(port.published("testing").len(), 4);
}

#[test]
fn a_changed_order_that_holds_nothing_else_lets_its_older_build_go() {
    let port = Port::new("");
    port.order(DONE, 0, package("a", &[]));
    port.pend("a", &[], 0);
    port.run(&[]).expect(0);
    assert_eq!(port.published("testing"), ["a-1-1"]);
}

#[test]
fn what_upstream_released_together_moves_together() {
    let port = Port::new("neighbours_hold=no\n");
    let remote = Remote::new(&port.path("packages.git"));
    let path = |name: &str| format!("{name}/repos/core-x86_64/PKGBUILD");
    let commit = |time: i64, a: &str, b: &str, c: &str| {
        let (first, second, third) = (path("a"), path("b"), path("c"));
        remote.commit_at(time, &[(&first, FILE, a), (&second, FILE, b), (&third, FILE, c)])
    };
    commit(1_000, "1", "1", "1");
    // Two commits of one second rebuild a and b, c is another day's.
    commit(2_000, "2", "1", "1");
    commit(2_001, "2", "2", "1");
    let revision = commit(90_000, "2", "2", "2");
    for (name, needs) in [("a", "z>=2"), ("b", "d"), ("c", "d")] {
        let order: Order = format!("{name} {revision} {} core", "0".repeat(40)).parse().unwrap();
        let spec = package(name, &[needs]);
        port.work_dir
            .states()
            .write(&order, State::Done, [spec.file_name()])
            .unwrap();
        port.publish("staging", &[spec]);
    }
    port.publish("core", &[PackageSpec::new("z", "1-1")]);
    port.run(&[]).expect(0);
    assert_eq!(port.published("testing"), ["c-1-1"]);
    let chain = port.run(&["--explain", "b"]).expect(0).stdout;
    assert!(chain.contains("a needs z>=2"), "{chain}");
    port.publish("core", &[PackageSpec::new("z", "2-1")]);
    port.run(&[]).expect(0);
    assert_eq!(port.published("testing"), ["a-1-1", "b-1-1", "c-1-1"]);
}
