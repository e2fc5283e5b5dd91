//! The whole way: git → build list → ssh → clean chroot → signed packages → staging → testing → stable → pacman.
//!
//! Real git, sshd, makepkg, gpg and pacman carry some packages of the demo port through every tool.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::path::{Path, PathBuf};

use common::process::Command;
use testkit::port::{Plan, Port, programs_with};
use testkit::tool::{self, Tool, must};

/// A library, a program that needs a version of it, one whose source only the mirror by checksum has, and a split one
/// with a customization.
const PACKAGES: &[&str] = &["zlib", "gzrt", "tree", "figlet"];

/// Runs builders side by side until there is nothing left to build for them.
fn build_everything(port: &Port, builders: &[&str]) {
    let start = |name: &&str| port.builder(name).args(["-n", "0", "-x"]).into_command().spawn();
    let running: Vec<_> = builders.iter().map(start).collect();
    for builder in running {
        let ended = builder.expect("build-packages starts").wait().expect("it ends");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(0), "{said}");
    }
}

/// Moves everything as far as it goes: staging to testing, then testing to stable.
fn publish(port: &Port) {
    for _ in 0..3 {
        tool_ok(port.master("db-update"));
    }
}

fn tool_ok(tool: Tool) -> tool::Ended {
    tool.run().expect(0)
}

/// The port's pacman.conf for a root that follows the stable repositories and, before them, those of some stages.
fn configuration(port: &Port, stages: &[&str]) -> PathBuf {
    let all = std::fs::read_to_string(port.path("pacman.conf")).unwrap();
    let is_followed = |section: &&str| {
        let name = section.split(']').next().unwrap_or_default();
        let of_stage = |stage: &&str| *name == **stage || name.ends_with(&format!("-{stage}"));
        !["staging", "testing"].iter().any(of_stage) || stages.iter().any(of_stage)
    };
    let followed: Vec<&str> = all.split("\n[").filter(is_followed).collect();
    let path = port.path("followed.conf");
    common::atomic::write(&path, followed.join("\n[").as_bytes()).unwrap();
    path
}

/// Runs pacman on one root, signatures required, and then a command in that root.
fn in_root(port: &Port, stages: &[&str], (pacman, command): (&str, &str)) -> String {
    let script = format!(
        "set -e; mkdir -p {root}/var/lib/pacman; [ -d {root}/keys ] || cp -r {keys} {root}/keys; \
         pacman --noconfirm --noprogressbar --root {root} --dbpath {root}/var/lib/pacman --cachedir {root}/cache \
         --gpgdir {root}/keys --logfile /dev/null --config {conf} {pacman} >&2; \
         bwrap --bind {root} / --dev /dev --proc /proc --unshare-pid sh -c '{command}'",
        root = port.path("installed").display(),
        keys = port.keyring().path().display(),
        conf = configuration(port, stages).display(),
    );
    // pacman wants to be root: a test that is not becomes it in a namespace.
    let is_root = must(Command::new("id").arg("-u")) == "0";
    let become_root: &[&str] = if is_root {
        &[]
    } else {
        &["--map-auto", "--map-root-user"]
    };
    must(
        Command::new("unshare")
            .args(become_root)
            .args(["--mount", "--fork", "--kill-child", "sh", "-c", &script])
            .env("HOME", port.path("")),
    )
}

/// The version of an installed package.
fn installed(port: &Port, pkgname: &str) -> String {
    let place = format!("var/lib/pacman/local/{pkgname}-");
    let local = port.path("installed/var/lib/pacman/local");
    let names = std::fs::read_dir(local).unwrap().map(|entry| entry.unwrap().path());
    let found: Vec<String> = names
        .filter_map(|path| Some(path.to_str()?.split_once(&place)?.1.to_owned()))
        .filter(|version| version.split('-').count() == 2)
        .collect();
    assert_eq!(found.len(), 1, "{pkgname}: {found:?}");
    found[0].clone()
}

