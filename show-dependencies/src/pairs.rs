//! `order-pairs`: what tsort(1) does, for graphs with loops.
//!
//! A program of its own: `show-dependencies --pairs FILE order` says the same, but databases need libalpm, whose libraries
//! take longer to load than the pairs of a distribution take to be ordered.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use common::cli::{CommonArgs, Messages};
use common::exit::Failure;
use common::graph::{Checks, Plan, Policy};

use crate::edges::{self, BadPairs};
use crate::order::name_loops;

/// Order pairs of names as tsort does, and survive loops
///
/// Reads words, NEEDED NEEDER and so on, and prints each name behind those that it needs. The members of a loop stay
/// together, ordered so that few edges break, and are named on stderr.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "order-pairs",
    version,
    after_long_help = "Example:\n  order-pairs <pairs\n\n\
    Exit codes: 0 ordered, with or without loops; 65 an odd number of words, or one that is no package's name"
)]
pub struct Cli {
    #[command(flatten)]
    common: CommonArgs,
    /// The pairs, - for standard input
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
}

/// Runs the tool.
pub fn main(args: impl IntoIterator<Item = OsString>, stdin: &mut dyn Read, stdout: &mut dyn Write) -> ExitCode {
    let cli: Cli = match common::cli::parse(args, stdout) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let messages = Messages::new("order-pairs", &cli.common);
    match run(&cli, &messages, stdin, stdout) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if common::exit::is_closed_pipe(error.chain()) => ExitCode::SUCCESS,
        Err(error) => {
            messages.error(common::cli::sentence(error.chain()));
            let failure = if error.is::<BadPairs>() {
                Failure::Data
            } else {
                Failure::Io
            };
            failure.into()
        }
    }
}

fn run(cli: &Cli, messages: &Messages, stdin: &mut dyn Read, stdout: &mut dyn Write) -> anyhow::Result<()> {
    let (names, needs) = edges::of_pairs(&cli.file, stdin)?;
    let policy = Policy {
        checks: Checks::Count,
        times: None,
    };
    let nodes: Vec<u32> = needs.nodes().collect();
    let plan = Plan::of_part((&names, &needs), &nodes, &policy);
    let mut out = io::BufWriter::new(stdout);
    for pkgbase in &plan.order {
        writeln!(out, "{pkgbase}")?;
    }
    out.flush()?;
    name_loops(&plan, messages);
    // Giving back the memory takes a tenth of the time; the process ends anyway.
    std::mem::forget((names, needs, plan));
    Ok(())
}
