//! The `show-dependencies` command as a library.
//!
//! Reads a graph, asks it one question, and prints the answer, a record a line. Changes nothing.

mod answer;
mod choice;
mod cli;
mod order;
mod picture;
mod reach;
mod source;

use std::ffi::OsString;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::process::ExitCode;

use common::cli::Messages;
use common::exit::Failure;
use common::graph::{Plan, Policy, plan};
use common::names::PkgBase;
use thiserror::Error;

use crate::answer::Answer;
pub use crate::cli::Cli;
use crate::cli::{Format, Question};
use crate::picture::Picture;
use crate::source::{Libraries, Source, View};

const TOOL: &str = "show-dependencies";
/// Exit code: a name is unknown.
const UNKNOWN: u8 = 2;

/// A question that has no answer.
#[derive(Debug, Error)]
pub(crate) enum Unanswerable {
    /// Nobody has the name.
    #[error("{0} is unknown: no package, pkgbase or dependency has this name")]
    Unknown(String),
    /// A build-graph has edges and no words.
    #[error(
        "a build-graph does not say what packages need in their own words: ask databases (-D) or .SRCINFO files (-S)"
    )]
    NoWords,
}

/// Runs the tool.
pub fn main(args: impl IntoIterator<Item = OsString>, stdout: &mut dyn Write) -> ExitCode {
    let cli: Cli = match common::cli::parse(args, stdout) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let messages = Messages::new(TOOL, &cli.common);
    match run(&cli, &messages, &mut io::BufWriter::new(stdout)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if common::exit::is_closed_pipe(error.chain()) => ExitCode::SUCCESS,
        Err(error) => {
            messages.error(common::cli::sentence(error.chain()));
            exit_code(&error)
        }
    }
}

fn run(cli: &Cli, messages: &Messages, out: &mut dyn Write) -> anyhow::Result<()> {
    let libraries = match &cli.question {
        Question::Dependents(walk) | Question::Needs(walk) if walk.built => Libraries::Built,
        _ => Libraries::Declared,
    };
    let config = || {
        let environment = common::cli::environment();
        Ok(common::cli::load_config(&cli.common, &environment, messages)?)
    };
    // Giving the memory of a whole distribution back takes a tenth of the time; the process ends anyway.
    let source = ManuallyDrop::new(Source::read(&cli.source, libraries, messages, config)?);
    let view = ManuallyDrop::new(source.view());
    let policy = Policy {
        checks: cli.checks(),
        times: None,
    };
    let answer = answer(cli, &view, &policy)?;
    match cli.picture {
        None => answer.write(cli.json, out)?,
        Some(format) => draw(&view, &answer, (format, &policy), out)?,
    }
    Ok(())
}

fn answer(cli: &Cli, view: &View<'_>, policy: &Policy<'_>) -> anyhow::Result<Answer> {
    match &cli.question {
        Question::Dependents(walk) => reach::dependents(view, walk, policy),
        Question::Needs(walk) => reach::needs(view, walk, policy),
        Question::Order { dropped: true, .. } => order::dropped(view, policy),
        Question::Order { two_stage, .. } => order::order(view, policy, *two_stage),
        Question::Loops { break_edges: true } => order::breaks(view, policy),
        Question::Loops { break_edges: false } => order::loops(view, policy),
        Question::WhyBefore { first, second } => order::why_before(view, policy, (first, second)),
        Question::Excluded { packages } => choice::excluded(view, packages, policy.checks),
        Question::Providers { package } => choice::providers(view, package),
    }
}

fn draw(
    view: &View<'_>,
    answer: &Answer,
    (format, policy): (Format, &Policy<'_>),
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let plan = plan_of(view, answer.nodes.iter().copied(), policy);
    let dashed = plan
        .dropped
        .iter()
        .map(|dropped| (&dropped.pkgbase, &dropped.needs))
        .collect();
    let picture = Picture::new(view, &answer.nodes, dashed);
    match format {
        Format::Dot => picture.write_dot(out)?,
        Format::Svg => picture.write_svg(out)?,
    }
    Ok(())
}

/// Orders some packages of a graph.
pub(crate) fn plan_of(view: &View<'_>, nodes: impl Iterator<Item = u32>, policy: &Policy<'_>) -> Plan {
    let names: Vec<PkgBase> = nodes.map(|node| view.names[node as usize].clone()).collect();
    match &view.packages {
        Some(packages) => plan(packages, &names, policy),
        None => Plan::of_part(&view.names, &view.needs, (&names, policy)),
    }
}

/// The one table from errors to exit codes.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    if common::exit::is_of_configuration(error.chain()) {
        return Failure::Config.into();
    }
    match error.downcast_ref::<Unanswerable>() {
        Some(Unanswerable::Unknown(_)) => ExitCode::from(UNKNOWN),
        Some(Unanswerable::NoWords) => Failure::Usage.into(),
        None => Failure::Io.into(),
    }
}
