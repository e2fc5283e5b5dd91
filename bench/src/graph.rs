//! The dependency engine on a whole distribution, and on twice as much: about what Arch has today.
//!
//! In process: resolving, ordering, closures, reading `.SRCINFO` files. As a process: databases to order, and the same
//! edges as for tsort, which everybody else orders with. And what it costs to know what a PKGBUILD says.

mod data;
mod evaluation;
mod pkgbuilds;

use std::hint::black_box;
use std::time::Instant;

use anyhow::Context as _;
use common::graph::{Closures, Packages, Policy, plan};
use common::names::{Arch, PkgBase};
use common::srcinfo::SrcInfo;
use common::sync_database::Databases;

use crate::figures::{Run, Series};
use crate::measure::{Measured, Program};
use data::Data;

/// Transitive closures that are asked for.
const QUERIES: usize = 10_000;

/// Measures everything.
pub(crate) fn measure(run: &mut Run<'_>) -> anyhow::Result<()> {
    run.messages
        .note("evaluating PKGBUILDs, then makepkg, which takes minutes");
    evaluation::measure(run)?;
    let Some(source) = data::source() else {
        run.figures.leave_out("the data that PORTSMITH_TEST_DATA names");
        return Ok(());
    };
    run.messages
        .note(format_args!("making the data below {}", run.directory.display()));
    let data = Data::make(&source, &run.directory)?;
    let databases = Databases::read(&data.databases)?;
    in_process(&databases, run)?;
    srcinfos(&data, run)?;
    processes(&data, run)?;
    tsort(&data, &databases.packages(), run)
}

fn time<T>(rounds: usize, work: impl Fn() -> T) -> Series {
    let one = |_| {
        let begin = Instant::now();
        let result = black_box(work());
        let time = begin.elapsed();
        drop(result);
        time
    };
    (0..rounds).map(one).collect()
}

fn in_process(databases: &Databases, run: &mut Run<'_>) -> anyhow::Result<()> {
    run.figures
        .milliseconds("resolve_11k", time(run.rounds, || databases.packages()).median())?;
    let packages = databases.packages();
    let names: Vec<PkgBase> = packages.names().iter().map(|name| (*name).clone()).collect();
    let order = time(run.rounds, || plan(&packages, &names, &Policy::default()));
    run.figures.milliseconds("order_11k", order.median())?;
    let dependents = packages.possible().reversed();
    let queries = time(run.rounds, || {
        let closures = Closures::new(&dependents);
        let nodes = dependents.nodes().cycle().take(QUERIES);
        nodes.map(|node| closures.of(&[node]).len()).sum::<usize>()
    });
    run.figures.milliseconds("queries_10k", queries.median())?;
    Ok(())
}

/// Reading and parsing every file, which have been read before.
fn srcinfos(data: &Data, run: &mut Run<'_>) -> anyhow::Result<()> {
    let arch: Arch = "powerpc".parse().context("an architecture")?;
    let read = || {
        let parse = |path| {
            Some(
                SrcInfo::parse(&std::fs::read_to_string(path).ok()?, &arch)
                    .ok()?
                    .packages
                    .len(),
            )
        };
        data.srcinfos.iter().map(parse).collect::<Vec<_>>()
    };
    let results = read();
    let refused = data.srcinfos.iter().zip(&results).filter(|(_, read)| read.is_none());
    let refused: Vec<String> = refused.map(|(path, _)| data::name_of(path)).collect();
    run.messages.note(format_args!(
        "{} files are no .SRCINFO: {}",
        refused.len(),
        refused.join(" ")
    ));
    run.figures
        .print("srcinfo_accepted", (results.len() - refused.len()) as f64, "files")?;
    run.figures
        .milliseconds("srcinfo_4119", time(run.rounds, read).median())?;
    Ok(())
}

fn processes(data: &Data, run: &mut Run<'_>) -> anyhow::Result<()> {
    let program = Program::of_project("show-dependencies")?;
    let program = data
        .databases
        .iter()
        .fold(program, |program, path| program.args(["-D"]).args([path]));
    let program = program.args(["order"]);
    let runs = (0..run.rounds)
        .map(|_| Ok(program.run()?.time))
        .collect::<anyhow::Result<Series>>()?;
    run.figures.milliseconds("process_11k", runs.median())?;
    run.figures.print("rss", program.peak()? as f64 / 1024.0, "MiB")?;
    Ok(())
}

/// The same pairs of words to both.
fn tsort(data: &Data, packages: &Packages<'_>, run: &mut Run<'_>) -> anyhow::Result<()> {
    let Some(shell) = Program::of_system("sh").filter(|_| Program::of_system("tsort").is_some()) else {
        run.figures.leave_out("tsort");
        return Ok(());
    };
    let pairs = data.write_pairs(packages)?;
    let ours = Program::of_project("order-pairs")?.args(["-q"]).args([&pairs]);
    let runs = (0..run.rounds)
        .map(|_| Ok(ours.run()?.time))
        .collect::<anyhow::Result<Series>>()?;
    run.figures.milliseconds("edges_to_order", runs.median())?;
    run.messages.note("waiting for tsort, about a minute");
    // It ends with 1 when there are loops, and says each of them.
    let peer = shell
        .args(["-c", "tsort \"$0\" 2>/dev/null || test $? = 1"])
        .args([&pairs]);
    let Measured { time, .. } = peer.run()?;
    run.figures.milliseconds("tsort", time)?;
    run.figures.ratio("tsort_ratio", time, runs.median())?;
    Ok(())
}
