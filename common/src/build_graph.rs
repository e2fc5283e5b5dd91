//! `build-graph`: which other orders on the list each order needs.
//!
//! One line an order: the pkgbase, then blank-separated `kind:pkgbase` with kind `make`, `run` or `check`. An edge that
//! was relaxed inside a loop is written `kind~pkgbase` and makes nobody wait. Sorted and derived: always rebuilt with
//! the list, and when it is lost it is made again.

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::atomic::{self, FileError};
use crate::names::{NameMap, PkgBase};

/// What an order needs another one for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// To be built.
    Make,
    /// To run, and so to be installed for a build.
    Run,
    /// To be tested while it is built.
    Check,
}

impl Kind {
    /// The word in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Make => "make",
            Self::Run => "run",
            Self::Check => "check",
        }
    }
}

/// Whether an edge makes an order wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Force {
    /// The order waits.
    Firm,
    /// Relaxed inside a loop: nobody waits.
    Relaxed,
}

/// One need of an order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Edge {
    /// What for.
    pub kind: Kind,
    /// The order that is needed.
    pub needs: PkgBase,
    /// Whether it makes the order wait.
    pub force: Force,
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.force {
            Force::Firm => ':',
            Force::Relaxed => '~',
        };
        write!(f, "{}{mark}{}", self.kind.as_str(), self.needs)
    }
}

impl FromStr for Edge {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let (kind, force, needs) = parse_edge(word)?;
        let needs = needs.parse().map_err(|error| format!("{error}"))?;
        Ok(Self { kind, needs, force })
    }
}

/// The needs of every order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildGraph {
    /// Each sorted, none twice.
    edges: BTreeMap<PkgBase, Vec<Edge>>,
}

impl BuildGraph {
    /// Reads the text of the file; what is no line of it is left out and reported.
    #[must_use]
    pub fn parse(text: &str) -> (Self, Vec<String>) {
        // About as many as there are lines; more is no harm.
        let mut names = Names::with_capacity_and_hasher(text.len() / 60, Default::default());
        let mut graph = Self::default();
        let mut complaints = Vec::new();
        for line in lines(text) {
            match parse_line(line, &mut names) {
                Ok((pkgbase, edges)) => graph.edges.entry(pkgbase).or_default().extend(edges),
                Err(error) => complaints.push(format!("build-graph line {}: {error}", line.number)),
            }
        }
        for edges in graph.edges.values_mut() {
            edges.sort();
            edges.dedup();
        }
        (graph, complaints)
    }

    /// Reads the file; `None` when it does not exist.
    ///
    /// # Errors
    /// It exists and cannot be read.
    pub fn read(path: &Path) -> Result<Option<(Self, Vec<String>)>, FileError> {
        Ok(atomic::read_text(path)?.map(|text| Self::parse(&text)))
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// It cannot be written; the old one is then still there.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        atomic::write(path, self.to_string().as_bytes())
    }

    /// Adds an order without needs, so that it has a line.
    pub fn add_order(&mut self, pkgbase: PkgBase) {
        self.edges.entry(pkgbase).or_default();
    }

    /// Adds a need.
    pub fn add_edge(&mut self, pkgbase: PkgBase, edge: Edge) {
        let edges = self.edges.entry(pkgbase).or_default();
        if let Err(place) = edges.binary_search(&edge) {
            edges.insert(place, edge);
        }
    }

    /// Whether the order has a line.
    #[must_use]
    pub fn has_order(&self, pkgbase: &PkgBase) -> bool {
        self.edges.contains_key(pkgbase)
    }

    /// The needs of an order; none when it has no line.
    pub fn edges_of(&self, pkgbase: &PkgBase) -> impl Iterator<Item = &Edge> {
        self.edges.get(pkgbase).into_iter().flatten()
    }

    /// All orders with their needs.
    pub fn orders(&self) -> impl Iterator<Item = (&PkgBase, &[Edge])> {
        self.edges.iter().map(|(pkgbase, edges)| (pkgbase, edges.as_slice()))
    }
}

