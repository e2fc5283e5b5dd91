//! The machines that there are: listing, entering, stopping, and removing those that nobody looks after.

use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use common::clock::format_utc;
use common::interrupt::Interrupt;
use common::used_directory;
use serde::Serialize;
use thiserror::Error;

use crate::base;
use crate::guest::Entry;
use crate::hardware::{CONSOLE, CONSOLE_LOG};
use crate::machine::{MachineRecord, end_qemu, remove_machine};
use crate::place::Place;
use crate::qmp::{SOCKET, connect_in};
use crate::snapshot;

/// How often somebody at a console is looked at for a wish to leave.
const CONSOLE_TICK: Duration = Duration::from_millis(200);

/// A name that no machine has.
#[derive(Debug, Error)]
#[error("there is no machine {0:?}: arch-vm list shows them")]
pub(crate) struct NoMachine(String);

/// What is known of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// A build uses it.
    Building,
    /// It was kept, and runs.
    Kept,
    /// Nobody looks after it: `clean` removes it.
    Left,
}

/// A line of the list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
enum Line {
    /// A base image.
    Base {
        arch: String,
        name: String,
        made: u64,
        kernel: String,
        packages: usize,
        current: bool,
    },
    /// A machine.
    Machine {
        id: String,
        arch: String,
        from: String,
        started: u64,
        state: State,
        port: Option<u16>,
    },
}

/// Prints what there is.
pub(crate) fn list(place: &Place, as_json: bool, out: &mut dyn Write) -> Result<()> {
    let mut lines = Vec::new();
    for arch in place.architectures()? {
        if let Some(base) = base::current(&place.of(&arch)) {
            lines.push(Line::Base {
                arch: arch.to_string(),
                name: base.name(),
                made: base.record.made,
                kernel: base.record.kernel.clone(),
                packages: base.record.packages,
                current: true,
            });
        }
    }
    for directory in directories(place)? {
        let Some(record) = MachineRecord::read(&directory) else {
            continue;
        };
        lines.push(Line::Machine {
            state: state(&directory, &record),
            id: record.id,
            arch: record.arch.to_string(),
            from: record.from,
            started: record.started,
            port: record.port,
        });
    }
    for line in lines {
        if as_json {
            writeln!(out, "{}", serde_json::to_string(&line)?)?;
        } else {
            writeln!(out, "{}", words(&line))?;
        }
    }
    Ok(out.flush()?)
}

fn words(line: &Line) -> String {
    let time = |unix: u64| format_utc(unix, "%Y-%m-%dT%H:%M:%SZ");
    match line {
        Line::Base {
            arch,
            name,
            made,
            kernel,
            packages,
            ..
        } => format!("base {arch}/{name} {} kernel {kernel} packages {packages}", time(*made)),
        Line::Machine {
            id,
            arch,
            from,
            started,
            state,
            port,
        } => {
            let state = match state {
                State::Building => "building",
                State::Kept => "kept",
                State::Left => "left",
            };
            let port = port.map_or_else(|| "-".to_owned(), |port| port.to_string());
            format!("machine {id} {arch} {state} {} port {port} from {from}", time(*started))
        }
    }
}

fn state(directory: &Path, record: &MachineRecord) -> State {
    if used_directory::is_used(directory) {
        State::Building
    } else if record.kept && connect_in(directory, SOCKET).is_ok() {
        State::Kept
    } else {
        State::Left
    }
}

/// The machines' directories, in the order of their names.
fn directories(place: &Place) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(place.machines())?.collect::<io::Result<Vec<_>>>()?;
    let mut paths: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    Ok(paths)
}

fn find(place: &Place, id: &str) -> Result<(PathBuf, MachineRecord), NoMachine> {
    let none = || NoMachine(id.to_owned());
    let is_name = !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric());
    let directory = Some(place.machines().join(id)).filter(|_| is_name).ok_or_else(none)?;
    let record = MachineRecord::read(&directory).ok_or_else(none)?;
    Ok((directory, record))
}

/// Replaces this process by ssh into a machine.
pub(crate) fn enter(place: &Place, id: &str, command: &[String]) -> Result<()> {
    let (directory, record) = find(place, id)?;
    let entry = Entry {
        directory,
        port: record.port.context("the machine has not been started yet")?,
        identity: record.identity,
        is_known: record.is_known,
        account: place.account().cloned(),
    };
    Err(entry.exec(command).into())
}

/// Shows what a console said, and passes lines on in both directions until either side ends, or somebody ends us.
pub(crate) fn console(
    machine: (&Place, &str),
    mut input: impl Read + Send + 'static,
    out: &mut dyn Write,
    interrupt: &Interrupt,
) -> Result<()> {
    let (directory, _) = find(machine.0, machine.1)?;
    out.write_all(&fs::read(directory.join(CONSOLE_LOG)).unwrap_or_default())?;
    out.flush()?;
    let Ok(mut stream) = connect_in(&directory, CONSOLE) else {
        return Ok(());
    };
    let mut to = stream.try_clone()?;
    // Nobody waits for it: when the guest ends, it may stand in a read from the terminal.
    std::thread::spawn(move || {
        // Either side may end at any time, and that is the end.
        drop(io::copy(&mut input, &mut to));
        drop(to.shutdown(Shutdown::Both));
    });
    stream.set_read_timeout(Some(CONSOLE_TICK))?;
    let mut buffer = [0; 4096];
    while !interrupt.is_raised() {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                out.write_all(&buffer[..count])?;
                out.flush()?;
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Ends a machine. One that a build uses is removed by that build.
pub(crate) fn stop(place: &Place, id: &str) -> Result<()> {
    let (directory, _) = find(place, id)?;
    end_qemu(&directory)?;
    remove_if_nobodys(place, &directory)
}

/// How much is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// What killed builds left.
    Remains,
    /// Kept machines and base images, too.
    Everything,
}

/// Removes what nobody looks after.
pub(crate) fn clean(place: &Place, extent: Extent, interrupt: &Interrupt) -> Result<()> {
    for directory in directories(place)? {
        let record = MachineRecord::read(&directory);
        let is_kept = record.is_some_and(|record| state(&directory, &record) == State::Kept);
        if extent == Extent::Everything || !is_kept {
            remove_if_nobodys(place, &directory)?;
        }
    }
    for arch in place.architectures()? {
        let place = place.of(&arch);
        // A base image in the making is swept by the one who makes it.
        let right = base::lock(&place, interrupt, || {})?;
        if extent == Extent::Everything {
            place.bases().forget(&right)?;
        }
        base::sweep(&place, &right)?;
        if let Some(base) = base::current(&place) {
            snapshot::sweep(&base.snapshots())?;
        }
    }
    Ok(())
}

/// Removes a machine unless somebody looks after it.
fn remove_if_nobodys(place: &Place, directory: &Path) -> Result<()> {
    let away = {
        let _looking = place.lock_machines()?;
        if used_directory::is_used(directory) {
            return Ok(());
        }
        used_directory::set_aside(directory)?
    };
    end_qemu(&away)?;
    remove_machine(&away)
}
