//! One control group and the files that the kernel has in it (cgroup-v2.rst). A controller that the group does not have is
//! a file that is not there: nothing is limited or measured by it then.
//!
//! Memory is what cannot be given back: without the cache of files, which grows until the limit in every build that
//! writes much, and which `memory.peak` counts. Swap is not used by a build with a limit of memory: it would be more memory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::build_command::{Enforcement, LimitKind, Limits};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// Who is in a group; what is written to it is moved into the group.
pub(crate) const PROCESSES: &str = "cgroup.procs";
/// How long killed processes may take to end: one that waits for a disk ends when the disk answers.
const ENDING: Duration = Duration::from_secs(10);
/// How long after a kill another one is tried.
const STEP: Duration = Duration::from_millis(100);

/// A control group, by its directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group(PathBuf);

/// What all processes of a group use, as far as the kernel counts it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Processor time, of ended processes, too.
    pub(crate) cpu: Option<Duration>,
    /// Bytes of memory.
    pub(crate) memory: Option<u64>,
    /// Processes and threads.
    pub(crate) processes: Option<u64>,
}

impl Usage {
    /// What is not known, from elsewhere.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.or(other.cpu),
            memory: self.memory.or(other.memory),
            processes: self.processes.or(other.processes),
        }
    }
}

impl Group {
    /// The group of a directory.
    pub(crate) const fn at(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// Its directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.0
    }

    /// Sets the limits that the kernel keeps by itself. When memory runs out, all processes of the group end: half a build
    /// would report something else.
    pub(crate) fn limit(&self, limits: &Limits) -> io::Result<()> {
        self.set("memory.oom.group", Some(1))?;
        self.set("memory.max", limits.memory)?;
        // Not there without swap.
        self.set("memory.swap.max", limits.memory.map(|_| 0))?;
        self.set("pids.max", limits.processes)
    }

    fn set(&self, name: &str, value: Option<u64>) -> io::Result<()> {
        match (value, self.0.join(name)) {
            (Some(value), path) if path.exists() => write(&path, &value.to_string()),
            _ => Ok(()),
        }
    }

    /// Who keeps the limits of memory and processes.
    pub(crate) fn enforcement(&self) -> Enforcement {
        match ["memory.max", "pids.max"].iter().all(|name| self.0.join(name).exists()) {
            true => Enforcement::Cgroup,
            false => Enforcement::Sampled,
        }
    }

    /// What it uses now.
    pub(crate) fn usage(&self) -> Usage {
        let reclaimable = || -> Option<u64> {
            let text = self.text("memory.stat")?;
            let names = ["active_file", "inactive_file", "slab_reclaimable"];
            Some(names.iter().filter_map(|name| field(&text, name)).sum())
        };
        let memory = self.number("memory.current");
        Usage {
            cpu: self.field("cpu.stat", "usage_usec").map(Duration::from_micros),
            memory: memory.map(|bytes| bytes.saturating_sub(reclaimable().unwrap_or(0))),
            processes: self.number("pids.current"),
        }
    }

    /// The limit that the kernel held it to: a process was killed for want of memory, or one could not be started.
    pub(crate) fn exceeded(&self) -> Option<LimitKind> {
        let happened = |file, name| self.field(file, name).is_some_and(|times| times > 0);
        if happened("memory.events", "oom_kill") {
            return Some(LimitKind::Memory);
        }
        happened("pids.events", "max").then_some(LimitKind::Processes)
    }

    /// The most memory that it ever had, with the cache of files.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        self.number("memory.peak")
    }

    /// Whether no process is in it, nor in the groups below.
    pub(crate) fn is_empty(&self) -> io::Result<bool> {
        self.wait_until_empty(Duration::ZERO)
    }

    /// Ends all processes in it and in the groups below, and removes all of these groups. One that is gone is no error.
    pub(crate) fn remove(&self) -> io::Result<()> {
        let deadline = Instant::now() + ENDING;
        while self.0.exists() {
            self.kill()?;
            if self.wait_until_empty(STEP)? {
                return remove_tree(&self.0);
            }
            if Instant::now() >= deadline {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "its processes do not end"));
            }
        }
        Ok(())
    }

    fn kill(&self) -> io::Result<()> {
        match write(&self.0.join("cgroup.kill"), "1") {
            // Linux before 5.14.
            Err(error) if error.kind() == io::ErrorKind::NotFound => kill_each(&self.0),
            killed => killed,
        }
    }

    /// Waits until the kernel says that no process is left, here and below. False: it took too long.
    fn wait_until_empty(&self, time: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + time;
        let mut events = File::open(self.0.join("cgroup.events"))?;
        loop {
            let mut text = String::new();
            events.rewind()?;
            events.read_to_string(&mut text)?;
            if field(&text, "populated") != Some(1) {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            // The kernel wakes whoever waits for the next change of the file.
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            poll(&mut [PollFd::new(events.as_fd(), PollFlags::POLLPRI)], timeout)?;
        }
    }

    fn text(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.0.join(name)).ok()
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.trim().parse().ok()
    }

    fn field(&self, file: &str, name: &str) -> Option<u64> {
        field(&self.text(file)?, name)
    }
}

/// A number of a file with a name and a number a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let mut fields = text.lines().filter_map(|line| line.split_once(' '));
    fields.find(|(key, _)| *key == name)?.1.trim().parse().ok()
}

/// Writes into a file of the kernel, in one call.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}

