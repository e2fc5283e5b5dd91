//! The whole way: git → build list → ssh → clean chroot → signed packages → staging → testing → stable → pacman.
//!
//! Real git, sshd, makepkg, gpg and pacman carry some packages of the demo port through every tool.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::path::Path;

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

/// Installs packages of the stable repositories into an empty root, signatures required, and runs a command in it.
fn run_installed(port: &Port, packages: &[&str], command: &str) -> String {
    let root = port.path("installed");
    let configuration = port.path("stable.conf");
    let all = std::fs::read_to_string(port.path("pacman.conf")).unwrap();
    let stable: String = all
        .split_inclusive("[")
        .collect::<String>()
        .split("\n[")
        .filter(|section| !section.starts_with("staging") && !section.starts_with("testing"))
        .filter(|section| !section.starts_with("community-"))
        .collect::<Vec<_>>()
        .join("\n[");
    common::atomic::write(&configuration, stable.as_bytes()).unwrap();
    let script = format!(
        "set -e; mkdir -p {root}/var/lib/pacman {root}/keys; cp -r {keys}/. {root}/keys; \
         pacman --noconfirm --noprogressbar --root {root} --dbpath {root}/var/lib/pacman --cachedir {root}/cache \
         --gpgdir {root}/keys --logfile /dev/null --config {conf} -Sy {packages} >&2; \
         bwrap --bind {root} / --dev /dev --proc /proc --unshare-pid sh -c '{command}'",
        root = root.display(),
        keys = port.keyring().path().display(),
        conf = configuration.display(),
        packages = packages.join(" "),
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

    let said = run_installed(
        &port,
        &["bash", "gzip", "gzrt", "figlet"],
        "printf hi | gzip | gzrecover -p; figlet -v",
    );
    assert!(said.starts_with("hi"), "{said}");
    assert!(
        said.contains("built by the demo port"),
        "the customization's patch is in: {said}"
    );

    bump_one_library(&port);
}

/// A new pkgrel of one library builds that library and nothing else.
fn bump_one_library(port: &Port) {
    let bump = Path::new(env!("CARGO_MANIFEST_DIR")).join("port/bump-pkgrel");
    must(Command::new(bump).arg(port.path("port")).arg("zlib"));
    tool_ok(port.master("get-package-updates"));
    assert_eq!(port.build_list(), ["zlib"]);
    build_everything(port, &["two"]);
    publish(port);
    let pool = std::fs::read_dir(port.path("repositories/pool")).unwrap();
    let rebuilt = pool
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name.starts_with("zlib-") && name.ends_with(".pkg.tar.zst"))
        .count();
    assert_eq!(rebuilt, 2, "both builds are in the pool");
    let journal = std::fs::read_to_string(port.path("master/journal")).unwrap();
    let returned = journal.lines().filter(|line| line.contains("\treturned\t")).count();
    assert_eq!(returned, PACKAGES.len() + 1, "{journal}");
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
