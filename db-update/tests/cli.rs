//! The contract of `db-update`, as a process.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic, as tests do")]

use std::fs;
use std::path::Path;

use common::build_list::Order;
use common::config::Config;
use common::journal::Event;
use common::lock::{Lock, Mode, Patience};
use common::names::Repository;
use common::package::PackageFile;
use common::process::Command;
use common::repository::{NewPackage, Repositories};
use common::state::{State, order_id};
use common::work_dir::WorkDir;
use tempfile::TempDir;
use testkit::need;
use testkit::package::PackageSpec;
use testkit::tool::{Ended, Tool};

struct Master {
    directory: TempDir,
    work_dir: WorkDir,
    repositories: Repositories,
}

impl Master {
    fn new() -> Self {
        Self::with("max_package_age_testing=0\n")
    }

    fn with(extra: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let text = format!(
            "arch=x86_64\nwork_dir='{0}/work'\nrepo_dir='{0}/repos'\nlock_wait_seconds=1\nrequire_signatures=no\n{extra}",
            root.display()
        );
        put(&root.join("portsmith.conf"), &text);
        fs::create_dir_all(root.join("work")).unwrap();
        fs::create_dir_all(root.join("new")).unwrap();
        let config = Config::from_text(&text).unwrap();
        Self {
            work_dir: WorkDir::open(&config).unwrap(),
            repositories: Repositories::open(&config).unwrap(),
            directory,
        }
    }

    /// Puts packages of one order of `core` into a repository, with the state that belongs to it.
    fn put(&self, pkgbase: &str, repository: &str, state: Option<State>, specs: &[PackageSpec]) -> Order {
        let mut transaction = self.repositories.transaction();
        for spec in specs {
            let path = spec.write(&self.directory.path().join("new")).unwrap();
            let file = PackageFile::read(&path).unwrap();
            transaction.add(&name(repository), NewPackage { file, signature: None });
        }
        transaction.commit(1, Patience::Never).unwrap();
        let order = order(pkgbase, '1');
        if let Some(state) = state {
            let files = specs.iter().map(PackageSpec::file_name);
            self.work_dir.states().write(&order, state, files).unwrap();
        }
        order
    }

    fn one(&self, repository: &str, state: Option<State>, spec: PackageSpec) -> Order {
        let pkgbase = spec
            .file_name()
            .split("-1")
            .next()
            .unwrap()
            .split("-2")
            .next()
            .unwrap()
            .to_owned();
        self.put(&pkgbase, repository, state, &[spec])
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        self.tool(arguments).run()
    }

    fn tool(&self, arguments: &[&str]) -> Tool {
        binary()
            .args([Path::new("--config"), &self.directory.path().join("portsmith.conf")])
            .args(arguments)
    }

    fn published(&self, repository: &str) -> Vec<String> {
        let packages = self.repositories.packages(&name(repository)).unwrap();
        packages
            .iter()
            .map(|entry| format!("{}-{}", entry.name, entry.version))
            .collect()
    }

    fn state(&self, order: &Order) -> Vec<State> {
        self.work_dir.states().list().unwrap().remove(order).unwrap_or_default()
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }
}

fn binary() -> Tool {
    Tool::at(Path::new(env!("CARGO_BIN_EXE_db-update")))
}

fn put(path: &Path, text: &str) {
    common::atomic::write(path, text.as_bytes()).unwrap();
}

fn name(text: &str) -> Repository {
    text.parse().unwrap()
}

fn order(pkgbase: &str, digit: char) -> Order {
    let revision = digit.to_string().repeat(40);
    format!("{pkgbase} {revision} {revision} core").parse().unwrap()
}

fn package(name: &str, version: &str) -> PackageSpec {
    PackageSpec::new(name, version)
}

