//! The repository engine with real repo-add, gpg and pacman.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic, as tests do")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::config::Config;
use common::lock::Patience;
use common::names::{PkgName, Repository};
use common::package::PackageFile;
use common::process::Command;
use common::repository::{Commit, NewPackage, Repositories, RepositoryError, Standing, Transition};
use common::state::State;
use tempfile::TempDir;
use testkit::gpg::GpgHome;
use testkit::need;
use testkit::package::PackageSpec;

const NOW: u64 = 1_800_000_000;

struct House {
    directory: TempDir,
    repositories: Repositories,
}

impl House {
    fn new() -> Self {
        Self::with("")
    }

    fn with(extra: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().display();
        let text = format!("arch=x86_64\nrepo_dir='{root}/repos'\ngrace_seconds=100\n{extra}");
        let repositories = Repositories::open(&Config::from_text(&text).unwrap()).unwrap();
        fs::create_dir(directory.path().join("new")).unwrap();
        Self {
            directory,
            repositories,
        }
    }

    fn package(&self, spec: &PackageSpec) -> NewPackage {
        let path = spec.write(&self.directory.path().join("new")).unwrap();
        NewPackage {
            file: PackageFile::read(&path).unwrap(),
            signature: None,
        }
    }

    fn add_at(&self, now: u64, to: &str, spec: &PackageSpec) -> Result<Commit, RepositoryError> {
        let mut transaction = self.repositories.transaction();
        transaction.add(&name(to), self.package(spec));
        transaction.commit(now, Patience::Never)
    }

    fn add(&self, to: &str, spec: &PackageSpec) -> Commit {
        self.add_at(NOW, to, spec).unwrap()
    }

    fn path(&self, repository: &str) -> PathBuf {
        self.repositories.path(&name(repository))
    }

    fn names(&self, repository: &str) -> Vec<String> {
        let packages = self.repositories.packages(&name(repository)).unwrap();
        packages.iter().map(|p| format!("{}-{}", p.name, p.version)).collect()
    }

    /// Every entry of a database of ours or of repo-add, by path in the archive.
    fn unpacked(&self, database: &Path) -> BTreeMap<String, String> {
        let target = tempfile::tempdir_in(self.directory.path()).unwrap();
        Command::new("bsdtar")
            .arg("-xf")
            .arg(database)
            .arg("-C")
            .arg(target.path())
            .run()
            .unwrap();
        let mut found = BTreeMap::new();
        for directory in fs::read_dir(target.path()).unwrap() {
            for file in fs::read_dir(directory.unwrap().path()).unwrap() {
                let path = file.unwrap().path();
                let text = fs::read_to_string(&path).unwrap();
                let key = path.strip_prefix(target.path()).unwrap().display().to_string();
                found.insert(key, text);
            }
        }
        found
    }
}

fn name(text: &str) -> Repository {
    text.parse().unwrap()
}

fn pkgname(text: &str) -> PkgName {
    text.parse().unwrap()
}

fn many_fields() -> Vec<PackageSpec> {
    vec![
        PackageSpec::new("liba", "1:2.0-1")
            .base("a")
            .line("group", "g1")
            .line("group", "g2")
            .line("license", "MIT")
            .line("replaces", "olda<2")
            .line("conflict", "olda")
            .line("provides", "liba.so=1-64")
            .depends("glibc>=2.30")
            .depends("sh")
            .line("optdepend", "python: for   scripts")
            .line("makedepend", "gcc")
            .line("checkdepend", "check")
            .line("backup", "etc/a.conf")
            .file("usr/lib/liba.so.1", "x")
            .file("etc/a.conf", "y"),
        PackageSpec::new("a-docs", "1:2.0-1").base("a").arch("any"),
        PackageSpec::new("lua5.1-x++", "3-1.2").line("xdata", "pkgtype=pkg"),
    ]
}

