//! What can go wrong with published repositories: `db-update --check` finds it, `--repair` mends it once.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::fs;
use std::path::{Path, PathBuf};

use common::config::Config;
use common::lock::Patience;
use common::package::PackageFile;
use common::repository::{NewPackage, Repositories};
use testkit::gpg::GpgHome;
use testkit::master::Master;
use testkit::need;
use testkit::package::PackageSpec;
use testkit::tool::Ended;

/// A master whose `core` has the packages a, b and c, all of it signed.
struct House<'a> {
    master: Master,
    key: &'a GpgHome,
    repositories: Repositories,
}

impl<'a> House<'a> {
    fn new(key: &'a GpgHome) -> Self {
        let master = Master::new(&[]);
        let keys = format!(
            "repo_key={}\ngnupg_home='{1}'\nkeyring='{1}'\ngrace_seconds=1000000\nstable_package_repositories=core\n\
             testing_package_repositories=testing\nstaging_package_repositories=staging\n",
            key.fingerprint(),
            key.path().display()
        );
        master.configure(&keys);
        let directory = master.state().join("repositories");
        let text = format!("arch=x86_64\nrepo_dir='{}'\n{keys}", directory.display());
        let house = Self {
            repositories: Repositories::open(&Config::from_text(&text).unwrap()).unwrap(),
            master,
            key,
        };
        for version in ["1-1", "1-2"] {
            house.publish(version);
        }
        house
    }

    fn publish(&self, version: &str) {
        let mut transaction = self.repositories.transaction();
        for name in ["a", "b", "c"] {
            let path = PackageSpec::new(name, version).write(self.master.root()).unwrap();
            let signature = Some(self.key.sign(&path).unwrap());
            let file = PackageFile::read(&path).unwrap();
            transaction.add(&"core".parse().unwrap(), NewPackage { file, signature });
        }
        transaction.commit(1_800_000_000, Patience::Never).unwrap();
    }

    fn db_update(&self, option: &str) -> Ended {
        self.master.tool("db-update", "-").args([option]).run()
    }

    fn core(&self) -> PathBuf {
        self.repositories.path(&"core".parse().unwrap())
    }

    fn pool(&self) -> PathBuf {
        self.master.state().join("repositories/pool")
    }

    fn published(&self) -> Vec<String> {
        let packages = self.repositories.packages(&"core".parse().unwrap()).unwrap();
        let named = packages.iter().map(|entry| format!("{}-{}", entry.name, entry.version));
        named.collect()
    }
}

/// Makes another file in the place of a read-only or shared one.
fn replace(path: &Path, content: &[u8]) {
    common::atomic::write(path, content).unwrap();
}

