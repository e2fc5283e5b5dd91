//! The packaging sources, with real clones of real git repositories.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::build_list::Order;
use common::process::Command;
use common::source::{Heads, SourceError, Sources, SubRelease};
use testkit::packaging::{EXECUTABLE, FILE, LINK, Port, Remote};
use testkit::tool::must;

const PKGBUILD: &str = "pkgname=a\npkgver=1\npkgrel=1\narch=('x86_64')\n";

fn fetched(port: &Port) -> (Sources, Heads) {
    let sources = Sources::open(&port.config()).unwrap();
    sources.fetch().unwrap();
    let heads = sources.heads().unwrap();
    (sources, heads)
}

fn orders(sources: &Sources, heads: &Heads) -> Vec<Order> {
    let view = sources.merged_view(heads).unwrap();
    view.iter()
        .map(|(name, package)| sources.order(heads, name, package))
        .collect()
}

#[test]
fn the_view_has_what_is_followed_and_packages_of_ours_alone() {
    let port = Port::new();
    let packages = port.packages.commit(&[
        ("a/repos/core-x86_64/PKGBUILD", FILE, PKGBUILD),
        ("b/repos/extra-any/PKGBUILD", FILE, PKGBUILD),
        ("c/repos/testing-x86_64/PKGBUILD", FILE, PKGBUILD),
        ("d/trunk/PKGBUILD", FILE, PKGBUILD),
        ("e/repos/core-i686/PKGBUILD", FILE, PKGBUILD),
        ("f/repos/core-x86_64/README", FILE, ""),
    ]);
    let community = port
        .community
        .commit(&[("g/repos/community-x86_64/PKGBUILD", FILE, PKGBUILD)]);
    let ours = port.ours.commit(&[
        ("core/only32/PKGBUILD", FILE, PKGBUILD),
        ("build-support/h/PKGBUILD", FILE, PKGBUILD),
        ("extra/nothing/a.patch", FILE, ""),
        ("blacklist", FILE, "x # why\n"),
    ]);
    let (sources, heads) = fetched(&port);
    let lines: Vec<String> = orders(&sources, &heads).iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            format!("a {packages} {ours} core"),
            format!("b {packages} {ours} extra"),
            format!("g {community} {ours} community"),
            format!("h {ours} {ours} build-support"),
            format!("only32 {packages} {ours} core"),
        ]
    );
    assert_eq!(sources.list_file(&heads, "blacklist").unwrap().unwrap(), "x # why\n");
    assert_eq!(sources.list_file(&heads, "update-once").unwrap(), None);
    let warnings = sources.merged_view(&heads).unwrap().warnings().join("\n");
    assert!(warnings.contains("extra/nothing"), "{warnings}");
    for order in orders(&sources, &heads) {
        let directory = tempfile::tempdir().unwrap();
        sources
            .checkout(&order, SubRelease::Number(0), directory.path())
            .unwrap();
        assert!(directory.path().join("PKGBUILD").exists());
    }
}

#[test]
fn a_checkout_is_upstream_with_the_customization_over_it() {
    let port = Port::new();
    port.packages.commit(&[
        ("a/repos/core-x86_64/PKGBUILD", FILE, PKGBUILD),
        ("a/repos/core-x86_64/kept", EXECUTABLE, "kept"),
        ("a/repos/core-x86_64/replaced", FILE, "upstream"),
        ("a/repos/core-x86_64/keys/pgp/1.asc", FILE, "key"),
        ("a/repos/core-x86_64/link", LINK, "keys/pgp"),
    ]);
    port.community.commit(&[]);
    port.ours.commit(&[
        ("core/a/PKGBUILD", FILE, "depends+=(b)"),
        ("core/a/replaced", FILE, "ours"),
        ("core/a/new.patch", FILE, "patch"),
    ]);
    let (sources, heads) = fetched(&port);
    let order = orders(&sources, &heads).remove(0);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    sources.checkout(&order, SubRelease::Number(0), &path).unwrap();
    let read = |name: &str| fs::read_to_string(path.join(name)).unwrap();
    assert_eq!(
        read("PKGBUILD"),
        "pkgname=a\npkgver=1\npkgrel=1.0\narch=('i686' 'x86_64')\ndepends+=(b)\nunset -f pkgver\n"
    );
    assert_eq!(
        (read("replaced"), read("new.patch"), read("link/1.asc")),
        ("ours".into(), "patch".into(), "key".into())
    );
    assert_eq!(
        fs::metadata(path.join("kept")).unwrap().permissions().mode() & 0o777,
        0o755
    );
    let again = sources.checkout(&order, SubRelease::None, &path).unwrap_err();
    assert!(matches!(again, SourceError::File(_)), "{again}");
}

