//! The contract of `return-assignment`, as a process, with real gpg and git.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic, as tests do")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::build_list::Order;
use common::clock::Now;
use common::config::Config;
use common::journal::Event;
use common::lease::Lease;
use common::lock::{Lock, Mode, Patience};
use common::names::{Builder, Repository};
use common::process::{Command, Input};
use common::repository::Repositories;
use common::state::{State, order_id};
use common::work_dir::WorkDir;
use tempfile::TempDir;
use testkit::gpg::GpgHome;
use testkit::need;
use testkit::package::PackageSpec;
use testkit::tool::{Ended, Tool};

/// A master with one packaging repository: `a` makes `a` and `a-docs`, `solo` makes `solo`.
struct Master {
    directory: TempDir,
    keyring: GpgHome,
    revision: String,
    work_dir: WorkDir,
    repositories: Repositories,
}

impl Master {
    fn new() -> Option<Self> {
        if !need::programs(&["git", "gpg"]) {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let revision = packaging(&root.join("packages"));
        let keyring = GpgHome::new("builder").unwrap();
        let text = format!(
            "arch=x86_64\nwork_dir='{0}/work'\nrepo_dir='{0}/repos'\nrepo_names=packages\n\
             repo_paths__packages='{0}/packages/.git'\nkeyring='{1}'\nlock_wait_seconds=1\nupload_limit_mib=1\n",
            root.display(),
            keyring.path().display()
        );
        put(&root.join("portsmith.conf"), text.as_bytes());
        fs::create_dir_all(root.join("work/package-states")).unwrap();
        fs::create_dir_all(root.join("new")).unwrap();
        let config = Config::from_text(&text).unwrap();
        Some(Self {
            work_dir: WorkDir::open(&config).unwrap(),
            repositories: Repositories::open(&config).unwrap(),
            directory,
            keyring,
            revision,
        })
    }

    fn order(&self, pkgbase: &str) -> Order {
        let text = format!("{pkgbase} {} {} core", self.revision, "0".repeat(40));
        text.parse().unwrap()
    }

    /// Puts an order on the list and leases it.
    fn lease(&self, pkgbase: &str, builders: &[&str], number: u32) -> Order {
        let order = self.order(pkgbase);
        let list = common::atomic::read_text(&self.work_dir.build_list())
            .unwrap()
            .unwrap_or_default();
        if !list.contains(&order.to_string()) {
            put(&self.work_dir.build_list(), format!("{list}{order}\n").as_bytes());
        }
        self.work_dir.states().write(&order, State::Locked, builders).unwrap();
        for name in builders {
            let assignment = format!("{order} {number}").parse().unwrap();
            let builder: Builder = name.parse().unwrap();
            self.work_dir
                .leases()
                .write(&builder, &[Lease::new(assignment, &Now::read())])
                .unwrap();
        }
        order
    }

    /// The packages of `a`, signed.
    fn packages_of_a(&self, version: &str) -> Vec<PathBuf> {
        let specs = [
            PackageSpec::new("a", version),
            PackageSpec::new("a-docs", version).base("a").arch("any"),
        ];
        self.signed(&specs, &self.keyring)
    }

    fn signed(&self, specs: &[PackageSpec], key: &GpgHome) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for spec in specs {
            let path = spec.write(&self.directory.path().join("new")).unwrap();
            files.push(key.sign(&path).unwrap());
            files.push(path);
        }
        files
    }

    fn run(&self, builder: &str, order: &Order, result: &str, upload: Vec<u8>) -> Ended {
        self.tool(builder, order, result).stdin(upload).run()
    }

    fn tool(&self, builder: &str, order: &Order, result: &str) -> Tool {
        let words: Vec<String> = order.to_string().split(' ').map(str::to_owned).collect();
        binary()
            .args([Path::new("--config"), &self.directory.path().join("portsmith.conf")])
            .args(words)
            .args([result])
            .env("PORTSMITH_BUILDER", builder)
    }

    fn published(&self, repository: &str) -> Vec<String> {
        let repository: Repository = repository.parse().unwrap();
        let packages = self.repositories.packages(&repository).unwrap();
        packages.iter().map(|entry| entry.file_name.to_string()).collect()
    }

