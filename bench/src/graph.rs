//! The dependency engine on a whole distribution, and on twice as much: about what Arch has today.
//!
//! In process: resolving, ordering, closures, reading `.SRCINFO` files. As a process: databases to order, and the same
//! edges as for tsort, which everybody else orders with. And what it costs to know what a PKGBUILD says.

mod data;
mod evaluation;
mod pkgbuilds;

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use common::alpm::sync::Databases;
use common::cli::Messages;
use common::graph::{Closures, Packages, Policy, plan};
use common::names::{Arch, PkgBase};
use common::srcinfo::SrcInfo;

use crate::figures::{Figures, Series};
use crate::measure::{Measured, Program};
use data::Data;

/// Transitive closures that are asked for.
const QUERIES: usize = 10_000;

/// Measures everything.
pub(crate) fn measure(
    directory: &Path,
    rounds: usize,
    messages: &Messages,
    figures: &mut Figures<'_>,
) -> anyhow::Result<()> {
    messages.note("evaluating PKGBUILDs, then makepkg, which takes minutes");
    evaluation::measure(&directory.join("evaluation"), figures)?;
    let Some(source) = data::source() else {
        figures.leave_out("the data that PORTSMITH_TEST_DATA names");
        return Ok(());
    };
    messages.note(format_args!("making the data below {}", directory.display()));
    let data = Data::make(&source, directory)?;
    let databases = Databases::read(&data.databases)?;
    in_process(&databases, rounds, figures)?;
    srcinfos(&data, rounds, messages, figures)?;
    processes(&data, rounds, figures)?;
    tsort(&data, &databases.packages(), (rounds, messages), figures)
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

fn in_process(databases: &Databases, rounds: usize, figures: &mut Figures<'_>) -> anyhow::Result<()> {
    figures.milliseconds("resolve_11k", time(rounds, || databases.packages()).median())?;
    let packages = databases.packages();
    let names: Vec<PkgBase> = packages.names().iter().map(|name| (*name).clone()).collect();
    let order = time(rounds, || plan(&packages, &names, &Policy::default()));
    figures.milliseconds("order_11k", order.median())?;
    let dependents = packages.possible().reversed();
    let queries = time(rounds, || {
        let closures = Closures::new(&dependents);
        let nodes = dependents.nodes().cycle().take(QUERIES);
        nodes.map(|node| closures.of(&[node]).len()).sum::<usize>()
    });
    figures.milliseconds("queries_10k", queries.median())?;
    Ok(())
}

/// Reading and parsing every file, which have been read before.
fn srcinfos(data: &Data, rounds: usize, messages: &Messages, figures: &mut Figures<'_>) -> anyhow::Result<()> {
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
    messages.note(format_args!(
        "{} files are no .SRCINFO: {}",
        refused.len(),
        refused.join(" ")
    ));
    figures.print("srcinfo_accepted", (results.len() - refused.len()) as f64, "files")?;
    figures.milliseconds("srcinfo_4119", time(rounds, read).median())?;
    Ok(())
}

fn processes(data: &Data, rounds: usize, figures: &mut Figures<'_>) -> anyhow::Result<()> {
    let program = Program::of_project("show-dependencies")?;
    let program = data
        .databases
        .iter()
        .fold(program, |program, path| program.args(["-D"]).args([path]));
    let program = program.args(["order"]);
    let runs = (0..rounds)
        .map(|_| Ok(program.run()?.time))
        .collect::<anyhow::Result<Series>>()?;
    figures.milliseconds("process_11k", runs.median())?;
    figures.print("rss", program.peak()? as f64 / 1024.0, "MiB")?;
    Ok(())
}

/// The same pairs of words to both.
fn tsort(
    data: &Data,
    packages: &Packages<'_>,
    (rounds, messages): (usize, &Messages),
    figures: &mut Figures<'_>,
) -> anyhow::Result<()> {
    let Some(shell) = Program::of_system("sh").filter(|_| Program::of_system("tsort").is_some()) else {
        figures.leave_out("tsort");
        return Ok(());
    };
    let pairs = data.write_pairs(packages)?;
    let ours = Program::of_project("order-pairs")?.args(["-q"]).args([&pairs]);
    let runs = (0..rounds)
        .map(|_| Ok(ours.run()?.time))
        .collect::<anyhow::Result<Series>>()?;
    figures.milliseconds("edges_to_order", runs.median())?;
    messages.note("waiting for tsort, about a minute");
    // It ends with 1 when there are loops, and says each of them.
    let peer = shell
        .args(["-c", "tsort \"$0\" 2>/dev/null || test $? = 1"])
        .args([&pairs]);
    let Measured { time, .. } = peer.run()?;
    figures.milliseconds("tsort", time)?;
    figures.ratio("tsort_ratio", time, runs.median())?;
    Ok(())
}
