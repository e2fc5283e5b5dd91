//! The retry ladder with the real build command: what fails in a plain clean chroot, and the straw that repairs it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers, too")]

use std::path::{Path, PathBuf};

use common::process::Command;
use tempfile::TempDir;
use testkit::need;
use testkit::tool::{Ended, Tool, directory, must};

const LADDER: &str = ": :clean_chroot: :mirrored_source_by_hash: :mirrored_source: :with_build_support: :without_check: \
    :with_/dev/fuse:";
/// SHA-256 of `content` and a newline.
const CONTENT: &str = "434728a410a78f56fc1b5899c3593436e61ab0c731e9072d95e96db290205e53";

/// A packager's machine with a repository that only builds use.
struct Laptop(TempDir);

impl Laptop {
    fn new() -> Option<Self> {
        if !need::programs(&["bwrap", "unshare", "newuidmap", "pacman", "makepkg", "repo-add"]) {
            return None;
        }
        let mirror = need::directory("PORTSMITH_TEST_MIRROR")?;
        let laptop = Self(tempfile::tempdir().unwrap());
        must(Command::new("chmod").arg("755").arg(laptop.path("")));
        for name in ["keyring", "work", "support"] {
            std::fs::create_dir(laptop.path(name)).unwrap();
        }
        let config = format!(
            "pacman_conf='{0}/host.conf'\nmakepkg_conf='{0}/makepkg.conf'\nchroot_dir='{1}'\nkeyring='{2}/keyring'\n\
             work_dir='{2}/work'\nstraws='{LADDER}'\n\
             build_options__with_build_support='--repo build-support=file://{2}/support'\n\
             source_by_hash_mirror='file://{2}/by-hash'\nsource_archive_mirror='file://{2}/archives'\n",
            mirror.display(),
            directory().join("../test-chroots/straws").display(),
            laptop.0.path().display()
        );
        laptop.write("portsmith.conf", &config);
        Some(laptop)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        common::atomic::create_directory(self.path(name).parent().unwrap()).unwrap();
        common::atomic::write(&self.path(name), text.as_bytes()).unwrap();
    }

    fn tool(&self, name: &str, arguments: &[&str], directory: &Path) -> Ended {
        let tool = Tool::new(name).args(arguments).directory(directory);
        tool.env("PORTSMITH_CONFIG", self.path("portsmith.conf"))
            .env("HOME", self.path(""))
            .run()
    }

    /// Puts a package into the repository for builds.
    fn support(&self, pkgname: &str) {
        self.package(pkgname, "");
        self.tool("archbuild", &["build", "-q"], &self.path(pkgname)).expect(0);
        let file = format!("{pkgname}-1-1-any.pkg.tar.zst");
        std::fs::rename(self.path(pkgname).join(&file), self.path("support").join(&file)).unwrap();
        must(
            Command::new("repo-add")
                .args(["-q", "build-support.db.tar.gz", &file])
                .directory(self.path("support")),
        );
    }

    fn package(&self, pkgname: &str, lines: &str) {
        let text = format!("pkgname={pkgname}\npkgver=1\npkgrel=1\narch=(any)\npackage() {{ :; }}\n{lines}\n");
        self.write(&format!("{pkgname}/PKGBUILD"), &text);
    }

    /// Builds with the ladder; the straws that were tried, in their order, each with how it ended.
    fn climb(&self, pkgname: &str) -> Vec<String> {
        let local = format!("./{pkgname}");
        let ended = self
            .tool("build-packages", &["--local", &local], self.0.path())
            .expect(0);
        let tries = ended
            .stderr
            .lines()
            .filter(|line| line.contains(" with :") || line.ends_with(" with "));
        tries
            .filter_map(|line| line.split(": ").nth(2))
            .map(|what| what.trim_end_matches(", at last").trim_end().to_owned())
            .collect()
    }
}

#[test]
fn sources_that_upstream_no_longer_has_come_from_the_mirrors_with_the_real_build_command() {
    let Some(laptop) = Laptop::new() else { return };
    let gone = format!("source=(file:///gone/data)\nsha256sums=({CONTENT})\nbuild() {{ grep content data; }}");
    laptop.package("archived", &gone);
    laptop.write("archived/data", "content\n");
    laptop.write("archives/packages/x", "");
    must(
        Command::new("bsdtar")
            .args(["-czf", "archives/packages/archived-1-1.src.tar.gz", "archived"])
            .directory(laptop.0.path()),
    );
    std::fs::remove_file(laptop.path("archived/data")).unwrap();
    // The mirror by checksum has nothing yet.
    let tries = laptop.climb("archived");
    assert_eq!(tries.len(), 2, "{tries:?}");
    assert!(
        tries[0].starts_with("sources") && tries[1].ends_with(" :mirrored_source:"),
        "{tries:?}"
    );
    laptop.write(&format!("by-hash/{CONTENT}"), "content\n");
    laptop.package("hashed", &gone);
    let tries = laptop.climb("hashed");
    assert_eq!(tries.len(), 2, "{tries:?}");
    assert!(tries[1].ends_with(" :mirrored_source_by_hash:"), "{tries:?}");
}

#[test]
fn each_straw_repairs_what_it_is_for_with_the_real_build_command() {
    let Some(laptop) = Laptop::new() else { return };
    laptop.support("helper");
    for (pkgname, lines, last) in [
        ("needy", "makedepends=(helper)", ":with_build_support:"),
        ("untested", "check() { false; }", ":without_check:"),
        ("fused", "build() { test -c /dev/fuse; }", ":with_/dev/fuse:"),
    ] {
        if pkgname == "fused" && !Path::new("/dev/fuse").exists() {
            need::skip("there is no /dev/fuse");
            continue;
        }
        laptop.package(pkgname, lines);
        let tries = laptop.climb(pkgname);
        assert!(tries.len() >= 2, "{tries:?}");
        let (built, failed) = tries.split_last().unwrap();
        assert!(built.starts_with("built") && built.ends_with(last), "{tries:?}");
        assert!(!failed.iter().any(|line| line.starts_with("built")), "{tries:?}");
    }
}
