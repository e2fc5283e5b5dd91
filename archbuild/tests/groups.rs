//! The control groups of builds, real ones: what is in them while a build runs, and what is left of them. Whether the kernel
//! keeps limits of memory and processes depends on the machine; that it does is shown in a virtual one
//! (`archbuild::cgroup::machine`).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers, too")]

mod place;

use std::fs;
use std::path::{Path, PathBuf};

use common::account::{self, Account};
use common::config::Config;
use common::process::{Child, Command};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use place::{NOTHING, Place, processes, wait_for_process, wait_until};
use testkit::cgroup::Delegated;
use testkit::tool::{must, program};

struct Groups {
    delegated: Delegated,
    place: Place,
    account: Option<Account>,
}

impl Groups {
    /// Builds by the tests' own user.
    fn of_root() -> Option<Self> {
        Some(Self {
            delegated: Delegated::make(None)?,
            place: Place::shared()?,
            account: None,
        })
    }

    /// Builds by an ordinary user to whom a group was delegated.
    fn of_account() -> Option<Self> {
        let account = account::to_drop_to(&Config::default()).unwrap()?;
        Some(Self {
            delegated: Delegated::make(Some(&account))?,
            place: Place::shared()?,
            account: Some(account),
        })
    }

    /// archbuild in the group `supervisor`.
    fn archbuild(&self, arguments: &[&str], directory: &Path) -> Command {
        let command = match &self.account {
            None => Command::new(program("archbuild")),
            Some(account) => {
                let owner = format!("{}:{}", account.uid, account.gid);
                must(Command::new("chown").args(["-R", &owner]).arg(self.place.path("")));
                let ids = [format!("--reuid={}", account.uid), format!("--regid={}", account.gid)];
                let command = Command::new("setpriv").args(ids).arg("--clear-groups");
                command.arg(program("archbuild"))
            }
        };
        command
            .args(arguments)
            .env("PORTSMITH_CONFIG", self.place.path("portsmith.conf"))
            .directory(directory)
            .control_group(Some(&self.delegated.supervisor()))
    }

    /// Starts a build, waits until all of its processes run, one of which has left its session and its parent. Returns
    /// archbuild, that process and the groups of the build.
    fn start(&self, marker: &str) -> (Child, i32, PathBuf) {
        let before = self.delegated.others();
        let lines = format!(
            "build() {{ cat /proc/self/cgroup >group; setsid sh -c 'setsid -f sleep 1{marker}'; sleep {marker}; }}"
        );
        self.place.package(marker, &format!("{NOTHING}{lines}\n"));
        let build = self.archbuild(&["build", "-q"], &self.place.path(marker));
        let child = build.spawn().unwrap();
        wait_for_process(&format!("sleep {marker}"));
        let stray = wait_for_process(&format!("sleep 1{marker}"));
        let mut made = self.delegated.others();
        made.retain(|path| !before.contains(path));
        assert_eq!(made.len(), 1, "{made:?}");
        (child, stray, made.remove(0))
    }
}

/// Seconds to sleep by which a process is found again, and told from those of other runs of these tests.
fn marker(number: u32) -> String {
    format!("{number}.{}", std::process::id())
}

/// The group that a process is in.
fn group_of(pid: i32) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("0::"));
    line.unwrap_or_default().to_owned()
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

fn wait_until_gone(marker: &str) {
    wait_until("without processes", || {
        !processes().iter().any(|(_, line)| line.contains(marker))
    });
}

#[test]
fn all_code_of_a_package_is_in_one_group_and_nothing_else_is() {
    for (groups, marker) in [(Groups::of_root(), marker(8101)), (Groups::of_account(), marker(8102))] {
        let Some(groups) = groups else { return };
        let (child, stray, made) = groups.start(&marker);
        let group = group_of(stray);
        assert!(made.join("build").ends_with(&group[1..]), "{made:?} {group}");
        assert!(group_of(i32::try_from(child.id()).unwrap()).ends_with("/supervisor"));
        let inside = processes()
            .into_iter()
            .filter(|(_, line)| line.ends_with("archbuild inside"));
        let inside: Vec<String> = inside.map(|(pid, _)| group_of(pid)).collect();
        assert!(inside.contains(&group.replace("/build", "/supervisor")), "{inside:?}");
        signal(&child, Signal::SIGTERM);
        assert_eq!(child.wait().unwrap().status.code(), Some(6));
        wait_until_gone(&marker);
        assert_eq!(groups.delegated.others(), Vec::<PathBuf>::new());
    }
}

#[test]
fn a_build_that_ends_by_itself_leaves_no_group() {
    let Some(groups) = Groups::of_root() else { return };
    for (lines, code) in [("", 0), ("build() { setsid -f sleep 600; false; }", 1)] {
        groups.place.package("nothing", &format!("{NOTHING}{lines}\n"));
        let build = groups.archbuild(&["build", "-q"], &groups.place.path("nothing"));
        assert_eq!(build.wait().unwrap().status.code(), Some(code));
        assert_eq!(groups.delegated.others(), Vec::<PathBuf>::new());
    }
}

#[test]
fn a_build_does_not_see_where_its_group_is() {
    let Some(groups) = Groups::of_root() else { return };
    let lines = "build() { sed -n 's/^0::/group:/p' /proc/self/cgroup; ls -A /sys; }";
    groups.place.package("nothing", &format!("{NOTHING}{lines}\n"));
    let build = groups.archbuild(&["build"], &groups.place.path("nothing"));
    let said = build.run().unwrap();
    assert!(
        String::from_utf8_lossy(&said.stderr).contains("\ngroup:/\n"),
        "{said:?}"
    );
}

#[test]
fn clean_removes_the_groups_of_a_killed_archbuild_and_no_others() {
    let Some(groups) = Groups::of_root() else { return };
    let (killed, lives) = (marker(8103), marker(8104));
    let (victim, _, left) = groups.start(&killed);
    let (other, stray, used) = groups.start(&lives);
    signal(&victim, Signal::SIGKILL);
    victim.wait().unwrap();
    wait_until_gone(&killed);
    assert!(left.is_dir());
    let clean = groups.archbuild(&["clean"], &groups.place.path(""));
    clean.run().unwrap();
    assert_eq!(groups.delegated.others(), [used]);
    assert!(other.is_running() && !group_of(stray).is_empty());
    signal(&other, Signal::SIGTERM);
    other.wait().unwrap();
    assert_eq!(groups.delegated.others(), Vec::<PathBuf>::new());
}

#[test]
fn the_next_build_removes_groups_in_which_nobody_is_left_and_clean_ends_who_is() {
    let Some(groups) = Groups::of_root() else { return };
    let [empty, busy] = ["archbuild-empty", "archbuild-busy"].map(|name| groups.delegated.directory().join(name));
    for group in [&empty, &busy] {
        fs::create_dir_all(group.join("build")).unwrap();
    }
    let seconds = marker(8105);
    let sleeper = Command::new("sleep")
        .arg(&seconds)
        .control_group(Some(&busy.join("build")));
    let sleeper = sleeper.spawn().unwrap();
    wait_for_process(&format!("sleep {seconds}"));
    groups.place.package("nothing", NOTHING);
    let build = groups.archbuild(&["build", "-q"], &groups.place.path("nothing"));
    build.run().unwrap();
    assert_eq!(groups.delegated.others(), [busy]);
    assert!(sleeper.is_running());
    let clean = groups.archbuild(&["clean"], &groups.place.path(""));
    clean.run().unwrap();
    assert!(!sleeper.wait().unwrap().status.success());
    assert_eq!(groups.delegated.others(), Vec::<PathBuf>::new());
}
