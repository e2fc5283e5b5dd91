//! The published repositories: one package and a thousand into a repository of 13,900, against repo-add, and a promotion
//! of 2,000 packages by db-update; its decision what may move among 18,000.
//!
//! Both sides add the same package files to the same databases, as processes, in turns. repo-add needs seconds for one
//! package, and minutes for a thousand: it has few rounds, and of the thousand one. How many a figure is the median of is
//! said before it is measured.

mod data;
mod decision;
mod place;

use std::path::PathBuf;

use anyhow::ensure;

use crate::figures::{Run, Series};
use crate::measure::Program;
use data::Stock;
use place::Place;

/// Packages of one big publication.
const MANY: usize = 1_000;
/// How often it is done.
const MANY_TIMES: usize = 5;
/// Packages that move to stable.
const PROMOTED: usize = 2_000;
/// How often they do.
const PROMOTIONS: usize = 3;
/// Most rounds with repo-add.
const PEER_ROUNDS: usize = 3;

/// Measures everything.
pub(crate) fn measure(run: &mut Run<'_>) -> anyhow::Result<()> {
    decision::measure(run)?;
    let directory = run.directory.clone();
    let stock = Stock::read()?;
    run.messages.note(format_args!(
        "making repositories of {} packages below {}",
        stock.len(),
        directory.display()
    ));
    let repo_add = Program::of_system("repo-add");
    if repo_add.is_none() {
        run.figures.leave_out("repo-add");
    }
    let place = Place::make(&directory, &stock, None)?;
    let peer_rounds = run.rounds.min(PEER_ROUNDS);
    run.messages.note(format_args!(
        "one package at a time: {} rounds, {peer_rounds} of repo-add",
        run.rounds
    ));
    one_by_one(&place, &stock, repo_add.as_ref(), "", run)?;
    run.messages.note(format_args!(
        "{MANY} packages at once: {MANY_TIMES} rounds, 1 of repo-add"
    ));
    many_at_once(&place, &stock, repo_add.as_ref(), run)?;
    run.messages
        .note(format_args!("promoting {PROMOTED} packages: {PROMOTIONS} rounds"));
    promotions(&place, &stock, run)?;
    if Program::of_system("gpg").is_none() {
        run.figures.leave_out("gpg");
        return Ok(());
    }
    run.messages.note(format_args!(
        "one package at a time, signed: {} rounds, {peer_rounds} of repo-add",
        run.rounds
    ));
    let key = testkit::gpg::GpgHome::new("bench")?;
    let signed = Place::make(&directory.join("signed"), &stock, Some(&key))?;
    one_by_one(&signed, &stock, repo_add.as_ref(), "_signed", run)
}

/// One new package in each round.
fn one_by_one(
    place: &Place,
    stock: &Stock,
    repo_add: Option<&Program>,
    suffix: &str,
    run: &mut Run<'_>,
) -> anyhow::Result<()> {
    let (mut ours, mut theirs) = (Series::default(), Series::default());
    for round in 0..run.rounds {
        let files = place.packages(stock, &format!("one{round}"), 1)?;
        ours.push(place.publish(&files)?.run()?.time);
        if let Some(repo_add) = repo_add
            && round < PEER_ROUNDS
        {
            theirs.push(place.repo_add(repo_add, &files).run()?.time);
        }
    }
    run.figures
        .milliseconds(&format!("add_1_of_13900{suffix}"), ours.median())?;
    if repo_add.is_some() {
        run.figures
            .milliseconds(&format!("repo_add_1{suffix}"), theirs.median())?;
        run.figures
            .ratio(&format!("add_1_ratio{suffix}"), theirs.median(), ours.median())?;
    }
    Ok(())
}

fn many_at_once(place: &Place, stock: &Stock, repo_add: Option<&Program>, run: &mut Run<'_>) -> anyhow::Result<()> {
    let mut ours = Series::default();
    let mut first: Vec<PathBuf> = Vec::new();
    for time in 0..MANY_TIMES {
        let files = place.packages(stock, &format!("many{time}"), MANY)?;
        ours.push(place.publish(&files)?.run()?.time);
        if time == 0 {
            first = files;
        }
    }
    run.figures.milliseconds("add_1000", ours.median())?;
    if let Some(repo_add) = repo_add {
        let theirs = place.repo_add(repo_add, &first).run()?.time;
        run.figures.milliseconds("repo_add_1000", theirs)?;
        run.figures.ratio("add_1000_ratio", theirs, ours.median())?;
    }
    Ok(())
}

/// db-update moves newer versions of packages from testing to stable.
fn promotions(place: &Place, stock: &Stock, run: &mut Run<'_>) -> anyhow::Result<()> {
    let mut ours = Series::default();
    for time in 0..PROMOTIONS {
        let files = place.fill_testing(stock, time, PROMOTED)?;
        place.db_update()?.args(["-n"]).run()?;
        ours.push(place.db_update()?.run()?.time);
        let left = place.count("testing")?;
        ensure!(left == 0, "{left} of {files} packages stayed in testing");
    }
    run.figures.print("promote_2000", ours.median().as_secs_f64(), "s")?;
    Ok(())
}