#[test]
fn packages_go_from_staging_to_testing_to_stable_with_their_states() {
    let master = Master::new();
    let a = master.put(
        "a",
        "staging",
        Some(State::Done),
        &[
            package("a", "1-1").depends("b"),
            package("a-docs", "1-1").base("a").arch("any"),
        ],
    );
    let b = master.one("staging", Some(State::Done), package("b", "1-1"));
    let dry = master.run(&["-n"]).expect(0);
    let line =
        |order: &Order, from: &str, to: &str| format!("move \"{}\" from \"{from}\" to \"{to}\"\n", order_id(order));
    assert_eq!(
        dry.stdout,
        line(&a, "staging", "testing") + &line(&b, "staging", "testing")
    );
    assert_eq!(master.published("staging").len(), 3);
    assert_eq!(master.state(&a), [State::Done]);

    master.run(&[]).expect(0);
    assert!(master.published("staging").is_empty());
    assert_eq!(master.published("testing"), ["a-1-1", "a-docs-1-1", "b-1-1"]);
    assert_eq!(master.state(&a), [State::Testing]);
    master.run(&["-q"]).expect(0);
    assert_eq!(master.published("core"), ["a-1-1", "a-docs-1-1", "b-1-1"]);
    assert!(master.published("testing").is_empty());
    assert!(master.state(&a).is_empty() && master.state(&b).is_empty());
    let events: Vec<Event> = master
        .work_dir
        .journal()
        .read()
        .unwrap()
        .iter()
        .map(|entry| entry.event)
        .collect();
    use Event::{Stable, Tested, Testing};
    assert_eq!(events, [Testing, Testing, Tested, Tested, Stable, Stable]);
    let last_update = fs::read_to_string(master.path("repos/lastupdate")).unwrap();
    master.run(&[]).expect(0);
    assert_eq!(
        fs::read_to_string(master.path("repos/lastupdate")).unwrap(),
        last_update
    );
}

#[test]
fn an_empty_port_gets_databases_that_pacman_reads() {
    let master = Master::new();
    master.run(&[]).expect(0);
    for repository in ["core", "extra", "testing", "staging", "build-support"] {
        let path = master.repositories.path(&name(repository));
        assert!(path.join(format!("{repository}.db")).exists());
    }
    if !need::programs(&["pacman", "fakeroot"]) {
        return;
    }
    let root = master.path("root");
    fs::create_dir_all(root.join("db")).unwrap();
    let server = master.path("repos/$repo/os/$arch");
    put(
        &master.path("pacman.conf"),
        &format!(
            "[options]\nArchitecture=x86_64\nSigLevel=Never\n[core]\nServer=file://{0}\n[testing]\nServer=file://{0}\n",
            server.display()
        ),
    );
    Command::new("fakeroot")
        .args(["pacman", "-Sy", "--config"])
        .arg(master.path("pacman.conf"))
        .arg("--root")
        .arg(&root)
        .arg("--dbpath")
        .arg(root.join("db"))
        .run()
        .unwrap();
}

#[test]
fn what_would_lack_something_stays_and_the_chain_is_explained() {
    let master = Master::with("max_package_age_testing=7\n");
    let lib = package("lib", "1-1").line("provides", "lib.so=1-64");
    master.one("core", None, lib);
    master.one("core", None, package("old", "1-1").depends("lib.so=1-64"));
    let lib = master.one(
        "staging",
        Some(State::Done),
        package("lib", "2-1").line("provides", "lib.so=2-64"),
    );
    let user = master.one(
        "staging",
        Some(State::Done),
        package("user", "1-1").depends("lib.so=2-64"),
    );
    let free = master.one("staging", Some(State::Done), package("free", "1-1"));
    let explained = master.run(&["--explain", "user"]).expect(0);
    let lines: Vec<&str> = explained.stdout.lines().collect();
    assert_eq!(
        lines,
        [
            "user: waits: user needs lib.so=2-64, which lib provides",
            "lib: waits: old would lose lib.so=1-64",
            "old: is in core and waits for nothing"
        ]
    );
    master.run(&[]).expect(0);
    assert_eq!(master.published("testing"), ["free-1-1"]);
    assert_eq!(
        (master.state(&lib), master.state(&user)),
        (vec![State::Done], vec![State::Done])
    );
    assert_eq!(master.state(&free), [State::Testing]);
    let json = master.run(&["-n", "--json"]).expect(0);
    assert!(json.stdout.contains("\"action\":\"hold\""), "{json:?}");
    let explained = master.run(&["--explain", "free"]).expect(0);
    assert!(explained.stdout.contains("0 of 7 days"), "{explained:?}");
    // The user of the old library is rebuilt: all go together.
    let old = package("old", "1-2").depends("lib.so=2-64");
    master.one("staging", Some(State::Done), old);
    master.run(&[]).expect(0);
    assert_eq!(
        master.published("testing"),
        ["free-1-1", "lib-2-1", "old-1-2", "user-1-1"]
    );
}