/// The groups in a group.
fn children(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn kill_each(directory: &Path) -> io::Result<()> {
    for child in children(directory)? {
        kill_each(&child)?;
    }
    for line in fs::read_to_string(directory.join(PROCESSES))?.lines() {
        // 0 is a process that our namespace does not have, and to kill(2) it is ourselves.
        if let Some(pid) = line.parse().ok().filter(|pid| *pid > 0) {
            // It may have ended since.
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
    }
    Ok(())
}

fn remove_tree(directory: &Path) -> io::Result<()> {
    for child in children(directory)? {
        remove_tree(&child)?;
    }
    fs::remove_dir(directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::process::Command;
    use tempfile::TempDir;

    /// A directory that plays a group with these files.
    fn played(files: &[(&str, &str)]) -> (TempDir, Group) {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            common::atomic::write(&directory.path().join(name), text.as_bytes()).unwrap();
        }
        let group = Group::at(directory.path().to_owned());
        (directory, group)
    }

    #[test]
    fn limits_are_written_where_the_group_has_the_controller() {
        let names = ["memory.oom.group", "memory.max", "memory.swap.max", "pids.max"];
        let (_directory, group) = played(&names.map(|name| (name, "")));
        let limits = Limits {
            memory: Some(100 << 20),
            processes: Some(50),
            ..Limits::default()
        };
        group.limit(&limits).unwrap();
        let written = names.map(|name| group.text(name).unwrap());
        assert_eq!(written, ["1", "104857600", "0", "50"]);
        assert_eq!(group.enforcement(), Enforcement::Cgroup);
        let (_directory, group) = played(&names.map(|name| (name, "-")));
        group.limit(&Limits::default()).unwrap();
        assert_eq!(names.map(|name| group.text(name).unwrap()), ["1", "-", "-", "-"]);
        let (_directory, group) = played(&[("memory.max", "max")]);
        group.limit(&limits).unwrap();
        assert_eq!(group.enforcement(), Enforcement::Sampled);
        assert!(group.text("pids.max").is_none());
    }

    #[test]
    fn usage_is_what_the_kernel_counts_without_the_cache_of_files() {
        let (_directory, group) = played(&[
            ("cpu.stat", "usage_usec 2500000\nuser_usec 1\n"),
            ("memory.current", "1000000\n"),
            (
                "memory.stat",
                "anon 1\ninactive_file 300000\nactive_file 200000\nslab_reclaimable 100000\nslab 5\n",
            ),
            ("pids.current", "7\n"),
        ]);
        let usage = group.usage();
        assert_eq!(usage.cpu, Some(Duration::from_millis(2500)));
        assert_eq!((usage.memory, usage.processes), (Some(400_000), Some(7)));
        let (_directory, group) = played(&[]);
        assert_eq!(group.usage(), Usage::default());
    }

    #[test]
    fn what_the_kernel_did_has_the_name_of_the_limit() {
        let memory = |kills| format!("low 0\nhigh 0\nmax 9\noom 2\noom_kill {kills}\noom_group_kill 0\n");
        for (kills, refused, expected) in [
            (0, 0, None),
            (3, 0, Some(LimitKind::Memory)),
            (0, 4, Some(LimitKind::Processes)),
            (3, 4, Some(LimitKind::Memory)),
        ] {
            let (_directory, group) = played(&[
                ("memory.events", &memory(kills)),
                ("pids.events", &format!("max {refused}\n")),
            ]);
            assert_eq!(group.exceeded(), expected);
        }
        assert_eq!(played(&[]).1.exceeded(), None);
    }

    #[test]
    fn a_kernel_that_cannot_kill_a_group_has_it_killed_one_by_one() {
        let sleeper = Command::new("sleep").arg("600").spawn().unwrap();
        let processes = format!("0\n{}\n", sleeper.id());
        let (_directory, group) = played(&[(PROCESSES, &processes)]);
        group.kill().unwrap();
        let ended = sleeper.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended.status), Some(9));
    }

    #[test]
    fn who_leaves_its_session_and_its_parent_ends_with_the_group() {
        let Some(delegated) = testkit::cgroup::Delegated::make(None) else {
            return;
        };
        let directory = delegated.directory().join("build");
        fs::create_dir_all(directory.join("below")).unwrap();
        let group = Group::at(directory.clone());
        let script = "setsid sh -c 'setsid -f sleep 600'; exec sleep 600";
        let child = Command::new("sh")
            .args(["-c", script])
            .control_group(Some(&directory))
            .spawn()
            .unwrap();
        let processes = || fs::read_to_string(directory.join(PROCESSES)).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while !(processes().lines().count() == 2 && all_sleep(&processes())) {
            assert!(Instant::now() < deadline, "{}", processes());
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(!group.is_empty().unwrap());
        let pids = processes();
        group.remove().unwrap();
        assert!(!directory.exists());
        assert!(!pids.lines().any(is_alive), "{pids}");
        assert!(!child.wait().unwrap().status.success());
        group.remove().unwrap();
    }

    fn all_sleep(pids: &str) -> bool {
        let name = |pid: &str| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        pids.lines().all(|pid| name(pid) == "sleep\n")
    }

    /// Whether it runs: one that has ended stays until somebody asks how.
    fn is_alive(pid: &str) -> bool {
        let status = fs::read_to_string(format!("/proc/{pid}/status"));
        status.is_ok_and(|text| !text.contains("\nState:\tZ"))
    }
}
