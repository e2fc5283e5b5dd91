//! How builds end: whatever happens, no process, mount or copy stays. These tests have chroots of their own, in which
//! nobody else builds.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers, too")]

mod place;

use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::lock::{Lock, Mode, Patience};
use common::process::{Child, Command, Input};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use place::{NOTHING, Place, processes, wait_for_process, wait_until};
use testkit::need;
use testkit::tool::{must, program};

/// One test at a time, in this process and on this machine.
static ONE: Mutex<()> = Mutex::new(());

struct Alone {
    place: Place,
    _lock: Lock,
    _guard: MutexGuard<'static, ()>,
}

/// Seconds to sleep by which a process is found again, and told from those of other runs of these tests.
fn marker(number: u32) -> String {
    format!("{number}.{}", std::process::id())
}

fn alone() -> Option<Alone> {
    let guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let place = Place::with_chroots("alone")?;
    fs::create_dir_all(place.chroots().parent().unwrap()).unwrap();
    let patience = Patience::Bounded(std::time::Duration::from_secs(600));
    let lock = Lock::acquire(&place.chroots().with_extension("lock"), Mode::Exclusive, patience).unwrap();
    place.archbuild(&["clean"]).run().expect(0);
    assert!(place.copies().is_empty());
    Some(Alone {
        place,
        _lock: lock,
        _guard: guard,
    })
}

impl Alone {
    /// Starts a build and waits until its build() runs; returns it and the pid of a process of build().
    fn start(&self, marker: &str) -> (Child, i32) {
        let build = self.archbuild(&["build"], marker);
        let child = build.spawn().unwrap();
        let pid = wait_for_process(&format!("sleep {marker}"));
        assert_eq!(self.place.copies().len(), 1);
        (child, pid)
    }

    /// archbuild in the directory of a package that takes its time, and hears no signal that can be ignored.
    fn archbuild(&self, arguments: &[&str], marker: &str) -> Command {
        let text = format!("{NOTHING}build() {{ trap '' HUP INT TERM; sleep {marker}; }}\n");
        self.place.package("nothing", &text);
        let tool = self.place.archbuild(arguments);
        tool.directory(&self.place.path("nothing")).into_command()
    }

    #[track_caller]
    fn assert_nothing_is_left(&self, marker: &str) {
        wait_until("without processes", || {
            !processes()
                .iter()
                .any(|(_, line)| line.contains(marker) || line.contains(self.chroots()))
        });
        assert_eq!(self.place.copies(), Vec::<std::path::PathBuf>::new());
        self.assert_nothing_is_mounted();
    }

    #[track_caller]
    fn assert_nothing_is_mounted(&self) {
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        assert!(!mounts.contains(self.chroots()), "{mounts}");
    }

    fn chroots(&self) -> &str {
        self.place.chroots().to_str().unwrap()
    }
}

/// A process and its ancestors up to ours, from the inside out.
fn ancestors(mut pid: i32) -> Vec<i32> {
    let own = i32::try_from(std::process::id()).unwrap();
    let mut line = Vec::new();
    while pid > 1 && pid != own {
        line.push(pid);
        pid = status(pid, "PPid:").parse().unwrap_or(0);
    }
    line
}

fn status(pid: i32, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .unwrap_or_default();
    line.trim().to_owned()
}

#[test]
fn nothing_is_left_after_success_and_failure() {
    let Some(alone) = alone() else { return };
    for (lines, code) in [
        ("", 0),
        (&*format!("build() {{ setsid -f sleep {}; }}", marker(7001)), 0),
        (&*format!("build() {{ sleep {} & false; }}", marker(7001)), 1),
        ("depends=(no-such)", 2),
    ] {
        alone.place.package("nothing", &format!("{NOTHING}{lines}\n"));
        alone.place.build("nothing", &[]).expect(code);
        alone.assert_nothing_is_left(&marker(7001));
    }
}