#[test]
fn a_tested_package_waits_for_an_untested_one_that_it_needs() {
    let master = Master::with("max_package_age_testing=7\n");
    let needed = master.one("testing", Some(State::Testing), package("needed", "1-1"));
    master.work_dir.journal().append(&[arrival(&needed)]).unwrap();
    let tested = master.one("testing", Some(State::Tested), package("user", "1-1").depends("needed"));
    let other = master.one("testing", Some(State::Tested), package("other", "1-1"));
    master.run(&[]).expect(0);
    assert_eq!(master.published("core"), ["other-1-1"]);
    assert!(master.state(&other).is_empty());
    assert_eq!(master.state(&tested), [State::Tested]);
    master
        .work_dir
        .states()
        .change(&needed, State::Testing, State::Tested)
        .unwrap();
    master.run(&[]).expect(0);
    assert_eq!(master.published("core"), ["needed-1-1", "other-1-1", "user-1-1"]);
}

fn arrival(order: &Order) -> common::journal::Entry {
    common::journal::Entry {
        time: common::clock::Now::read().unix,
        event: Event::Testing,
        order: order.clone(),
        builder: None,
        detail: String::new(),
    }
}

#[test]
fn bugs_and_an_unreadable_bug_list_stop_approval_by_age() {
    let master = Master::new();
    let bugs = master.path("bugs.csv");
    let buggy = master.one("testing", Some(State::Testing), package("buggy", "1-1"));
    let fine = master.one("testing", Some(State::Testing), package("fine", "1-1"));
    let run = || master.tool(&[]).env("PORTSMITH_BUG_LIST_URL", &bugs).run().expect(0);
    let ended = run();
    assert!(ended.stderr.contains("nothing is approved"), "{ended:?}");
    assert_eq!(
        (master.state(&buggy), master.state(&fine)),
        (vec![State::Testing], vec![State::Testing])
    );
    put(
        &bugs,
        "ID,Category,Type,Severity,Summary\n1,Packages: Testing,Bug,High,[buggy] fails\n",
    );
    run();
    assert_eq!(master.published("core"), ["fine-1-1"]);
    assert_eq!(master.state(&buggy), [State::Testing]);
}

#[test]
fn a_newer_build_replaces_the_older_one_on_its_way() {
    let master = Master::with("max_package_age_testing=7\n");
    let older = order("a", '2');
    master.put(
        "a",
        "testing",
        None,
        &[package("a", "1-1"), package("gone", "1-1").base("a")],
    );
    let files = ["a-1-1-x86_64.pkg.tar.zst", "gone-1-1-x86_64.pkg.tar.zst"];
    master.work_dir.states().write(&older, State::Tested, files).unwrap();
    let newer = master.one("staging", Some(State::Done), package("a", "2-1"));
    master
        .work_dir
        .states()
        .change(&older, State::Tested, State::Testing)
        .unwrap();
    master.work_dir.journal().append(&[arrival(&older)]).unwrap();
    master.run(&[]).expect(0);
    assert_eq!(master.published("testing"), ["a-2-1"]);
    assert!(master.state(&older).is_empty());
    assert_eq!(master.state(&newer), [State::Testing]);
}

#[test]
fn unwanted_packages_leave_when_nothing_needs_them() {
    let master = Master::new();
    master.one("core", None, package("needed", "1-1"));
    master.one("core", None, package("user", "1-1").depends("needed"));
    master.one("extra", None, package("lonely", "1-1"));
    let built = master.one("staging", Some(State::Done), package("late", "1-1"));
    put(&master.path("work/deletion-list"), "late\nlonely\nneeded\n");
    let dry = master.run(&["-n"]).expect(0);
    assert_eq!(
        dry.stdout,
        "delete \"lonely-1-1\" from \"extra\"\ndelete \"late-1-1\" from \"staging\"\n"
    );
    master.run(&[]).expect(0);
    assert_eq!(master.published("core"), ["needed-1-1", "user-1-1"]);
    assert!(master.published("extra").is_empty() && master.published("staging").is_empty());
    assert!(master.state(&built).is_empty());
    let explained = master.run(&["--explain", "needed"]).expect(0);
    assert!(explained.stdout.contains("something needs it"), "{explained:?}");
    put(&master.path("work/deletion-list"), "needed\nuser\n");
    master.run(&[]).expect(0);
    assert!(master.published("core").is_empty());
}