#[test]
fn an_order_of_older_commits_is_checked_out_from_them() {
    let port = Port::new();
    port.packages
        .commit(&[("a/repos/core-x86_64/PKGBUILD", FILE, "pkgrel=1\n")]);
    port.community.commit(&[]);
    port.ours.commit(&[("core/a/old", FILE, "")]);
    let (sources, heads) = fetched(&port);
    let old = orders(&sources, &heads).remove(0);
    port.packages
        .commit(&[("a/repos/extra-x86_64/PKGBUILD", FILE, "pkgrel=2\n")]);
    port.ours.commit(&[]);
    let (sources, _) = fetched(&port);
    let directory = tempfile::tempdir().unwrap();
    sources.checkout(&old, SubRelease::None, directory.path()).unwrap();
    let pkgbuild = fs::read_to_string(directory.path().join("PKGBUILD")).unwrap();
    assert_eq!(pkgbuild, "pkgrel=1\nunset -f pkgver\n");
    assert!(directory.path().join("old").exists());
    let mut unknown = old.clone();
    unknown.revision = "1".repeat(40).parse().unwrap();
    assert!(sources.has_commits_of(&old).unwrap() && !sources.has_commits_of(&unknown).unwrap());
    let error = sources.content(&unknown).unwrap_err();
    assert!(matches!(error, SourceError::UnknownRevision { .. }), "{error}");
}

#[test]
fn hostile_content_is_refused() {
    let long = format!("a/repos/core-x86_64/{}/x", vec!["d".repeat(200); 6].join("/"));
    for (path, mode, content) in [
        ("a/repos/core-x86_64/x", LINK, "/etc/passwd"),
        ("a/repos/core-x86_64/x", LINK, "../x"),
        ("a/repos/core-x86_64/d/x", LINK, "../d/../../x"),
        ("a/repos/core-x86_64/x\ny", FILE, ""),
        ("a/repos/core-x86_64/PKGBUILD", LINK, "/etc/passwd"),
        (&long, FILE, ""),
    ] {
        let port = Port::new();
        let mut files = vec![("a/repos/core-x86_64/PKGBUILD", FILE, PKGBUILD)];
        files.push((path, mode, content));
        port.packages.commit(&files);
        port.community.commit(&[]);
        port.ours.commit(&[]);
        let (sources, heads) = fetched(&port);
        let order: Order = format!(
            "a {} {} core",
            heads.iter().next_back().unwrap().1,
            heads.iter().nth(1).unwrap().1
        )
        .parse()
        .unwrap();
        let directory = tempfile::tempdir().unwrap();
        let error = sources
            .checkout(&order, SubRelease::None, directory.path())
            .unwrap_err();
        assert!(matches!(error, SourceError::Refused { .. }), "{path}: {error}");
    }
    let port = Port::new();
    port.packages.commit(&[
        ("a/repos/core-x86_64/PKGBUILD", FILE, PKGBUILD),
        ("b c/repos/core-any/PKGBUILD", FILE, ""),
    ]);
    port.community.commit(&[]);
    port.ours.commit(&[("core/a/PKGBUILD/x", FILE, "")]);
    let (sources, heads) = fetched(&port);
    let directory = tempfile::tempdir().unwrap();
    let error = sources.checkout(&orders(&sources, &heads)[0], SubRelease::None, directory.path());
    assert!(matches!(error, Err(SourceError::Refused { .. })), "{error:?}");
    let warnings = sources.merged_view(&heads).unwrap().warnings().join("\n");
    assert!(warnings.contains("b c"), "{warnings}");
}