#[test]
fn a_signal_ends_everything_with_code_6() {
    let Some(alone) = alone() else { return };
    let command = marker(7010);
    let run = ["run", "--", "sleep", &*command];
    for (signal, arguments, marker) in [
        (Signal::SIGTERM, ["build"].as_slice(), &*marker(7002)),
        (Signal::SIGINT, &["build", "--keep", "always"], &*marker(7003)),
        (Signal::SIGHUP, &["build", "--keep", "failure"], &*marker(7011)),
        (Signal::SIGTERM, &run, &*command),
    ] {
        let child = alone.archbuild(arguments, marker).spawn().unwrap();
        wait_for_process(&format!("sleep {marker}"));
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
        let ended = child.wait().unwrap();
        assert_eq!(ended.status.code(), Some(6), "{ended:?}");
        assert!(ended.stdout.is_empty());
        alone.assert_nothing_is_left(marker);
    }
}

#[test]
fn ctrl_c_at_a_terminal_ends_everything() {
    if !need::programs(&["script"]) {
        return;
    }
    let Some(alone) = alone() else { return };
    let marker = marker(7012);
    alone.archbuild(&["build"], &marker);
    let (keys, mut keyboard) = std::io::pipe().unwrap();
    // The shell of script would end by the signal itself.
    let build = format!("exec {} build", program("archbuild").display());
    let child = Command::new("script")
        .args(["-qec", &build, "/dev/null"])
        .env("PORTSMITH_CONFIG", alone.place.path("portsmith.conf"))
        .directory(alone.place.path("nothing"))
        .input(Input::File(fs::File::from(OwnedFd::from(keys))))
        .spawn()
        .unwrap();
    wait_for_process(&format!("sleep {marker}"));
    keyboard.write_all(b"\x03").unwrap();
    let ended = child.wait().unwrap();
    assert_eq!(ended.status.code(), Some(6), "{ended:?}");
    alone.assert_nothing_is_left(&marker);
}

#[test]
fn no_process_of_a_build_has_kernel_uid_0() {
    let Some(alone) = alone() else { return };
    let (child, pid) = alone.start(&marker(7004));
    let line = ancestors(pid);
    // The last one is archbuild as it was started; root may have started it.
    let below = &line[..line.len() - 1];
    assert!(below.len() >= 4, "{line:?}");
    for pid in below {
        let ids = status(*pid, "Uid:");
        assert!(!ids.split_whitespace().any(|id| id == "0"), "{pid}: {ids}");
        let groups = format!("{} {}", status(*pid, "Gid:"), status(*pid, "Groups:"));
        assert!(!groups.split_whitespace().any(|id| id == "0"), "{pid}: {groups}");
    }
    drop(child);
    wait_until("without the build", || alone.place.copies().is_empty());
}

#[test]
fn killing_archbuild_ends_the_build_and_removes_its_copy() {
    let Some(alone) = alone() else { return };
    let marker = marker(7005);
    for arguments in [&["build"][..], &["run", "--", "sleep", &marker]] {
        let child = alone.archbuild(arguments, &marker).spawn().unwrap();
        wait_for_process(&format!("sleep {marker}"));
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGKILL).unwrap();
        child.wait().unwrap();
        wait_until("without the copy", || alone.place.copies().is_empty());
        alone.assert_nothing_is_left(&marker);
    }
}

#[test]
fn what_a_kill_of_all_processes_leaves_is_removed_by_clean() {
    let Some(alone) = alone() else { return };
    let killed = marker(7006);
    let (child, pid) = alone.start(&killed);
    // From the outside in, so that nobody notices.
    for pid in ancestors(pid).into_iter().rev() {
        kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
    }
    child.wait().unwrap();
    wait_until("without processes", || {
        !processes().iter().any(|(_, line)| line.contains(&killed))
    });
    alone.assert_nothing_is_mounted();
    assert_eq!(alone.place.copies().len(), 1);
    alone.place.archbuild(&["clean"]).run().expect(0);
    alone.assert_nothing_is_left(&killed);
}

