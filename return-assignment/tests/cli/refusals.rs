//! Packages that are refused: signatures and sets, as a process, with real gpg and git.

use std::fs;
use std::path::PathBuf;

use crate::master::{Master, put, tar};
use common::lock::Patience;
use common::names::Repository;
use common::package::PackageFile;
use common::repository::NewPackage;
use common::state::State;
use testkit::gpg::GpgHome;
use testkit::package::PackageSpec;

#[test]
fn a_missing_foreign_or_untrusted_signature_ends_the_attempt() {
    let Some(master) = Master::new() else { return };
    let stranger = GpgHome::new("stranger").unwrap();
    let files = master.packages_of_a("1-1.0");
    let unsigned: Vec<PathBuf> = files
        .iter()
        .filter(|path| !path.ends_with("a-1-1.0-x86_64.pkg.tar.zst.sig"))
        .cloned()
        .collect();
    let without = tar(&unsigned);
    let swapped = {
        let (one, two) = (&files[0], &files[2]);
        let copy = fs::read(two).unwrap();
        put(one, &copy);
        tar(&files)
    };
    let specs = [
        PackageSpec::new("a", "1-1.0"),
        PackageSpec::new("a-docs", "1-1.0").base("a").arch("any"),
    ];
    let unknown = tar(&master.signed(&specs, &stranger));
    for (attempt, upload) in [without, swapped, unknown.clone()].into_iter().enumerate() {
        let order = master.lease("a", &["b1"], 0);
        let ended = master.run("b1", &order, "0", upload).expect(3);
        assert!(ended.stderr.contains("pkg.tar.zst"), "{ended:?}");
        assert_eq!(master.leases("b1"), 0);
        let broken = master.work_dir.states().read(&order, State::Broken).unwrap().unwrap();
        assert_eq!(broken.len(), attempt + 1, "{broken:?}");
        assert!(broken[attempt].starts_with("b1 "));
        assert!(master.list().contains("a ") && !master.has(&order, State::Done));
        assert_eq!(master.repositories.file_names().unwrap().len(), 0);
    }
    // In the keyring, but not trusted; then fully trusted; then bound to another builder.
    master.keyring.import(&stranger).unwrap();
    let order = master.lease("a", &["b1"], 0);
    master.run("b1", &order, "0", unknown.clone()).expect(3);
    master.keyring.trust(&stranger).unwrap();
    let keys = master.directory.path().join("builder-keys");
    put(&keys, format!("b1 {}\n", master.keyring.fingerprint()).as_bytes());
    let order = master.lease("a", &["b1", "b2"], 0);
    let tool = master.tool("b1", &order, "0").env("PORTSMITH_BUILDER_KEYS", &keys);
    let ended = tool.stdin(unknown.clone()).run().expect(3);
    assert!(ended.stderr.contains("none of the keys of b1"), "{ended:?}");
    master.run("b2", &order, "0", unknown).expect(0);
}

#[test]
fn another_set_of_packages_is_refused_with_the_difference() {
    let Some(master) = Master::new() else { return };
    let a = PackageSpec::new("a", "1-1.0");
    let docs = PackageSpec::new("a-docs", "1-1.0").base("a").arch("any");
    for (specs, said) in [
        (vec![a.clone()], "missing: a-docs-1-1.0"),
        (
            vec![a.clone(), docs.clone(), PackageSpec::new("b", "1-1.0")],
            "unexpected: b-1-1.0",
        ),
        (
            vec![PackageSpec::new("a", "1-2.0"), docs.clone()],
            "unexpected: a-1-2.0",
        ),
        (
            vec![PackageSpec::new("a", "1-1.0").base("solo"), docs.clone()],
            "built from solo",
        ),
        (vec![], "missing"),
    ] {
        let order = master.lease("a", &["b1"], 0);
        let ended = master
            .run("b1", &order, "0", tar(&master.signed(&specs, &master.keyring)))
            .expect(4);
        assert!(ended.stderr.contains(said), "{said}: {ended:?}");
        assert!(master.has(&order, State::Broken) && master.leases("b1") == 0);
    }
    // A file whose content is another package.
    let path = master.directory.path().join("new/a-1-1.0-x86_64.pkg.tar.zst");
    let files = master.signed(&[docs, PackageSpec::new("solo", "1-1.0")], &master.keyring);
    fs::copy(&files[3], &path).unwrap();
    let signature = master.keyring.sign(&path).unwrap();
    let order = master.lease("a", &["b1"], 0);
    let upload = tar(&[files[0].clone(), files[1].clone(), path, signature]);
    let ended = master.run("b1", &order, "0", upload).expect(4);
    assert!(ended.stderr.contains("holds solo"), "{ended:?}");
    // Too large.
    let order = master.lease("a", &["b1"], 0);
    let large = master.directory.path().join("new/large-1-1-any.pkg.tar.zst");
    put(&large, &vec![7; 2 << 20]);
    let ended = master.run("b1", &order, "0", tar(&[large])).expect(4);
    assert!(ended.stderr.contains("limit"), "{ended:?}");
    assert_eq!(master.repositories.file_names().unwrap().len(), 0);
}

#[test]
fn a_downgrade_is_refused_wherever_the_newer_one_is() {
    let Some(master) = Master::new() else { return };
    let publish = |version: &str, repository: &Repository| {
        let path = PackageSpec::new("solo", version)
            .write(&master.directory.path().join("new"))
            .unwrap();
        let file = PackageFile::read(&path).unwrap();
        let mut transaction = master.repositories.transaction();
        transaction.add(repository, NewPackage { file, signature: None });
        transaction.commit(1, Patience::Never).unwrap();
    };
    let upload = tar(&master.signed(&[PackageSpec::new("solo", "1-1.0")], &master.keyring));
    for (newer, name) in [(2, "core"), (3, "testing"), (4, "community-staging")] {
        let repository: Repository = name.parse().unwrap();
        publish(&format!("{newer}-1.0"), &repository);
        let order = master.lease("solo", &["b1"], 0);
        let ended = master.run("b1", &order, "0", upload.clone()).expect(4);
        let said = format!("{newer}-1.0 is published in {name}, so this would be a downgrade");
        assert!(ended.stderr.contains(&said), "{ended:?}");
        assert!(master.has(&order, State::Broken) && master.leases("b1") == 0);
        // From then on its file lies in the pool, and no database names it.
        let mut transaction = master.repositories.transaction();
        transaction.remove(&repository, &"solo".parse().unwrap());
        transaction.commit(1, Patience::Never).unwrap();
    }
    // What stands in a standalone repository is another port's.
    publish("9-1.0", &"build-support".parse().unwrap());
    let order = master.lease("solo", &["b1"], 0);
    master.run("b1", &order, "0", upload).expect(0);
    assert_eq!(master.published("staging"), ["solo-1-1.0-x86_64.pkg.tar.zst"]);
}