    fn has(&self, order: &Order, state: State) -> bool {
        self.work_dir.states().has(order, state)
    }

    fn leases(&self, builder: &str) -> usize {
        self.work_dir.leases().of(&builder.parse().unwrap()).unwrap().len()
    }

    fn list(&self) -> String {
        fs::read_to_string(self.work_dir.build_list()).unwrap()
    }

    /// Every file of state and repositories, but for locks.
    fn snapshot(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        for top in ["work", "repos"] {
            collect(&self.directory.path().join(top), &mut found);
        }
        found
    }
}

fn collect(directory: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let is_lock = path.extension().is_some_and(|extension| extension == "lock");
        if path.is_dir() && !path.is_symlink() {
            collect(&path, found);
        } else if !is_lock && path.file_name().unwrap() != "journal" {
            found.insert(path.clone(), fs::read(&path).unwrap_or_default());
        }
    }
}

fn binary() -> Tool {
    Tool::at(Path::new(env!("CARGO_BIN_EXE_return-assignment")))
}

fn put(path: &Path, content: &[u8]) {
    common::atomic::write(path, content).unwrap();
}

/// A packaging repository in the svntogit layout; its head.
fn packaging(path: &Path) -> String {
    let info = |base: &str, packages: &[(&str, &str)]| {
        let mut text = format!("pkgbase = {base}\n\tpkgver = 1\n\tpkgrel = 1\n\tarch = x86_64\n\tarch = any\n");
        for (name, arch) in packages {
            text.push_str(&format!("\npkgname = {name}\n\tarch = {arch}\n"));
        }
        text
    };
    let crowd: Vec<String> = (0..8).map(|number| format!("p{number}")).collect();
    let mut all = vec![("a", info("a", &[("a", "x86_64"), ("a-docs", "any")]))];
    for name in crowd.iter().map(String::as_str).chain(["solo", "lisp"]) {
        all.push((name, info(name, &[(name, "x86_64")])));
    }
    for (base, text) in all {
        let repository = if base == "lisp" { "multilib" } else { "core" };
        let directory = path.join(base).join(format!("repos/{repository}-x86_64"));
        fs::create_dir_all(&directory).unwrap();
        put(&directory.join(".SRCINFO"), text.as_bytes());
        put(&directory.join("PKGBUILD"), b"false\n");
    }
    commit(path)
}

/// Makes a git repository of a directory; its head.
fn commit(path: &Path) -> String {
    let git = |arguments: &[&str]| {
        let command = Command::new("git").arg("-C").arg(path).args(arguments);
        command.env("HOME", path).run().unwrap().text()
    };
    git(&["init", "-q", "-b", "master"]);
    git(&["add", "."]);
    git(&[
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.org",
        "commit",
        "-qm",
        "all",
    ]);
    git(&["rev-parse", "HEAD"])
}

fn tar(files: &[PathBuf]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for path in files {
        builder.append_path_with_name(path, path.file_name().unwrap()).unwrap();
    }
    builder.into_inner().unwrap()
}

const STAGED: [&str; 2] = ["a-1-1.0-x86_64.pkg.tar.zst", "a-docs-1-1.0-any.pkg.tar.zst"];

#[test]
fn packages_are_published_and_the_order_is_done() {
    let Some(master) = Master::new() else { return };
    let order = master.lease("a", &["b1", "b2"], 0);
    master.lease("solo", &["b3"], 0);
    let upload = tar(&master.packages_of_a("1-1.0"));
    master.run("b1", &order, "0", upload.clone()).expect(0);
    assert_eq!(master.published("staging"), STAGED);
    let staging = master.repositories.path(&"staging".parse().unwrap());
    for file in STAGED {
        assert!(staging.join(file).exists() && staging.join(format!("{file}.sig")).exists());
        let sonames = master.work_dir.metadata_directory().join("sonames").join(file);
        assert!(fs::read_to_string(sonames).unwrap().starts_with("sha256 "));
    }
    assert_eq!(master.list(), format!("{}\n", master.order("solo")));
    let done = master.work_dir.states().read(&order, State::Done).unwrap().unwrap();
    assert_eq!(done, STAGED);
    assert!(!master.has(&order, State::Locked) && !master.has(&order, State::Broken));
    assert_eq!(
        (master.leases("b1"), master.leases("b2"), master.leases("b3")),
        (0, 0, 1)
    );
    let journal = master.work_dir.journal().read().unwrap();
    assert_eq!(journal.last().unwrap().event, Event::Returned);

    // The same again is accepted and changes nothing; other files are outdated.
    let before = master.snapshot();
    master.run("b1", &order, "0", upload).expect(0);
    let other = [PackageSpec::new("a", "1-1.0").file("usr/bin/a", "other")];
    let ended = master
        .run("b2", &order, "0", tar(&master.signed(&other, &master.keyring)))
        .expect(2);
    assert!(ended.stderr.contains("not on the build list"), "{ended:?}");
    assert_eq!(before, master.snapshot());
}

