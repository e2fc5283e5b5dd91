//! A machine whose entry of binfmt_misc names an interpreter that has to be in the chroot, and whose kernel gives user
//! namespaces no entries of their own: one before Linux 6.7, with an interpreter registered without the flag F.
//!
//! This machine plays it: a user namespace with all ids has such an entry, and the mount of another binfmt_misc fails.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers, too")]

mod place;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::process::{Command, Finished};
use place::Place;
use testkit::need;
use testkit::tool::{must, program};

const INTERPRETER: &str = "usr/bin/qemu-aarch64-static";

/// mount(2) of a kernel that lets nobody but root mount binfmt_misc.
const OLD_MOUNT: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
typedef int call(const char *, const char *, const char *, unsigned long, const void *);
int mount(const char *from, const char *to, const char *kind, unsigned long flags, const void *data) {
  if (kind && !strcmp(kind, "binfmt_misc")) { errno = EPERM; return -1; }
  return ((call *)dlsym(RTLD_NEXT, "mount"))(from, to, kind, flags, data);
}
"#;

/// Stands in for unshare: what runs in the new namespace has that mount(2).
const UNSHARE: &str = r#"#!/bin/sh
here=@here@
options=
while case $1 in -*) ;; *) false ;; esac; do options="$options $1"; shift; done
exec "$here/unshare.real" $options env LD_PRELOAD="$here/old-mount.so" "$@"
"#;

/// Runs a script of sh as root of the other machine; none where this one cannot play it.
fn on_the_other_machine(place: &Place, script: &str) -> Option<Finished> {
    if !nix::unistd::geteuid().is_root() {
        need::skip("only root can give a namespace all ids");
        return None;
    }
    let here = place.path("");
    let at = here.display();
    place.write("old-mount.c", OLD_MOUNT);
    must(
        Command::new("cc")
            .args(["-shared", "-fPIC", "-o", "old-mount.so", "old-mount.c"])
            .directory(&here),
    );
    place.write("unshare", &UNSHARE.replace("@here@", &at.to_string()));
    must(
        Command::new("cp")
            .args(["/usr/bin/unshare", "unshare.real"])
            .directory(&here),
    );
    must(Command::new("mkfifo").args(["begun", "go"]).directory(&here));
    must(
        Command::new("chmod")
            .args(["755", ".", "unshare", "old-mount.so"])
            .directory(&here),
    );
    let script = format!(
        "cd '{at}'; echo >begun; read _ <go
         mount --make-rprivate / && mount -t binfmt_misc none /proc/sys/fs/binfmt_misc || exit 77
         line=$('{archbuild}' binfmt -n) || exit 78
         echo \"${{line%PF}}\" >/proc/sys/fs/binfmt_misc/register && mount --bind unshare /usr/bin/unshare || exit 79
         archbuild='{archbuild}'
         {script}",
        archbuild = program("archbuild").display(),
    );
    let unshare = ["--user", "--mount", "sh", "-c", &script];
    let command = Command::new("unshare").args(unshare);
    let child = command
        .env("PORTSMITH_CONFIG", place.path("portsmith.conf"))
        .spawn()
        .unwrap();
    fs::read(place.path("begun")).unwrap();
    for map in ["uid_map", "gid_map"] {
        write(
            &Path::new("/proc").join(child.id().to_string()).join(map),
            "0 0 4294967295\n",
        );
    }
    write(&place.path("go"), "\n");
    let finished = child.wait().unwrap();
    if finished.status.code() == Some(77) {
        need::skip("a user namespace cannot mount binfmt_misc before Linux 6.7");
        return None;
    }
    Some(finished)
}

#[expect(clippy::disallowed_methods, reason = "a pipe, and files of the kernel, are no state")]
fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

#[test]
fn an_interpreter_that_has_to_be_in_the_chroot_is_there_and_stays_nowhere() {
    if !need::programs(&["qemu-aarch64-static", "cc", "mkfifo"]) || std::env::consts::ARCH == "aarch64" {
        return;
    }
    let Some(place) = Place::foreign_with_chroots("aarch64", "interpreter") else {
        return;
    };
    place.package(
        "guest",
        &format!(
            "pkgname=guest\npkgver=1\npkgrel=1\narch=(any)\nmakedepends=(flex)\n\
             build() {{ test $(uname -m) = aarch64 && test -x /{INTERPRETER} && flex --version; }}\n\
             package() {{ install -d \"$pkgdir/usr/share/guest\"; }}\n"
        ),
    );
    place.archbuild(&["clean", "--all"]).run().expect(0);
    let script = "$archbuild create -q && $archbuild run -- uname -m && cd guest && $archbuild build -q --keep always";
    let Some(finished) = on_the_other_machine(&place, script) else {
        return;
    };
    let said = String::from_utf8_lossy(&finished.stderr).into_owned();
    assert_eq!(finished.text(), "aarch64\nguest-1-1-any.pkg.tar.zst", "{said}");
    let package = &place.packages_of("guest")[0];
    let members = must(Command::new("bsdtar").arg("-tf").arg(package));
    assert!(!members.contains("bin"), "{members}");
    let chroots = place.chroots().join("aarch64");
    let found = must(
        Command::new("find")
            .args([".roots", "layers", "copies", "-path"])
            .arg(format!("*/{INTERPRETER}"))
            .directory(&chroots),
    );
    let found: Vec<&str> = found.lines().collect();
    // In a copy that was kept there is one, beside what the build changed.
    assert!(found.len() == 1 && found[0].starts_with("copies/"), "{found:?}");
    assert!(!found[0].contains("/upper/"), "{found:?}");
    assert!(fs::metadata(chroots.join(found[0])).unwrap().permissions().mode() & 0o111 == 0o111);
    let layers = fs::read_dir(chroots.join("layers")).unwrap();
    assert!(
        layers.count() > 1,
        "the dependencies were installed in such a copy, too"
    );
    place.archbuild(&["clean", "--all"]).run().expect(0);
}
