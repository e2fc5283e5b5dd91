//! What databases say, and what reads them: field by field as repo-add, with and without an index, signed.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use common::config::Config;
use common::lock::Patience;
use common::package::PackageFile;
use common::process::Command;
use common::repository::Repositories;
use testkit::gpg::GpgHome;
use testkit::need;
use testkit::package::PackageSpec;

use crate::{House, NOW, databases, name, pkgname, put};

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
