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
        parse_edge(word, &mut Names::default())
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
        let mut lines: Vec<(PkgBase, Vec<Edge>)> = Vec::new();
        let mut complaints = Vec::new();
        for (index, line) in text.lines().enumerate() {
            match parse_line(line, &mut names) {
                Ok(None) => {}
                Ok(Some((pkgbase, mut edges))) => {
                    if !edges.is_sorted() {
                        edges.sort();
                    }
                    lines.push((pkgbase, edges));
                }
                Err(error) => complaints.push(format!("build-graph line {}: {error}", index + 1)),
            }
        }
        // A map of sorted lines is made without searching.
        let is_usual = lines.is_sorted_by(|(one, _), (other, _)| one < other);
        let mut graph = Self::default();
        if is_usual {
            graph.edges = lines.into_iter().collect();
        } else {
            for (pkgbase, edges) in lines {
                let all = graph.edges.entry(pkgbase).or_default();
                all.extend(edges);
                all.sort();
            }
        }
        for edges in graph.edges.values_mut() {
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

/// Names that have been checked; most occur in many lines.
type Names<'t> = NameMap<&'t str, PkgBase>;

fn parse_line<'t>(line: &'t str, names: &mut Names<'t>) -> Result<Option<(PkgBase, Vec<Edge>)>, String> {
    // Single blanks are what is written; anything else is what a person wrote.
    parse_words(line.split(' '), names).or_else(|_| parse_words(line.split_ascii_whitespace(), names))
}

fn parse_words<'t>(
    mut words: impl Iterator<Item = &'t str>,
    names: &mut Names<'t>,
) -> Result<Option<(PkgBase, Vec<Edge>)>, String> {
    let Some(pkgbase) = words.next() else {
        return Ok(None);
    };
    let pkgbase = parse_name(pkgbase, names)?;
    let mut edges = Vec::with_capacity(4);
    for word in words {
        edges.push(parse_edge(word, names)?);
    }
    Ok(Some((pkgbase, edges)))
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

fn parse_edge<'t>(word: &'t str, names: &mut Names<'t>) -> Result<Edge, String> {
    let at = word.bytes().position(|byte| matches!(byte, b':' | b'~'));
    let at = at.ok_or_else(|| format!("{word:?} is no edge"))?;
    let kind = match &word[..at] {
        "make" => Kind::Make,
        "run" => Kind::Run,
        "check" => Kind::Check,
        other => return Err(format!("{other:?} is no kind of edge")),
    };
    let force = if word[at..].starts_with('~') {
        Force::Relaxed
    } else {
        Force::Firm
    };
    let needs = parse_name(&word[at + 1..], names)?;
    Ok(Edge { kind, needs, force })
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