#[test]
fn databases_say_field_by_field_what_repo_add_says() {
    if !need::programs(&["repo-add", "bsdtar", "gpg"]) {
        return;
    }
    let house = House::new();
    let key = GpgHome::new("packager").unwrap();
    let theirs = house.directory.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    let mut transaction = house.repositories.transaction();
    let mut files = Vec::new();
    for (index, spec) in many_fields().iter().enumerate() {
        let mut package = house.package(spec);
        if index == 0 {
            package.signature = Some(key.sign(&package.file.path).unwrap());
            fs::copy(
                package.signature.as_ref().unwrap(),
                theirs.join(format!("{}.sig", spec.file_name())),
            )
            .unwrap();
        }
        let copy = theirs.join(spec.file_name());
        fs::copy(&package.file.path, &copy).unwrap();
        files.push(copy);
        transaction.add(&name("core"), package);
    }
    transaction.commit(NOW, Patience::Never).unwrap();
    Command::new("repo-add")
        .arg("-q")
        .arg(theirs.join("core.db.tar.gz"))
        .args(&files)
        .run()
        .unwrap();
    for kind in ["core.db", "core.files"] {
        let expected = house.unpacked(&theirs.join(kind));
        assert_eq!(house.unpacked(&house.path("core").join(kind)), expected);
        assert!(expected.len() >= 3);
    }
}

#[test]
fn packages_of_every_compression_are_read() {
    if !need::programs(&["bsdtar"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let spec = PackageSpec::new("a", "1-1").file("usr/bin/a", "x");
    let zstd = spec.write(directory.path()).unwrap();
    let members = PackageFile::read(&zstd).unwrap().members;
    let mut archive = std::ffi::OsString::from("@");
    archive.push(&zstd);
    for (extension, option) in [
        (".pkg.tar", "--format=pax"),
        (".pkg.tar.gz", "--gzip"),
        (".pkg.tar.xz", "--xz"),
        (".pkg.tar.bz2", "--bzip2"),
        (".pkg.tar.lz4", "--lz4"),
        (".pkg.tar.Z", "--compress"),
    ] {
        let path = directory
            .path()
            .join(spec.file_name().replace(".pkg.tar.zst", extension));
        Command::new("bsdtar")
            .args(["--format=pax", option, "-cf"])
            .args([path.as_os_str(), archive.as_os_str()])
            .run()
            .unwrap();
        assert_eq!(PackageFile::read(&path).unwrap().members, members, "{extension}");
        let whole = fs::read(&path).unwrap();
        put(&path, &whole[..whole.len() / 2]);
        assert!(PackageFile::read(&path).is_err(), "{extension} cut off");
    }
}

#[test]
fn every_configured_repository_exists_after_the_first_transaction() {
    let house = House::new();
    house.add("staging", &PackageSpec::new("a", "1-1"));
    for repository in [
        "core",
        "extra",
        "community",
        "testing",
        "community-staging",
        "build-support",
    ] {
        assert!(
            house.path(repository).join(format!("{repository}.db")).exists(),
            "{repository}"
        );
        assert!(house.names(repository).is_empty());
    }
    assert_eq!(house.names("staging"), ["a-1-1"]);
    let files = house.repositories.file_names().unwrap();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].to_string(), "a-1-1-x86_64.pkg.tar.zst");
    let last_update = fs::read_to_string(house.directory.path().join("repos/lastupdate")).unwrap();
    assert_eq!(last_update, format!("{NOW}\n"));
}

#[test]
fn the_same_transaction_again_changes_nothing() {
    let house = House::new();
    let spec = PackageSpec::new("a", "1-1");
    assert_eq!(house.add("core", &spec).number, Some(1));
    let again = house.add("core", &spec);
    assert_eq!(again.number, None);
    assert!(again.changed.is_empty(), "{again:?}");
}

#[test]
fn a_published_file_is_never_replaced_by_other_content() {
    let house = House::new();
    house.add("core", &PackageSpec::new("a", "1-1"));
    let other = PackageSpec::new("a", "1-1").file("usr/bin/a", "evil");
    let error = house.add_at(NOW, "core", &other).unwrap_err();
    assert!(matches!(error, RepositoryError::Differs(_)), "{error}");
    // An orphan in the pool, which a killed tool left, gives way.
    let orphan = PackageSpec::new("b", "1-1");
    put(
        &house.directory.path().join("repos/pool").join(orphan.file_name()),
        b"half",
    );
    house.add("core", &orphan);
    assert_eq!(house.names("core"), ["a-1-1", "b-1-1"]);
}

