//! A scenario with Arch's state repository and a forge that has the packages.

use std::fs;
use std::path::PathBuf;

use common::names::Revision;
use testkit::packaging::{FILE, Remote, srcinfo};

use super::Scenario;

/// A scenario whose `packages` is a state repository.
pub(crate) fn arch() -> Scenario {
    let mut scenario = Scenario::new();
    let forge = forge(&scenario);
    fs::create_dir(&forge).unwrap();
    let conf = format!(
        "repo_layout__packages=state\nrepo_packages__packages={}\n",
        forge.display()
    );
    scenario.conf.push_str(&conf);
    scenario
}

fn forge(scenario: &Scenario) -> PathBuf {
    scenario.port.directory.path().join("forge")
}

/// The repository of a package with a first commit, which needs `depends`.
pub(crate) fn package(scenario: &Scenario, project: &str, pkgbase: &str, depends: &str) -> (Remote, Revision) {
    let remote = Remote::new(&forge(scenario).join(format!("{project}.git")));
    let needs = format!("depends = {depends}");
    let revision = remote.commit(&[
        ("PKGBUILD", FILE, &format!("pkgname={pkgbase}\n")),
        (".SRCINFO", FILE, &srcinfo(pkgbase, &[needs.as_str()])),
    ]);
    (remote, revision)
}

/// Sets a state file.
pub(crate) fn release(scenario: &mut Scenario, path: &str, version: &str, commit: &Revision) {
    let pkgbase = path.split('/').nth(1).unwrap();
    let text = format!("{pkgbase} {version} {version} {commit}\n");
    scenario.packages.insert(path.to_owned(), text);
}