/// A damage, what is said of it, and the packages that are left.
type Case = (&'static str, fn(&House<'_>), &'static str, &'static [&'static str]);

const ALL: &[&str] = &["a-1-2", "b-1-2", "c-1-2"];
const WITHOUT_B: &[&str] = &["a-1-2", "c-1-2"];
const B: &str = "b-1-2-x86_64.pkg.tar.zst";

const CASES: &[Case] = &[
    (
        "a link is gone",
        |house| fs::remove_file(house.core().join("core.db")).unwrap(),
        "the links",
        ALL,
    ),
    (
        "a database is cut",
        |house| {
            let path = house.core().join(".current/core.db.tar.gz").canonicalize().unwrap();
            let content = fs::read(&path).unwrap();
            replace(&path, &content[..content.len() / 2]);
        },
        "cannot be read",
        ALL,
    ),
    (
        "both databases are gone",
        |house| {
            for kind in ["db", "files"] {
                let path = house.core().join(format!(".current/core.{kind}.tar.gz"));
                fs::remove_file(path.canonicalize().unwrap()).unwrap();
            }
        },
        "cannot be read",
        ALL,
    ),
    (
        "the databases are of two generations",
        |house| {
            let generations = house.core().join(".generations");
            let old = fs::read(generations.join("1/core.db.tar.gz")).unwrap();
            replace(&generations.join("2/core.db.tar.gz"), &old);
        },
        "disagree about a",
        ALL,
    ),
    (
        "a signature is of another generation",
        |house| {
            let generations = house.core().join(".generations");
            let old = fs::read(generations.join("1/core.db.tar.gz.sig")).unwrap();
            replace(&generations.join("2/core.db.tar.gz.sig"), &old);
        },
        "a database's signature",
        ALL,
    ),
    (
        "a file left the pool",
        |house| fs::remove_file(house.pool().join(B)).unwrap(),
        "not the same file",
        ALL,
    ),
    (
        "a file left the repository",
        |house| fs::remove_file(house.core().join(B)).unwrap(),
        "not the same file",
        ALL,
    ),
    (
        "a file is gone",
        |house| {
            fs::remove_file(house.core().join(B)).unwrap();
            fs::remove_file(house.pool().join(B)).unwrap();
        },
        "is absent",
        WITHOUT_B,
    ),
    (
        "a file is cut",
        |house| {
            let file = fs::OpenOptions::new().write(true).open(house.pool().join(B)).unwrap();
            file.set_len(100).unwrap();
        },
        "100 bytes and not",
        WITHOUT_B,
    ),
    (
        "a file has rotted",
        |house| {
            let mut content = fs::read(house.pool().join(B)).unwrap();
            let middle = content.len() / 2;
            content[middle] ^= 1;
            use std::os::unix::fs::FileExt as _;
            let file = fs::OpenOptions::new().write(true).open(house.pool().join(B)).unwrap();
            file.write_all_at(&content, 0).unwrap();
        },
        "its checksum is another one",
        WITHOUT_B,
    ),
    (
        "a package's signature is another one",
        |house| {
            let signature = house.key.sign(&house.core().join("a-1-2-x86_64.pkg.tar.zst")).unwrap();
            let content = fs::read(&signature).unwrap();
            fs::remove_file(house.core().join(format!("{B}.sig"))).unwrap();
            replace(&house.core().join(format!("{B}.sig")), &content);
        },
        "the signature of b",
        ALL,
    ),
];

#[test]
fn what_does_not_agree_is_found_and_mended_once() {
    if !need::programs(&["gpg"]) {
        return;
    }
    let key = GpgHome::new("master").unwrap();
    for (title, damage, said, left) in CASES {
        let house = House::new(&key);
        assert_eq!(house.db_update("--check").expect(0).stdout, "", "{title}");
        damage(&house);
        let ended = house.db_update("--check").expect(2);
        assert!(ended.stdout.contains(said), "{title}: {ended:?}");
        house.db_update("--repair").expect(0);
        assert_eq!(house.published(), *left, "{title}");
        assert_eq!(house.db_update("--check").expect(0).stdout, "", "{title}");
        let ended = house.db_update("--repair").expect(0);
        assert!(!ended.stderr.contains("warning"), "{title}: {ended:?}");
    }
}

#[test]
fn states_and_packages_that_miss_each_other_are_named() {
    let master = Master::new(&["a"]);
    master.configure("require_signatures=no\n");
    let (done, tested) = (master.fact("a", "done"), master.fact("b", "tested"));
    master.tool("db-update", "-").run().expect(0);
    master.write(&done, "a-1-1.0-any.pkg.tar.zst\n");
    master.write(&tested, "b-1-1.0-any.pkg.tar.zst\n");
    let ended = master.tool("db-update", "-").args(["--check"]).run().expect(2);
    let expected = |name: &str, state: &str| {
        let order = master.order(name);
        format!("{order} is {state}, but {name}-1-1.0-any.pkg.tar.zst is not published there\n")
    };
    assert_eq!(ended.stdout, expected("a", "done") + &expected("b", "tested"));
    assert!(ended.stderr.contains("2 things are not as they should be"), "{ended:?}");
}