#[test]
fn a_reader_always_finds_one_whole_generation() {
    let house = House::new();
    house.add("core", &PackageSpec::new("a", "1-1"));
    let done = std::sync::atomic::AtomicBool::new(false);
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    let core = house.path("core");
    let looks = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut looks = 0;
            while !done.load(relaxed) {
                let generation = core.join(fs::read_link(core.join(".current")).unwrap());
                let list = |kind: &str| -> Vec<String> {
                    let database = generation.join(format!("core.{kind}.tar.gz"));
                    let entries = house.unpacked(&database);
                    let desc = entries.iter().filter(|(path, _)| path.ends_with("/desc"));
                    desc.map(|(_, text)| text.lines().nth(1).unwrap().to_owned()).collect()
                };
                let named = list("db");
                assert_eq!(named, list("files"));
                for file in named {
                    assert!(core.join(&file).exists(), "{file}");
                }
                looks += 1;
            }
            looks
        });
        for number in 2..30 {
            house.add("core", &PackageSpec::new("a", &format!("{number}-1")));
            house.repositories.clean(NOW).unwrap();
        }
        done.store(true, relaxed);
        reader.join().unwrap()
    });
    assert!(looks > 3, "{looks} looks");
}

#[test]
fn each_database_is_later_than_its_predecessor_in_whole_seconds() {
    let house = House::new();
    let mut last = 0;
    for version in ["1-1", "1-2", "1-3"] {
        house.add("core", &PackageSpec::new("a", version));
        for kind in ["core.db", "core.files"] {
            let time = fs::metadata(house.path("core").join(kind)).unwrap().mtime();
            assert!(
                time > last || kind == "core.files" && time == last,
                "{time} after {last}"
            );
            last = time;
        }
    }
}

#[test]
fn a_package_moves_with_its_file_and_older_ones_go_after_the_grace_time() {
    let house = House::new();
    house.add("core", &PackageSpec::new("a", "1-1"));
    house.add("testing", &PackageSpec::new("a", "2-1"));
    let mut transaction = house.repositories.transaction();
    transaction.move_package(&pkgname("a"), &name("testing"), &name("core"));
    transaction.commit(NOW, Patience::Never).unwrap();
    assert_eq!(house.names("core"), ["a-2-1"]);
    assert!(house.names("testing").is_empty());
    let (old, new) = ("a-1-1-x86_64.pkg.tar.zst", "a-2-1-x86_64.pkg.tar.zst");
    assert!(house.path("core").join(new).exists());
    house.repositories.clean(NOW + 99).unwrap();
    assert!(house.path("core").join(old).exists() && house.path("testing").join(new).exists());
    house.repositories.clean(NOW + 100).unwrap();
    assert!(!house.path("core").join(old).exists() && !house.path("testing").join(new).exists());
    assert!(house.path("core").join(new).exists());
    let pool = house.directory.path().join("repos/pool");
    assert!(pool.join(old).exists(), "kept generations name it");
}

/// The bytes of the databases in force.
fn databases(house: &House, repository: &str) -> Vec<Vec<u8>> {
    ["db", "files"]
        .map(|kind| fs::read(house.path(repository).join(format!("{repository}.{kind}"))).unwrap())
        .to_vec()
}

fn take_back(house: &House, since: u64) -> Result<Commit, RepositoryError> {
    let mut records = house.repositories.transactions().unwrap();
    records.retain(|record| record.number >= since);
    let mut transaction = house.repositories.transaction();
    transaction.take_back(&records)?;
    transaction.commit(NOW, Patience::Never)
}