#[test]
fn a_cut_or_empty_upload_is_to_be_sent_again_and_changes_nothing() {
    let Some(master) = Master::new() else { return };
    let order = master.lease("a", &["b1"], 0);
    let upload = tar(&master.packages_of_a("1-1.0"));
    let before = master.snapshot();
    for bytes in [
        &b""[..],
        b"no tar at all",
        &upload[..700],
        &upload[..upload.len() - 1024],
    ] {
        for result in ["0", "ERROR"] {
            let ended = master.run("b1", &order, result, bytes.to_vec()).expect(1);
            assert!(ended.stderr.contains("upload"), "{ended:?}");
        }
    }
    assert_eq!(before, master.snapshot());
    master.run("b1", &order, "0", upload).expect(0);
}

#[test]
fn only_the_owner_of_the_order_with_the_right_number_is_heard() {
    let Some(master) = Master::new() else { return };
    let order = master.lease("a", &["b1"], 0);
    let upload = tar(&master.packages_of_a("1-1.0"));
    let before = master.snapshot();
    master.run("b2", &order, "0", upload.clone()).expect(2);
    master.run("b2", &order, "ERROR", tar(&[])).expect(2);
    master.run("b1", &order, "1", upload.clone()).expect(2);
    let mut outdated = order.clone();
    outdated.revision = "f".repeat(40).parse().unwrap();
    let ended = master.run("b1", &outdated, "0", upload.clone()).expect(2);
    assert!(ended.stderr.contains("is outdated"), "{ended:?}");
    master.run("b1", &outdated, "ERROR", tar(&[])).expect(2);
    let mut elsewhere = order.clone();
    elsewhere.repository = "extra".parse().unwrap();
    master.run("b1", &elsewhere, "0", upload.clone()).expect(2);
    assert_eq!(before, master.snapshot());
    // Without a lease the name in `locked` is enough: the lease expired, and nobody else has finished.
    master.work_dir.leases().write(&"b1".parse().unwrap(), &[]).unwrap();
    master.run("b1", &order, "0", upload).expect(0);
}

