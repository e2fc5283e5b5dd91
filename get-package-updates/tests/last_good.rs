//! A package that can be read no longer is held back, and what it said last still counts for the others.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod scenario;

use scenario::Scenario;
use testkit::need;

const PLACE: &str = "lib/repos/core-x86_64";

/// Replaces lib's PKGBUILD; without a `.SRCINFO` it has to be evaluated.
fn change(scenario: &mut Scenario, pkgbuild: &str, srcinfo: &str) {
    scenario
        .packages
        .insert(format!("{PLACE}/PKGBUILD"), pkgbuild.to_owned());
    scenario
        .packages
        .insert(format!("{PLACE}/.SRCINFO"), srcinfo.to_owned());
    scenario.commit();
}

fn split(version: u32) -> String {
    format!("pkgbase = lib\n\tpkgver = {version}\n\tpkgrel = 1\n\npkgname = lib\n\npkgname = lib-core\n")
}

#[test]
fn dependants_wait_for_a_package_that_can_be_read_no_longer() {
    if !need::programs(&["bwrap", "makepkg"]) {
        return;
    }
    let mut scenario = Scenario::of(&[("core/app", "make:lib-core"), ("core/other", "")]);
    change(&mut scenario, "# one\n", &split(1));
    scenario.ends(0, &[]);
    let graph = "app make:lib\nlib\nother\n";
    assert_eq!(scenario.read("build-graph"), graph);
    change(&mut scenario, "pkgname=(\n", "junk\n");
    let (_, stderr) = scenario.ends(0, &[]);
    assert!(stderr.contains("the PKGBUILD of lib cannot be evaluated"), "{stderr}");
    assert!(stderr.contains("of lib counts what it said in version 1-1"), "{stderr}");
    assert!(stderr.contains("lib is blocked: metadata: "), "{stderr}");
    assert_eq!(scenario.read("build-graph"), graph);
    // The next runs know only commits at which it is broken.
    scenario.put("core/other", "ver:2");
    scenario.commit();
    scenario.ends(0, &[]);
    change(&mut scenario, "pkgname=(( # still\n", "junk\n");
    scenario.ends(0, &[]);
    assert_eq!(scenario.read("build-graph"), graph);
    assert_eq!(scenario.list(), ["lib", "app", "other"]);
    let derive = scenario.tool(env!("CARGO_BIN_EXE_derive-build-graph"), &[]);
    let derived = derive.run().unwrap();
    let stderr = String::from_utf8_lossy(&derived.stderr);
    assert_eq!(format!("{}\n", derived.text()), graph, "{stderr}");
    assert!(stderr.contains("the PKGBUILD of lib cannot be used"), "{stderr}");
    assert!(stderr.contains("of lib counts what it said in version 1-1"), "{stderr}");
    change(&mut scenario, "# two\n", &split(2));
    let (_, stderr) = scenario.ends(0, &[]);
    assert!(!stderr.contains("blocked") && !stderr.contains("counts"), "{stderr}");
    assert_eq!(scenario.read("build-graph"), graph);
}

#[test]
fn what_the_blacklist_keeps_away_does_not_come_back_for_a_slip() {
    if !need::programs(&["bwrap", "makepkg"]) {
        return;
    }
    let mut scenario = Scenario::of(&[("core/bad", "")]);
    scenario.file("blacklist", "bad\n");
    let needs = "pkgbase = lib\n\tpkgver = 1\n\tpkgrel = 1\n\tdepends = bad\n\npkgname = lib\n";
    change(&mut scenario, "# one\n", needs);
    scenario.ends(0, &[]);
    assert_eq!(scenario.deletions(), ["bad", "lib"]);
    change(&mut scenario, "exit 1\n", "junk\n");
    scenario.ends(0, &[]);
    assert_eq!(scenario.deletions(), ["bad", "lib"]);
    assert!(scenario.list().is_empty());
}
