//! What is wrong outside: each gives one clear sentence and the documented exit code, and nothing is lost.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::path::Path;

use testkit::gpg::GpgHome;
use testkit::packaging::{FILE, Remote, srcinfo};
use testkit::port::{Plan, Port};
use testkit::tool::{self, Ended, Tool};

/// One sentence on standard error, and nothing on standard output.
#[track_caller]
fn one_sentence(ended: &Ended, words: &[&str]) {
    assert!(ended.stdout.is_empty(), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "{word:?} is missing: {ended:?}");
    }
}

fn write(path: &Path, text: &str) {
    common::atomic::write(path, text.as_bytes()).unwrap();
}

#[test]
fn a_missing_configuration_key_is_78_and_named() {
    let root = tempfile::tempdir().unwrap();
    let config = root.path().join("empty.conf");
    write(&config, "");
    write(&root.path().join("PKGBUILD"), "");
    let zeros = "0".repeat(40);
    let tools: [(&str, &[&str], &str); 6] = [
        ("get-package-updates", &[], "work_dir"),
        ("get-assignment", &[], "work_dir"),
        ("return-assignment", &["a", &zeros, &zeros, "core", "0"], "work_dir"),
        ("db-update", &[], "work_dir"),
        ("build-packages", &[], "work_dir"),
        ("archbuild", &["build"], "pacman_conf"),
    ];
    for (name, words, key) in tools {
        let ended = Tool::new(name)
            .args(["--config".as_ref(), config.as_os_str()])
            .args(words)
            .env("PORTSMITH_BUILDER", "one")
            .directory(root.path())
            .run()
            .expect(78);
        one_sentence(&ended, &[name, key, "empty.conf"]);
    }
}

#[test]
fn a_line_of_the_configuration_that_is_no_assignment_is_78_with_its_number() {
    let root = tempfile::tempdir().unwrap();
    let config = root.path().join("broken.conf");
    let canary = root.path().join("canary");
    write(
        &config,
        &format!("work_dir=/nonexistent\narch=$(touch {})\n", canary.display()),
    );
    let ended = Tool::new("get-package-updates")
        .args(["--config".as_ref(), config.as_os_str()])
        .run()
        .expect(78);
    one_sentence(&ended, &["line 2", "command substitution"]);
    assert!(!canary.exists());
}

/// A master with one git repository, without anything of a builder.
struct Master {
    root: tempfile::TempDir,
    remote: Remote,
}

impl Master {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let remote = Remote::new(&root.path().join("packages.git"));
        let config = format!(
            "work_dir='{0}/work'\nrepo_names=packages\nrepo_urls__packages='{1}'\n",
            root.path().display(),
            remote.url()
        );
        write(&root.path().join("master.conf"), &config);
        Self { root, remote }
    }

    fn update(&self) -> Ended {
        let config = self.root.path().join("master.conf");
        Tool::new("get-package-updates")
            .args(["--quiet".as_ref(), "--config".as_ref(), config.as_os_str()])
            .env("HOME", self.root.path())
            .run()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.root.path().join("work").join(name)).unwrap_or_default()
    }
}

#[test]
fn an_unreadable_repository_is_2_and_the_list_stays() {
    let master = Master::new();
    let info = srcinfo("good", &[]);
    master.remote.commit(&[
        ("good/repos/core-any/.SRCINFO", FILE, &info),
        ("good/repos/core-any/PKGBUILD", FILE, "pkgname=good\n"),
    ]);
    master.update().expect(0);
    let before = master.read("build-list");
    assert!(before.starts_with("good "), "{before}");
    std::fs::rename(master.root.path().join("packages.git"), master.root.path().join("gone")).unwrap();
    one_sentence(&master.update().expect(2), &["packages"]);
    assert_eq!(master.read("build-list"), before);
    std::fs::rename(master.root.path().join("gone"), master.root.path().join("packages.git")).unwrap();
    master.update().expect(0);
    assert_eq!(master.read("build-list"), before);
}

#[test]
fn a_broken_pkgbuild_is_held_back_and_the_others_go_on() {
    if !testkit::need::programs(&["makepkg", "bwrap"]) {
        return;
    }
    let master = Master::new();
    let good = "pkgname=good\npkgver=1\npkgrel=1\narch=(any)\npackage() { :; }\n";
    let broken = "pkgname=broken\npkgver=1\npkgrel=1\narch=(any\n";
    let commit = |broken: &str| {
        master.remote.commit(&[
            ("good/repos/core-any/PKGBUILD", FILE, good),
            ("broken/repos/core-any/PKGBUILD", FILE, broken),
        ])
    };
    commit(broken);
    let said = master.update().expect(0).stderr;
    assert!(said.lines().count() == 1 && said.contains("broken"), "{said}");
    let listed = master.read("build-list");
    assert!(listed.contains("good ") && listed.contains("broken "), "{listed}");
    let ask = || {
        let config = master.root.path().join("master.conf");
        Tool::new("get-assignment")
            .args(["--config".as_ref(), config.as_os_str()])
            .env("PORTSMITH_REPO_DIR", master.root.path().join("repositories"))
            .env("HOME", master.root.path())
    };
    let given = ask().env("PORTSMITH_BUILDER", "one").run().expect(0);
    assert!(given.stdout.starts_with("good "), "{given:?}");
    ask().env("PORTSMITH_BUILDER", "two").run().expect(3);
    commit(&good.replace("good", "broken"));
    master.update().expect(0);
    let given = ask().env("PORTSMITH_BUILDER", "two").run().expect(0);
    assert!(given.stdout.starts_with("broken "), "mended: {given:?}");
}

#[test]
fn a_builder_with_the_wrong_keys_is_refused_and_nothing_is_published() {
    let plan = Plan {
        pkgbases: &["zlib"],
        builders: &["one"],
        programs: tool::directory(),
    };
    let Some(port) = Port::make(&plan) else { return };
    port.master("get-package-updates").run().expect(0);

    // An ssh key that the master does not know.
    let stranger = port.path("stranger");
    tool::must(
        common::process::Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&stranger),
    );
    let ended = port
        .builder("one")
        .env("PORTSMITH_MASTER_IDENTITY", &stranger)
        .args(["-t", "1"])
        .run()
        .expect(0);
    assert!(ended.stderr.contains("Permission denied"), "{ended:?}");
    assert_eq!(std::fs::read_dir(port.path("master/builders")).unwrap().count(), 0);

    // A signing key that nobody trusts.
    let untrusted = GpgHome::new("stranger").unwrap();
    let ended = port
        .builder("one")
        .env("GNUPGHOME", untrusted.path())
        .env("PORTSMITH_PACKAGE_KEY", untrusted.fingerprint())
        .run()
        .expect(1);
    assert!(ended.stderr.contains("refused with 3"), "{ended:?}");
    assert!(port.published("staging").is_empty());
    assert_eq!(port.build_list(), ["zlib"], "the order is still to be built");
    assert_eq!(
        std::fs::read_dir(port.path("one/refused")).unwrap().count(),
        1,
        "the build is kept"
    );
    let states: Vec<String> = std::fs::read_dir(port.path("master/package-states"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        states.iter().all(|name| name.ends_with(".broken")) && states.len() == 1,
        "{states:?}"
    );
}
