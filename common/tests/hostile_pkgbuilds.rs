//! PKGBUILDs that do what they should not: they touch nothing, cost a bounded time, and the others go on.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod evaluating;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::metadata::{Infos, MetadataError, SandboxError};
use evaluating::{PROGRAMS, metadata, port_of};
use testkit::need;

/// The metadata of packages that say what every package says, and then do something.
fn evaluate(deeds: &[(&str, String)]) -> Infos {
    let files: Vec<(String, String)> = deeds
        .iter()
        .map(|(name, deed)| {
            let text = format!("pkgname={name}\npkgver=1\npkgrel=1\narch=(any)\n{deed}\ntrue\n");
            (format!("{name}/PKGBUILD"), text)
        })
        .collect();
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    let (port, orders) = port_of(&files);
    let infos = metadata(&port).srcinfos(&orders);
    assert_eq!(infos.len(), deeds.len());
    infos
}

fn failure<'a>(infos: &'a Infos, name: &str) -> &'a SandboxError {
    let error = infos[name].as_ref().unwrap_err();
    assert!(error.is_of_content() && error.to_string().contains(name), "{error}");
    match error {
        MetadataError::Evaluation { source, .. } => source,
        _ => panic!("{name}: {error}"),
    }
}

fn is_harmless(infos: &Infos, name: &str) -> bool {
    let info = infos[name].as_ref();
    info.is_ok_and(|info| info.version.as_str() == "1-1" && info.depends.is_empty())
}