#[test]
fn transactions_are_taken_back_with_their_databases_to_the_byte_and_their_states() {
    let house = House::new();
    for repository in ["core", "testing"] {
        for number in 0..40 {
            house.add(repository, &PackageSpec::new(&format!("p{number}"), "1-1"));
        }
    }
    house.add("testing", &PackageSpec::new("a", "2-1"));
    let before = ["core", "testing"].map(|repository| databases(&house, repository));
    let transition = Transition {
        order: format!("a {0} {0} core", "0".repeat(40)).parse().unwrap(),
        before: Standing::In(State::Tested, vec!["a-2-1-x86_64.pkg.tar.zst".to_owned()]),
        after: Standing::Finished,
    };
    let mut transaction = house.repositories.transaction();
    transaction.move_package(&pkgname("a"), &name("testing"), &name("core"));
    transaction.note_transitions([transition.clone()]);
    let moved = transaction.commit(NOW, Patience::Never).unwrap().number.unwrap();
    assert_eq!(house.repositories.unsettled().unwrap().len(), 1);
    house.repositories.settle(moved).unwrap();
    house.add("core", &PackageSpec::new("b", "1-1"));
    let time = fs::metadata(house.path("core").join("core.db")).unwrap().mtime();
    let back = take_back(&house, moved).unwrap().number.unwrap();
    assert_eq!(
        ["core", "testing"].map(|repository| databases(&house, repository)),
        before
    );
    assert!(fs::metadata(house.path("core").join("core.db")).unwrap().mtime() > time);
    let record = house.repositories.unsettled().unwrap().pop().unwrap();
    assert_eq!((record.number, record.transitions), (back, vec![transition.reversed()]));
    // Taking that back, too, is as if nothing had happened.
    take_back(&house, back).unwrap();
    assert!(house.names("core").contains(&"a-2-1".to_owned()) && !house.names("testing").contains(&"a-2-1".to_owned()));
}

#[test]
fn what_is_needed_to_take_transactions_back_is_kept_and_nothing_more() {
    let house = House::with("kept_generations=3\n");
    house.add("core", &PackageSpec::new("a", "1-1"));
    for release in 2..9 {
        house.add("testing", &PackageSpec::new("a", &format!("1-{release}")));
    }
    house.repositories.clean(NOW + 100).unwrap();
    let kept = |repository: &str| {
        let generations = fs::read_dir(house.path(repository).join(".generations")).unwrap();
        let mut numbers: Vec<u64> = generations
            .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
            .collect();
        numbers.sort_unstable();
        numbers
    };
    assert_eq!((kept("core"), kept("testing")), (vec![1], vec![5, 6, 7, 8]));
    // Builders' copies count as links.
    fs::remove_dir_all(house.directory.path().join("new")).unwrap();
    house.repositories.clean(NOW + 200).unwrap();
    let pool = house.directory.path().join("repos/pool");
    let has = |release: u64| pool.join(format!("a-1-{release}-x86_64.pkg.tar.zst")).exists();
    assert_eq!(
        (1..9).filter(|release| has(*release)).collect::<Vec<_>>(),
        [1, 5, 6, 7, 8]
    );
    take_back(&house, 6).unwrap();
    assert_eq!(house.names("testing"), ["a-1-5"]);
    assert!(house.path("testing").join("a-1-5-x86_64.pkg.tar.zst").exists());
}

#[test]
fn an_index_is_only_a_help() {
    let house = House::new();
    for number in 0..30 {
        house.add("core", &PackageSpec::new(&format!("p{number}"), "1-1"));
    }
    let generation = || {
        house
            .path("core")
            .join(fs::read_link(house.path("core").join(".current")).unwrap())
    };
    let expected = databases(&house, "core");
    let all = BTreeSet::from(["p3", "p17", "q"].map(pkgname));
    for damage in [None, Some(""), Some("p0 1 0 1 0\n"), Some("what is this\n")] {
        for kind in ["db", "files"] {
            let index = generation().join(format!("core.{kind}.segments"));
            fs::remove_file(&index).unwrap();
            if let Some(text) = damage {
                put(&index, text.as_bytes());
            }
        }
        let found = house.repositories.contents_of([&name("core")], &all).unwrap();
        assert_eq!(found[&name("core")].len(), 2, "{damage:?}");
        house.add("core", &PackageSpec::new("q", "1-1"));
        let mut transaction = house.repositories.transaction();
        transaction.remove(&name("core"), &pkgname("q"));
        transaction.commit(NOW, Patience::Never).unwrap();
        assert_eq!(databases(&house, "core"), expected, "{damage:?}");
    }
}

