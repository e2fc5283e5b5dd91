//! Where this process may make control groups: its own group, when it was delegated to us, or the one above when we are in
//! a group `supervisor`.
//!
//! A group whose groups have limits has no processes of its own ("no internal processes", cgroup-v2.rst). systemd makes
//! room with `DelegateSubgroup=supervisor` (from version 254 on); where it did not, we do the same by ourselves, but only
//! in a group that systemd marked as delegated: there, all processes are of one unit. Where systemd runs, a group without
//! that mark is systemd's, also when it can be written to (the groups of an own `systemd --user`); where it does not,
//! whoever may write may make groups.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};
use thiserror::Error;

use super::group::{PROCESSES, write};

/// The group of those who are no build; systemd.resource-control(5) has the name in its example.
pub(crate) const SUPERVISOR: &str = "supervisor";
/// systemd's mark, from version 251 on.
const MARK: &str = "user.delegate";
/// What builds are limited by.
const WANTED: [&str; 2] = ["memory", "pids"];
/// What says which controllers the groups in a group have.
const ENABLED: &str = "cgroup.subtree_control";
/// How often room is made: somebody may be starting processes at that moment.
const ATTEMPTS: usize = 10;

/// A group in which we may make others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delegation {
    directory: PathBuf,
    is_marked: bool,
}

/// Why there is none.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum Undelegated {
    /// cgroup v2 is not mounted, or not with our own group in it.
    #[error("no mount of cgroup2 has our own group")]
    NoHierarchy,
    /// systemd's own.
    #[error("systemd has not delegated {}", .0.display())]
    OfSystemd(PathBuf),
    /// Not for us.
    #[error("{} cannot be written to", .0.display())]
    Closed(PathBuf),
}

impl Delegation {
    /// Finds it; `system` is the root of what /proc and /run are looked up in.
    pub(crate) fn find(system: &Path) -> Result<Self, Undelegated> {
        let own = own_group(system).ok_or(Undelegated::NoHierarchy)?;
        let directory = match own.parent() {
            Some(parent) if own.ends_with(SUPERVISOR) => parent.to_owned(),
            _ => own,
        };
        let is_marked = is_marked(&directory);
        if system.join("run/systemd/system").is_dir() && !is_marked {
            return Err(Undelegated::OfSystemd(directory));
        }
        let parts = [&directory, &directory.join(PROCESSES), &directory.join(ENABLED)];
        match parts.iter().all(|part| access(*part, AccessFlags::W_OK).is_ok()) {
            true => Ok(Self { directory, is_marked }),
            false => Err(Undelegated::Closed(directory)),
        }
    }

    /// A group that is known to be ours.
    #[cfg(test)]
    pub(super) fn at(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            is_marked: true,
        }
    }

    /// The directory of the group.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Lets groups in it have limits, as far as the system offers that.
    pub(crate) fn enable(&self) -> io::Result<()> {
        for _ in 0..ATTEMPTS {
            match enable(&self.directory) {
                Err(error) if self.is_marked && error.raw_os_error() == Some(Errno::EBUSY as i32) => {
                    self.make_room()?
                }
                enabled => return enabled,
            }
        }
        enable(&self.directory)
    }

    /// Moves the processes of the group into one below it.
    fn make_room(&self) -> io::Result<()> {
        let supervisor = self.directory.join(SUPERVISOR);
        match fs::create_dir(&supervisor) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        for pid in fs::read_to_string(self.directory.join(PROCESSES))?.lines() {
            // It may have ended since.
            write(&supervisor.join(PROCESSES), pid).ok();
        }
        Ok(())
    }
}

/// Gives the groups in a group the controllers that it has itself.
pub(crate) fn enable(directory: &Path) -> io::Result<()> {
    let words = |name| fs::read_to_string(directory.join(name));
    let (offered, enabled) = (words("cgroup.controllers")?, words(ENABLED)?);
    let has = |text: &str, name: &str| text.split_ascii_whitespace().any(|word| word == name);
    let missing = WANTED
        .into_iter()
        .filter(|name| has(&offered, name) && !has(&enabled, name));
    let missing: Vec<String> = missing.map(|name| format!("+{name}")).collect();
    match missing.is_empty() {
        true => Ok(()),
        false => write(&directory.join(ENABLED), &missing.join(" ")),
    }
}

/// The directory of our own group.
pub(crate) fn own_group(system: &Path) -> Option<PathBuf> {
    let groups = fs::read_to_string(system.join("proc/self/cgroup")).ok()?;
    let own = Path::new(groups.lines().find_map(|line| line.strip_prefix("0::"))?);
    // Outside of what our namespace shows.
    if own.components().any(|part| part == Component::ParentDir) {
        return None;
    }
    let mounts = fs::read_to_string(system.join("proc/self/mountinfo")).ok()?;
    mounts.lines().find_map(|line| group_below(line, own))
}

/// A group's directory in one mount, by its line of mountinfo: proc_pid_mountinfo(5), fields 4, 5 and the one after `-`.
fn group_below(line: &str, group: &Path) -> Option<PathBuf> {
    let (fields, rest) = line.split_once(" - ")?;
    let mut fields = fields.split(' ').skip(3);
    let (root, place) = (fields.next()?, fields.next()?);
    if rest.split(' ').next() != Some("cgroup2") {
        return None;
    }
    let directory = Path::new(place).join(group.strip_prefix(root).ok()?);
    directory
        .join(PROCESSES)
        .is_file()
        .then(|| directory.components().collect())
}

