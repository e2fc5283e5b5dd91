//! Faults at every system call that changes a state: killed there, or an error of the machine, and then once more.
//!
//! First an undisturbed run under strace says at which calls a tool changes the state. Then, for each of them, a fresh
//! copy of the state, the fault just before that call takes effect, and the same command again without a fault: the
//! files have to be those of the undisturbed run. Time stamps, temporary files and locks are left out; the journal may
//! say a thing twice, but neither less nor more.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::process::Command;

use crate::tool::{Ended, Tool, must, program};

/// System calls that change files, as strace knows them.
const CHANGES: &str = "write,pwrite64,writev,copy_file_range,sendfile,fsync,fdatasync,ftruncate,truncate,rename,renameat,\
    renameat2,unlink,unlinkat,rmdir,link,linkat,symlink,symlinkat,mkdir,mkdirat,chmod,fchmod,fchmodat,openat";
/// Copies that are worked on at one time.
const WORKERS: usize = 2;

/// What happens at a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process is killed before the call takes effect.
    Kill,
    /// The disk is full.
    NoSpace,
    /// The disk is broken.
    Io,
    /// The process has too many open files.
    TooManyFiles,
}

impl Fault {
    fn injection(self) -> &'static str {
        match self {
            Self::Kill => "signal=SIGKILL",
            Self::NoSpace => "error=ENOSPC",
            Self::Io => "error=EIO",
            Self::TooManyFiles => "error=EMFILE",
        }
    }

    /// Whether the kernel answers that call like this.
    fn befalls(self, call: &Call) -> bool {
        let name = call.name.as_str();
        match self {
            Self::Kill => call.is_change,
            Self::NoSpace => call.is_change && !matches!(name, "unlink" | "unlinkat" | "rmdir" | "chmod" | "fchmod"),
            Self::Io => matches!(name, "write" | "pwrite64" | "fsync" | "fdatasync") || name.starts_with("rename"),
            Self::TooManyFiles => name == "openat",
        }
    }
}

/// The N-th call of its name in a process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Call {
    name: String,
    number: usize,
    is_change: bool,
}

/// A command on a state, to be disturbed.
pub struct Experiment<'a> {
    /// What is tried, for messages.
    pub title: &'a str,
    /// The program.
    pub program: &'a str,
    /// The state before. It is not touched.
    pub state: &'a Path,
    /// Completes the tool for a copy of the state: arguments, environment, standard input.
    pub equip: &'a (dyn Fn(Tool, &Path) -> Tool + Sync),
    /// What counts of a copy afterwards.
    pub view: fn(&Path) -> BTreeMap<String, String>,
    /// Exit codes of a run that met an error.
    pub after_error: &'a [i32],
    /// Exit codes of the run that follows a fault; the first one is that of an undisturbed run.
    pub again: &'a [i32],
    /// Files outside the state whose opening counts, too.
    pub reads: &'a [PathBuf],
    /// What holds after a fault, before the next run: `Err` says what does not.
    pub meanwhile: &'a (dyn Fn(&Path) -> Result<(), String> + Sync),
}

