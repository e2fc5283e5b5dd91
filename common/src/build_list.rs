//! The build list: `pkgbase revision mod_revision repository`, one order a line, in build order.
//!
//! Lines of three fields (no mod_revision) are read; four are written. A line that is no order is reported with its
//! number and kept where it is, so that a slip of the editor loses nothing.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::atomic::{self, FileError};
use crate::names::{NameError, NameMap, PkgBase, Repository, Revision};

/// One line of the build list: what to build, from which commits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Order {
    /// The package.
    pub pkgbase: PkgBase,
    /// Commit of the packaging repository.
    pub revision: Revision,
    /// Commit of the customization repository; forty zeros without one.
    pub mod_revision: Revision,
    /// Upstream's repository, never the binary destination.
    pub repository: Repository,
}

/// A line that is no order.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OrderError {
    /// It has not three or four fields.
    #[error("expected `pkgbase revision mod_revision repository`, found {0} fields")]
    Fields(usize),
    /// A field breaks the rule of its kind.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl FromStr for Order {
    type Err = OrderError;

    fn from_str(line: &str) -> Result<Self, OrderError> {
        Reader::default().order(line)
    }
}

/// Reads one order after another. Most orders of a list name the same commits and repositories, so a text that has been
/// checked is not checked again.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    revisions: Vec<Revision>,
    repositories: Vec<Repository>,
}

impl Reader {
    /// So many different ones are remembered.
    const KNOWN: usize = 8;

    fn order(&mut self, line: &str) -> Result<Order, OrderError> {
        // Single blanks are what is written; anything else is what a person wrote.
        match self.order_of(line.split(' ')) {
            Ok(order) => Ok(order),
            Err(_) => self.order_of(line.split_ascii_whitespace()),
        }
    }

    fn order_of<'t>(&mut self, mut words: impl Iterator<Item = &'t str>) -> Result<Order, OrderError> {
        let fields = [(); 5].map(|()| words.next());
        let (pkgbase, revision, mod_revision, repository) = match fields {
            [
                Some(pkgbase),
                Some(revision),
                Some(mod_revision),
                Some(repository),
                None,
            ] => {
                let mod_revision = self.known_revision(mod_revision)?;
                (pkgbase, revision, mod_revision, repository)
            }
            [Some(pkgbase), Some(revision), Some(repository), None, None] => {
                (pkgbase, revision, Revision::none(), repository)
            }
            _ => return Err(OrderError::Fields(fields.iter().flatten().count() + words.count())),
        };
        Ok(Order {
            pkgbase: pkgbase.parse()?,
            revision: self.known_revision(revision)?,
            mod_revision,
            repository: self.known_repository(repository)?,
        })
    }

    pub(crate) fn known_revision(&mut self, text: &str) -> Result<Revision, NameError> {
        known(&mut self.revisions, text)
    }

    pub(crate) fn known_repository(&mut self, text: &str) -> Result<Repository, NameError> {
        known(&mut self.repositories, text)
    }
}

/// The name of this text: a copy of one that is remembered, else a new one.
fn known<T: FromStr<Err = NameError> + AsRef<str> + Clone>(known: &mut Vec<T>, text: &str) -> Result<T, NameError> {
    if let Some(name) = known.iter().find(|name| (*name).as_ref() == text) {
        return Ok(name.clone());
    }
    let name: T = text.parse()?;
    known.truncate(Reader::KNOWN - 1);
    known.insert(0, name.clone());
    Ok(name)
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} {}",
            self.pkgbase, self.revision, self.mod_revision, self.repository
        )
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Order(Order),
    Junk(String),
}

/// A line that could not be read as an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong.
    pub error: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "build-list line {} is kept but not used: {}", self.line, self.error)
    }
}

/// The whole list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildList {
    lines: Vec<Line>,
}

impl BuildList {
    /// A list of these orders.
    #[must_use]
    pub fn new(orders: impl IntoIterator<Item = Order>) -> Self {
        Self {
            lines: orders.into_iter().map(Line::Order).collect(),
        }
    }

