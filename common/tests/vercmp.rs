//! Versions are compared as the `vercmp` program of this machine's pacman compares them.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::cmp::Ordering;

use common::process::Command;
use common::srcinfo::Dependency;
use common::vercmp::vercmp;
use common::version::FullVersion;
use proptest::prelude::*;

/// What vercmp(8) says.
fn theirs(a: &str, b: &str) -> Ordering {
    let finished = Command::new("vercmp").args([a, b]).run();
    finished.unwrap().text().trim().parse::<i32>().unwrap().cmp(&0)
}

/// Versions with epochs, commits of git, tildes, letters, and a pkgrel that is whole, broken, empty or absent.
fn versions() -> impl Strategy<Value = String> {
    let epoch = prop::sample::select(vec!["", "", "0:", "1:", "10:", ":"]);
    let pkgver = "[0-9]{1,3}([._+~]?[0-9a-z]{1,3}){0,3}(\\\\+r[0-9]{1,3}\\\\+g[0-9a-f]{4})?(~rc[0-9]?)?";
    let pkgrel = prop::sample::select(vec!["", "", "-", "-1", "-2", "-1.1", "-1.10"]);
    (epoch, pkgver, pkgrel).prop_map(|(epoch, pkgver, pkgrel)| format!("{epoch}{pkgver}{pkgrel}"))
}

/// Two versions, often nearly the same.
fn pairs() -> impl Strategy<Value = (String, String)> {
    let nearly = (
        versions(),
        prop::sample::select(vec!["", ".0", "a", "~", "+1", "-1", "rc1"]),
    )
        .prop_map(|(version, more)| (version.clone(), format!("{version}{more}")));
    prop_oneof![(versions(), versions()), nearly]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn versions_are_compared_as_by_the_program((a, b) in pairs()) {
        if !testkit::need::programs(&["vercmp"]) {
            return Ok(());
        }
        let ours = vercmp(&a, &b);
        prop_assert_eq!(ours, theirs(&a, &b), "{} {}", a, b);
        prop_assert_eq!(vercmp(&b, &a), ours.reverse());
        if let (Ok(one), Ok(other)) = (a.parse::<FullVersion>(), b.parse::<FullVersion>()) {
            prop_assert_eq!(one.cmp(&other), ours);
        }
        for (sign, holds) in [("<", ours.is_lt()), ("<=", ours.is_le()), ("=", ours.is_eq()), (">=", ours.is_ge()), (">", ours.is_gt())] {
            prop_assert_eq!(Dependency::parse(&format!("x{sign}{b}")).accepts_version(&a), holds, "{} {} {}", a, sign, b);
        }
    }
}

#[test]
fn versions_that_differ_in_unusual_ways_are_compared_as_by_the_program() {
    if !testkit::need::programs(&["vercmp"]) {
        return;
    }
    for (a, b) in [
        ("1.0+r12+gabcdef-1", "1.0+r9+gfedcba-1"),
        ("1.0~rc1-1", "1.0-1"),
        ("1:1-1", "2-1"),
        ("0:1-1", "1-1"),
        ("1-", "1"),
        ("1-1", "1"),
        ("1.0.", "1.0"),
        ("1.0a", "1.0.a"),
        ("", "1"),
        ("", ""),
        ("007", "7"),
        ("1.0-1.10", "1.0-1.9"),
        ("99999999999999999999", "99999999999999999998"),
        ("1.0.", "1.0"),
        ("1.0.", "1.0-"),
        ("1.0.", "1.0..1"),
        ("1..0", "1.0"),
        ("1.0rc", "1.0"),
        ("1.0.rc", "1.0"),
        ("1.0", "1.0.1"),
        ("a", "1"),
        ("a1", "a.1"),
        (".1", "1"),
        ("000", "0"),
        ("é1", "1"),
        (":1-1", "0:1-1"),
        ("1:", "0"),
        ("a:1-1", "1-1"),
        ("1-2-3", "1-2"),
    ] {
        assert_eq!(vercmp(a, b), theirs(a, b), "{a:?} {b:?}");
        assert_eq!(vercmp(b, a), theirs(b, a), "{b:?} {a:?}");
    }
}

#[test]
fn a_nul_ends_a_version() {
    assert_eq!(vercmp("1\0.2", "1"), Ordering::Equal);
    assert!(Dependency::parse("a>=1\0").accepts_version("1"));
}