#[test]
fn a_missing_foreign_or_untrusted_signature_ends_the_attempt() {
    let Some(master) = Master::new() else { return };
    let stranger = GpgHome::new("stranger").unwrap();
    let files = master.packages_of_a("1-1.0");
    let unsigned: Vec<PathBuf> = files
        .iter()
        .filter(|path| !path.ends_with("a-1-1.0-x86_64.pkg.tar.zst.sig"))
        .cloned()
        .collect();
    let without = tar(&unsigned);
    let swapped = {
        let (one, two) = (&files[0], &files[2]);
        let copy = fs::read(two).unwrap();
        put(one, &copy);
        tar(&files)
    };
    let specs = [
        PackageSpec::new("a", "1-1.0"),
        PackageSpec::new("a-docs", "1-1.0").base("a").arch("any"),
    ];
    let unknown = tar(&master.signed(&specs, &stranger));
    for (attempt, upload) in [without, swapped, unknown.clone()].into_iter().enumerate() {
        let order = master.lease("a", &["b1"], 0);
        let ended = master.run("b1", &order, "0", upload).expect(3);
        assert!(ended.stderr.contains("pkg.tar.zst"), "{ended:?}");
        assert_eq!(master.leases("b1"), 0);
        let broken = master.work_dir.states().read(&order, State::Broken).unwrap().unwrap();
        assert_eq!(broken.len(), attempt + 1, "{broken:?}");
        assert!(broken[attempt].starts_with("b1 "));
        assert!(master.list().contains("a ") && !master.has(&order, State::Done));
        assert_eq!(master.repositories.file_names().unwrap().len(), 0);
    }
    // In the keyring, but not trusted; then fully trusted; then bound to another builder.
    master.keyring.import(&stranger).unwrap();
    let order = master.lease("a", &["b1"], 0);
    master.run("b1", &order, "0", unknown.clone()).expect(3);
    master.keyring.trust(&stranger).unwrap();
    let keys = master.directory.path().join("builder-keys");
    put(&keys, format!("b1 {}\n", master.keyring.fingerprint()).as_bytes());
    let order = master.lease("a", &["b1", "b2"], 0);
    let tool = master.tool("b1", &order, "0").env("PORTSMITH_BUILDER_KEYS", &keys);
    let ended = tool.stdin(unknown.clone()).run().expect(3);
    assert!(ended.stderr.contains("none of the keys of b1"), "{ended:?}");
    master.run("b2", &order, "0", unknown).expect(0);
}

#[test]
fn another_set_of_packages_is_refused_with_the_difference() {
    let Some(master) = Master::new() else { return };
    let a = PackageSpec::new("a", "1-1.0");
    let docs = PackageSpec::new("a-docs", "1-1.0").base("a").arch("any");
    for (specs, said) in [
        (vec![a.clone()], "missing: a-docs-1-1.0"),
        (
            vec![a.clone(), docs.clone(), PackageSpec::new("b", "1-1.0")],
            "unexpected: b-1-1.0",
        ),
        (
            vec![PackageSpec::new("a", "1-2.0"), docs.clone()],
            "unexpected: a-1-2.0",
        ),
        (
            vec![PackageSpec::new("a", "1-1.0").base("solo"), docs.clone()],
            "built from solo",
        ),
        (vec![], "missing"),
    ] {
        let order = master.lease("a", &["b1"], 0);
        let ended = master
            .run("b1", &order, "0", tar(&master.signed(&specs, &master.keyring)))
            .expect(4);
        assert!(ended.stderr.contains(said), "{said}: {ended:?}");
        assert!(master.has(&order, State::Broken) && master.leases("b1") == 0);
    }
    // A file whose content is another package.
    let path = master.directory.path().join("new/a-1-1.0-x86_64.pkg.tar.zst");
    let files = master.signed(&[docs, PackageSpec::new("solo", "1-1.0")], &master.keyring);
    fs::copy(&files[3], &path).unwrap();
    let signature = master.keyring.sign(&path).unwrap();
    let order = master.lease("a", &["b1"], 0);
    let upload = tar(&[files[0].clone(), files[1].clone(), path, signature]);
    let ended = master.run("b1", &order, "0", upload).expect(4);
    assert!(ended.stderr.contains("holds solo"), "{ended:?}");
    // Too large.
    let order = master.lease("a", &["b1"], 0);
    let large = master.directory.path().join("new/large-1-1-any.pkg.tar.zst");
    put(&large, &vec![7; 2 << 20]);
    let ended = master.run("b1", &order, "0", tar(&[large])).expect(4);
    assert!(ended.stderr.contains("limit"), "{ended:?}");
    assert_eq!(master.repositories.file_names().unwrap().len(), 0);
}

