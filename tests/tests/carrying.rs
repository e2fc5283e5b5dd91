//! What is published goes out: with real rsync to a mirror, and with real curl to a real S3 server, packages first and
//! databases last; a failure is said and made up for; real pacman reads what came out.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use common::config::Config;
use common::lock::Patience;
use common::names::Repository;
use common::package::PackageFile;
use common::process::Command;
use common::repository::{NewPackage, Repositories};
use testkit::need;
use testkit::package::PackageSpec;
use testkit::s3::S3Server;
use testkit::tool::{Ended, Tool};

/// A master with repositories and a way out of them.
struct House {
    directory: tempfile::TempDir,
    repositories: Repositories,
}

impl House {
    /// `publish` is the command's name in `scripts/` with its arguments; MIRROR is an empty directory.
    fn new(publish: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts");
        let text = format!(
            "arch=x86_64\nwork_dir='{0}/work'\nrepo_dir='{0}/repos'\nrequire_signatures=no\ngrace_seconds=0\n\
             publish_command='{1}/{publish}'\n",
            root.display(),
            scripts.canonicalize().unwrap().display(),
        );
        let text = text.replace("MIRROR", &root.join("mirror").display().to_string());
        put(&root.join("portsmith.conf"), &text);
        for name in ["work", "new", "mirror"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        Self {
            repositories: Repositories::open(&Config::from_text(&text).unwrap()).unwrap(),
            directory,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Puts a package into core, without telling anybody.
    fn add(&self, name: &str, version: &str) {
        let path = PackageSpec::new(name, version).write(&self.path("new")).unwrap();
        let file = PackageFile::read(&path).unwrap();
        let mut transaction = self.repositories.transaction();
        transaction.add(&core(), NewPackage { file, signature: None });
        let now = common::clock::Now::read().unix;
        transaction.commit(now, Patience::Never).unwrap();
    }

    fn update(&self) -> Ended {
        self.update_with("PATH", &std::env::var("PATH").unwrap())
    }

    fn update_with(&self, variable: &str, value: &str) -> Ended {
        let tool = Tool::new("db-update").args([Path::new("--config"), &self.path("portsmith.conf")]);
        tool.env(variable, value).run().expect(0)
    }

    /// What a real pacman sees at a server, in a root of its own: names and versions.
    fn seen_by_pacman(&self, server: &str) -> String {
        let root = self.path("root");
        fs::create_dir_all(root.join("cache")).unwrap();
        let configuration =
            format!("[options]\nArchitecture=x86_64\nSigLevel=Never\n[core]\nServer={server}/$repo/os/$arch\n");
        put(&self.path("pacman.conf"), &configuration);
        let pacman = |words: &[&str]| {
            let command = Command::new("fakeroot").arg("pacman").args(words);
            let with = command
                .arg("--config")
                .arg(self.path("pacman.conf"))
                .arg("--root")
                .arg(&root);
            let with = with
                .arg("--dbpath")
                .arg(&root)
                .arg("--cachedir")
                .arg(root.join("cache"));
            with.args(["--noconfirm", "--noprogressbar"]).run().unwrap().text()
        };
        pacman(&["-Syy"]);
        let list = pacman(&["-Sl", "core"]);
        for line in list.lines() {
            pacman(&["-Swdd", line.split(' ').nth(1).unwrap()]);
        }
        list.replace("core ", "").trim().replace('\n', ", ")
    }
}

fn core() -> Repository {
    "core".parse().unwrap()
}

fn put(path: &Path, text: &str) {
    common::atomic::write(path, text.as_bytes()).unwrap();
}

#[test]
fn rsync_carries_packages_before_databases_and_a_broken_run_is_made_up_for() {
    if !need::programs(&["rsync", "pacman", "fakeroot"]) {
        return;
    }
    let house = House::new("publish-rsync MIRROR");
    let mirror = house.path("mirror");
    let server = format!("file://{}", mirror.display());
    house.add("a", "1-1");
    house.add("c++@x", "1:1-1");
    house.update();
    assert_eq!(house.seen_by_pacman(&server), "a 1-1, c++@x 1:1-1");

    // The connection breaks after the packages.
    let bin = house.path("bin");
    fs::create_dir(&bin).unwrap();
    let script = "#!/bin/sh\ncase $* in *--files-from=*/last.sorted*) echo broken >&2; exit 30 ;; esac\nexec /usr/bin/rsync \"$@\"\n";
    put(&bin.join("rsync"), script);
    fs::set_permissions(bin.join("rsync"), fs::Permissions::from_mode(0o755)).unwrap();
    house.add("a", "2-1");
    let broken = house.update_with("PATH", &format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    assert!(broken.stderr.contains("wait for the next run"), "{broken:?}");
    let at_the_mirror = |file: &str| mirror.join("core/os/x86_64").join(file).exists();
    assert!(at_the_mirror("a-2-1-x86_64.pkg.tar.zst"), "packages go first");
    assert_eq!(house.seen_by_pacman(&server), "a 1-1, c++@x 1:1-1");
    house.update();
    assert_eq!(house.seen_by_pacman(&server), "a 2-1, c++@x 1:1-1");
    house.update();
    assert!(
        !at_the_mirror("a-1-1-x86_64.pkg.tar.zst"),
        "what is gone here goes there"
    );
    let left = fs::read_dir(house.path("repos")).unwrap();
    let left: Vec<String> = left
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        !left
            .iter()
            .any(|name| name.ends_with("-pending") || name.ends_with("-running")),
        "{left:?}"
    );

    // A new mirror gets everything at once, and hard links stay so.
    fs::remove_dir_all(&mirror).unwrap();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../scripts/publish-rsync")
        .canonicalize()
        .unwrap();
    Command::new(scripts)
        .arg("--all")
        .arg(&mirror)
        .directory(house.path("repos"))
        .run()
        .unwrap();
    assert_eq!(house.seen_by_pacman(&server), "a 2-1, c++@x 1:1-1");
    let links =
        std::os::unix::fs::MetadataExt::nlink(&mirror.join("pool/a-2-1-x86_64.pkg.tar.zst").metadata().unwrap());
    assert_eq!(links, 2);
}

#[test]
fn object_storage_gets_what_pacman_reads_and_nothing_is_lost_while_it_is_away() {
    if !need::programs(&["curl", "pacman", "fakeroot"]) {
        return;
    }
    let Some(mut storage) = S3Server::start() else {
        return;
    };
    let credentials = storage.credentials("used.curl");
    fs::copy(storage.credentials("wrong.curl"), &credentials).unwrap();
    let house = House::new(&format!("publish-s3 {} {}", credentials.display(), storage.url()));
    house.add("a", "1-1");
    house.add("c++@x", "1:1-1");
    let refused = house.update();
    assert!(
        refused.stderr.contains("403") && refused.stderr.contains("wait for the next run"),
        "{refused:?}"
    );

    storage.stop();
    house.add("b", "1-1");
    assert!(house.update().stderr.contains("wait for the next run"));
    storage.resume();
    fs::copy(storage.credentials("good.curl"), &credentials).unwrap();
    let done = house.update();
    assert!(!done.stderr.contains("wait"), "{done:?}");
    storage.open();
    assert_eq!(house.seen_by_pacman(&storage.url()), "a 1-1, b 1-1, c++@x 1:1-1");

    storage.want_signatures();
    house.add("a", "2-1");
    house.update();
    house.update();
    storage.open();
    assert_eq!(house.seen_by_pacman(&storage.url()), "a 2-1, b 1-1, c++@x 1:1-1");
    let is_there = |file: &str| {
        let url = format!("{}/core/os/x86_64/{file}", storage.url());
        Command::new("curl")
            .args(["-fs", "-o", "/dev/null", &url])
            .run()
            .is_ok()
    };
    assert!(is_there("a-2-1-x86_64.pkg.tar.zst") && !is_there("a-1-1-x86_64.pkg.tar.zst"));
    assert!(is_there("core.files") && is_there("core.db.tar.gz"));

    // A new bucket gets everything at once.
    storage.stop();
    storage.resume();
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../scripts/publish-s3")
        .canonicalize()
        .unwrap();
    let all = Command::new(script)
        .arg("--all")
        .arg(storage.credentials("good.curl"))
        .arg(storage.url());
    all.directory(house.path("repos")).run().unwrap();
    storage.open();
    assert_eq!(house.seen_by_pacman(&storage.url()), "a 2-1, b 1-1, c++@x 1:1-1");
}
