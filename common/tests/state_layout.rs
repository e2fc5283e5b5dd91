//! The layout `state`: Arch's state repository, and a git repository for every package.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::PathBuf;

use common::build_list::Order;
use common::config::Config;
use common::metadata::Metadata;
use common::names::Revision;
use common::source::{Heads, SourceError, Sources, SubRelease};
use common::work_dir::WorkDir;
use testkit::packaging::{FILE, File, Remote, srcinfo};

/// A state repository, its packages' repositories and a customization.
struct Arch {
    directory: tempfile::TempDir,
    state: Remote,
    ours: Remote,
}

impl Arch {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("forge")).unwrap();
        let remote = |name: &str| Remote::new(&directory.path().join(name));
        let arch = Self {
            state: remote("state.git"),
            ours: remote("ours.git"),
            directory,
        };
        arch.ours.commit(&[]);
        arch
    }

    fn config(&self) -> Config {
        let path = self.directory.path();
        Config::from_text(&format!(
            "work_dir={}\narch=i686\nrepo_names='state ours'\nrepo_layout__state=state\nrepo_urls__state={}\n\
             repo_packages__state=file://{}/\nrepo_urls__ours={}\n",
            path.join("work").display(),
            self.state.url(),
            path.join("forge").display(),
            self.ours.url()
        ))
        .unwrap()
    }

    /// The repository of a package, by its project's name.
    fn package(&self, project: &str) -> Remote {
        Remote::new(&self.directory.path().join(format!("forge/{project}.git")))
    }

    fn clone_of(&self, project: &str) -> PathBuf {
        let clones = self.directory.path().join("work/repos/state.packages");
        clones.join(format!("{project}.git"))
    }

    /// Commits state files: path and content.
    fn release(&self, files: &[(&str, String)]) -> Revision {
        let files: Vec<File<'_>> = files.iter().map(|(path, text)| (*path, FILE, text.as_str())).collect();
        self.state.commit(&files)
    }

    fn fetched(&self) -> (Sources, Heads) {
        let sources = Sources::open(&self.config()).unwrap();
        sources.fetch().unwrap();
        let heads = sources.heads().unwrap();
        (sources, heads)
    }

    fn orders(&self) -> (Sources, Vec<Order>) {
        let (sources, heads) = self.fetched();
        let view = sources.merged_view(&heads).unwrap();
        let orders = view.iter().map(|(name, package)| sources.order(&heads, name, package));
        let orders = orders.collect();
        (sources, orders)
    }

    fn metadata(&self) -> Metadata {
        let config = self.config();
        Metadata::open(&config, &WorkDir::open(&config).unwrap()).unwrap()
    }
}

fn line(pkgbase: &str, version: &str, commit: &Revision) -> String {
    format!("{pkgbase} {version} {version} {commit}\n")
}

fn pkgbuild(pkgbase: &str) -> String {
    format!("pkgname={pkgbase}\npkgver=1\npkgrel=1\narch=('x86_64')\n")
}

/// Commits a package with a committed `.SRCINFO`.
fn commit(remote: &Remote, pkgbase: &str) -> Revision {
    remote.commit(&[
        ("PKGBUILD", FILE, &pkgbuild(pkgbase)),
        (".SRCINFO", FILE, &srcinfo(pkgbase, &["depends = glibc"])),
        ("fix.patch", FILE, "patch"),
    ])
}

#[test]
fn a_release_is_checked_out_from_its_own_repository_when_it_is_needed() {
    let arch = Arch::new();
    let (sigc, zlib) = (arch.package("libsigcplusplus"), arch.package("zlib"));
    let (old, of_zlib) = (commit(&sigc, "libsigc++"), commit(&zlib, "zlib"));
    sigc.commit(&[("PKGBUILD", FILE, "not released\n")]);
    let state = arch.release(&[
        ("extra-x86_64/libsigc++", line("libsigc++", "1-1", &old)),
        ("core-any/zlib", line("zlib", "1-1", &of_zlib)),
        ("core-testing-x86_64/zlib", line("zlib", "2-1", &of_zlib)),
        ("README.md", String::new()),
    ]);
    arch.ours.commit(&[("extra/libsigc++/PKGBUILD", FILE, "depends+=(b)")]);
    let (sources, orders) = arch.orders();
    let lines: Vec<String> = orders
        .iter()
        .map(|o| format!("{} {} {}", o.pkgbase, o.revision, o.repository))
        .collect();
    assert_eq!(
        lines,
        [format!("libsigc++ {state} extra"), format!("zlib {state} core")]
    );
    assert!(!arch.clone_of("libsigcplusplus").exists());
    let path = arch.directory.path().join("out");
    sources.checkout(&orders[0], SubRelease::Number(0), &path).unwrap();
    let text = fs::read_to_string(path.join("PKGBUILD")).unwrap();
    assert_eq!(
        text,
        "pkgname=libsigc++\npkgver=1\npkgrel=1.0\narch=('i686' 'x86_64')\ndepends+=(b)\nunset -f pkgver\n"
    );
    assert_eq!(fs::read_to_string(path.join("fix.patch")).unwrap(), "patch");
    assert!(arch.clone_of("libsigcplusplus").exists() && !arch.clone_of("zlib").exists());
    // Once fetched, it is fetched no more.
    fs::remove_dir_all(arch.directory.path().join("forge/libsigcplusplus.git")).unwrap();
    let again = arch.directory.path().join("again");
    sources.checkout(&orders[0], SubRelease::Number(0), &again).unwrap();
}