impl Experiment<'_> {
    /// Tries the faults at every call; returns how many met their call.
    ///
    /// # Panics
    /// A second run ended otherwise than an undisturbed one, or left other files; all such trials are named.
    pub fn run(&self, faults: &[Fault]) -> usize {
        let place = tempfile::tempdir().expect("a temporary directory");
        let (calls, expected) = self.undisturbed(place.path());
        let trials: Vec<(Fault, &Call)> = faults
            .iter()
            .flat_map(|fault| calls.iter().map(|call| (*fault, call)))
            .filter(|(fault, call)| fault.befalls(call))
            .collect();
        let next = AtomicUsize::new(0);
        let results: Vec<Result<Option<Fault>, String>> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..WORKERS)
                .map(|worker| {
                    let copy = place.path().join(format!("copy-{worker}"));
                    let (next, trials, expected) = (&next, &trials, &expected);
                    scope.spawn(move || {
                        let mut results = Vec::new();
                        while let Some((fault, call)) = trials.get(next.fetch_add(1, Ordering::Relaxed)) {
                            let is_met = self.is_survived(*fault, call, &copy, expected);
                            results.push(is_met.map(|is_met| is_met.then_some(*fault)));
                        }
                        results
                    })
                })
                .collect();
            let ended = workers.into_iter().map(|worker| worker.join().expect("a worker ends"));
            ended.flatten().collect()
        });
        let mut met: BTreeMap<&str, usize> = BTreeMap::new();
        for fault in results.iter().flatten().flatten() {
            *met.entry(fault.injection()).or_default() += 1;
        }
        let parts: Vec<String> = met
            .iter()
            .map(|(what, count)| format!("{count} points with {what}"))
            .collect();
        let failures: Vec<&str> = results
            .iter()
            .filter_map(|result| result.as_ref().err())
            .map(String::as_str)
            .collect();
        let end = if failures.is_empty() { "all well" } else { "not well" };
        say(&format!("faults: {}: {}, {end}", self.title, parts.join(", ")));
        assert!(
            failures.is_empty(),
            "{} of {} trials:\n{}",
            failures.len(),
            trials.len(),
            failures.join("\n")
        );
        met.values().sum()
    }

    /// The calls that change the state, and how the state is afterwards.
    fn undisturbed(&self, place: &Path) -> (BTreeSet<Call>, BTreeMap<String, String>) {
        let copy = place.join("copy-0");
        self.copy_state(&copy);
        let log = place.join("calls");
        let ended = self.traced(&copy, &["-y", "-e", &format!("trace={CHANGES}")], &log);
        assert_eq!(ended.code, self.again[0], "{}: undisturbed: {ended:#?}", self.title);
        let log = std::fs::read_to_string(&log).expect("strace has written what it saw");
        let places: Vec<String> = std::iter::once(&copy)
            .chain(self.reads)
            .map(|path| path.display().to_string())
            .collect();
        (calls(&log, &places), (self.view)(&copy))
    }

    /// One trial: whether the fault met its call, or what is wrong afterwards.
    fn is_survived(
        &self,
        fault: Fault,
        call: &Call,
        copy: &Path,
        expected: &BTreeMap<String, String>,
    ) -> Result<bool, String> {
        let Call { name, number, .. } = call;
        let what = format!("{} at {name} number {number}", fault.injection());
        self.copy_state(copy);
        let inject = format!("inject={name}:{}:when={number}", fault.injection());
        let log = copy.with_extension("log");
        let ended = self.traced(copy, &["-e", &format!("trace={name}"), "-e", &inject], &log);
        let is_killed = fault == Fault::Kill && ended.code == -1;
        let is_met = is_killed || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("(INJECTED)"));
        if !is_killed && ended.code != self.again[0] && !self.after_error.contains(&ended.code) {
            return Err(format!("{what}: {ended:?}"));
        }
        (self.meanwhile)(copy).map_err(|wrong| format!("{what}: {ended:?}: {wrong}"))?;
        let again = (self.equip)(Tool::new(self.program), copy).run();
        if !self.again.contains(&again.code) {
            return Err(format!("{what}: {ended:?}, then {again:?}"));
        }
        let found = (self.view)(copy);
        // Nothing needs the journal: that it cannot be written is said and stops nobody.
        let may_lack = |name: &str| fault != Fault::Kill && name == "journal" && ended.stderr.contains("journal");
        let difference = difference(expected, &found, &may_lack);
        if !difference.is_empty() {
            return Err(format!("{what}: {ended:?}, then {again:?}: other files:\n{difference}"));
        }
        Ok(is_met)
    }

    fn copy_state(&self, copy: &Path) {
        if copy.exists() {
            std::fs::remove_dir_all(copy).expect("the last copy is removed");
        }
        must(Command::new("cp").args(["-a", "--"]).arg(self.state).arg(copy));
    }

    fn traced(&self, copy: &Path, options: &[&str], log: &Path) -> Ended {
        let strace = Tool::at(Path::new("strace"))
            .args(["-f", "-qq", "-o"])
            .args([log])
            .args(options)
            .args([program(self.program)]);
        (self.equip)(strace, copy).run()
    }
}