#[test]
fn what_is_not_there_cannot_be_moved_or_configured_away() {
    let house = House::new();
    house.add("core", &PackageSpec::new("a", "1-1"));
    let mut transaction = house.repositories.transaction();
    transaction.move_package(&pkgname("b"), &name("testing"), &name("core"));
    let error = transaction.commit(NOW, Patience::Never).unwrap_err();
    assert!(matches!(error, RepositoryError::NoPackage { .. }), "{error}");
    let error = house.add_at(NOW, "nowhere", &PackageSpec::new("a", "1-1")).unwrap_err();
    assert!(matches!(error, RepositoryError::Unknown(_)), "{error}");
}

#[test]
fn a_generation_that_nobody_published_is_removed_and_one_that_was_begun_is_completed() {
    let house = House::new();
    house.add("core", &PackageSpec::new("a", "1-1"));
    // As if a tool had been killed before the first rename: copies of generation 1 under number 2.
    let generations = |repository: &str| house.path(repository).join(".generations");
    let copy = |repository: &str, from: &str, to: &str| {
        Command::new("cp")
            .arg("-a")
            .args([generations(repository).join(from), generations(repository).join(to)])
            .run()
            .unwrap();
    };
    copy("core", "1", "2");
    copy("extra", "1", "2");
    let commit = house.add("core", &PackageSpec::new("b", "1-1"));
    assert_eq!(commit.number, Some(2), "{commit:?}");
    assert_eq!(commit.warnings.len(), 2, "{commit:?}");
    // As if it had been killed after the rename in core: extra follows.
    copy("extra", "1", "2");
    let commit = house.add("staging", &PackageSpec::new("c", "1-1"));
    assert!(commit.warnings[0].contains("completed"), "{commit:?}");
    assert_eq!(
        fs::read_link(house.path("extra").join(".current")).unwrap(),
        Path::new(".generations/2")
    );
    assert_eq!(commit.number, Some(3));
}

#[test]
fn what_repo_add_and_repo_remove_did_is_taken_in_and_the_links_come_back() {
    if !need::programs(&["repo-add", "repo-remove"]) {
        return;
    }
    let house = House::new();
    house.add("core", &PackageSpec::new("a", "1-1"));
    house.add("core", &PackageSpec::new("b", "1-1"));
    let core = house.path("core");
    let by_hand = PackageSpec::new("hand", "1-1").write(&core).unwrap();
    let database = core.join("core.db.tar.gz");
    Command::new("repo-add")
        .arg("-q")
        .arg(&database)
        .arg(&by_hand)
        .run()
        .unwrap();
    Command::new("repo-remove")
        .arg("-q")
        .arg(&database)
        .arg("b")
        .run()
        .unwrap();
    assert_eq!(house.names("core"), ["a-1-1", "hand-1-1"]);
    let commit = house.add("core", &PackageSpec::new("c", "1-1"));
    assert!(commit.warnings[0].contains("taken in"), "{commit:?}");
    assert_eq!(house.names("core"), ["a-1-1", "c-1-1", "hand-1-1"]);
    assert!(fs::symlink_metadata(&database).unwrap().is_symlink());
    assert!(!core.join("core.db.tar.gz.old").exists() && !core.join("core.files.tar.gz.old").exists());
    let pool = house.directory.path().join("repos/pool/hand-1-1-x86_64.pkg.tar.zst");
    assert_eq!(fs::metadata(pool).unwrap().ino(), fs::metadata(by_hand).unwrap().ino());
    // Files that repo-remove left stay for the grace time, counted from when they were noticed.
    house.repositories.clean(NOW).unwrap();
    assert!(core.join("b-1-1-x86_64.pkg.tar.zst").exists());
    house.repositories.clean(NOW + 100).unwrap();
    assert!(!core.join("b-1-1-x86_64.pkg.tar.zst").exists());
    // A lock of a living process is waited for, but not for ever.
    put(&core.join("core.db.tar.gz.lck"), b"1\n");
    let error = house.add_at(NOW, "core", &PackageSpec::new("d", "1-1")).unwrap_err();
    assert!(matches!(error, RepositoryError::Busy { .. }), "{error}");
}