#[test]
fn a_repository_that_cannot_be_fetched_is_named() {
    let port = Port::new();
    let mut config = port.config();
    config.set("repo_urls__community", "file:///nonexistent/x.git");
    port.packages.commit(&[]);
    let error = Sources::open(&config).unwrap().fetch().unwrap_err().to_string();
    assert!(
        error.contains("community") && error.contains("/nonexistent/x.git"),
        "{error}"
    );
    config.set("repo_urls__community", "ext::sh -c touch% /tmp/x");
    assert!(Sources::open(&config).unwrap().fetch().is_err());
}

/// A patch that gives the PKGBUILD another pkgver and the file `fix` another word.
const PATCH: &str = "--- a/PKGBUILD\n+++ b/PKGBUILD\n@@ -1,4 +1,4 @@\n pkgname=a\n-pkgver=1\n+pkgver=2\n pkgrel=1\n \
    arch=('x86_64')\n--- a/fix\n+++ b/fix\n@@ -1 +1 @@\n-wrong\n+right\n";
const LINK_OUT: &str = "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc/passwd\n\
    \\ No newline at end of file\n";

#[test]
fn patches_of_ours_change_upstreams_files_before_our_pkgbuild_is_appended() {
    let port = Port::new();
    port.packages.commit(&[
        ("a/repos/core-x86_64/PKGBUILD", FILE, PKGBUILD),
        ("a/repos/core-x86_64/fix", FILE, "wrong\n"),
    ]);
    port.community.commit(&[]);
    port.ours.commit(&[("core/a/PKGBUILD", FILE, "depends+=(b)\n")]);
    let (sources, heads) = fetched(&port);
    let before = sources.merged_view(&heads).unwrap();
    port.ours.commit(&[
        ("core/a/PKGBUILD", FILE, "depends+=(b)\n"),
        ("core/a/PKGBUILD.d/1.patch", FILE, PATCH),
        ("core/a/PKGBUILD.d/README", FILE, "why"),
    ]);
    let (sources, heads) = fetched(&port);
    let after = sources.merged_view(&heads).unwrap();
    let name = "a".parse().unwrap();
    assert_ne!(
        before.get(&name).unwrap().recipe,
        after.get(&name).unwrap().recipe,
        "a new release"
    );
    let directory = tempfile::tempdir().unwrap();
    let order = orders(&sources, &heads).remove(0);
    sources.checkout(&order, SubRelease::None, directory.path()).unwrap();
    let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    assert_eq!(
        read("PKGBUILD"),
        "pkgname=a\npkgver=2\npkgrel=1\narch=('i686' 'x86_64')\ndepends+=(b)\nunset -f pkgver\n"
    );
    assert_eq!(read("fix"), "right\n");
    assert!(directory.path().join("PKGBUILD.d/README").exists());
    assert!(!directory.path().join("PKGBUILD.d/1.patch").exists());
}