/// Reads strace's log: the calls on files in these places, each with its number in its own process.
fn calls(log: &str, places: &[String]) -> BTreeSet<Call> {
    let mut numbers: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut calls = BTreeSet::new();
    for line in log.lines() {
        let Some((process, call)) = line.split_once(' ') else {
            continue;
        };
        let Some((name, arguments)) = call.trim_start().split_once('(') else {
            continue;
        };
        if !name
            .bytes()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_')
        {
            continue;
        }
        let number = numbers.entry((process, name)).or_default();
        *number += 1;
        if places.iter().any(|place| arguments.contains(place.as_str())) {
            calls.insert(Call {
                name: name.to_owned(),
                number: *number,
                is_change: name != "openat" || arguments.contains("O_CREAT") || arguments.contains("O_TRUNC"),
            });
        }
    }
    calls
}

/// Every file below a directory by its relative path: text as it is, of other files their length, of links their
/// target. Locks and temporary files are left out, and the directory's own path is replaced by `ROOT`.
///
/// # Panics
/// It cannot be read.
#[must_use]
pub fn files(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    let own = root.display().to_string();
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(&directory).expect("a directory of the state") {
            let path = entry.expect("its entry").path();
            let name = path.strip_prefix(root).expect("it lies below").display().to_string();
            let is_temporary = name.split('/').any(|part| part.starts_with(".portsmith-"));
            if is_temporary || name.ends_with(".lock") {
                continue;
            }
            if path.is_symlink() {
                let target = std::fs::read_link(&path).expect("it is a link");
                found.insert(name, format!("-> {}", target.display()).replace(&own, "ROOT"));
            } else if path.is_dir() {
                pending.push(path);
            } else {
                let content = std::fs::read(&path).expect("a file of the state");
                let length = content.len();
                let text = String::from_utf8(content).unwrap_or_else(|_| format!("{length} bytes"));
                found.insert(name, text.replace(&own, "ROOT"));
            }
        }
    }
    found
}

/// The files of a work directory without caches and times: of the journal what happened, sorted and said once; of a
/// lease order and phase; of a failure its builder.
///
/// # Panics
/// It cannot be read.
#[must_use]
pub fn timeless(work_dir: &Path) -> BTreeMap<String, String> {
    let mut found = files(work_dir);
    found.retain(|name, _| !name.starts_with("metadata/"));
    for (name, text) in &mut found {
        if name == "journal" {
            let events: BTreeSet<&str> = text.lines().filter_map(|line| Some(line.split_once('\t')?.1)).collect();
            *text = events.into_iter().map(|event| format!("{event}\n")).collect();
        } else if name.starts_with("builders/") {
            *text = words(text, 6);
        } else if name.ends_with(".broken") {
            *text = words(text, 1);
        }
    }
    found
}

/// The first words of each line.
fn words(text: &str, count: usize) -> String {
    let short = |line: &str| line.split(' ').take(count).collect::<Vec<_>>().join(" ");
    text.lines().map(|line| format!("{}\n", short(line))).collect()
}

fn difference(
    expected: &BTreeMap<String, String>,
    found: &BTreeMap<String, String>,
    may_differ: &dyn Fn(&str) -> bool,
) -> String {
    let names: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    names
        .into_iter()
        .filter(|name| expected.get(*name) != found.get(*name) && !may_differ(name))
        .map(|name| {
            format!(
                "{name}: expected {:?}, found {:?}\n",
                expected.get(name),
                found.get(name)
            )
        })
        .collect()
}

#[expect(clippy::print_stderr, reason = "the number of points has to be seen")]
fn say(line: &str) {
    eprintln!("{line}");
    drop(std::io::stderr().flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_numbered_by_process_and_only_those_in_the_state_count() {
        let log = "7 openat(AT_FDCWD</>, \"/etc/x\", O_RDONLY) = 3\n\
                   7 openat(AT_FDCWD</>, \"/s/a\", O_WRONLY|O_CREAT, 0666) = 3</s/a>\n\
                   8 openat(AT_FDCWD</>, \"/s/b\", O_RDONLY <unfinished ...>\n\
                   7 fsync(3</s/a>) = 0\n\
                   8 <... openat resumed>) = 4</s/b>\n\
                   7 +++ exited with 0 +++\n";
        let found: Vec<(String, usize, bool)> = calls(log, &["/s".to_owned()])
            .into_iter()
            .map(|call| (call.name, call.number, call.is_change))
            .collect();
        let openat = "openat".to_owned();
        assert_eq!(
            found,
            [
                ("fsync".to_owned(), 1, true),
                (openat.clone(), 1, false),
                (openat, 2, true)
            ]
        );
    }
}
