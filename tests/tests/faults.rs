//! Killed, a full disk, a broken one, too many open files: at every system call that changes the state of the master.
//! The same command again completes the work, and no fault is taken for an answer of the protocol.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::config::Config;
use common::repository::Repositories;
use testkit::fault::{Experiment, Fault, files, timeless};
use testkit::gpg::GpgHome;
use testkit::master::Master;
use testkit::need;
use testkit::package::PackageSpec;
use testkit::tool::Tool;

const KILL: &[Fault] = &[Fault::Kill];
const ERRORS: &[Fault] = &[Fault::NoSpace, Fault::Io, Fault::TooManyFiles];
const ALL: &[Fault] = &[Fault::Kill, Fault::NoSpace, Fault::Io, Fault::TooManyFiles];

fn work(state: &Path) -> BTreeMap<String, String> {
    timeless(&state.join("work"))
}

/// A master with a state to lose: old facts that go, a failure, a priority, another builder's lease.
fn busy() -> Master {
    let master = Master::new(&["a", "b: a", "c", "d"]);
    let old = |state: &str| {
        let order = master.order("a").replace(' ', ".");
        let revision = order.split('.').nth(1).unwrap();
        format!("package-states/{}.{state}", order.replace(revision, &"5".repeat(40)))
    };
    for state in ["locked", "broken", "done"] {
        master.write(&old(state), "x 1\n");
    }
    master.write(&master.fact("c", "broken"), "s8 5\n");
    master.write("priorities", "a 2\n");
    master.ask("s9", &["d"]).expect(0);
    let lease = master.read("builders/s9").replace(" assigned ", " assigned 5 ");
    let mut words: Vec<&str> = lease.split(' ').collect();
    words.remove(7);
    master.write("builders/s9", &words.join(" "));
    master
}

/// An experiment on a master.
struct Trial<'a> {
    program: &'a str,
    view: fn(&Path) -> BTreeMap<String, String>,
    after_error: &'a [i32],
    again: &'a [i32],
    equip: &'a (dyn Fn(Tool, &Path) -> Tool + Sync),
    meanwhile: &'a (dyn Fn(&Path) -> Result<(), String> + Sync),
    master: &'a Master,
}

impl<'a> Trial<'a> {
    fn of(master: &'a Master, equip: &'a (dyn Fn(Tool, &Path) -> Tool + Sync)) -> Self {
        Self {
            program: "get-assignment",
            view: work,
            after_error: &[1],
            again: &[0],
            equip,
            meanwhile: &|_| Ok(()),
            master,
        }
    }

    fn run(&self, title: &str, faults: &[Fault]) -> usize {
        Experiment {
            title,
            program: self.program,
            state: &self.master.state(),
            equip: self.equip,
            view: self.view,
            after_error: self.after_error,
            again: self.again,
            reads: &[self.master.config()],
            meanwhile: self.meanwhile,
        }
        .run(faults)
    }
}

