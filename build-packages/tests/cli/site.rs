//! A builder's surroundings: a master that answers as each test wants, a packaging repository, a build command.
//!
//! A real master cannot be made to answer 1, 4 or nothing at will, so a script stands in for ssh here; the end-to-end
//! tests have the real one.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use common::process::Command;
use testkit::packaging::{FILE, Remote, srcinfo};
use testkit::tool::{Ended, Tool, must};

/// Answers as the files beside it say: `answers/<tool>` has one exit code a line, the last one stays. Keeps what it was
/// called with and what was uploaded.
const SSH: &str = r#"#!/bin/bash
here=$(dirname "$0")
echo "$*" >>"$here/calls"
case " $* " in *" ping-from-builder "*) exit 0 ;; esac
while [ $# -gt 0 ] && [ "$1" != get-assignment ] && [ "$1" != return-assignment ]; do shift; done
answers=$here/answers/$1
code=$(head -n 1 "$answers")
[ "$(wc -l <"$answers")" -gt 1 ] && sed -i 1d "$answers"
case $1 in
  get-assignment) [ "$code" != 0 ] || cat "$here/assignment" ;;
  return-assignment) cat >"$here/upload.$(ls "$here" | grep -c upload)"; echo "because" >&2 ;;
esac
exit "$code"
"#;

/// The checksum of the package's source, by which a mirror may have it.
pub(crate) const SOURCE_SUM: &str = "5555555555555555555555555555555555555555555555555555555555555555";

const ZEROS: &str = "0000000000000000000000000000000000000000";

pub(crate) struct Site {
    root: tempfile::TempDir,
    pub(crate) revision: String,
}

impl Site {
    /// A builder whose build command is this script.
    pub(crate) fn new(build: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let remote = Remote::new(&root.path().join("packages.git"));
        let pkgbuild = "pkgname=a\npkgver=1\npkgrel=1\narch=(any)\n";
        // Committed, so that nothing has to be evaluated.
        let sum = SOURCE_SUM;
        let srcinfo = srcinfo(
            "a",
            &["source = https://gone.example/a.tar", &format!("sha256sums = {sum}")],
        );
        let revision = remote
            .commit(&[
                ("a/repos/core-any/PKGBUILD", FILE, pkgbuild),
                ("a/repos/core-any/.SRCINFO", FILE, &srcinfo),
            ])
            .to_string();
        let site = Self { root, revision };
        std::fs::create_dir_all(site.path("answers")).unwrap();
        site.script("ssh", SSH);
        site.script(
            "build",
            &format!(
                "#!/bin/bash\necho \"$*\" >>'{}'\n{build}",
                site.path("builds").display()
            ),
        );
        site.answer("get-assignment", "0\n3\n");
        site.answer("return-assignment", "0\n");
        site.write("assignment", &format!("{} 0\na-1-1.0-any.pkg.tar.zst\n", site.order()));
        let config = format!(
            "builder_name=one\nmaster=ssh://slave@master.example:2222\nmaster_identity=/keys/id\nssh_command='{}'\n\
             work_dir='{}'\nrepo_names=packages\nrepo_paths__packages='{}'\nbuild_command='{}'\n\
             require_signatures=no\nfree_disk_mib=0\nretry_pause_seconds=1\nstraws=': :clean_chroot: :without_check:'\n",
            site.path("ssh").display(),
            site.path("work").display(),
            site.path("packages.git").display(),
            site.path("build").display(),
        );
        site.write("builder.conf", &config);
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        common::atomic::write(&self.path(name), text.as_bytes()).unwrap();
    }

    pub(crate) fn script(&self, name: &str, text: &str) {
        self.write(name, text);
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn answer(&self, tool: &str, codes: &str) {
        self.write(&format!("answers/{tool}"), codes);
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) fn order(&self) -> String {
        format!("a {} {ZEROS} core", self.revision)
    }

    /// Adds lines to the configuration.
    pub(crate) fn configure(&self, lines: &str) {
        self.write("builder.conf", &format!("{}{lines}", self.read("builder.conf")));
    }

    /// build-packages with a home of its own.
    pub(crate) fn tool(&self, words: &[&str]) -> Tool {
        Tool::new("build-packages")
            .env("HOME", self.root.path())
            .args(["--config".as_ref(), self.path("builder.conf").as_os_str()])
            .args(words)
    }

    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        self.tool(words).run()
    }

    /// All text of the logs in the n-th uploaded archive.
    pub(crate) fn uploaded_logs(&self, number: usize) -> String {
        must(
            Command::new("sh")
                .args(["-c", "bsdtar -xOf \"$0\" | zcat"])
                .arg(self.path(&format!("upload.{number}"))),
        )
    }

    /// The members of the n-th uploaded archive.
    pub(crate) fn uploaded(&self, number: usize) -> Vec<String> {
        let listing = must(
            Command::new("bsdtar")
                .arg("-tf")
                .arg(self.path(&format!("upload.{number}"))),
        );
        listing.lines().map(str::to_owned).collect()
    }

    pub(crate) fn outbox(&self) -> usize {
        std::fs::read_dir(self.path("work/outbox")).unwrap().count()
    }
}
