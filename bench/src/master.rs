//! The build master: what a builder and a timer wait for, on a list of all packages of a distribution.
//!
//! Three things take turns in every round: a fresh assignment to a builder that has none, the return of its failure, and
//! get-package-updates with fifty changed packages and then with none, against `git diff --name-status` on the same
//! commits.

mod data;
pub(crate) mod sources;

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::figures::{Run, Series};
use crate::measure::Program;
use data::Port;

/// Builders that ask at once.
const CALLERS: usize = 200;
/// How often they do.
const STORMS: usize = 3;
/// Failures in a row.
const FAILURES: usize = 1_000;
/// So many of the last failures are compared with as many of the first.
const LAST: usize = 50;

/// Measures everything.
pub(crate) fn measure(run: &mut Run<'_>) -> anyhow::Result<()> {
    run.messages
        .note(format_args!("making the data below {}", run.directory.display()));
    let port = Port::make(&run.directory)?;
    run.messages.note("taking turns");
    take_turns(&port, run)?;
    memory(&port, run)?;
    run.messages.note(format_args!("{CALLERS} callers at once"));
    storms(&port, run)?;
    run.messages.note(format_args!("{FAILURES} failures in a row"));
    failures(&port, run)
}

fn take_turns(port: &Port, run: &mut Run<'_>) -> anyhow::Result<()> {
    let mut assignments = Series::default();
    let mut returns = Series::default();
    let mut fifty_changed = Series::default();
    let mut nothing_changed = Series::default();
    let mut git_diff = Series::default();
    let peer = port.git_diff();
    if peer.is_none() {
        run.figures.leave_out("git");
    }
    for round in 0..run.rounds {
        let builder = format!("turn-{round}");
        let assigned = assign(port, &builder).run()?;
        assignments.push(assigned.time);
        returns.push(fail(port, &builder, &assigned.stdout)?);
        port.updates.rewind()?;
        fifty_changed.push(port.updates.program("get-package-updates")?.run()?.time);
        nothing_changed.push(port.updates.program("get-package-updates")?.run()?.time);
        if let Some(peer) = &peer {
            git_diff.push(peer.run()?.time);
        }
    }
    run.figures.milliseconds("first_run", port.first_run)?;
    run.figures.milliseconds("assignment_median", assignments.median())?;
    run.figures.milliseconds("return_median", returns.median())?;
    run.figures.milliseconds("nothing_changed", nothing_changed.median())?;
    run.figures.milliseconds("fifty_changed", fifty_changed.median())?;
    if peer.is_some() {
        run.figures.milliseconds("git_diff_median", git_diff.median())?;
        run.figures
            .ratio("git_diff_ratio", git_diff.median(), fifty_changed.median())?;
    }
    Ok(())
}

fn memory(port: &Port, run: &mut Run<'_>) -> anyhow::Result<()> {
    let mebibytes = |kibibytes: u64| kibibytes as f64 / 1024.0;
    let assignment = assign(port, "memory").peak()?;
    run.figures.print("assignment_rss", mebibytes(assignment), "MiB")?;
    port.updates.rewind()?;
    let updates = port.updates.program("get-package-updates")?.peak()?;
    run.figures.print("fifty_changed_rss", mebibytes(updates), "MiB")?;
    Ok(())
}

/// All callers begin at one moment; each counts from there.
fn storms(port: &Port, run: &mut Run<'_>) -> anyhow::Result<()> {
    let (mut slowest, mut middle) = (Series::default(), Series::default());
    for storm in 0..STORMS {
        let callers: Vec<Program> = (0..CALLERS)
            .map(|number| assign(port, &format!("storm-{storm}-{number}")))
            .collect();
        port.forget_builders()?;
        let barrier = Barrier::new(CALLERS);
        let answers: Vec<anyhow::Result<(Duration, String)>> = std::thread::scope(|scope| {
            let call = |caller: &Program| {
                barrier.wait();
                let begin = Instant::now();
                let answer = caller.run()?;
                Ok((begin.elapsed(), answer.stdout))
            };
            let threads: Vec<_> = callers.iter().map(|caller| scope.spawn(move || call(caller))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        let answers = answers.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        let orders: BTreeSet<&str> = answers.iter().map(|(_, line)| line.as_str()).collect();
        ensure!(
            orders.len() == CALLERS,
            "only {} different orders were handed out",
            orders.len()
        );
        let times: Series = answers.iter().map(|(time, _)| *time).collect();
        slowest.push(times.quantile(0.99));
        middle.push(times.median());
    }
    run.figures
        .milliseconds("assignment_p50_200_callers", middle.median())?;
    run.figures
        .milliseconds("assignment_p99_200_callers", slowest.median())?;
    Ok(())
}

/// One order fails again and again: its history grows, the time must not.
fn failures(port: &Port, run: &mut Run<'_>) -> anyhow::Result<()> {
    let mut times = Vec::new();
    let first = assign(port, "failing").run()?.stdout;
    let pkgbase = first.split(' ').next().unwrap_or_default().to_owned();
    fail(port, "failing", &first)?;
    for _ in 0..FAILURES {
        let assigned = assign(port, "failing").args([&pkgbase]).run()?.stdout;
        times.push(fail(port, "failing", &assigned)?);
    }
    let (early, late) = (&times[..LAST], &times[FAILURES - LAST..]);
    let median = |times: &[Duration]| times.iter().copied().collect::<Series>().median();
    run.figures.milliseconds("return_first_failures", median(early))?;
    run.figures.milliseconds("return_after_1000_failures", median(late))?;
    Ok(())
}

fn assign(port: &Port, builder: &str) -> Program {
    port.get_assignment.clone().env("PORTSMITH_BUILDER", builder)
}

/// Returns an assignment as failed; the time of that.
fn fail(port: &Port, builder: &str, assignment: &str) -> anyhow::Result<Duration> {
    let [pkgbase, revision, mod_revision, repository, _] = assignment.split_whitespace().collect::<Vec<_>>()[..] else {
        anyhow::bail!("{assignment:?} is no assignment");
    };
    let logs = port.logs()?;
    let program = port
        .return_assignment
        .clone()
        .env("PORTSMITH_BUILDER", builder)
        .args([pkgbase, revision, mod_revision, repository, "ERROR"])
        .input(&logs);
    Ok(program.run()?.time)
}