#[test]
fn a_patch_that_does_not_apply_or_leads_out_of_the_directory_is_refused() {
    let elsewhere = PATCH.replace("pkgver=1", "pkgver=7");
    let outside = PATCH.replace("b/fix", "b/../../fix");
    for (patch, why) in [
        (elsewhere.as_str(), "does not apply"),
        (outside.as_str(), "does not apply"),
        ("nonsense", "does not apply"),
        (LINK_OUT, "leaves the directory"),
    ] {
        let port = Port::new();
        port.packages.commit(&[
            ("a/repos/core-x86_64/PKGBUILD", FILE, PKGBUILD),
            ("a/repos/core-x86_64/fix", FILE, "wrong\n"),
        ]);
        port.community.commit(&[]);
        port.ours.commit(&[("core/a/PKGBUILD.d/1.patch", FILE, patch)]);
        let (sources, heads) = fetched(&port);
        let directory = tempfile::tempdir().unwrap();
        let order = orders(&sources, &heads).remove(0);
        let error = sources
            .checkout(&order, SubRelease::None, directory.path())
            .unwrap_err();
        assert!(matches!(error, SourceError::Refused { .. }), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn single_packages_come_from_another_branch_and_from_a_repository_of_their_own() {
    let port = Port::new();
    let upstream = [
        ("a/repos/core-x86_64/PKGBUILD", FILE, "pkgver=1\n"),
        ("b/repos/core-x86_64/PKGBUILD", FILE, "pkgver=1\n"),
        ("c/repos/core-x86_64/PKGBUILD", FILE, "pkgver=1\n"),
    ];
    port.packages.commit(&upstream);
    port.community.commit(&[]);
    port.ours.commit(&[]);
    let at = |name: &str| port.directory.path().join(name);
    let devel = Remote::new(&at("devel.git"));
    devel.commit(&upstream.map(|(path, mode, _)| (path, mode, "pkgver=2\n")));
    must(
        Command::new("git")
            .directory(at("devel.git"))
            .args(["branch", "next/2.x"]),
    );
    devel.commit(&upstream);
    let alone = Remote::new(&at("alone.git"));
    alone.commit(&[("PKGBUILD", FILE, "pkgver=3\n"), ("fix.patch", FILE, "")]);
    let mut config = port.config();
    config.set("repo_names", "alone devel packages community ours");
    config.set("repo_urls__devel", devel.url());
    config.set("repo_branch__devel", "next/2.x");
    config.set("repo_only__devel", "b");
    config.set("repo_urls__alone", alone.url());
    config.set("repo_layout__alone", "package");
    config.set("repo_default__alone", "core");
    config.set("repo_only__alone", "c");
    let sources = Sources::open(&config).unwrap();
    sources.fetch().unwrap();
    let heads = sources.heads().unwrap();
    let versions: Vec<String> = orders(&sources, &heads)
        .iter()
        .map(|order| {
            let directory = tempfile::tempdir().unwrap();
            sources.checkout(order, SubRelease::None, directory.path()).unwrap();
            let pkgbuild = fs::read_to_string(directory.path().join("PKGBUILD")).unwrap();
            format!("{} {}", order.pkgbase, pkgbuild.lines().next().unwrap())
        })
        .collect();
    assert_eq!(versions, ["a pkgver=1", "b pkgver=2", "c pkgver=3"]);
    config.set("repo_branch__devel", "--upload-pack=x");
    assert!(Sources::open(&config).is_err());
}

#[test]
fn a_work_tree_is_read_as_it_is_and_never_fetched_into() {
    let port = Port::new();
    port.packages
        .commit(&[("a/repos/core-x86_64/PKGBUILD", FILE, PKGBUILD)]);
    port.community.commit(&[]);
    port.ours.commit(&[("core/a/kept", FILE, "1")]);
    let tree = port.directory.path().join("mine");
    must(
        Command::new("git")
            .args(["clone", "--quiet", &port.ours.url()])
            .arg(&tree),
    );
    common::atomic::write(&tree.join("core/a/new"), b"2").unwrap();
    let mut config = port.config();
    config.set("repo_paths__ours", tree.display().to_string());
    let sources = Sources::open(&config).unwrap();
    port.ours.commit(&[]);
    sources.fetch().unwrap();
    let mut order = orders(&sources, &sources.heads().unwrap()).remove(0);
    let status = |tree: &std::path::Path| must(Command::new("git").directory(tree).args(["status", "--short"]));
    let before = status(&tree);
    order.mod_revision = sources.customization().unwrap().commit_of_work_tree().unwrap();
    assert_eq!(status(&tree), before);
    let directory = tempfile::tempdir().unwrap();
    sources.checkout(&order, SubRelease::None, directory.path()).unwrap();
    assert!(directory.path().join("kept").exists() && directory.path().join("new").exists());
}