#[test]
fn the_end_of_the_inner_process_alone_is_trouble_with_the_chroot_and_leaves_nothing() {
    let Some(alone) = alone() else { return };
    let (child, pid) = alone.start(&marker(7007));
    let line = ancestors(pid);
    // … inside, unshare, archbuild
    kill(Pid::from_raw(line[line.len() - 3]), Signal::SIGKILL).unwrap();
    let ended = child.wait().unwrap();
    assert_eq!(ended.status.code(), Some(5), "{ended:?}");
    alone.assert_nothing_is_left(&marker(7007));
}

#[test]
fn a_machine_that_refuses_user_namespaces_is_told_of_at_once() {
    let Some(alone) = alone() else { return };
    if must(Command::new("id").arg("-u")) != "0" {
        return;
    }
    alone.place.package("nothing", NOTHING);
    // The kernel refuses them to whoever has another root directory than its namespace.
    let script = r#"mount --rbind / "$0" && exec chroot "$0" sh -c 'cd "$0" && exec "$1" build' "$1" "$2""#;
    let child = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .args([alone.place.path(""), alone.place.path("nothing"), program("archbuild")])
        .env("PORTSMITH_CONFIG", alone.place.path("portsmith.conf"));
    let ended = child.timeout(std::time::Duration::from_secs(60)).wait().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(5), "{said}");
    assert!(said.contains("unshare failed") && said.contains("hint: "), "{said}");
}

#[test]
fn a_copy_in_use_survives_clean_and_update() {
    let Some(alone) = alone() else { return };
    let (child, _) = alone.start(&marker(7008));
    alone.place.archbuild(&["clean"]).run().expect(0);
    alone.place.archbuild(&["update"]).run().expect(0);
    assert_eq!(alone.place.copies().len(), 1);
    assert!(child.is_running());
    drop(child);
    wait_until("without the build", || alone.place.copies().is_empty());
}

#[test]
fn a_broken_root_is_made_again() {
    let Some(alone) = alone() else { return };
    alone.place.package("nothing", NOTHING);
    alone.place.archbuild(&["create"]).run().expect(0);
    let damages: [&[&str]; 2] = [&["rm", "-f", "root/usr/bin/makepkg"], &["rm", "-f", "root/../format"]];
    for damage in damages {
        let directory = alone.place.root();
        testkit::tool::must(
            Command::new(damage[0])
                .args(&damage[1..])
                .directory(directory.parent().unwrap()),
        );
        let ended = alone.place.build("nothing", &[]).expect(0);
        assert!(ended.stderr.contains("making the root"), "{ended:?}");
    }
    let ended = alone.place.build("nothing", &["-c"]).expect(0);
    assert!(!ended.stderr.contains("making the root"), "{ended:?}");
}

#[test]
fn the_lock_of_a_killed_pacman_is_in_nobodys_way() {
    let Some(alone) = alone() else { return };
    alone.place.package("nothing", NOTHING);
    alone.place.build("nothing", &[]).expect(0);
    let databases = alone.place.root().parent().unwrap().join("databases");
    let mut locks = 0;
    for entry in fs::read_dir(databases).unwrap() {
        let lock = entry.unwrap().path().join("var/lib/pacman/db.lck");
        testkit::tool::must(Command::new("touch").arg(&lock));
        locks += 1;
    }
    assert!(locks > 0);
    alone.place.build("nothing", &[]).expect(0);
}