    /// Reads the text of a list. Empty lines are passed over; a second line of one pkgbase is a complaint.
    #[must_use]
    pub fn parse(text: &str) -> (Self, Vec<Complaint>) {
        // A line has a hundred bytes.
        let mut seen = NameMap::with_capacity_and_hasher(text.len() / 90, Default::default());
        let mut lines: Vec<Line> = Vec::with_capacity(text.len() / 90);
        let mut complaints = Vec::new();
        let mut reader = Reader::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim_end_matches('\r');
            if line.trim().is_empty() {
                continue;
            }
            let error = match reader.order(line) {
                Ok(order) if seen.insert(order.pkgbase.clone(), ()).is_none() => {
                    lines.push(Line::Order(order));
                    continue;
                }
                Ok(order) => format!("{} is on the list already", order.pkgbase),
                Err(error) => error.to_string(),
            };
            complaints.push(Complaint { line: index + 1, error });
            lines.push(Line::Junk(line.to_owned()));
        }
        (Self { lines }, complaints)
    }

    /// Reads the file; one that does not exist is an empty list.
    ///
    /// # Errors
    /// It exists and cannot be read.
    pub fn read(path: &Path) -> Result<(Self, Vec<Complaint>), FileError> {
        Ok(Self::parse(&atomic::read_text(path)?.unwrap_or_default()))
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// It cannot be written; the old one is then still there.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        atomic::write(path, self.to_string().as_bytes())
    }

    /// The orders in build order.
    pub fn orders(&self) -> impl Iterator<Item = &Order> {
        self.lines.iter().filter_map(|line| match line {
            Line::Order(order) => Some(order),
            Line::Junk(_) => None,
        })
    }

    /// The order of a package.
    #[must_use]
    pub fn order_of(&self, pkgbase: &PkgBase) -> Option<&Order> {
        self.orders().find(|order| order.pkgbase == *pkgbase)
    }

    /// Takes an order off the list; false when it is not on it.
    pub fn remove(&mut self, order: &Order) -> bool {
        let before = self.lines.len();
        self.lines
            .retain(|line| !matches!(line, Line::Order(other) if other == order));
        self.lines.len() < before
    }

    /// Replaces the orders, and keeps the lines that are none at the end.
    pub fn replace_orders(&mut self, orders: impl IntoIterator<Item = Order>) {
        let junk: Vec<Line> = self
            .lines
            .drain(..)
            .filter(|line| matches!(line, Line::Junk(_)))
            .collect();
        self.lines = orders.into_iter().map(Line::Order).chain(junk).collect();
    }
}

impl fmt::Display for BuildList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            match line {
                Line::Order(order) => writeln!(f, "{order}")?,
                Line::Junk(text) => writeln!(f, "{text}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "a 0000000000000000000000000000000000000001 0000000000000000000000000000000000000002 core";

    #[test]
    fn a_list_is_written_as_it_was_read() {
        let text = format!("{A}\n{}\n", A.replace("a ", "libsigc++ "));
        let (list, complaints) = BuildList::parse(&text);
        assert_eq!(list.to_string(), text);
        assert!(complaints.is_empty());
    }

    #[test]
    fn three_fields_get_a_mod_revision_of_zeros() {
        let order: Order = format!("a {} core", "1".repeat(40)).parse().unwrap();
        assert_eq!(order.mod_revision, Revision::none());
    }

    #[test]
    fn junk_is_reported_with_its_line_and_no_line_is_lost() {
        let text = format!("{A}\r\n\nbreak_loops\n{A}\n{}", A.replace("a ", "b "));
        let (list, complaints) = BuildList::parse(&text);
        let bases: Vec<&str> = list.orders().map(|o| o.pkgbase.as_str()).collect();
        assert_eq!(bases, ["a", "b"]);
        assert_eq!(complaints.iter().map(|c| c.line).collect::<Vec<_>>(), [3, 4]);
        assert!(list.to_string().contains("break_loops\n"));
    }

    #[test]
    fn an_absent_file_is_an_empty_list() {
        let (list, _) = BuildList::read(Path::new("/nonexistent/build-list")).unwrap();
        assert_eq!(list.orders().count(), 0);
    }
}
