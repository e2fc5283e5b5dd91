//! Metadata of orders: committed, evaluated, cached.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod evaluating;

use std::fs;

use evaluating::{PROGRAMS, metadata, orders, port_of};
use testkit::need;
use testkit::packaging::{FILE, Port};

#[test]
fn a_committed_srcinfo_is_taken_unless_something_is_laid_over_it() {
    if !need::programs(PROGRAMS) {
        return;
    }
    let pkgbuild = |name: &str| format!("pkgname={name}\npkgver=1\npkgrel=1\narch=(x86_64)\ndepends=(evaluated)\n");
    let srcinfo = |name: &str| {
        format!(
            "pkgbase = {name}\n\tpkgver = 1\n\tpkgrel = 1\n\tarch = x86_64\n\tdepends = committed\n\npkgname = {name}\n"
        )
    };
    let port = Port::new();
    port.packages.commit(&[
        ("plain/repos/core-x86_64/PKGBUILD", FILE, &pkgbuild("plain")),
        ("plain/repos/core-x86_64/.SRCINFO", FILE, &srcinfo("plain")),
        ("over/repos/core-x86_64/PKGBUILD", FILE, &pkgbuild("over")),
        ("over/repos/core-x86_64/.SRCINFO", FILE, &srcinfo("over")),
        ("junk/repos/core-x86_64/PKGBUILD", FILE, &pkgbuild("junk")),
        ("junk/repos/core-x86_64/.SRCINFO", FILE, "junk"),
    ]);
    port.community.commit(&[]);
    port.ours.commit(&[("core/over/new.patch", FILE, "")]);
    let infos = metadata(&port).srcinfos(&orders(&port));
    let depends: Vec<String> = infos
        .values()
        .map(|info| info.as_ref().unwrap().depends[0].to_string())
        .collect();
    assert_eq!(depends, ["evaluated", "evaluated", "committed"]);
}

#[test]
fn what_is_cached_is_not_evaluated_again() {
    if !need::programs(PROGRAMS) {
        return;
    }
    let (port, orders) = port_of(&[(
        "a/PKGBUILD",
        "pkgname=a\npkgver=1.$RANDOM$RANDOM\npkgrel=1\narch=(any)\n",
    )]);
    let first = metadata(&port).srcinfo(&orders[0]).unwrap();
    assert_eq!(metadata(&port).srcinfo(&orders[0]).unwrap(), first);
    fs::remove_dir_all(port.directory.path().join("work/metadata")).unwrap();
    assert_ne!(metadata(&port).srcinfo(&orders[0]).unwrap().version, first.version);
}

#[test]
fn callers_at_one_time_evaluate_a_content_once() {
    if !need::programs(PROGRAMS) {
        return;
    }
    let (port, orders) = port_of(&[(
        "a/PKGBUILD",
        "pkgname=a\npkgver=1.$RANDOM$RANDOM\npkgrel=1\narch=(any)\n",
    )]);
    let tools: Vec<_> = (0..6).map(|_| metadata(&port)).collect();
    let versions = std::thread::scope(|scope| {
        let order = &orders[0];
        let threads: Vec<_> = tools
            .iter()
            .map(|tool| scope.spawn(move || tool.srcinfo(order).unwrap().version))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect::<std::collections::BTreeSet<_>>()
    });
    assert_eq!(versions.len(), 1, "{versions:?}");
    let kept = fs::read_dir(port.directory.path().join("work/metadata")).unwrap();
    assert_eq!(kept.count(), 1);
}
