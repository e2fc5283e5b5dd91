//! Metadata of orders: committed, evaluated, cached; PKGBUILDs that do what they should not.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use common::account::{DEFAULT_ACCOUNT, to_drop_to};
use common::build_list::Order;
use common::metadata::{Metadata, MetadataError};
use common::process::Command;
use common::source::{Sources, SubRelease};
use common::work_dir::WorkDir;
use testkit::need;
use testkit::packaging::{FILE, Port};

const PROGRAMS: &[&str] = &["bwrap", "makepkg", "prlimit"];

/// A port whose `packages` has these PKGBUILDs in core, and the orders for them.
fn port_of(pkgbuilds: &[(&str, &str)]) -> (Port, Vec<Order>) {
    let port = Port::new();
    let paths: Vec<String> = pkgbuilds
        .iter()
        .map(|(name, _)| format!("{name}/repos/core-x86_64/PKGBUILD"))
        .collect();
    let files: Vec<_> = paths
        .iter()
        .zip(pkgbuilds)
        .map(|(path, (_, text))| (path.as_str(), FILE, *text))
        .collect();
    port.packages.commit(&files);
    port.community.commit(&[]);
    port.ours.commit(&[("core/over/new.patch", FILE, "")]);
    let orders = orders(&port);
    (port, orders)
}

fn orders(port: &Port) -> Vec<Order> {
    let sources = Sources::open(&port.config()).unwrap();
    sources.fetch().unwrap();
    let heads = sources.heads().unwrap();
    let view = sources.merged_view(&heads).unwrap();
    view.iter()
        .map(|(name, package)| sources.order(&heads, name, package))
        .collect()
}

fn metadata(port: &Port) -> Metadata {
    let config = port.config();
    Metadata::open(&config, &WorkDir::open(&config).unwrap()).unwrap()
}

const SPLIT: &str = r#"
pkgbase=split
pkgname=('split' "split-libs" split-doc)
pkgver=1.0+r3+gabc
pkgrel=2
epoch=1
pkgdesc='it is  "quoted"'
arch=('x86_64')
license=('GPL')
groups=(g)
makedepends=('cmake>=3' "foo<9")
checkdepends=(python)
depends=(glibc "bar=${pkgver}-${pkgrel}")
depends_i686=(only32)
source=("a-$pkgver.tar.gz::https://localhost/a.tar.gz" 'fix.patch')
sha256sums=('SKIP' 'SKIP')
echo "noise on stdout"
pkgver() { echo 9; }
_helper() { true; }
package_split() { depends+=(split-libs="$pkgver"); optdepends=('x: y'); provides=("s=$pkgver"); }
package_split-libs() {
  pkgdesc="libs"
  groups=()
  depends=('glibc')
  if true; then
    provides=(libsplit.so)
  fi
  cat <<END
depends=(not-this)
END
}
package_split-doc() { arch=(any); depends=(); conflicts=('old' "older<$pkgver"); }
"#;

