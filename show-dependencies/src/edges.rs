//! Graphs that are edges between names and nothing else: a build-graph, or pairs of words as tsort(1) reads them.

use std::io::Read;
use std::path::Path;

use anyhow::Context as _;
use common::atomic;
use common::build_graph::{self, Kind, Line};
use common::cli::Messages;
use common::graph::{Kinds, Named, Need, Needs};
use common::names::{NameError, PkgBase};
use thiserror::Error;

/// A text that is no list of pairs.
#[derive(Debug, Error)]
pub(crate) enum BadPairs {
    #[error("the number of words is odd: {0:?} has no second one")]
    Odd(String),
    #[error("line {line}: {source}")]
    Name {
        line: usize,
        #[source]
        source: NameError,
    },
}

/// The graph of a file of pairs, or of standard input: the first of two names is built before the second one.
pub(crate) fn of_pairs(path: &Path, stdin: &mut dyn Read) -> anyhow::Result<(Vec<PkgBase>, Needs)> {
    let text = if path == Path::new("-") {
        let mut content = Vec::new();
        let read = stdin.read_to_end(&mut content);
        read.context("cannot read the pairs from standard input")?;
        // What is not UTF-8 is no name, and refused as one.
        String::from_utf8(content).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    } else {
        text_of(path)?
    };
    let named = pairs(&text).with_context(|| format!("{} has no pairs", path.display()))?;
    Ok(named.sorted())
}

fn pairs(text: &str) -> Result<Named<'_>, BadPairs> {
    let mut named = Named::default();
    let mut words = text.split_ascii_whitespace();
    // Most lists name all that one package needs, or all who need it, in a row.
    let mut last = ["", ""];
    let mut numbers = [0, 0];
    while let Some(first) = words.next() {
        let second = words.next().ok_or_else(|| BadPairs::Odd(first.to_owned()))?;
        for (side, word) in [first, second].into_iter().enumerate() {
            if last[side] != word {
                last[side] = word;
                numbers[side] = named.number(word).map_err(|source| BadPairs::Name {
                    line: line_of(text, word),
                    source,
                })?;
            }
        }
        let [node, needer] = numbers;
        let kinds = Kinds::of(Kind::Make);
        named.add(needer, Need { node, kinds });
    }
    Ok(named)
}

/// The number of the line in which a part of the text lies.
fn line_of(text: &str, part: &str) -> usize {
    let before = part.as_ptr() as usize - text.as_ptr() as usize;
    text.as_bytes()[..before].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The graph of a build-graph; what is no line of it is said and left out.
pub(crate) fn of_build_graph(path: &Path, messages: &Messages) -> anyhow::Result<(Vec<PkgBase>, Needs)> {
    let text = text_of(path)?;
    let mut named = Named::default();
    for line in build_graph::lines(&text) {
        let known = named.len();
        match needs_of(line, &mut named) {
            Ok((needer, needs)) => needs.into_iter().for_each(|need| named.add(needer, need)),
            Err(error) => {
                named.truncate(known);
                messages.error(format_args!("build-graph line {}: {error}", line.number));
            }
        }
    }
    Ok(named.sorted())
}

/// The order of a line and what it needs, or what is wrong with it.
fn needs_of<'t>(line: Line<'t>, named: &mut Named<'t>) -> Result<(u32, Vec<Need>), String> {
    let mut number = |name| named.number(name).map_err(|error| error.to_string());
    let needer = number(line.pkgbase)?;
    let needs = line.edges().map(|edge| {
        let (kind, _, needed) = edge?;
        let kinds = Kinds::of(kind);
        number(needed).map(|node| Need { node, kinds })
    });
    Ok((needer, needs.collect::<Result<_, String>>()?))
}

fn text_of(path: &Path) -> anyhow::Result<String> {
    let text = atomic::read_text(path)?;
    text.with_context(|| format!("{} does not exist", path.display()))
}
