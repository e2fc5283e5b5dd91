//! What readers see while repositories change: on the master, over HTTP, and beside repo-add.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::archive::{self, Limits};
use common::clock::Now;
use common::config::Config;
use common::lock::Patience;
use common::names::Repository;
use common::package::PackageFile;
use common::process::{Child, Command, Signal};
use common::repository::{Commit, NewPackage, Repositories, RepositoryError};
use testkit::gpg::GpgHome;
use testkit::need;
use testkit::package::PackageSpec;
use testkit::reader::Reader;
use testkit::web::Web;

const LIMITS: Limits = Limits {
    expanded: 1 << 30,
    members: 100_000,
    path: 4096,
};
const PATIENT: Patience = Patience::Bounded(Duration::from_secs(60));

/// Repositories with packages that are published and moved.
struct House {
    directory: tempfile::TempDir,
    repositories: Repositories,
}

impl House {
    fn new(extra: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let text = format!(
            "arch=x86_64\nrepo_dir='{}/repos'\nstable_package_repositories=core\nstaging_package_repositories=staging\n\
             testing_package_repositories=testing\n{extra}",
            directory.path().display()
        );
        let repositories = Repositories::open(&Config::from_text(&text).unwrap()).unwrap();
        fs::create_dir(directory.path().join("new")).unwrap();
        Self {
            directory,
            repositories,
        }
    }

    fn publish(&self, to: &str, name: &str, version: &str, key: Option<&GpgHome>) -> Result<Commit, RepositoryError> {
        self.add(to, self.package(name, version, key), PATIENT)
    }

    fn add(&self, to: &str, package: NewPackage, patience: Patience) -> Result<Commit, RepositoryError> {
        let mut transaction = self.repositories.transaction();
        transaction.add(&to.parse().unwrap(), package);
        transaction.commit(Now::read().unix, patience)
    }

    fn package(&self, name: &str, version: &str, key: Option<&GpgHome>) -> NewPackage {
        let place = self.directory.path().join("new");
        let path = PackageSpec::new(name, version).write(&place).unwrap();
        let signature = key.map(|key| key.sign(&path).unwrap());
        let file = PackageFile::read(&path).unwrap();
        NewPackage { file, signature }
    }

    /// Moves packages from testing to core.
    fn promote(&self, names: &[String]) {
        let (testing, core): (Repository, Repository) = ("testing".parse().unwrap(), "core".parse().unwrap());
        let mut transaction = self.repositories.transaction();
        for name in names {
            transaction.move_package(&name.parse().unwrap(), &testing, &core);
        }
        transaction.commit(Now::read().unix, PATIENT).unwrap();
    }

    fn path(&self, repository: &str) -> PathBuf {
        self.repositories.path(&repository.parse().unwrap())
    }

    fn names(&self, repository: &str) -> Vec<String> {
        let packages = self.repositories.packages(&repository.parse().unwrap()).unwrap();
        packages.iter().map(|entry| entry.name.to_string()).collect()
    }
}

/// The package files that a database names.
fn named(database: &Path) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    let content = fs::read(database).unwrap();
    archive::walk(
        flate2::read::GzDecoder::new(&content[..]),
        &LIMITS,
        &mut |member, data| {
            if member.path.ends_with("/desc") {
                let mut text = String::new();
                data.read_to_string(&mut text)?;
                files.insert(text.lines().nth(1).unwrap_or_default().to_owned());
            }
            Ok(())
        },
    )
    .unwrap();
    files
}

#[test]
fn during_a_thousand_publications_and_two_hundred_promotions_readers_find_whole_generations() {
    const PUBLICATIONS: usize = 1000;
    let house = House::new("kept_generations=100\ngrace_seconds=100000\n");
    house.publish("core", "p0", "0-1", None).unwrap();
    let done = AtomicBool::new(false);
    let (looks, seen) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut looks, mut seen) = (0, BTreeSet::new());
            while !done.load(Ordering::Relaxed) {
                for repository in ["core", "testing"] {
                    let place = house.path(repository);
                    let generation = fs::read_link(place.join(".current")).unwrap();
                    let of = |kind: &str| named(&place.join(&generation).join(format!("{repository}.{kind}.tar.gz")));
                    let files = of("db");
                    assert_eq!(files, of("files"), "{generation:?} of {repository}");
                    for file in &files {
                        assert!(place.join(file).exists(), "{file} of {repository}");
                    }
                    looks += 1;
                    seen.insert((repository, generation));
                }
            }
            (looks, seen.len())
        });
        let mut waiting = Vec::new();
        for number in 0..PUBLICATIONS {
            let name = format!("p{}", number % 60);
            house
                .publish("testing", &name, &format!("{}-1", number + 1), None)
                .unwrap();
            waiting.push(name);
            if waiting.len() == 5 {
                house.promote(&std::mem::take(&mut waiting));
            }
            if number % 100 == 0 {
                house.repositories.clean(Now::read().unix).unwrap();
            }
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap()
    });
    assert!(looks > 100 && seen > 50, "{looks} looks, {seen} generations");
    assert_eq!((house.names("core").len(), house.names("testing").len()), (60, 0));
}

