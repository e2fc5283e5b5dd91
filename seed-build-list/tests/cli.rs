//! The tool as a process: what comes onto the list, what stays as it is, and the exit codes.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::PathBuf;

use common::atomic;
use common::lock::{Lock, Mode, Patience};
use common::process::{Command, Output};
use testkit::need;
use testkit::packaging::{FILE, Port, srcinfo};
use testkit::tool::{Ended, Tool};

/// A port with these packages in core, all processed, and an empty list. Lines are those of a `.SRCINFO`.
struct Seeded {
    port: Port,
    conf: PathBuf,
}

impl Seeded {
    fn new(packages: &[(&str, &[&str])], lists: &[(&str, &str)]) -> Self {
        let port = Port::new();
        let mut files = Vec::new();
        for (pkgbase, lines) in packages {
            let directory = format!("{pkgbase}/repos/core-x86_64");
            let packages: String = lines
                .iter()
                .filter_map(|line| line.strip_prefix("pkgname = "))
                .map(|name| format!("\npkgname = {name}\n"))
                .collect();
            let lines: Vec<&str> = lines
                .iter()
                .filter(|line| !line.starts_with("pkgname"))
                .copied()
                .collect();
            files.push((format!("{directory}/PKGBUILD"), format!("pkgname={pkgbase}\n")));
            files.push((format!("{directory}/.SRCINFO"), srcinfo(pkgbase, &lines) + &packages));
        }
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| (path.as_str(), FILE, text.as_str()))
            .collect();
        port.packages.commit(&files);
        port.community.commit(&[]);
        let lists: Vec<_> = lists.iter().map(|(name, text)| (*name, FILE, *text)).collect();
        port.ours.commit(&lists);
        let conf = port.directory.path().join("portsmith.conf");
        let text = format!("{}lock_wait_seconds=0\n", port.conf());
        atomic::write(&conf, text.as_bytes()).unwrap();
        let seeded = Self { port, conf };
        let arguments = [
            "get-package-updates".into(),
            "--config".into(),
            seeded.conf.clone().into(),
        ];
        get_package_updates::main(arguments, &mut std::io::empty(), &mut std::io::sink());
        assert_eq!(
            seeded.list().len(),
            packages.len() - seeded.lines("deletion-list").len()
        );
        seeded.write("build-list", "");
        seeded
    }

    fn tool(&self, words: &[&str], names: &str) -> Tool {
        Tool::new("seed-build-list")
            .args(["--config".as_ref(), self.conf.as_os_str()])
            .args(words)
            .stdin(names.as_bytes().to_vec())
    }

    fn seed(&self, words: &[&str], names: &str) -> Ended {
        self.tool(words, names).run()
    }

    fn work(&self, name: &str) -> PathBuf {
        self.port.directory.path().join("work").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        atomic::write(&self.work(name), text.as_bytes()).unwrap();
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.work(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The pkgbases on the list.
    fn list(&self) -> Vec<String> {
        let first = |line: String| line.split(' ').next().unwrap().to_owned();
        self.lines("build-list").into_iter().map(first).collect()
    }
}

#[test]
fn scenario_65_patterns_seed_the_list_and_what_is_on_it_or_excluded_stays() {
    let seeded = Seeded::new(
        &[
            ("w", &[]),
            ("split", &["pkgname = split-libs"]),
            ("bad", &[]),
            ("badly", &["depends = bad"]),
        ],
        &[("blacklist", "bad\n")],
    );
    assert_eq!(seeded.lines("deletion-list"), ["bad", "badly"]);
    assert_eq!(seeded.seed(&[], "").expect(0).stdout, "");
    let head = seeded.lines("packages.revision").remove(0);
    let ours = seeded.lines("ours.revision").remove(0);
    let line = format!("w {head} {ours} core\n");
    assert_eq!(seeded.seed(&["-n", "-p", "^w$"], "").expect(0).stdout, line);
    assert!(seeded.list().is_empty());
    assert_eq!(seeded.seed(&["-p", "^w$"], "").expect(0).stdout, line);
    assert_eq!(seeded.seed(&["-p", "^w$"], "").expect(0).stdout, "");
    assert_eq!(seeded.list(), ["w"]);
    assert_eq!(seeded.seed(&["-p", ".", "-i", "split"], "").expect(0).stdout, "");
    assert_eq!(
        seeded.seed(&["-p", "-libs$"], "").expect(0).stdout,
        line.replace("w ", "split ")
    );
    assert_eq!(seeded.seed(&["-p", "bad|none"], "").expect(0).stdout, "");
    assert_eq!(seeded.list(), ["split", "w"]);
    assert_eq!(seeded.lines("deletion-list"), ["bad", "badly"]);
}

#[test]
fn a_rebuild_is_one_pipeline_and_keeps_the_reason_of_each_order() {
    let seeded = Seeded::new(
        &[
            ("app", &["makedepends = lib"]),
            ("lib", &["provides = liblib.so=2-64", "depends = base"]),
            ("base", &[]),
            ("other", &[]),
        ],
        &[("build-manually", "app\n")],
    );
    let before = seeded.lines("journal").len();
    let names = "app\tneeds liblib.so=1-64\nlib\n";
    let ended = seeded
        .seed(&["--reason", "lib has a new soname", "--json"], names)
        .expect(0);
    let orders: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(orders[0]["pkgbase"], "lib");
    assert_eq!(orders[1]["reason"], "needs liblib.so=1-64");
    // In build order, with their edges and their blocks, as if a change had brought them.
    assert_eq!(seeded.list(), ["lib", "app"]);
    assert_eq!(seeded.lines("build-graph"), ["app make:lib", "lib"]);
    let state = format!(
        "package-states/{}.blocked",
        seeded.lines("build-list")[1].replace(' ', ".")
    );
    assert!(seeded.lines(&state)[0].starts_with("build-manually"));
    let journal = seeded.lines("journal").split_off(before).join("\n");
    assert!(journal.contains("requested: needs liblib.so=1-64"), "{journal}");
    assert!(journal.contains("requested: lib has a new soname"), "{journal}");
    assert_eq!(journal.lines().count(), 2);
}

#[test]
fn an_unknown_name_changes_nothing_and_is_named() {
    let seeded = Seeded::new(&[("a", &[])], &[]);
    let ended = seeded.seed(&[], "a\nnobody\n").expect(2);
    assert!(ended.stderr.contains("no package is called nobody"), "{}", ended.stderr);
    assert!(seeded.list().is_empty());
    seeded.seed(&["-i", "nobody"], "a\nnobody\n").expect(0);
    assert_eq!(seeded.list(), ["a"]);
    seeded.seed(&[], "../a\n").expect(65);
}

#[test]
fn held_locks_and_an_insane_master_are_1_and_change_nothing() {
    let seeded = Seeded::new(&[("a", &[])], &[]);
    let lock = Lock::acquire(&seeded.work("build-list.lock"), Mode::Exclusive, Patience::Never).unwrap();
    let ended = seeded.seed(&[], "a\n").expect(1);
    assert!(ended.stderr.contains("is locked by"), "{}", ended.stderr);
    drop(lock);
    seeded.write("build-master-sanity", "files are missing\n");
    seeded.seed(&[], "a\n").expect(1);
    assert!(seeded.list().is_empty());
}

#[test]
fn a_list_without_a_processed_revision_is_left_alone() {
    let seeded = Seeded::new(&[("a", &[])], &[]);
    seeded.write("build-list", "b 1 2 core\n");
    atomic::remove(&seeded.work("packages.revision")).unwrap();
    let ended = seeded.seed(&["-p", "a"], "").expect(74);
    assert!(ended.stderr.contains("has been processed"), "{}", ended.stderr);
    assert_eq!(seeded.lines("build-list"), ["b 1 2 core"]);
}

#[test]
fn mistakes_have_their_own_codes() {
    let seeded = Seeded::new(&[("a", &[])], &[]);
    seeded.seed(&["a"], "").expect(64);
    seeded.seed(&["-p", "("], "").expect(64);
    seeded.seed(&["--none"], "").expect(64);
    assert!(seeded.seed(&["--help"], "").expect(0).stdout.contains("Exit codes"));
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let full = seeded.tool(&[], "a\n").into_command().output(Output::Stdout(full));
    assert_eq!(full.wait().unwrap().status.code(), Some(74));
    atomic::write(&seeded.conf, b"repo_names=packages\n").unwrap();
    seeded.seed(&["-p", "a"], "").expect(78);
}

/// A database of packages `NAME VERSION` at REPOSITORY/os/ARCH/ below a directory.
fn publish(root: &std::path::Path, place: &str, packages: &[(&str, &str)]) {
    let directory = root.join(place);
    fs::create_dir_all(&directory).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    for (name, version) in packages {
        let entry = scratch.path().join(format!("{name}-{version}"));
        fs::create_dir(&entry).unwrap();
        let desc = format!(
            "%FILENAME%\n{name}-{version}-any.pkg.tar.zst\n\n%NAME%\n{name}\n\n%VERSION%\n{version}\n\n%ARCH%\nany\n\n"
        );
        atomic::write(&entry.join("desc"), desc.as_bytes()).unwrap();
    }
    let tar = Command::new("bsdtar")
        .args(["-czf"])
        .arg(directory.join("core.db.tar.gz"))
        .arg("-C");
    let names = packages.iter().map(|(name, version)| format!("{name}-{version}"));
    tar.arg(scratch.path()).args(names).run().unwrap();
}

#[test]
fn what_a_mirror_has_in_a_newer_version_is_built() {
    if !need::programs(&["curl", "bsdtar"]) {
        return;
    }
    let seeded = Seeded::new(&[("new", &[]), ("older", &[]), ("same", &[]), ("absent", &[])], &[]);
    let root = seeded.port.directory.path();
    publish(
        &root.join("mirror"),
        "core/os/x86_64",
        &[("new", "2-1"), ("older", "1-1"), ("same", "1-1"), ("absent", "1-1")],
    );
    publish(
        &root.join("repositories"),
        "core/os/i686",
        &[("new", "1-9.0"), ("older", "2-1.0"), ("same", "1-1.0")],
    );
    let conf = format!(
        "{}repo_dir={}\n",
        seeded.port.conf(),
        root.join("repositories").display()
    );
    atomic::write(&seeded.conf, conf.as_bytes()).unwrap();
    let url = format!("file://{}/", root.join("mirror").display());
    let ended = seeded.seed(&["-m", &url], "ignored\n").expect(0);
    assert!(ended.stderr.contains("the mirror has no"), "{}", ended.stderr);
    assert_eq!(seeded.list(), ["absent", "new"]);
    assert!(seeded.lines("journal").iter().any(|line| line.contains("has new 2-1")));
    seeded.seed(&["-m", "file:///nonexistent"], "").expect(74);
    publish(&root.join("mirror"), "core/os/x86_64", &[("nobody", "1-1")]);
    let ended = seeded.seed(&["-m", &url], "").expect(2);
    assert!(ended.stderr.contains("nobody"), "{}", ended.stderr);
}