#[test]
fn failures_are_counted_and_their_logs_kept_one_directory_an_order() {
    let Some(master) = Master::new() else { return };
    let log = master.directory.path().join("new/2018-01-29T12:00:00.build-log.gz");
    let order = master.lease("a", &["b1", "b2"], 0);
    put(&log, b"one");
    master
        .run("b1", &order, "ERROR", tar(std::slice::from_ref(&log)))
        .expect(0);
    assert_eq!(
        master.work_dir.states().read(&order, State::Locked).unwrap().unwrap(),
        ["b2"]
    );
    assert_eq!((master.leases("b1"), master.leases("b2")), (0, 1));
    put(&log, b"two");
    master
        .run("b2", &order, "ERROR", tar(std::slice::from_ref(&log)))
        .expect(0);
    assert!(!master.has(&order, State::Locked));
    let broken = master.work_dir.states().read(&order, State::Broken).unwrap().unwrap();
    assert_eq!(broken.len(), 2);
    let logs = master.work_dir.root().join("logs/error/a").join(order_id(&order));
    assert_eq!(fs::read(logs.join("2018-01-29T12:00:00.build-log.gz")).unwrap(), b"one");
    assert_eq!(
        fs::read(logs.join("2018-01-29T12:00:00-2.build-log.gz")).unwrap(),
        b"two"
    );
    assert_eq!(master.list(), format!("{order}\n"));
    // A failure without any log counts, too; a later success clears everything.
    let order = master.lease("a", &["b1"], 0);
    master.run("b1", &order, "ERROR", tar(&[])).expect(0);
    assert_eq!(
        master
            .work_dir
            .states()
            .read(&order, State::Broken)
            .unwrap()
            .unwrap()
            .len(),
        3
    );
    let order = master.lease("a", &["b1"], 0);
    master
        .run("b1", &order, "0", tar(&master.packages_of_a("1-1.0")))
        .expect(0);
    assert!(!master.has(&order, State::Broken));
}

#[test]
fn a_newer_build_takes_the_place_of_an_older_one_in_staging() {
    let Some(master) = Master::new() else { return };
    let order = master.lease("a", &["b1"], 0);
    master
        .run("b1", &order, "0", tar(&master.packages_of_a("1-1.0")))
        .expect(0);
    // The older state becomes that of another revision, of which one package is made no more.
    let mut older = order.clone();
    older.revision = "e".repeat(40).parse().unwrap();
    let states = master.work_dir.states();
    let old_solo = "solo-0-1-x86_64.pkg.tar.zst";
    states
        .write(&older, State::Done, [STAGED[0], STAGED[1], old_solo])
        .unwrap();
    states.write(&older, State::Tested, ["x"]).unwrap();
    states.remove(&order, State::Done).unwrap();
    let mut transaction = master.repositories.transaction();
    let path = PackageSpec::new("solo", "0-1")
        .write(&master.directory.path().join("new"))
        .unwrap();
    let file = common::package::PackageFile::read(&path).unwrap();
    let package = common::repository::NewPackage { file, signature: None };
    transaction.add(&"staging".parse().unwrap(), package);
    transaction.commit(1, Patience::Never).unwrap();
    let order = master.lease("a", &["b1"], 1);
    master
        .run("b1", &order, "1", tar(&master.packages_of_a("1-1.1")))
        .expect(0);
    assert_eq!(
        master.published("staging"),
        ["a-1-1.1-x86_64.pkg.tar.zst", "a-docs-1-1.1-any.pkg.tar.zst"]
    );
    assert!(!master.has(&older, State::Done) && master.has(&older, State::Tested));
}

#[test]
fn a_killed_return_is_completed_by_the_same_upload() {
    if !need::programs(&["strace"]) {
        return;
    }
    let Some(master) = Master::new() else { return };
    let upload = tar(&master.packages_of_a("1-1.0"));
    let mut killed = 0;
    for step in (1..60).step_by(3) {
        let order = master.lease("a", &["b1"], 0);
        let inject = format!("inject=rename:signal=SIGKILL:when={step}");
        let config = master.directory.path().join("portsmith.conf");
        let ended = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-e", &inject])
            .arg(env!("CARGO_BIN_EXE_return-assignment"))
            .args([Path::new("--config"), &config])
            .args(order.to_string().split(' '))
            .arg("0")
            .env("PORTSMITH_BUILDER", "b1")
            .input(Input::Bytes(upload.clone()))
            .wait()
            .unwrap();
        killed += usize::from(ended.status.code() != Some(0));
        master.run("b1", &order, "0", upload.clone()).expect(0);
        assert_eq!(master.published("staging"), STAGED, "killed at rename {step}");
        assert_eq!(master.list(), "");
        assert!(!master.has(&order, State::Locked) && master.leases("b1") == 0);
        assert_eq!(
            master.work_dir.states().read(&order, State::Done).unwrap().unwrap(),
            STAGED
        );
        // From the beginning again: nothing published.
        fs::remove_dir_all(master.directory.path().join("repos")).unwrap();
        master.work_dir.states().remove(&order, State::Done).unwrap();
    }
    assert!(killed >= 5, "{killed} points");
}