/// The repositories that readers follow.
const FOLLOWED: [&str; 2] = ["core", "testing"];

/// Where the files lie that the fetched databases name, relative to the server.
fn wanted(reader: &Reader) -> BTreeSet<String> {
    let of = |name: &str| {
        let files = named(&reader.database(name));
        files
            .into_iter()
            .map(move |file| format!("{name}/os/x86_64/{file}"))
            .collect::<Vec<_>>()
    };
    FOLLOWED.into_iter().flat_map(of).collect()
}

#[test]
fn over_http_pacman_never_misses_a_file_and_recovers_from_a_split_signature() {
    if !need::programs(&["pacman", "fakeroot", "gpg"]) {
        return;
    }
    const SYNCS: usize = 25;
    let key = GpgHome::new("master").unwrap();
    let house = House::new(&format!(
        "repo_key={}\ngnupg_home='{}'\n",
        key.fingerprint(),
        key.path().display()
    ));
    house.publish("core", "p0", "0-1", Some(&key)).unwrap();
    let Some(web) = Web::serve(&house.directory.path().join("repos")) else {
        return;
    };
    let reader = Reader::new(house.directory.path(), &web, &key);
    reader.follow(&FOLLOWED);
    let done = AtomicBool::new(false);
    let (mut splits, mut wanted) = (0, BTreeSet::new());
    std::thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            let mut flips = 0;
            while !done.load(Ordering::Relaxed) {
                let name = format!("p{}", flips % 7);
                house
                    .publish("testing", &name, &format!("{}-1", flips + 1), Some(&key))
                    .unwrap();
                house.promote(&[name]);
                house.repositories.clean(Now::read().unix).unwrap();
                flips += 2;
            }
            flips
        });
        let mut was_split = false;
        for sync in 0..SYNCS {
            let ended = reader.pacman(&["-Sy"]);
            let is_split = ended.code != 0;
            if is_split {
                assert!(ended.stderr.contains("signature"), "{ended:?}");
                assert!(!was_split || sync == 0, "twice in a row: {ended:?}");
                splits += 1;
            } else {
                wanted.append(&mut self::wanted(&reader));
            }
            was_split = is_split;
        }
        done.store(true, Ordering::Relaxed);
        assert!(publisher.join().unwrap() > 10);
    });
    reader.pacman(&["-Sy"]).expect(0);
    // What any of the fetched databases named is there for as long as the grace time lasts.
    for path in &wanted {
        assert_eq!(web.status(path), 200, "{path}");
        assert_eq!(web.status(&format!("{path}.sig")), 200, "{path}.sig");
    }
    let log = web.log();
    let missing: Vec<&str> = log.lines().filter(|line| line.contains("\" 404 ")).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(splits < SYNCS / 2, "{splits} of {SYNCS}");
}

#[test]
fn of_two_publications_within_one_second_pacman_sees_the_second() {
    if !need::programs(&["pacman", "fakeroot", "gpg"]) {
        return;
    }
    let key = GpgHome::new("master").unwrap();
    let house = House::new(&format!(
        "repo_key={}\ngnupg_home='{}'\n",
        key.fingerprint(),
        key.path().display()
    ));
    house.publish("core", "a", "1-1", Some(&key)).unwrap();
    house.publish("testing", "a", "1-1", Some(&key)).unwrap();
    let Some(web) = Web::serve(&house.directory.path().join("repos")) else {
        return;
    };
    let reader = Reader::new(house.directory.path(), &web, &key);
    reader.follow(&FOLLOWED);
    for round in 1..4 {
        house.publish("core", "a", &format!("{round}-2"), Some(&key)).unwrap();
        reader.pacman(&["-Sy"]).expect(0);
        // The clock of the databases may be ahead, but never stands still.
        house.publish("core", "a", &format!("{round}-3"), Some(&key)).unwrap();
        reader.pacman(&["-Sy"]).expect(0);
        let listed = reader.pacman(&["-Sl", "core"]).expect(0).stdout;
        assert_eq!(listed.trim(), format!("core a {round}-3"));
    }
}

