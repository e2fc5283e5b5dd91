//! The answer on standard output: the new orders a line each, or everything as JSON.

use std::collections::BTreeSet;
use std::io::{self, Write};

use common::build_list::Order;
use common::graph::Dropped;
use common::names::PkgBase;
use serde::Serialize;

use crate::schedule::{Next, Present};

#[derive(Serialize)]
struct Report<'a> {
    scheduled: Vec<Reasoned<'a>>,
    deleted: Vec<Reasoned<'a>>,
    blocked: Vec<Reasoned<'a>>,
    loops: &'a [Vec<PkgBase>],
    dropped_edges: &'a [Dropped],
    orders: usize,
    deletions: usize,
}

#[derive(Serialize)]
struct Reasoned<'a> {
    #[serde(flatten)]
    order: &'a Order,
    reason: String,
}

/// Writes what is new.
pub(crate) fn write(next: &Next, is_json: bool, out: &mut dyn Write) -> io::Result<()> {
    if is_json {
        let report = Report {
            scheduled: reasoned(next.scheduled.iter().map(|(order, why)| (order, why.to_string()))),
            deleted: reasoned(next.deleted.iter().map(|(order, why)| (order, why.clone()))),
            blocked: reasoned(next.blocked.iter().map(|(order, reason)| (order, reason.clone()))),
            loops: &next.plan.loops,
            dropped_edges: &next.plan.dropped,
            orders: next.list.orders().count(),
            deletions: next.deletion_list.len(),
        };
        serde_json::to_writer(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        for (order, _) in &next.scheduled {
            writeln!(out, "{order}")?;
        }
    }
    out.flush()
}

/// Writes how the deletion list differs: `+name` comes onto it, `-name` leaves it.
pub(crate) fn write_difference(present: &Present, next: &Next, is_json: bool, out: &mut dyn Write) -> io::Result<()> {
    let added: BTreeSet<&PkgBase> = next.deletion_list.difference(&present.deletion_list).collect();
    let removed: BTreeSet<&PkgBase> = present.deletion_list.difference(&next.deletion_list).collect();
    if is_json {
        serde_json::to_writer(&mut *out, &serde_json::json!({"added": added, "removed": removed}))?;
        writeln!(out)?;
    } else {
        for name in added {
            writeln!(out, "+{name}")?;
        }
        for name in removed {
            writeln!(out, "-{name}")?;
        }
    }
    out.flush()
}

fn reasoned<'a>(items: impl Iterator<Item = (&'a Order, String)>) -> Vec<Reasoned<'a>> {
    items.map(|(order, reason)| Reasoned { order, reason }).collect()
}
