//! What an evaluated PKGBUILD says, against `makepkg --printsrcinfo` on the same directory, byte for byte.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod evaluating;

use std::fs;
use std::path::Path;

use common::account::to_drop_to;
use common::build_list::Order;
use common::config::Config;
use common::metadata::Metadata;
use common::process::Command;
use common::source::SubRelease;
use evaluating::{PROGRAMS, metadata, port_of};
use testkit::need;

const CONF: &str = "CARCH=i686\nCHOST=i686-pc-linux-gnu\nPKGEXT=.pkg.tar.zst\nSRCEXT=.src.tar.gz\n";
/// What `overrides` prints on standard output, where makepkg leaves it among the result.
const NOISE: &str = "noise on stdout\n";

/// The files of `tests/pkgbuilds/`, and those that makepkg wants to see beside them.
const FILES: &[(&str, &str)] = &[
    ("overrides/PKGBUILD", include_str!("pkgbuilds/overrides")),
    ("overrides/overrides.install", ""),
    ("overrides/ChangeLog", ""),
    ("overrides/Other", ""),
    ("single/PKGBUILD", include_str!("pkgbuilds/single")),
    ("kernel/PKGBUILD", include_str!("pkgbuilds/kernel")),
    ("names/PKGBUILD", include_str!("pkgbuilds/names")),
    ("hooked/PKGBUILD", include_str!("pkgbuilds/hooked")),
];

#[test]
fn evaluation_says_the_same_as_makepkg() {
    if !need::programs(PROGRAMS) {
        return;
    }
    let (port, orders) = port_of(FILES);
    let metadata = metadata(&port);
    assert_eq!(orders.len(), 5);
    std::thread::scope(|scope| {
        for order in &orders {
            let metadata = &metadata;
            scope.spawn(move || {
                let ours = metadata.srcinfo_text(order).unwrap();
                let theirs = of_makepkg(metadata, order).replace(NOISE, "");
                assert_eq!(ours, theirs, "{}", order.pkgbase);
            });
        }
    });
}

fn of_makepkg(metadata: &Metadata, order: &Order) -> String {
    let directory = tempfile::tempdir_in("/tmp").unwrap();
    let path = directory.path().join("package");
    metadata.sources().checkout(order, SubRelease::None, &path).unwrap();
    let conf = path.join("makepkg.conf");
    common::atomic::write(&conf, CONF.as_bytes()).unwrap();
    let account = to_drop_to(&Config::default()).unwrap();
    if let Some(account) = &account {
        for directory in [directory.path(), &path] {
            std::os::unix::fs::chown(directory, Some(account.uid), None).unwrap();
        }
    }
    let finished = Command::new("makepkg")
        .args(["--printsrcinfo".as_ref(), "--config".as_ref(), conf.as_os_str()])
        .directory(&path)
        .account(account.as_ref())
        .env("HOME", "/tmp")
        .env("LANG", "C.UTF-8")
        .run()
        .unwrap();
    String::from_utf8(finished.stdout).unwrap()
}

#[test]
fn the_set_of_pkgbuilds_is_complete() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pkgbuilds");
    let count = fs::read_dir(directory).unwrap().count();
    let named = FILES.iter().filter(|(path, _)| path.ends_with("/PKGBUILD")).count();
    assert_eq!(count, named);
}