#[test]
fn a_full_disk_or_a_failing_one_is_a_passing_trouble() {
    if !need::programs(&["strace"]) {
        return;
    }
    let Some(master) = Master::new() else { return };
    let upload = tar(&master.packages_of_a("1-1.0"));
    let mut failed = 0;
    for fault in [
        "write:error=ENOSPC",
        "fsync:error=EIO",
        "rename:error=ENOSPC",
        "openat:error=EMFILE",
    ] {
        for step in [1, 3, 7, 12, 20, 30, 60, 120] {
            let order = master.lease("a", &["b1"], 0);
            let config = master.directory.path().join("portsmith.conf");
            let ended = Command::new("strace")
                .args([
                    "-f",
                    "-qq",
                    "-o",
                    "/dev/null",
                    "-e",
                    &format!("inject={fault}:when={step}"),
                ])
                .arg(env!("CARGO_BIN_EXE_return-assignment"))
                .args([Path::new("--config"), &config])
                .args(order.to_string().split(' '))
                .arg("0")
                .env("PORTSMITH_BUILDER", "b1")
                .input(Input::Bytes(upload.clone()))
                .wait()
                .unwrap();
            // The dynamic linker and reading the configuration fail in ways of their own.
            let code = ended.status.code();
            assert!(matches!(code, Some(0 | 1 | 78 | 127)), "{fault} {step}: {ended:?}");
            failed += usize::from(code == Some(1));
            master.run("b1", &order, "0", upload.clone()).expect(0);
            assert_eq!(master.published("staging"), STAGED, "{fault} {step}");
            assert_eq!(master.list(), "");
            fs::remove_dir_all(master.directory.path().join("repos")).unwrap();
            master.work_dir.states().remove(&order, State::Done).unwrap();
        }
    }
    assert!(failed >= 8, "{failed} failures");
}

#[test]
fn many_builders_return_at_once_and_all_is_published() {
    let Some(master) = Master::new() else { return };
    let names: Vec<String> = (0..8).map(|number| format!("p{number}")).collect();
    let returns: Vec<_> = names
        .iter()
        .map(|name| {
            let builder = format!("builder-{name}");
            let order = master.lease(name, &[&builder], 0);
            let upload = tar(&master.signed(&[PackageSpec::new(name, "1-1.0")], &master.keyring));
            let tool = master
                .tool(&builder, &order, "0")
                .env("PORTSMITH_LOCK_WAIT_SECONDS", "60");
            tool.stdin(upload)
        })
        .collect();
    std::thread::scope(|scope| {
        for tool in returns {
            scope.spawn(move || tool.run().expect(0));
        }
    });
    assert_eq!(master.published("staging").len(), 8);
    assert_eq!(master.list(), "");
    assert_eq!(master.work_dir.states().with(State::Done).unwrap().len(), 8);
}

#[test]
fn unsigned_packages_are_taken_where_the_policy_says_so() {
    let Some(master) = Master::new() else { return };
    let order = master.lease("solo", &["b1"], 0);
    let path = PackageSpec::new("solo", "1-1.0")
        .write(&master.directory.path().join("new"))
        .unwrap();
    let tool = master.tool("b1", &order, "0").env("PORTSMITH_REQUIRE_SIGNATURES", "no");
    tool.stdin(tar(&[path])).run().expect(0);
    assert_eq!(master.published("staging"), ["solo-1-1.0-x86_64.pkg.tar.zst"]);
}