#[test]
fn an_order_of_an_older_state_gets_the_commit_of_that_time() {
    let arch = Arch::new();
    let zlib = arch.package("zlib");
    let first = zlib.commit(&[("PKGBUILD", FILE, "pkgrel=1\n")]);
    arch.release(&[("core-x86_64/zlib", line("zlib", "1-1", &first))]);
    let (_, old) = arch.orders();
    let second = zlib.commit(&[("PKGBUILD", FILE, "pkgrel=2\n")]);
    arch.release(&[("core-x86_64/zlib", line("zlib", "1-2", &second))]);
    let (sources, new) = arch.orders();
    for (order, expected) in [(&new[0], "2"), (&old[0], "1")] {
        let path = arch.directory.path().join(expected);
        sources.checkout(order, SubRelease::None, &path).unwrap();
        let text = fs::read_to_string(path.join("PKGBUILD")).unwrap();
        assert!(text.starts_with(&format!("pkgrel={expected}\n")), "{text}");
    }
}

#[test]
fn a_state_file_that_was_left_behind_does_not_count() {
    let arch = Arch::new();
    let zlib = arch.package("zlib");
    let (old, new) = (commit(&zlib, "zlib"), zlib.commit(&[("PKGBUILD", FILE, "new\n")]));
    arch.release(&[
        ("core-x86_64/zlib", line("zlib", "1.9-1", &old)),
        ("core-any/zlib", line("zlib", "1.10-1", &new)),
    ]);
    let (sources, orders) = arch.orders();
    let path = arch.directory.path().join("out");
    sources.checkout(&orders[0], SubRelease::None, &path).unwrap();
    assert!(fs::read_to_string(path.join("PKGBUILD")).unwrap().starts_with("new\n"));
}

#[test]
fn metadata_is_fetched_once_and_then_at_hand() {
    let arch = Arch::new();
    let zlib = arch.package("zlib");
    let released = commit(&zlib, "zlib");
    arch.release(&[("core-x86_64/zlib", line("zlib", "1-1", &released))]);
    let (_, orders) = arch.orders();
    assert!(arch.metadata().cached(&orders[0]).unwrap().is_none());
    assert!(!arch.clone_of("zlib").exists());
    let infos = arch.metadata().srcinfos(&orders);
    assert_eq!(infos["zlib"].as_ref().unwrap().depends[0].to_string(), "glibc");
    fs::remove_dir_all(arch.directory.path().join("forge")).unwrap();
    fs::remove_dir_all(arch.directory.path().join("work/repos/state.packages")).unwrap();
    assert!(arch.metadata().cached(&orders[0]).unwrap().is_some());
}

#[test]
fn a_package_whose_sources_cannot_be_had_does_not_stop_the_others() {
    let arch = Arch::new();
    let zlib = arch.package("zlib");
    let released = commit(&zlib, "zlib");
    let missing: Revision = "1".repeat(40).parse().unwrap();
    arch.package("missing").commit(&[]);
    let files = [
        ("core-x86_64/zlib", line("zlib", "1-1", &released)),
        ("core-x86_64/gone", line("gone", "1-1", &released)),
        ("core-x86_64/missing", line("missing", "1-1", &missing)),
        ("core-x86_64/junk", "junk\n".to_owned()),
        ("core-x86_64/option", "option 1-1 1-1 --upload-pack=x\n".to_owned()),
        ("core-x86_64/other", line("../other", "1-1", &released)),
        ("core-x86_64/wrong", line("zlib", "1-1", &released)),
        ("core-x86_64/large", "x".repeat(5000)),
    ];
    arch.release(&files);
    let (sources, orders) = arch.orders();
    assert_eq!(orders.len(), files.len());
    let infos = arch.metadata().srcinfos(&orders);
    assert!(infos["zlib"].is_ok());
    for (name, said) in [
        ("gone", "/forge/gone.git"),
        ("missing", "/forge/missing.git"),
        ("junk", "is not the one line"),
        ("option", "revision"),
        ("other", "package base"),
        ("wrong", "is that of zlib"),
        ("large", "5000 bytes"),
    ] {
        let error = infos[name].as_ref().unwrap_err();
        assert!(error.is_of_content() && error.to_string().contains(said), "{error}");
    }
    assert!(
        !arch.clone_of("gone").exists(),
        "a clone appears complete or not at all"
    );
    let path = arch.directory.path().join("out");
    let gone = orders.iter().find(|order| order.pkgbase.as_str() == "gone").unwrap();
    let error = sources.checkout(gone, SubRelease::None, &path).unwrap_err();
    assert!(matches!(error, SourceError::Package { .. }), "{error}");
}

#[test]
fn without_an_address_for_packages_the_configuration_is_wrong() {
    let arch = Arch::new();
    let mut config = arch.config();
    config.set("repo_packages__state", "");
    let error = Sources::open(&config).unwrap_err().to_string();
    assert!(error.contains("repo_packages__state"), "{error}");
    // Nor does an address reach further than any other.
    let zlib = arch.package("zlib");
    arch.release(&[("core-x86_64/zlib", line("zlib", "1-1", &commit(&zlib, "zlib")))]);
    config.set("repo_packages__state", "ext::sh -c touch% /tmp/x");
    let sources = Sources::open(&config).unwrap();
    sources.fetch().unwrap();
    let (_, orders) = arch.orders();
    let path = arch.directory.path().join("out");
    assert!(sources.checkout(&orders[0], SubRelease::None, &path).is_err());
}