/// An upload: a tar archive of these files.
fn tar(files: &[PathBuf]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for path in files {
        builder.append_path_with_name(path, path.file_name().unwrap()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// The work directory, what is published in staging, and every file in the pool.
fn published(state: &Path) -> BTreeMap<String, String> {
    let mut found = work(state);
    let repositories = repositories(state);
    let packages = repositories.packages(&"staging".parse().unwrap()).unwrap();
    let names: Vec<String> = packages.iter().map(|entry| entry.file_name.to_string()).collect();
    found.insert("staging's database".to_owned(), names.join("\n"));
    for (name, content) in files(&state.join("repositories")) {
        // The lock of a process that is gone is taken over by the next one that needs it.
        let is_of_one_run = [".generations/", ".current", ".transactions/"]
            .iter()
            .any(|part| name.contains(part))
            || name.ends_with(".lck");
        if !is_of_one_run && name != "lastupdate" {
            found.insert(name, content);
        }
    }
    found
}

#[test]
fn get_assignment_hands_out_the_same_order_again() {
    if !need::programs(&["strace"]) {
        return;
    }
    let master = busy();
    let equip = |tool: Tool, state: &Path| master.equip(tool, state, "s1").args(["--files"]);
    let count = Trial::of(&master, &equip).run("get-assignment, a new order", ALL);
    assert!(count > 20, "{count}");
    master.ask("s1", &[]).expect(0);
    let count = Trial::of(&master, &equip).run("get-assignment, the same order again", ALL);
    assert!(count > 20, "{count}");
}

#[test]
fn a_sign_of_life_is_taken_or_the_builder_goes_on() {
    if !need::programs(&["strace"]) {
        return;
    }
    let master = busy();
    let equip = |tool: Tool, state: &Path| master.equip(tool, state, "s9").args(["building"]);
    let trial = Trial {
        program: "ping-from-builder",
        after_error: &[0],
        ..Trial::of(&master, &equip)
    };
    let count = trial.run("ping-from-builder", ALL);
    assert!(count > 20, "{count}");
}

#[test]
fn a_failure_is_counted_once_and_its_log_is_kept_once() {
    if !need::programs(&["strace", "gpg"]) {
        return;
    }
    let master = busy();
    let keyring = GpgHome::new("builder").unwrap();
    master.configure(&format!("keyring='{}'\n", keyring.path().display()));
    master.ask("s8", &["d"]).expect(0);
    let log = master.root().join("2018-01-29T12:00:00.build-log.gz");
    common::atomic::write(&log, b"why").unwrap();
    let upload = tar(&[log]);
    let equip = |tool: Tool, state: &Path| {
        let words = master.order("d");
        let tool = master.equip(tool, state, "s9").args(words.split(' '));
        tool.args(["ERROR"]).stdin(upload.clone())
    };
    // The builder is told 2 when its return was complete but for the answer.
    let trial = Trial {
        program: "return-assignment",
        again: &[0, 2],
        ..Trial::of(&master, &equip)
    };
    let count = trial.run("return-assignment ERROR", ALL);
    assert!(count > 20, "{count}");
}

#[test]
fn packages_are_published_once_and_completely() {
    if !need::programs(&["strace", "gpg"]) {
        return;
    }
    let master = busy();
    let keyring = GpgHome::new("builder").unwrap();
    master.configure(&format!("keyring='{}'\n{FEW}", keyring.path().display()));
    master.ask("s8", &["d"]).expect(0);
    let package = PackageSpec::new("a", "1-1.0").arch("any").write(master.root()).unwrap();
    let upload = tar(&[keyring.sign(&package).unwrap(), package]);
    master.ask("s1", &["a"]).expect(0);
    master.give_back("s1", "a", "0", upload).expect(0);
    let package = PackageSpec::new("d", "1-1.0").arch("any").write(master.root()).unwrap();
    let upload = tar(&[keyring.sign(&package).unwrap(), package]);
    let equip = |tool: Tool, state: &Path| {
        let words = master.order("d");
        let tool = master.equip(tool, state, "s9").args(words.split(' '));
        tool.args(["0"]).stdin(upload.clone())
    };
    let readers = |state: &Path| {
        let staged = &readable(state)?["staging"];
        let generations = [
            &["a-1-1.0-any.pkg.tar.zst"][..],
            &["a-1-1.0-any.pkg.tar.zst", "d-1-1.0-any.pkg.tar.zst"],
        ];
        let is_one = generations.iter().any(|generation| staged == generation);
        is_one.then_some(()).ok_or_else(|| format!("readers find {staged:?}"))
    };
    let trial = Trial {
        program: "return-assignment",
        view: published,
        meanwhile: &readers,
        ..Trial::of(&master, &equip)
    };
    let count = trial.run("return-assignment", KILL);
    assert!(count > 40, "{count}");
    let count = trial.run("return-assignment", ERRORS);
    assert!(count > 40, "{count}");
}

/// Few repositories, so that few calls are tried.
const FEW: &str = "stable_package_repositories=core\ntesting_package_repositories=testing\n\
    staging_package_repositories=staging\nstandalone_package_repositories=build-support\nmax_package_age_testing=1000\n";

/// The repositories of a state.
fn repositories(state: &Path) -> Repositories {
    let text = format!("arch=x86_64\nrepo_dir='{}/repositories'\n{FEW}", state.display());
    Repositories::open(&Config::from_text(&text).unwrap()).unwrap()
}

/// What readers find in each repository, from what `.current` leads to; an error when it is not whole.
fn readable(state: &Path) -> Result<BTreeMap<String, Vec<String>>, String> {
    let repositories = repositories(state);
    let mut found = BTreeMap::new();
    for (repository, _) in repositories.classes().all() {
        let packages = repositories.packages(repository).map_err(|error| error.to_string())?;
        let names: Vec<String> = packages.iter().map(|entry| entry.file_name.to_string()).collect();
        let place = repositories.path(repository);
        let of = |kind: &str| named(&place.join(format!("{repository}.{kind}")));
        if of("db") != of("files") || of("db").len() != names.len() {
            return Err(format!("the databases of {repository} are two generations"));
        }
        if let Some(absent) = names.iter().find(|name| !place.join(name).is_file()) {
            return Err(format!("{absent} of {repository} is absent"));
        }
        found.insert(repository.to_string(), names);
    }
    Ok(found)
}

/// The entries of a database.
fn named(database: &Path) -> Vec<String> {
    let Ok(content) = std::fs::read(database) else {
        return Vec::new();
    };
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&content[..]));
    let entries = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().into_owned());
    let mut names: Vec<String> = entries
        .filter(|path| path.ends_with("desc"))
        .map(|path| path.display().to_string())
        .collect();
    names.sort();
    names
}

