//! Telling the world what changed: in which order, what is gone, mirrors, and what a failure leaves.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic, as tests do")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use common::config::Config;
use common::lock::Patience;
use common::package::PackageFile;
use common::repository::{NewPackage, Repositories};
use testkit::package::PackageSpec;

const NOW: u64 = 1_800_000_000;

struct House {
    directory: tempfile::TempDir,
    repositories: Repositories,
}

impl House {
    /// Its command keeps what it is told in `told`, unless there is a file `broken`.
    fn new(extra: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let script = root.join("publish");
        let text = format!(
            "#!/bin/sh\ncat >{0}/heard\n[ ! -e {0}/broken ] && mv {0}/heard {0}/told\n",
            root.display()
        );
        put(&script, &text);
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let text = format!(
            "arch=x86_64\nrepo_dir='{}/repos'\ngrace_seconds=100\npublish_command='{}'\n{}",
            root.display(),
            script.display(),
            extra.replace("ROOT", &root.display().to_string())
        );
        fs::create_dir(root.join("new")).unwrap();
        Self {
            repositories: Repositories::open(&Config::from_text(&text).unwrap()).unwrap(),
            directory,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn add_at(&self, now: u64, version: &str) {
        let path = PackageSpec::new("a", version).write(&self.path("new")).unwrap();
        let file = PackageFile::read(&path).unwrap();
        let mut transaction = self.repositories.transaction();
        transaction.add(&"core".parse().unwrap(), NewPackage { file, signature: None });
        transaction.commit(now, Patience::Never).unwrap();
    }

    /// What the command was told, once.
    fn told(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("told")).unwrap_or_default();
        fs::remove_file(self.path("told")).ok();
        text.lines().map(str::to_owned).collect()
    }
}

fn put(path: &Path, text: &str) {
    common::atomic::write(path, text.as_bytes()).unwrap();
}

#[test]
fn packages_are_told_before_databases_and_last_what_is_gone() {
    let house = House::new("");
    house.add_at(NOW, "1-1");
    house.repositories.publish().unwrap();
    let told = house.told();
    let position = |name: &str| {
        told.iter()
            .position(|line| line == name)
            .unwrap_or_else(|| panic!("{name} in {told:?}"))
    };
    let of_core = ["core.db", "core.db.tar.gz", "core.files", "core.files.tar.gz"];
    for database in of_core.map(|name| position(&format!("core/os/x86_64/{name}"))) {
        assert!(position("core/os/x86_64/a-1-1-x86_64.pkg.tar.zst") < database);
        assert!(database < position("lastupdate"));
    }
    house.repositories.publish().unwrap();
    assert!(house.told().is_empty(), "nothing is told twice");

    house.add_at(NOW + 10, "2-1");
    house.repositories.publish().unwrap();
    house.told();
    house.repositories.clean(NOW + 200).unwrap();
    house.repositories.publish().unwrap();
    assert_eq!(house.told(), ["core/os/x86_64/a-1-1-x86_64.pkg.tar.zst"]);
}

#[test]
fn what_could_not_be_told_is_told_later_with_what_came_since() {
    let house = House::new("");
    put(&house.path("broken"), "");
    house.add_at(NOW, "1-1");
    let error = house.repositories.publish().unwrap_err().to_string();
    assert!(error.contains("changed paths wait for the next run"), "{error}");
    house.add_at(NOW + 10, "2-1");
    fs::remove_file(house.path("broken")).unwrap();
    house.repositories.publish().unwrap();
    let told = house.told();
    for version in ["1-1", "2-1"] {
        let package = format!("core/os/x86_64/a-{version}-x86_64.pkg.tar.zst");
        assert!(told.contains(&package), "{package} in {told:?}");
    }
}

#[test]
fn mirrors_are_refreshed_one_by_one_after_a_change() {
    // curl reads files, too: a mirror that answers is a file that is there.
    let house = House::new("mirror_refresh_trigger_urls='file://ROOT/one file://ROOT/two'\n");
    put(&house.path("two"), "");
    put(&house.path("broken"), "");
    house.add_at(NOW, "1-1");
    house.repositories.publish().unwrap_err();
    assert!(
        !house.path("repos/.refresh-pending").exists(),
        "there is nothing to fetch there yet"
    );
    fs::remove_file(house.path("broken")).unwrap();
    let error = house.repositories.publish().unwrap_err().to_string();
    assert!(
        error.contains("/one are fetched again") && !error.contains("/two"),
        "{error}"
    );
    assert_eq!(house.told().last().map(String::as_str), Some("lastupdate"));
    put(&house.path("one"), "");
    house.repositories.publish().unwrap();
    assert!(house.told().is_empty() && !house.path("repos/.refresh-pending").exists());
}