#[test]
fn the_machine_is_neither_touched_nor_seen() {
    if !need::programs(PROGRAMS) {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap().port();
    let canary = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(canary.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let path = canary.path().join("canary").display().to_string();
    let parent = canary.path().display();
    let infos = evaluate(&[
        ("substitutes", format!("pkgdesc=\"$(touch {path})\"")),
        ("writes", format!("touch {path} /usr/canary /startdir/canary /canary")),
        // Not all of it, which takes long where the machine has much in /usr.
        (
            "removes",
            "exec 2>/dev/null; rm -rf /usr/share/makepkg /usr/bin; timeout 2 rm -rf --no-preserve-root /".to_owned(),
        ),
        ("connects", format!("(: </dev/tcp/127.0.0.1/{address})")),
        (
            "reads",
            format!("[[ -e /etc/passwd || -e /root || -e /home || -e {parent} ]] && pkgver=9"),
        ),
        ("rises", "[[ -w /proc/sys/kernel/core_pattern ]] && pkgver=9".to_owned()),
        (
            "unlimits",
            "ulimit -t unlimited || ulimit -v unlimited || ulimit -u 9999 || pkgver=1".to_owned(),
        ),
        (
            "inherits",
            "[[ $(env | grep -c PORTSMITH) == 0 ]] || pkgver=9".to_owned(),
        ),
        (
            "finds",
            "pkgver=0; for fd in {3..255}; do [[ -e /proc/$$/fd/$fd ]] && ((++pkgver)); done".to_owned(),
        ),
        ("kills", "kill -9 -1 1 $PPID".to_owned()),
        (
            "looks",
            "[[ $(ls -d /proc/[0-9]* | wc -l) -lt 6 ]] || pkgver=9".to_owned(),
        ),
    ]);
    for name in [
        "substitutes",
        "writes",
        "removes",
        "connects",
        "reads",
        "rises",
        "unlimits",
        "inherits",
        "finds",
        "looks",
    ] {
        assert!(is_harmless(&infos, name), "{name}: {:?}", infos[name]);
    }
    assert!(!Path::new(&path).exists() && !Path::new("/usr/canary").exists());
    assert!(Path::new("/usr/share/makepkg").exists());
    assert!(listener.accept().is_err(), "it reached the network");
}

#[test]
fn time_memory_and_output_have_bounds() {
    if !need::programs(PROGRAMS) {
        return;
    }
    let every = "for fd in {1..255}; do [[ -e /proc/self/fd/$fd ]] &&";
    let infos = evaluate(&[
        ("loops", "while :; do :; done".to_owned()),
        ("waits", "trap '' TERM HUP INT; sleep 1000; sleep 1000".to_owned()),
        ("stays", "sleep 1000 & disown".to_owned()),
        ("forks", "f() { f | f & }; f 2>/dev/null".to_owned()),
        ("prints", format!("{every} yes | head -c 10G >&$fd; done")),
        (
            "insists",
            format!("trap '' PIPE; printf -v x %99999s; {every} while :; do echo $x; done >&$fd; done"),
        ),
        ("grows", "x=x; while :; do x+=$x; done".to_owned()),
        (
            "multiplies",
            "for i in {1..10}; do dd if=/dev/zero of=/dev/null bs=200M & done; wait".to_owned(),
        ),
        (
            "fills",
            "for i in {1..9}; do head -c 10G /dev/zero >/tmp/$i; done".to_owned(),
        ),
        ("zgood", String::new()),
    ]);
    // Which of the limits holds first depends on the machine.
    for name in ["loops", "waits"] {
        let error = failure(&infos, name);
        assert!(matches!(error, SandboxError::Failed(_)), "{name}: {error}");
    }
    assert!(failure(&infos, "grows").to_string().contains("cannot allocate"));
    for name in ["prints", "insists"] {
        let error = failure(&infos, name);
        // Its processor time may end before its output does.
        let is_bounded = matches!(error, SandboxError::Output | SandboxError::Failed(_));
        assert!(is_bounded, "{name}: {error}");
    }
    let error = failure(&infos, "multiplies");
    assert!(matches!(error, SandboxError::Memory), "{error}");
    for name in ["zgood", "stays", "fills"] {
        assert!(is_harmless(&infos, name), "{name}: {:?}", infos[name]);
    }
}

#[test]
fn a_pkgbuild_speaks_for_itself_alone_and_only_as_one_that_was_evaluated() {
    if !need::programs(PROGRAMS) {
        return;
    }
    let forged = |name: &str| format!("pkgbase = {name}\\n\\tpkgver = 6\\n\\tpkgrel = 6\\n\\npkgname = {name}\\n");
    let everywhere = |text: &str| format!("for fd in {{1..255}}; do {{ printf '{text}' >&$fd; }} 2>/dev/null; done");
    let frame = |text: &str| format!("{text}# end of the evaluation\\n");
    let deeds = [
        ("adds", everywhere(&forged("adds"))),
        ("ends", "exit 0".to_owned()),
        ("replaces", format!("{}; exit 0", everywhere(&forged("replaces")))),
        ("doubles", everywhere(&frame(&forged("doubles")))),
        (
            "impersonates",
            format!("{}; exit 0", everywhere(&frame(&forged("victim")))),
        ),
        ("renames", "pkgbase=victim".to_owned()),
        ("escapes", "pkgbase=../../escapes".to_owned()),
        (
            "reaches",
            "for pipe in /proc/[0-9]*/fd/*; do printf 'pkgbase = victim\\n' >\"$pipe\"; done".to_owned(),
        ),
        ("closes", "for fd in {3..255}; do eval \"exec $fd>&-\"; done".to_owned()),
        ("victim", String::new()),
    ];
    let infos = evaluate(&deeds);
    assert!(is_harmless(&infos, "victim"), "{:?}", infos["victim"]);
    // A pipe of root's cannot be opened again, one of an ordinary user can.
    assert!(infos["reaches"].is_err() || is_harmless(&infos, "reaches"));
    for (name, _) in deeds.iter().filter(|(name, _)| !["victim", "reaches"].contains(name)) {
        let error = infos[*name].as_ref().unwrap_err();
        assert!(error.is_of_content() && error.to_string().contains(name), "{error}");
    }
    for name in ["ends", "replaces", "doubles"] {
        let error = failure(&infos, name);
        assert!(matches!(error, SandboxError::Frame), "{name}: {error}");
    }
    for name in ["impersonates", "renames"] {
        assert!(matches!(infos[name], Err(MetadataError::OtherPkgbase { .. })), "{name}");
    }
}