/// Work directory and what is published.
fn settled(state: &Path) -> BTreeMap<String, String> {
    let mut found = work(state);
    // How many transactions were taken back depends on how far the first run came.
    let journal = found.entry("journal".to_owned()).or_default();
    let short = |line: &str| match line.rsplit_once('\t') {
        Some((start, _)) if line.starts_with("taken-back\t") => format!("{start}\n"),
        _ => format!("{line}\n"),
    };
    let lines: std::collections::BTreeSet<String> = journal.lines().map(short).collect();
    *journal = lines.into_iter().collect();
    let published = readable(state).unwrap_or_else(|wrong| BTreeMap::from([(wrong, Vec::new())]));
    found.extend(published.into_iter().map(|(name, files)| (name, files.join("\n"))));
    let begun = files(&state.join("repositories/.transactions"));
    let begun: Vec<String> = begun.into_keys().filter(|name| name.ends_with(".begun")).collect();
    found.insert("not completed".to_owned(), begun.join("\n"));
    found
}

/// A package that was returned and is in testing, approved; one beside it in stable.
fn approved() -> Master {
    let master = Master::new(&["a", "b"]);
    master.configure(&format!("require_signatures=no\n{FEW}"));
    for name in ["b", "a"] {
        master.ask("s1", &[name]).expect(0);
        let package = PackageSpec::new(name, "1-1.0")
            .arch("any")
            .write(master.root())
            .unwrap();
        master.give_back("s1", name, "0", tar(&[package])).expect(0);
        master.tool("db-update", "-").run().expect(0);
        let state = |state| master.path(&master.fact(name, state));
        std::fs::rename(state("testing"), state("tested")).unwrap();
        if name == "b" {
            master.tool("db-update", "-").run().expect(0);
        }
    }
    master
}

/// Readers see what was before or what comes after, and a package that moves is always somewhere.
fn before_or_after(state: &Path) -> Result<(), String> {
    let found = readable(state)?;
    let has = |repository: &str, name: &str| found[repository].iter().any(|file| file.starts_with(name));
    let is_somewhere = has("core", "a-") || has("testing", "a-");
    if !is_somewhere || !has("core", "b-") {
        return Err(format!("a package is nowhere: {found:?}"));
    }
    Ok(())
}

#[test]
fn a_promotion_is_done_once_and_readers_find_every_package_meanwhile() {
    if !need::programs(&["strace"]) {
        return;
    }
    let master = approved();
    let equip = |tool: Tool, state: &Path| master.equip(tool, state, "-");
    let trial = Trial {
        program: "db-update",
        view: settled,
        after_error: &[74],
        meanwhile: &before_or_after,
        ..Trial::of(&master, &equip)
    };
    let count = trial.run("db-update, a promotion", &[Fault::Kill, Fault::NoSpace, Fault::Io]);
    assert!(count > 40, "{count}");
}

#[test]
fn a_rollback_is_done_once_and_readers_find_every_package_meanwhile() {
    if !need::programs(&["strace"]) {
        return;
    }
    let master = approved();
    master.tool("db-update", "-").run().expect(0);
    let records = repositories(&master.state()).transactions().unwrap();
    let promotion = records.last().unwrap().number.to_string();
    // With a number it is the same however far the first run came.
    let equip = |tool: Tool, state: &Path| master.equip(tool, state, "-").args(["--rollback", &promotion]);
    let trial = Trial {
        program: "db-update",
        view: settled,
        after_error: &[74],
        meanwhile: &before_or_after,
        ..Trial::of(&master, &equip)
    };
    let count = trial.run("db-update, a rollback", &[Fault::Kill, Fault::NoSpace, Fault::Io]);
    assert!(count > 40, "{count}");
}

/// The work directory without clones.
fn scheduled(state: &Path) -> BTreeMap<String, String> {
    let mut found = work(state);
    found.retain(|name, _| !name.starts_with("repos/"));
    found
}

#[test]
fn changes_are_found_by_the_next_run() {
    if !need::programs(&["strace", "git"]) {
        return;
    }
    let master = busy();
    let url = master.upstream(&["a", "b: a", "c", "d"]);
    let clone = master.path("repos/packages");
    master.configure(&format!(
        "repo_urls__packages='{url}'\nrepo_paths__packages='{}'\n",
        clone.display()
    ));
    master.tool("get-package-updates", "-").run().expect(0);
    drop(master.upstream(&["a", "c: e", "d: a", "e: c"]));
    let equip = |tool: Tool, state: &Path| {
        let clone = state.join("work/repos/packages");
        let tool = master
            .equip(tool, state, "-")
            .env("PORTSMITH_REPO_PATHS__PACKAGES", clone);
        tool.args(["--quiet"])
    };
    // Killed at any point it is tried by get-package-updates' own tests.
    let trial = Trial {
        program: "get-package-updates",
        view: scheduled,
        // The C library takes a passwd file that cannot be opened for an account that does not exist: 78.
        after_error: &[2, 65, 74, 78],
        ..Trial::of(&master, &equip)
    };
    let count = trial.run("get-package-updates", ERRORS);
    assert!(count > 40, "{count}");
}