/// So often in a row a process has to be found stopped.
const LOOKS: usize = 20;

/// repo-add on our repository, stopped at its N-th change of a directory, or before it does anything.
struct Stopped(Child);

impl Stopped {
    fn repo_add(house: &House, package: &Path, at: usize) -> Self {
        let database = house.path("core").join("core.db.tar.gz");
        let command = if at == 0 {
            Command::new("sh")
                .args(["-c", "kill -STOP $$; exec repo-add -q \"$0\" \"$1\""])
                .args([&database, package])
        } else {
            Command::new("strace")
                .args(["-f", "-qq", "-o", "/dev/null", "-e"])
                .arg("inject=rename,renameat,renameat2,link,linkat,symlink,symlinkat:signal=SIGSTOP")
                .args(["repo-add", "-q"])
                .args([&database, package])
        };
        let stopped = Self(command.timeout(Duration::from_secs(300)).spawn().unwrap());
        let mut last = stopped.next_stop(None);
        for _ in 1..at {
            stopped.0.signal(Signal::SIGCONT);
            last = stopped.next_stop(last);
        }
        stopped
    }

    /// Waits until another process of its group stops, or all have ended. strace halts processes for a moment at each
    /// system call, so it has to stand still for a while.
    fn next_stop(&self, last: Option<String>) -> Option<String> {
        let begun = Instant::now();
        let (mut seen, mut times) = (None, 0);
        loop {
            let stop = stopped_process(self.0.id());
            times = if stop == seen { times + 1 } else { 0 };
            seen = stop;
            if !self.0.is_running() {
                return None;
            }
            if seen.is_some() && times >= LOOKS {
                if seen != last {
                    return seen;
                }
                // The same one again: it makes more than one change.
                self.0.signal(Signal::SIGCONT);
                times = 0;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "it does not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets it go on to its end; false when it had ended by itself.
    fn go_on(self) -> bool {
        let was_stopped = self.0.is_running();
        while self.0.is_running() {
            self.0.signal(Signal::SIGCONT);
            std::thread::sleep(Duration::from_millis(5));
        }
        let finished = self.0.wait().unwrap();
        assert!(finished.status.success(), "{finished:?}");
        was_stopped
    }
}

/// A process of this group that is stopped.
fn stopped_process(group: u32) -> Option<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let stats = processes.filter_map(|process| fs::read_to_string(process.path().join("stat")).ok());
    let group = group.to_string();
    let mut stopped = stats.filter(|stat| {
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        fields.get(2) == Some(&group.as_str()) && matches!(fields.first(), Some(&("T" | "t")))
    });
    stopped.next()?.split(' ').next().map(str::to_owned)
}

#[test]
fn repo_add_that_is_stopped_across_a_change_loses_nothing_and_leaves_nothing_dangling() {
    if !need::programs(&["repo-add", "strace"]) {
        return;
    }
    let mut stops = 0;
    for at in [0, 1, 3, 5, 7, 9] {
        let house = House::new("");
        house.publish("core", "ours", "1-1", None).unwrap();
        let theirs = PackageSpec::new("theirs", "1-1").write(&house.path("core")).unwrap();
        let repo_add = Stopped::repo_add(&house, &theirs, at);
        let is_locked = house.path("core").join("core.db.tar.gz.lck").exists();
        if is_locked {
            let error = house.add("core", house.package("later", "1-1", None), Patience::Never);
            assert!(matches!(error, Err(RepositoryError::Busy { .. })), "at {at}: {error:?}");
            stops += usize::from(repo_add.go_on());
            house.publish("core", "later", "1-1", None).unwrap();
        } else {
            house.publish("core", "later", "1-1", None).unwrap();
            stops += usize::from(repo_add.go_on());
        }
        // Whatever was last, the next transaction takes everything in.
        house.publish("core", "last", "1-1", None).unwrap();
        assert_eq!(house.names("core"), ["last", "later", "ours", "theirs"], "at {at}");
        for kind in ["db", "files"] {
            let files = named(&house.path("core").join(format!("core.{kind}")));
            assert_eq!(files.len(), 4, "at {at}");
            assert!(
                files.iter().all(|file| house.path("core").join(file).exists()),
                "at {at}"
            );
        }
        assert_eq!(house.repositories.check().unwrap(), [], "at {at}");
    }
    assert!(stops >= 3, "only {stops} stops");
}