#[test]
fn a_package_of_multilib_goes_where_the_customization_keeps_it() {
    let Some(master) = Master::new() else { return };
    let customization = master.directory.path().join("customization");
    fs::create_dir(&customization).unwrap();
    let run = |list: &str, version: &str| {
        put(&customization.join("extra-from-multilib"), list.as_bytes());
        drop(fs::remove_dir_all(customization.join(".git")));
        let head = commit(&customization);
        let order: Order = format!("lisp {} {head} multilib", master.revision).parse().unwrap();
        put(&master.work_dir.build_list(), format!("{order}\n").as_bytes());
        master.work_dir.states().write(&order, State::Locked, ["b1"]).unwrap();
        let number = version.rsplit('.').next().unwrap();
        let upload = tar(&master.signed(&[PackageSpec::new("lisp", version)], &master.keyring));
        let tool = master
            .tool("b1", &order, number)
            .env("PORTSMITH_REPO_NAMES", "packages customization");
        let tool = tool.env("PORTSMITH_REPO_PATHS__CUSTOMIZATION", customization.join(".git"));
        tool.stdin(upload).run().expect(0);
    };
    run("cmucl\n", "1-1.0");
    assert_eq!(master.published("community-staging"), ["lisp-1-1.0-x86_64.pkg.tar.zst"]);
    run("# moved\nlisp # too\n", "1-1.1");
    assert_eq!(master.published("staging"), ["lisp-1-1.1-x86_64.pkg.tar.zst"]);
    assert!(master.published("community-staging").is_empty());
}

#[test]
fn two_builders_return_one_order_at_once_and_one_of_them_is_first() {
    let Some(master) = Master::new() else { return };
    let order = master.lease("a", &["b1", "b2"], 0);
    let one = tar(&master.packages_of_a("1-1.0"));
    let specs = [
        PackageSpec::new("a", "1-1.0").file("usr/bin/a", "other"),
        PackageSpec::new("a-docs", "1-1.0").base("a").arch("any"),
    ];
    let two = tar(&master.signed(&specs, &master.keyring));
    let codes: Vec<i32> = std::thread::scope(|scope| {
        let handles: Vec<_> = [("b1", one), ("b2", two)]
            .into_iter()
            .map(|(builder, upload)| {
                let tool = master.tool(builder, &order, "0").stdin(upload);
                scope.spawn(move || tool.run().code)
            })
            .collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    });
    let mut sorted = codes.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [0, 2]);
    assert_eq!(master.published("staging"), STAGED);
}

#[test]
fn a_held_lock_and_an_insane_master_are_passing_troubles() {
    let Some(master) = Master::new() else { return };
    let order = master.lease("a", &["b1"], 0);
    let upload = tar(&master.packages_of_a("1-1.0"));
    let lock = master.work_dir.root().join("package-database.lock");
    let held = Lock::acquire(&lock, Mode::Exclusive, Patience::Never).unwrap();
    let ended = master.run("b1", &order, "0", upload.clone()).expect(1);
    assert!(ended.stderr.contains("is locked by"), "{ended:?}");
    drop(held);
    let flag = master.work_dir.root().join("build-master-sanity");
    put(&flag, b"a file is missing\n");
    let ended = master.run("b1", &order, "0", upload.clone()).expect(1);
    assert!(ended.stderr.contains("a file is missing"), "{ended:?}");
    put(&flag, b"");
    master.run("b1", &order, "0", upload).expect(0);
}

#[test]
fn the_command_line_is_checked() {
    let help = binary().args(["--help"]).run().expect(0);
    assert!(help.stdout.contains("SUB_PKGREL|ERROR") && help.stderr.is_empty());
    let revision = "0".repeat(40);
    let words = ["a", &revision, &revision, "core"];
    for (extra, builder) in [
        (vec!["0", "--frobnicate"], Some("b1")),
        (vec!["0", "more"], Some("b1")),
        (vec![], Some("b1")),
        (vec!["-1"], Some("b1")),
        (vec!["error"], Some("b1")),
        (vec!["0"], None),
        (vec!["0"], Some("b 1")),
    ] {
        let mut tool = binary().args(words).args(&extra);
        if let Some(builder) = builder {
            tool = tool.env("PORTSMITH_BUILDER", builder);
        }
        tool.run().expect(64);
    }
    let ended = binary()
        .args(words)
        .args(["0", "--config", "/nonexistent"])
        .env("slave", "b1")
        .run()
        .expect(78);
    assert!(ended.stderr.contains("/nonexistent"), "{ended:?}");
}