#[test]
fn pacman_reads_signed_databases_and_sees_each_change() {
    if !need::programs(&["pacman", "fakeroot", "gpg", "repo-add"]) {
        return;
    }
    let key = GpgHome::new("master").unwrap();
    let house = House::with(&format!(
        "repo_key={}\ngnupg_home='{}'\n",
        key.fingerprint(),
        key.path().display()
    ));
    house.add("core", &PackageSpec::new("a", "1-1"));
    assert!(house.path("core").join("core.db.sig").exists());
    let root = house.directory.path().join("root");
    fs::create_dir_all(root.join("db")).unwrap();
    let conf = house.directory.path().join("pacman.conf");
    let text = format!(
        "[options]\nArchitecture = x86_64\nSigLevel = Required DatabaseRequired\nGPGDir = {}\n\
         [core]\nServer = file://{}\n",
        key.path().display(),
        house.path("core").display()
    );
    put(&conf, text.as_bytes());
    let pacman = |arguments: &[&str]| {
        let command = Command::new("fakeroot").arg("pacman").arg("--config").arg(&conf);
        let command = command.arg("--root").arg(&root).arg("--dbpath").arg(root.join("db"));
        command
            .args(arguments)
            .timeout(Duration::from_secs(60))
            .run()
            .unwrap()
            .text()
    };
    pacman(&["-Sy"]);
    assert_eq!(pacman(&["-Sl", "core"]), "core a 1-1");
    house.add("core", &PackageSpec::new("a", "1-2"));
    pacman(&["-Sy"]);
    assert_eq!(pacman(&["-Sl", "core"]), "core a 1-2");
    assert!(pacman(&["-Fyl", "a"]).contains("usr/share/a/README"));
}

#[test]
fn databases_are_signed_once_a_key_is_configured() {
    if !need::programs(&["gpg"]) {
        return;
    }
    let mut house = House::new();
    house.add("core", &PackageSpec::new("a", "1-1"));
    assert!(!house.path("core").join("core.db.sig").exists());
    let key = GpgHome::new("master").unwrap();
    let text = format!(
        "arch=x86_64\nrepo_dir='{}/repos'\nrepo_key={}\ngnupg_home='{}'\n",
        house.directory.path().display(),
        key.fingerprint(),
        key.path().display()
    );
    house.repositories = Repositories::open(&Config::from_text(&text).unwrap()).unwrap();
    house.repositories.transaction().commit(NOW, Patience::Never).unwrap();
    let keyring = common::signature::Keyring::new(key.path().to_owned());
    for repository in ["core", "staging"] {
        for kind in ["db", "files.tar.gz"] {
            let database = house.path(repository).join(format!("{repository}.{kind}"));
            let signature = house.path(repository).join(format!("{repository}.{kind}.sig"));
            keyring.verify(&database, &signature).unwrap();
        }
    }
    let again = house.repositories.transaction().commit(NOW, Patience::Never).unwrap();
    assert_eq!(again.number, None);
}

#[test]
fn the_publish_command_gets_the_changed_paths_and_a_failure_is_not_lost() {
    let directory = tempfile::tempdir().unwrap();
    let told = directory.path().join("told");
    let script = directory.path().join("publish");
    let write = |text: String| {
        put(&script, text.as_bytes());
        Command::new("chmod").arg("755").arg(&script).run().unwrap();
    };
    write("#!/bin/sh\nexit 1\n".to_owned());
    let house = House::with(&format!("publish_command='{}'\n", script.display()));
    house.add("core", &PackageSpec::new("a", "1-1"));
    let error = house.repositories.publish().unwrap_err().to_string();
    assert!(error.contains("wait for the next run"), "{error}");
    write(format!("#!/bin/sh\ncat > {}\n", told.display()));
    house.repositories.publish().unwrap();
    let text = fs::read_to_string(&told).unwrap();
    for path in [
        "core/os/x86_64/a-1-1-x86_64.pkg.tar.zst",
        "core/os/x86_64/core.db.tar.gz",
        "lastupdate",
    ] {
        assert!(text.lines().any(|line| line == path), "{path} in {text}");
    }
    fs::remove_file(&told).unwrap();
    house.repositories.publish().unwrap();
    assert!(!told.exists(), "nothing is left to tell");
}

/// A file that was there before, or that somebody else made.
fn put(path: &Path, content: &[u8]) {
    common::atomic::write(path, content).unwrap();
}