#[test]
fn an_absent_file_is_bad_input_and_nothing_moves() {
    let master = Master::new();
    master.one("staging", Some(State::Done), package("a", "1-1"));
    let b = master.one("staging", Some(State::Done), package("b", "1-1"));
    fs::remove_file(master.path("repos/pool/a-1-1-x86_64.pkg.tar.zst")).unwrap();
    let ended = master.run(&[]).expect(2);
    assert!(ended.stderr.contains("a-1-1-x86_64.pkg.tar.zst is absent"), "{ended:?}");
    assert_eq!(master.published("staging").len(), 2);
    assert_eq!(master.state(&b), [State::Done]);
}

#[test]
fn a_killed_run_is_completed_by_the_next_one() {
    if !need::programs(&["strace"]) {
        return;
    }
    let mut killed = 0;
    for step in (1..80).step_by(4) {
        let master = Master::new();
        let up = master.one("testing", Some(State::Testing), package("up", "1-1"));
        let a = master.one("staging", Some(State::Done), package("a", "1-1").depends("b"));
        let b = master.one("staging", Some(State::Done), package("b", "1-1"));
        let ended = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-e"])
            .arg(format!("inject=rename,unlink:signal=SIGKILL:when={step}"))
            .arg(env!("CARGO_BIN_EXE_db-update"))
            .arg("--config")
            .arg(master.path("portsmith.conf"))
            .wait()
            .unwrap();
        killed += usize::from(ended.status.code() != Some(0));
        for repository in ["core", "testing", "staging"] {
            for entry in master.repositories.packages(&name(repository)).unwrap() {
                let path = master.repositories.path(&name(repository)).join(&entry.file_name);
                assert!(path.exists(), "killed at {step}: {}", path.display());
            }
        }
        // In the worst case the killed run has done all of its work, and this one does the next step.
        master.run(&[]).expect(0);
        master.run(&[]).expect(0);
        assert_eq!(
            master.published("core"),
            ["a-1-1", "b-1-1", "up-1-1"],
            "killed at {step}"
        );
        assert!(master.published("testing").is_empty() && master.published("staging").is_empty());
        for order in [&up, &a, &b] {
            assert!(master.state(order).is_empty(), "killed at {step}");
        }
    }
    assert!(killed >= 8, "{killed} points");
}

#[test]
fn locked_and_insane_are_no_errors() {
    let master = Master::new();
    master.one("staging", Some(State::Done), package("a", "1-1"));
    let lock = Lock::acquire(
        &master.path("work/package-database.lock"),
        Mode::Exclusive,
        Patience::Never,
    )
    .unwrap();
    let ended = master.run(&[]).expect(0);
    assert!(ended.stderr.contains("is locked by"), "{ended:?}");
    drop(lock);
    put(&master.path("work/build-master-sanity"), "no\n");
    master.run(&[]).expect(0);
    assert_eq!(master.published("staging"), ["a-1-1"]);
}

#[test]
fn an_answer_that_cannot_be_written_is_no_success() {
    let master = Master::new();
    master.one("staging", Some(State::Done), package("a", "1-1"));
    let shell = "exec \"$0\" \"$@\" -n >/dev/full";
    let ended = Command::new("sh")
        .args(["-c", shell, env!("CARGO_BIN_EXE_db-update"), "--config"])
        .arg(master.path("portsmith.conf"))
        .wait()
        .unwrap();
    assert_eq!(ended.status.code(), Some(74));
}

#[test]
fn the_command_line_is_checked() {
    assert!(binary().args(["--help"]).run().expect(0).stdout.contains("--explain"));
    binary().args(["--frobnicate"]).run().expect(64);
    binary().args(["positional"]).run().expect(64);
    let ended = binary().args(["--config", "/nonexistent"]).run().expect(78);
    assert!(ended.stderr.contains("/nonexistent"), "{ended:?}");
    let directory = tempfile::tempdir().unwrap();
    let conf = directory.path().join("portsmith.conf");
    put(&conf, &format!("work_dir='{}'\n", directory.path().display()));
    let ended = binary().args([Path::new("--config"), &conf]).run().expect(78);
    assert!(ended.stderr.contains("repo_dir"), "{ended:?}");
    let root = directory.path().display();
    put(
        &conf,
        &format!("arch=x86_64\nwork_dir='{root}'\nrepo_dir='{root}/repos'\nneighbours_hold=maybe\n"),
    );
    for words in [&[][..], &["-n"]] {
        let ended = binary()
            .args([Path::new("--config"), &conf])
            .args(words)
            .run()
            .expect(78);
        assert!(ended.stderr.contains("neighbours_hold"), "{ended:?}");
    }
}