#[test]
fn evaluation_says_the_same_as_makepkg() {
    if !need::programs(PROGRAMS) {
        return;
    }
    let single =
        "pkgname=single\npkgver=2\npkgrel=1\npkgdesc=x\narch=(any)\nlicense=(MIT)\npackage() { depends=(a b); }\n";
    let (port, orders) = port_of(&[("split", SPLIT), ("single", single)]);
    let metadata = metadata(&port);
    for order in &orders {
        metadata.srcinfo(order).unwrap();
        let content = metadata.sources().content(order).unwrap().id().clone();
        let kept = port.directory.path().join(format!("work/metadata/{content}.srcinfo"));
        let ours = fs::read_to_string(kept).unwrap();
        let directory = tempfile::tempdir_in("/tmp").unwrap();
        let path = directory.path().join("package");
        metadata.sources().checkout(order, SubRelease::None, &path).unwrap();
        let account = to_drop_to(DEFAULT_ACCOUNT).unwrap();
        let conf = "CARCH=i686\nCHOST=i686-pc-linux-gnu\nPKGEXT=.pkg.tar.zst\nSRCEXT=.src.tar.gz\n";
        common::atomic::write(&path.join("makepkg.conf"), conf.as_bytes()).unwrap();
        if let Some(account) = &account {
            for directory in [directory.path(), &path] {
                std::os::unix::fs::chown(directory, Some(account.uid), None).unwrap();
            }
        }
        let theirs = Command::new("makepkg")
            .args(["--printsrcinfo", "--config"])
            .arg(path.join("makepkg.conf"))
            .directory(&path)
            .account(account.as_ref())
            .env("HOME", "/tmp")
            .env("LANG", "C.UTF-8")
            .run()
            .unwrap();
        let theirs = String::from_utf8(theirs.stdout)
            .unwrap()
            .replace("noise on stdout\n", "");
        assert_eq!(ours, theirs);
    }
}

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
    let (port, orders) = port_of(&[("a", "pkgname=a\npkgver=1.$RANDOM$RANDOM\npkgrel=1\narch=(any)\n")]);
    let first = metadata(&port).srcinfo(&orders[0]).unwrap();
    assert_eq!(metadata(&port).srcinfo(&orders[0]).unwrap(), first);
    fs::remove_dir_all(port.directory.path().join("work/metadata")).unwrap();
    assert_ne!(metadata(&port).srcinfo(&orders[0]).unwrap().version, first.version);
}

#[test]
fn hostile_pkgbuilds_touch_nothing_and_cost_a_bounded_time() {
    if !need::programs(PROGRAMS) {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let canary = tempfile::tempdir_in("/tmp").unwrap();
    let path = canary.path().join("canary").display().to_string();
    fs::set_permissions(canary.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let good = |name: &str| format!("pkgname={name}\npkgver=1\npkgrel=1\narch=(any)\n");
    let address = listener.local_addr().unwrap();
    let port_number = address.port();
    let texts = [
        (
            "writes",
            format!("{}touch {path} /usr/canary /startdir/canary\ntrue\n", good("writes")),
        ),
        (
            "removes",
            format!("{}rm -rf --no-preserve-root / 2>/dev/null\ntrue\n", good("removes")),
        ),
        (
            "network",
            format!("{}(: </dev/tcp/127.0.0.1/{port_number})\ntrue\n", good("network")),
        ),
        (
            "reads",
            format!(
                "{}[[ -e /etc/passwd || -e /root || -e /home || -e {path} ]] && pkgver=9\ntrue\n",
                good("reads")
            ),
        ),
        (
            "root",
            format!(
                "{}[[ -w /proc/sys/kernel/core_pattern ]] && pkgver=9\ntrue\n",
                good("root")
            ),
        ),
        ("names", format!("{}pkgbase=../../names\n", good("names"))),
        ("other", good("canary")),
        ("ends", "exit 0\n".to_owned()),
        ("broken", "pkgname=(\n".to_owned()),
        (
            "prints",
            format!(
                "{}for i in {{1..40}}; do printf '%1000000s' x >&3; done\n",
                good("prints")
            ),
        ),
        (
            "forks",
            format!("{}f() {{ f | f & }}; f 2>/dev/null; true\n", good("forks")),
        ),
        ("zloops", "while :; do :; done\n".to_owned()),
    ];
    let texts: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let (port, orders) = port_of(&texts);
    let start = Instant::now();
    let infos = metadata(&port).srcinfos(&orders);
    assert!(start.elapsed() < Duration::from_secs(100), "{:?}", start.elapsed());
    assert_eq!(infos.len(), orders.len());
    for name in ["reads", "root", "writes", "removes", "network"] {
        let info = infos[name].as_ref().unwrap();
        assert_eq!(info.version.as_str(), "1-1", "{name}");
    }
    for name in ["names", "other", "ends", "broken", "prints", "zloops"] {
        let error = infos[name].as_ref().unwrap_err();
        assert!(error.is_of_content(), "{name}: {error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    assert!(matches!(infos["other"], Err(MetadataError::OtherPkgbase { .. })));
    assert!(!canary.path().join("canary").exists() && !std::path::Path::new("/usr/canary").exists());
    assert!(listener.accept().is_err(), "it reached the network");
}