#[test]
fn packages_go_the_whole_way_with_two_builders() {
    let plan = Plan {
        pkgbases: PACKAGES,
        builders: &["one", "two"],
        programs: tool::directory(),
    };
    let Some(port) = Port::make(&plan) else { return };
    tool_ok(port.master("get-package-updates"));
    let listed = port.build_list();
    assert_eq!(sorted(&listed), sorted(PACKAGES));
    let position = |name: &str| listed.iter().position(|listed| listed == name);
    assert!(position("zlib") < position("gzrt"), "{listed:?}");
    assert!(port.deletion_list().contains(&"lua".to_owned()), "blacklisted");
    assert!(port.deletion_list().contains(&"lua-json".to_owned()), "needs lua");

    build_everything(&port, &["one", "two"]);
    assert_eq!(port.build_list(), Vec::<String>::new());
    assert_eq!(port.published("staging"), ["tree", "zlib"]);
    assert_eq!(port.published("community-staging"), ["figlet", "figlet-fonts", "gzrt"]);
    assert!(port.published("core").is_empty());

    publish(&port);
    assert_eq!(port.published("core"), ["zlib"]);
    assert_eq!(port.published("extra"), ["tree"]);
    assert_eq!(port.published("community"), ["figlet", "figlet-fonts", "gzrt"]);
    assert!(port.published("staging").is_empty() && port.published("testing").is_empty());

    let said = in_root(
        &port,
        &[],
        (
            "-Sy bash gzip gzrt figlet",
            "printf hi | gzip | gzrecover -p; figlet -v",
        ),
    );
    assert!(said.starts_with("hi"), "{said}");
    assert!(
        said.contains("built by the demo port"),
        "the customization's patch is in: {said}"
    );

    let first = installed(&port, "zlib");
    let mut before = first.clone();
    for stage in ["staging", "testing", "stable"] {
        let previous = std::mem::replace(&mut before, upgrade_one_library(&port, stage));
        assert!(before > previous, "{stage}: {previous} is followed by {before}");
    }
    // Each of them counts once, and nothing else was built again.
    let journal = std::fs::read_to_string(port.path("master/journal")).unwrap();
    let returned = journal.lines().filter(|line| line.contains("\treturned\t")).count();
    assert_eq!(returned, PACKAGES.len() + 3, "{journal}");

    tool_ok(port.master("db-update").args(["--rollback"]));
    in_root(&port, &[], ("-Syu", "true"));
    assert_eq!(installed(&port, "zlib"), before, "nobody is downgraded without -Syuu");
    let said = in_root(&port, &[], ("-Syuu", "printf hi | gzip | gzrecover -p"));
    assert_eq!(said, "hi", "what needs the library works");
    assert!(installed(&port, "zlib") < before, "the root is back");
}

/// A new pkgrel of one library builds that library and nothing else, and a root that follows a stage gets it as soon as it
/// is there. Goes on to stable; says which version the root has.
fn upgrade_one_library(port: &Port, stage: &str) -> String {
    let bump = Path::new(env!("CARGO_MANIFEST_DIR")).join("port/bump-pkgrel");
    must(Command::new(bump).arg(port.path("port")).arg("zlib"));
    tool_ok(port.master("get-package-updates"));
    assert_eq!(port.build_list(), ["zlib"]);
    build_everything(port, &["two"]);
    let followed = match stage {
        "staging" => vec!["staging"],
        "testing" => {
            tool_ok(port.master("db-update"));
            vec!["testing"]
        }
        _ => {
            publish(port);
            Vec::new()
        }
    };
    let place = if stage == "stable" { "core" } else { stage };
    assert_eq!(port.published(place), ["zlib"]);
    let before = installed(port, "zlib");
    if stage != "stable" {
        in_root(port, &[], ("-Syu", "true"));
        assert_eq!(
            installed(port, "zlib"),
            before,
            "{stage}: who follows stable has nothing of it"
        );
    }
    in_root(port, &followed, ("-Syu", "true"));
    publish(port);
    installed(port, "zlib")
}

/// get-assignment in ten lines of shell: the first order on the list that waits for nothing on it and that nobody has.
const GET_ASSIGNMENT: &str = r#"#!/bin/bash
. "$2" # --config FILE
exec 9>>"$work_dir/build-list.lock"; flock 9
[ -s "$work_dir/build-list" ] || exit 3
while read -r pkgbase rev mod repo; do
  needs=$(sed -n "s/^$pkgbase //p" "$work_dir/build-graph" | tr ' ' '\n' | sed -n 's/^[a-z]*://p')
  grep -qxFf <(cut -d' ' -f1 "$work_dir/build-list") <<<"$needs" && continue
  mine=$(cat "$work_dir/package-states/$pkgbase.$rev.$mod.$repo.locked" 2>/dev/null || echo "$PORTSMITH_BUILDER")
  [ "$mine" = "$PORTSMITH_BUILDER" ] || continue
  echo "$mine" >"$work_dir/package-states/$pkgbase.$rev.$mod.$repo.locked"
  echo "$pkgbase $rev $mod $repo 0 assigned $(date +%s) $(date +%s) - 0 1" >"$work_dir/builders/$mine"
  echo "$pkgbase $rev $mod $repo 0"; exit 0
done <"$work_dir/build-list"; exit 2
"#;

#[test]
fn get_assignment_can_be_ten_lines_of_shell() {
    let programs = tempfile::tempdir().unwrap();
    let plan = Plan {
        pkgbases: &["zlib", "gzrt"],
        builders: &["one"],
        programs: programs_with(programs.path(), &[("get-assignment", GET_ASSIGNMENT)]),
    };
    let Some(port) = Port::make(&plan) else { return };
    tool_ok(port.master("get-package-updates"));
    build_everything(&port, &["one"]);
    assert_eq!(port.build_list(), Vec::<String>::new());
    publish(&port);
    assert_eq!(port.published("core"), ["zlib"]);
    assert_eq!(port.published("community"), ["gzrt"]);
}

fn sorted<S: AsRef<str>>(names: &[S]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(|name| name.as_ref().to_owned()).collect();
    names.sort();
    names
}