fn is_marked(directory: &Path) -> bool {
    let mut value = [0; 2];
    rustix::fs::getxattr(directory, MARK, &mut value).is_ok_and(|length| &value[..length] == b"1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{XattrFlags, setxattr};
    use tempfile::TempDir;

    /// A directory that plays a machine: its /proc, and a mount of cgroup2 with one group.
    struct Machine(TempDir);

    impl Machine {
        fn new(group: &str) -> Self {
            let machine = Self(tempfile::tempdir().unwrap());
            machine.put("proc/self/cgroup", &format!("4:memory:/x\n0::{group}\n"));
            let mounts = format!(
                "31 23 0:28 / {0}/sys rw,relatime - tmpfs tmpfs rw\n\
                 32 31 0:29 / {0}/sys/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n\
                 41 31 0:38 / {0}/sys/unified rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n",
                machine.0.path().display()
            );
            machine.put("proc/self/mountinfo", &mounts);
            machine
        }

        /// Adds a group with the files that matter here.
        fn group(self, name: &str) -> Self {
            for (file, text) in [
                ("cgroup.procs", ""),
                ("cgroup.controllers", "cpu io memory pids\n"),
                ("cgroup.subtree_control", ""),
            ] {
                self.put(&format!("sys/unified{name}/{file}"), text);
            }
            self
        }

        fn with_systemd(self) -> Self {
            fs::create_dir_all(self.0.path().join("run/systemd/system")).unwrap();
            self
        }

        fn marked(self, name: &str) -> Self {
            setxattr(self.path(name), MARK, b"1", XattrFlags::empty()).unwrap();
            self
        }

        fn put(&self, name: &str, text: &str) {
            let path = self.0.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            common::atomic::write(&path, text.as_bytes()).unwrap();
        }

        fn path(&self, group: &str) -> PathBuf {
            self.0.path().join(format!("sys/unified{group}"))
        }

        fn find(&self) -> Result<PathBuf, Undelegated> {
            Ok(Delegation::find(self.0.path())?.directory().to_owned())
        }
    }

    #[test]
    fn a_group_that_systemd_marked_is_ours() {
        let machine = Machine::new("/a.scope").group("/a.scope").with_systemd();
        assert_eq!(machine.find(), Err(Undelegated::OfSystemd(machine.path("/a.scope"))));
        let machine = machine.marked("/a.scope");
        assert_eq!(machine.find(), Ok(machine.path("/a.scope")));
    }

    #[test]
    fn from_a_group_supervisor_groups_are_made_beside_it() {
        let machine = Machine::new("/a.service/supervisor")
            .group("/a.service/supervisor")
            .group("/a.service");
        assert_eq!(machine.find(), Ok(machine.path("/a.service")));
        // The mark counts where groups are made.
        let machine = machine.with_systemd().marked("/a.service/supervisor");
        assert!(matches!(machine.find(), Err(Undelegated::OfSystemd(_))));
        assert!(machine.marked("/a.service").find().is_ok());
    }

    #[test]
    fn without_systemd_whoever_can_write_makes_groups() {
        let machine = Machine::new("/").group("");
        assert_eq!(machine.find(), Ok(machine.path("")));
        fs::remove_file(machine.path("").join(ENABLED)).unwrap();
        assert_eq!(machine.find(), Err(Undelegated::Closed(machine.path(""))));
    }

    #[test]
    fn without_a_mount_that_shows_the_own_group_there_is_none() {
        for group in ["/elsewhere", "/../of-another-namespace"] {
            let machine = Machine::new(group).group("");
            assert_eq!(machine.find(), Err(Undelegated::NoHierarchy), "{group}");
        }
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(Delegation::find(empty.path()), Err(Undelegated::NoHierarchy));
    }

    #[test]
    fn a_mount_of_a_part_of_the_hierarchy_shows_groups_below_that_part() {
        let machine = Machine::new("/outer/inner").group("/inner");
        let place = machine.path("").display().to_string();
        let line = format!("41 31 0:38 /outer {place} rw - cgroup2 cgroup2 rw");
        assert_eq!(
            group_below(&line, Path::new("/outer/inner")),
            Some(machine.path("/inner"))
        );
        assert_eq!(group_below(&line, Path::new("/other/inner")), None);
    }

    #[test]
    fn only_what_is_missing_is_enabled() {
        let machine = Machine::new("/").group("");
        enable(&machine.path("")).unwrap();
        let said = |machine: &Machine| fs::read_to_string(machine.path("").join(ENABLED)).unwrap();
        assert_eq!(said(&machine), "+memory +pids");
        machine.put("sys/unified/cgroup.subtree_control", "memory cpu\n");
        machine.put("sys/unified/cgroup.controllers", "hugetlb memory\n");
        enable(&machine.path("")).unwrap();
        assert_eq!(said(&machine), "memory cpu\n");
    }

    #[test]
    fn room_is_made_by_moving_every_process_into_supervisor() {
        let machine = Machine::new("/a.scope").group("/a.scope").group("/a.scope/supervisor");
        machine.put("sys/unified/a.scope/cgroup.procs", "17\n");
        let delegation = Delegation::find(machine.0.path()).unwrap();
        delegation.make_room().unwrap();
        let moved = fs::read_to_string(machine.path("/a.scope/supervisor/cgroup.procs")).unwrap();
        assert_eq!(moved, "17");
    }
}
