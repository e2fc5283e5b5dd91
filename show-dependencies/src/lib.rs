//! The `show-dependencies` command as a library.
//!
//! Reads a graph, asks it one question, and prints the answer, a record a line. Changes nothing.

mod answer;
mod choice;
mod cli;
mod edges;
mod order;
pub mod pairs;
mod picture;
mod reach;
mod source;

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::mem::ManuallyDrop;
use std::process::ExitCode;

use common::cli::Messages;
use common::exit::Failure;
use common::graph::{Plan, Policy, plan};
use thiserror::Error;

use crate::answer::{Answer, Form};
pub use crate::cli::Cli;
use crate::cli::{Format, Question};
use crate::edges::BadPairs;
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
pub fn main(args: impl IntoIterator<Item = OsString>, stdin: &mut dyn Read, stdout: &mut dyn Write) -> ExitCode {
    let cli: Cli = match common::cli::parse(args, stdout) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let messages = Messages::new(TOOL, &cli.common);
    match run(&cli, &messages, stdin, &mut io::BufWriter::new(stdout)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if common::exit::is_closed_pipe(error.chain()) => ExitCode::SUCCESS,
        Err(error) => {
            messages.error(common::cli::sentence(error.chain()));
            exit_code(&error)
        }
    }
}

fn run(cli: &Cli, messages: &Messages, stdin: &mut dyn Read, out: &mut dyn Write) -> anyhow::Result<()> {
    let libraries = match &cli.question {
        Question::Dependents(walk) | Question::Needs(walk) if walk.built => Libraries::Built,
        _ => Libraries::Declared,
    };
    let config = || {
        let environment = common::cli::environment();
        Ok(common::cli::load_config(&cli.common, &environment, messages)?)
    };
    // Giving the memory of a whole distribution back takes a tenth of the time; the process ends anyway.
    let source = ManuallyDrop::new(match &cli.source.pairs {
        Some(path) => Source::of_pairs(path, stdin)?,
        None => Source::read(&cli.source, libraries, messages, config)?,
    });
    let asked = ManuallyDrop::new(Asked {
        view: source.view(),
        policy: Policy {
            checks: cli.checks(),
            times: None,
        },
        form: if cli.json { Form::Json } else { Form::Lines },
        loops_to: cli.source.pairs.is_some().then_some(messages),
    });
    let answer = answer(&cli.question, &asked)?;
    match cli.picture {
        None => answer.write(out)?,
        Some(format) => asked.draw(&answer, format, out)?,
    }
    Ok(())
}

fn answer(question: &Question, asked: &Asked<'_>) -> anyhow::Result<Answer> {
    match question {
        Question::Dependents(walk) => reach::dependents(asked, walk),
        Question::Needs(walk) => reach::needs(asked, walk),
        Question::Order { dropped: true, .. } => order::dropped(asked),
        Question::Order { two_stage, .. } => order::order(asked, *two_stage),
        Question::Loops { break_edges: true } => order::breaks(asked),
        Question::Loops { break_edges: false } => order::loops(asked),
        Question::WhyBefore { first, second } => order::why_before(asked, (first, second)),
        Question::Excluded { packages } => choice::excluded(asked, packages),
        Question::Providers { package } => choice::providers(asked, package),
    }
}

/// What a question is asked of, and how it is to be answered.
pub(crate) struct Asked<'a> {
    pub(crate) view: View<'a>,
    pub(crate) policy: Policy<'static>,
    pub(crate) form: Form,
    /// Who is told of the loops in an order: of pairs they are, as by tsort.
    pub(crate) loops_to: Option<&'a Messages>,
}

impl Asked<'_> {
    /// Orders everything.
    pub(crate) fn plan(&self) -> Plan {
        let nodes: Vec<u32> = self.view.needs.nodes().collect();
        self.plan_of(&nodes)
    }

    /// Orders some packages, whose nodes are sorted.
    pub(crate) fn plan_of(&self, nodes: &[u32]) -> Plan {
        let View { names, needs, packages } = &self.view;
        match packages {
            Some(packages) => plan(packages, nodes.iter().map(|node| &names[*node as usize]), &self.policy),
            None => Plan::of_part((names, needs), nodes, &self.policy),
        }
    }

    fn draw(&self, answer: &Answer, format: Format, out: &mut dyn Write) -> io::Result<()> {
        let nodes: Vec<u32> = answer.nodes.iter().copied().collect();
        let plan = self.plan_of(&nodes);
        let dropped = plan.dropped.iter();
        let dashed = dropped.map(|dropped| (&dropped.pkgbase, &dropped.needs)).collect();
        let picture = Picture::new(&self.view, &answer.nodes, dashed);
        match format {
            Format::Dot => picture.write_dot(out),
            Format::Svg => picture.write_svg(out),
        }
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
        None if error.is::<BadPairs>() => Failure::Data.into(),
        None => Failure::Io.into(),
    }
}
