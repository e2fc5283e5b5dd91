//! Reading and writing the work directory, with the build-list lock held.
//!
//! The journal comes first and the revisions come last: a run that is killed in between is done again by the next
//! one, out of the old revisions, with the same result. Only what differs is written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use common::atomic::{self, Batch, FileError};
use common::build_list::{BuildList, Order};
use common::cli::Messages;
use common::clock::Now;
use common::journal::{Entry, Event};
use common::names::PkgBase;
use common::state::State;
use common::vanished;
use common::work_dir::WorkDir;

use crate::schedule::{Next, Present};
use crate::stages::Stages;

/// Temporary files that are older were left by a tool that was killed.
const LEFT_OVER: Duration = Duration::from_secs(3600);

impl Present {
    /// Reads the work directory.
    pub(crate) fn read(work_dir: &WorkDir, messages: &Messages) -> Result<Self, FileError> {
        let (list, complaints) = BuildList::read(&work_dir.build_list())?;
        for complaint in complaints {
            messages.error(complaint);
        }
        let deletion_list = atomic::read_text(&work_dir.deletion_list())?.unwrap_or_default();
        let mut blocked = BTreeMap::new();
        let states = work_dir.states();
        for order in states.with(State::Blocked)? {
            let reason = states.read(&order, State::Blocked)?.unwrap_or_default().join(" ");
            blocked.insert(order, reason);
        }
        Ok(Self {
            list,
            deletion_list: deletion_list
                .lines()
                .filter_map(|line| line.trim().parse().ok())
                .collect(),
            blocked,
            stages: Stages::parse(&atomic::read_text(&work_dir.second_stage())?.unwrap_or_default()),
        })
    }
}

/// Writes the next state.
pub(crate) fn commit(work_dir: &WorkDir, present: &Present, next: &Next, now: &Now) -> anyhow::Result<()> {
    for directory in [
        work_dir.root(),
        work_dir.states().directory(),
        &work_dir.loops_directory(),
        &work_dir.metadata_directory(),
    ] {
        atomic::sweep(directory, LEFT_OVER);
    }
    work_dir.journal().append(&entries(next, now))?;
    let states = work_dir.states();
    for (order, reason) in &next.blocked {
        if present.blocked.get(order) != Some(reason) {
            states.write(order, State::Blocked, [reason])?;
        }
    }
    write(&work_dir.build_graph(), &next.plan.graph().to_string())?;
    let dropped: String = next.plan.dropped.iter().map(|edge| edge.line() + "\n").collect();
    write(&work_dir.dropped_edges(), &dropped)?;
    write_unless_empty(&work_dir.second_stage(), &next.stages.to_string())?;
    write_loops(&work_dir.loops_directory(), &next.plan.loops)?;
    write(&work_dir.releases(), &next.releases)?;
    write(&work_dir.build_list(), &next.list.to_string())?;
    let deletion_list: String = next.deletion_list.iter().map(|name| format!("{name}\n")).collect();
    write(&work_dir.deletion_list(), &deletion_list)?;
    forget(work_dir, next)?;
    for (name, revision) in next.heads.iter() {
        write(&work_dir.revision(name), &format!("{revision}\n"))?;
    }
    Ok(())
}

fn entries(next: &Next, now: &Now) -> Vec<Entry> {
    let entry = |event, order: &Order, detail: String| Entry {
        time: now.unix,
        event,
        order: order.clone(),
        builder: None,
        detail,
    };
    let scheduled = next
        .scheduled
        .iter()
        .map(|(order, why)| entry(Event::Scheduled, order, why.to_string()));
    let deleted = next
        .deleted
        .iter()
        .map(|(order, why)| entry(Event::Deleted, order, why.clone()));
    scheduled.chain(deleted).collect()
}

/// Drops what is known of orders that are not on the list: states, leases, priorities.
fn forget(work_dir: &WorkDir, next: &Next) -> anyhow::Result<()> {
    let orders: BTreeSet<&Order> = next.list.orders().collect();
    let states = work_dir.states();
    let mut batch = Batch::default();
    for order in states.with(State::Blocked)? {
        if orders.contains(&order) && !next.blocked.contains_key(&order) {
            batch.remove(&states.path(&order, State::Blocked))?;
        }
    }
    for fact in vanished::states(work_dir, &orders)? {
        vanished::forget(work_dir, &fact, &mut batch)?;
    }
    batch.sync()?;
    if let Some(text) = atomic::read_text(&work_dir.priorities())? {
        let names: BTreeSet<&str> = orders.iter().map(|order| order.pkgbase.as_str()).collect();
        let is_kept = |line: &&str| line.split_whitespace().next().is_some_and(|name| names.contains(name));
        let kept: String = text.lines().filter(is_kept).map(|line| format!("{line}\n")).collect();
        write(&work_dir.priorities(), &kept)?;
    }
    Ok(())
}

fn write_loops(directory: &Path, loops: &[Vec<PkgBase>]) -> Result<(), FileError> {
    atomic::create_directory(directory)?;
    for (index, members) in loops.iter().enumerate() {
        let text: String = members.iter().map(|name| format!("{name}\n")).collect();
        write(&directory.join(format!("loop_{}", index + 1)), &text)?;
    }
    let entries = std::fs::read_dir(directory).map_err(FileError::at("read", directory))?;
    for entry in entries {
        let entry = entry.map_err(FileError::at("read", directory))?;
        let name = entry.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix("loop_")?.parse::<usize>().ok());
        if number.is_some_and(|number| number == 0 || number > loops.len()) {
            atomic::remove(&entry.path())?;
        }
    }
    Ok(())
}

/// As `write`, but a file that would be empty is not there.
fn write_unless_empty(path: &Path, text: &str) -> Result<(), FileError> {
    match text {
        "" if path.exists() => atomic::remove(path),
        "" => Ok(()),
        text => write(path, text),
    }
}

/// Replaces a file unless it says the same already.
fn write(path: &Path, text: &str) -> Result<(), FileError> {
    if atomic::read(path)?.as_deref() == Some(text.as_bytes()) {
        return Ok(());
    }
    atomic::write(path, text.as_bytes())
}