/// A line of the file. Its names have not been checked: who looks them up among known ones need not.
#[derive(Debug, Clone, Copy)]
pub struct Line<'t> {
    /// Its number, from 1.
    pub number: usize,
    /// The order.
    pub pkgbase: &'t str,
    edges: &'t str,
}

impl<'t> Line<'t> {
    /// What the order needs, or what is wrong with a word.
    pub fn edges(self) -> impl Iterator<Item = Result<(Kind, Force, &'t str), String>> {
        self.edges.split_ascii_whitespace().map(parse_edge)
    }
}

/// The lines of a text, empty ones left out.
pub fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    crate::lines::lines(text).enumerate().filter_map(|(index, line)| {
        let line = line.trim_ascii();
        let end = line.bytes().position(|byte| byte.is_ascii_whitespace());
        let (pkgbase, edges) = line.split_at(end.unwrap_or(line.len()));
        let number = index + 1;
        (!pkgbase.is_empty()).then_some(Line { number, pkgbase, edges })
    })
}

fn parse_edge(word: &str) -> Result<(Kind, Force, &str), String> {
    let of_kind = |kind: Kind| Some((kind, word.strip_prefix(kind.as_str())?));
    let (kind, rest) = [Kind::Make, Kind::Run, Kind::Check]
        .into_iter()
        .find_map(of_kind)
        .ok_or_else(|| format!("{word:?} is no edge"))?;
    match rest.as_bytes().first() {
        Some(b':') => Ok((kind, Force::Firm, &rest[1..])),
        Some(b'~') => Ok((kind, Force::Relaxed, &rest[1..])),
        _ => Err(format!("{word:?} is no edge")),
    }
}

/// Names that have been checked; most occur in many lines.
type Names<'t> = NameMap<&'t str, PkgBase>;

fn parse_line<'t>(line: Line<'t>, names: &mut Names<'t>) -> Result<(PkgBase, Vec<Edge>), String> {
    let pkgbase = parse_name(line.pkgbase, names)?;
    let mut edges = Vec::with_capacity(4);
    for edge in line.edges() {
        let (kind, force, needs) = edge?;
        let needs = parse_name(needs, names)?;
        edges.push(Edge { kind, needs, force });
    }
    Ok((pkgbase, edges))
}

fn parse_name<'t>(word: &'t str, names: &mut Names<'t>) -> Result<PkgBase, String> {
    match names.entry(word) {
        Entry::Occupied(known) => Ok(known.get().clone()),
        Entry::Vacant(free) => {
            let name: PkgBase = word.parse().map_err(|error| format!("{error}"))?;
            Ok(free.insert(name).clone())
        }
    }
}

impl fmt::Display for BuildGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (pkgbase, edges) in &self.edges {
            write!(f, "{pkgbase}")?;
            for edge in edges {
                write!(f, " {edge}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_is_written_sorted_and_read_back() {
        let text = "a\nb make:a run~c\nlibsigc++ check:a\n";
        let (graph, complaints) = BuildGraph::parse(text);
        assert!(complaints.is_empty(), "{complaints:?}");
        assert_eq!(graph.to_string(), text);
        let edge = graph.edges_of(&"b".parse().unwrap()).next_back_edge();
        assert_eq!(edge.force, Force::Relaxed);
    }

    #[test]
    fn a_bad_line_is_reported_and_the_others_are_kept() {
        let (graph, complaints) = BuildGraph::parse("a make:b\nb love:a\n\nc run:a\n");
        assert_eq!(complaints.len(), 1);
        assert!(complaints[0].contains("line 2"), "{complaints:?}");
        assert_eq!(graph.to_string(), "a make:b\nc run:a\n");
    }

    trait NextBackEdge {
        fn next_back_edge(self) -> Edge;
    }

    impl<'a, I: Iterator<Item = &'a Edge>> NextBackEdge for I {
        fn next_back_edge(self) -> Edge {
            self.last().cloned().unwrap()
        }
    }
}