#[test]
fn after_fifty_builds_by_root_and_a_user_of_which_half_are_killed_nothing_is_left() {
    let Some(alone) = alone() else { return };
    alone.place.archbuild(&["create"]).run().expect(0);
    let seed = fastrand::u64(..);
    let pause = marker(7009);
    for (name, lines) in [
        ("good", "makedepends=(flex)".to_owned()),
        ("bad", "build() { false; }".to_owned()),
        ("slow", format!("build() {{ setsid -f sleep {pause}; sleep {pause}; }}")),
    ] {
        let text = NOTHING.replace("nothing", name);
        alone.place.package(name, &format!("{text}{lines}\n"));
    }
    let before = tree(alone.place.root().parent().unwrap());
    // Who loses its parent becomes a child of ours.
    set_child_subreaper(true).unwrap();
    std::thread::scope(|scope| {
        for caller in [Caller::Us, Caller::User] {
            let (alone, mut random) = (&alone, fastrand::Rng::with_seed(seed ^ caller as u64));
            scope.spawn(move || {
                for round in 0..25 {
                    let (name, code) = [("slow", None), ("good", Some(0)), ("slow", None), ("bad", Some(1))][round % 4];
                    let child = caller.build(alone, name).spawn().unwrap();
                    if name == "slow" {
                        std::thread::sleep(std::time::Duration::from_millis(random.u64(0..1500)));
                        kill_it(i32::try_from(child.id()).unwrap(), random.bool());
                    }
                    let ended = child.wait().unwrap();
                    assert_eq!(ended.status.code(), code, "seed {seed}: {ended:?}");
                }
            });
        }
    });
    wait_until("without processes", || !has_children());
    alone.place.archbuild(&["clean"]).run().expect(0);
    alone.assert_nothing_is_left(&pause);
    let known = |name: &String| before.contains(name) || is_of_a_cache(name);
    let mut new = tree(alone.place.root().parent().unwrap());
    new.retain(|name| !known(name));
    assert!(new.is_empty(), "seed {seed}: {new:?}");
    let mut packages = tree(&alone.place.path(""));
    packages.retain(|name| !name.ends_with("PKGBUILD") && name.contains('/'));
    assert_eq!(packages, ["good/good-1-1-any.pkg.tar.zst"], "seed {seed}");
}

/// Who starts archbuild.
#[derive(Debug, Clone, Copy)]
enum Caller {
    /// Whoever runs the tests, mostly root.
    Us,
    /// An ordinary user: when we are root the account that root drops to, else us.
    User,
}

impl Caller {
    fn build(self, alone: &Alone, name: &str) -> Command {
        let account = match self {
            Self::Us => None,
            Self::User => alone.place.as_account(name),
        };
        let build = ["build", "-q"];
        match account {
            Some(command) => command.args(build),
            None => {
                let tool = alone.place.archbuild(&build);
                tool.directory(&alone.place.path(name)).into_command()
            }
        }
    }
}

/// Kills archbuild, and perhaps the one below it first, so that the one inside has no time to clean up.
fn kill_it(pid: i32, with_child: bool) {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let child = children.split_whitespace().next().and_then(|child| child.parse().ok());
    for pid in child.filter(|_| with_child).into_iter().chain([pid]) {
        kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
    }
}

/// Whether this process has children that live; those that have ended are waited for.
fn has_children() -> bool {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

/// What lies in a directory, two levels deep.
fn tree(directory: &std::path::Path) -> Vec<String> {
    let listing = testkit::tool::must(
        Command::new("find")
            .args([".", "-mindepth", "1", "-maxdepth", "2", "-printf", "%P\\n"])
            .directory(directory),
    );
    let mut names: Vec<String> = listing.lines().map(str::to_owned).collect();
    names.sort();
    names
}

/// Whether a cache keeps this for later builds: a package, an installed set of dependencies, sources of a package with
/// their lock.
fn is_of_a_cache(name: &str) -> bool {
    let is_layer = |text: &str| text.len() == 32 && text.bytes().all(|c| c.is_ascii_hexdigit());
    let is_lock = |text: &str| text.starts_with('.') && text.ends_with(".lock");
    match name.split_once('/') {
        Some(("cache", file)) => !file.starts_with('.') && file.contains(".pkg.tar"),
        Some(("layers", layer)) => layer == ".wanted" || is_layer(layer),
        Some(("sources", pkgbase)) => !pkgbase.starts_with('.') || is_lock(pkgbase),
        _ => false,
    }
}
