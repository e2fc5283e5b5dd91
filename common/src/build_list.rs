//! The build list: `pkgbase revision mod_revision repository`, one order a line, in build order.
//!
//! Lines of three fields (no mod_revision) are read; four are written. A line that is no order is reported with its
//! number and kept where it is, so that a slip of the editor loses nothing.

use std::collections::hash_map::Entry;
use std::fmt;
use std::path::Path;

use crate::atomic::{self, FileError};
use crate::names::{NameMap, PkgBase};
use crate::order::Reader;
use crate::order::fields::{self, LineCheck};
pub use crate::order::{Order, OrderError};

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

/// Where on the list the order of each package is.
pub type Places = NameMap<PkgBase, usize>;

/// The whole list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildList {
    orders: Vec<Order>,
    /// Always that of `orders`.
    places: Places,
    /// The other lines, each with the number of orders before it.
    junk: Vec<(usize, String)>,
}

impl BuildList {
    /// A list of these orders, each of another package.
    #[must_use]
    pub fn new(orders: impl IntoIterator<Item = Order>) -> Self {
        let mut list = Self::default();
        list.replace_orders(orders);
        list
    }

    /// Reads the text of a list. Empty lines are passed over; a second line of one pkgbase is a complaint.
    #[must_use]
    pub fn parse(text: &str) -> (Self, Vec<Complaint>) {
        // A line has a hundred bytes.
        let count = text.len() / 90;
        let mut list = Self {
            orders: Vec::with_capacity(count),
            places: Places::with_capacity_and_hasher(count, Default::default()),
            junk: Vec::new(),
        };
        let mut complaints = Vec::new();
        let mut reader = Reader::default();
        for (index, line) in crate::lines::lines(text).enumerate() {
            let line = line.trim_end_matches('\r');
            if line.trim_ascii().is_empty() {
                continue;
            }
            let error = match reader.order(line) {
                Ok(order) => match list.push(order) {
                    Ok(()) => continue,
                    Err(order) => format!("{} is on the list already", order.pkgbase),
                },
                Err(error) => error.to_string(),
            };
            complaints.push(Complaint { line: index + 1, error });
            list.junk.push((list.orders.len(), line.to_owned()));
        }
        (list, complaints)
    }

    /// Adds an order at the end; gives it back when its package is on the list.
    fn push(&mut self, order: Order) -> Result<(), Order> {
        match self.places.entry(order.pkgbase.clone()) {
            Entry::Occupied(_) => Err(order),
            Entry::Vacant(free) => {
                free.insert(self.orders.len());
                self.orders.push(order);
                Ok(())
            }
        }
    }

    /// Reads the file; one that does not exist is an empty list.
    ///
    /// # Errors
    /// It exists and cannot be read.
    pub fn read(path: &Path) -> Result<(Self, Vec<Complaint>), FileError> {
        Ok(Self::parse(&atomic::read_text(path)?.unwrap_or_default()))
    }

    /// Reads of the file the order of one package. What is wrong with other lines is found too, but for a second line of
    /// another package.
    ///
    /// # Errors
    /// It exists and cannot be read.
    pub fn read_one(path: &Path, pkgbase: &PkgBase) -> Result<(Option<Order>, Vec<Complaint>), FileError> {
        let mut check = LineCheck::default();
        let mut found = None;
        let is_plain = crate::lines::visit(path, |line| {
            let is_its = fields::pkgbase(line) == pkgbase.as_str();
            let is_second = is_its && found.replace(line.to_owned()).is_some();
            (check.is_order(line) && !is_second).then_some(())
        })?;
        if is_plain.is_some() {
            return Ok((found.and_then(|line| line.parse().ok()), Vec::new()));
        }
        let (list, complaints) = Self::read(path)?;
        Ok((list.order_of(pkgbase).cloned(), complaints))
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
        self.orders.iter()
    }

    /// The orders in build order, without the lines that are none, and where each package is among them.
    #[must_use]
    pub fn into_orders(self) -> (Vec<Order>, Places) {
        (self.orders, self.places)
    }

    /// The order of a package.
    #[must_use]
    pub fn order_of(&self, pkgbase: &PkgBase) -> Option<&Order> {
        self.places.get(pkgbase).map(|place| &self.orders[*place])
    }

    /// Puts an order behind the others, unless its package has one; false then.
    pub fn add(&mut self, order: Order) -> bool {
        if self.places.contains_key(&order.pkgbase) {
            return false;
        }
        self.places.insert(order.pkgbase.clone(), self.orders.len());
        self.orders.push(order);
        true
    }

    /// Takes an order off the list; false when it is not on it.
    pub fn remove(&mut self, order: &Order) -> bool {
        let Some(place) = self.orders.iter().position(|other| other == order) else {
            return false;
        };
        self.orders.remove(place);
        self.places.remove(&order.pkgbase);
        for later in self.places.values_mut().filter(|later| **later > place) {
            *later -= 1;
        }
        for (before, _) in self.junk.iter_mut().filter(|(before, _)| *before > place) {
            *before -= 1;
        }
        true
    }

    /// Replaces the orders, of which each has to be of another package, and keeps the lines that are none at the end.
    pub fn replace_orders(&mut self, orders: impl IntoIterator<Item = Order>) {
        self.orders = orders.into_iter().collect();
        let named = self.orders.iter().enumerate();
        self.places = named.map(|(place, order)| (order.pkgbase.clone(), place)).collect();
        for (before, _) in &mut self.junk {
            *before = self.orders.len();
        }
    }
}

impl fmt::Display for BuildList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut junk = self.junk.iter().peekable();
        for (place, order) in self.orders.iter().enumerate() {
            while let Some((_, text)) = junk.next_if(|(before, _)| *before <= place) {
                writeln!(f, "{text}")?;
            }
            writeln!(f, "{order}")?;
        }
        junk.try_for_each(|(_, text)| writeln!(f, "{text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Revision;

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
    fn what_is_taken_off_leaves_the_others_where_they_were() {
        let line = |name: &str| A.replace("a ", &format!("{name} "));
        let text = format!("{}\njunk\n{}\n{}\nmore junk\n", line("a"), line("b"), line("c"));
        let (mut list, _) = BuildList::parse(&text);
        let of = |list: &BuildList, name: &str| list.order_of(&name.parse().unwrap()).cloned();
        let b = of(&list, "b").unwrap();
        assert!(list.remove(&b) && !list.remove(&b));
        assert_eq!(list.to_string(), text.replace(&format!("{b}\n"), ""));
        assert_eq!(of(&list, "c").unwrap().to_string(), line("c"));
        assert_eq!(of(&list, "b"), None);
    }

    #[test]
    fn one_order_is_found_as_in_the_whole_list() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("build-list");
        let text = format!("{A}\n{}\n", A.replace("a ", "b "));
        for (text, complaints) in [
            (text.clone(), 0),
            (format!("{text}torn li\n"), 1),
            (format!("{text}{A}\n"), 1),
        ] {
            atomic::write(&path, text.as_bytes()).unwrap();
            let (list, _) = BuildList::parse(&text);
            for name in ["a", "b", "c"] {
                let pkgbase: PkgBase = name.parse().unwrap();
                let (found, said) = BuildList::read_one(&path, &pkgbase).unwrap();
                assert_eq!(found.as_ref(), list.order_of(&pkgbase), "{name}");
                assert!(said.len() <= complaints);
            }
        }
    }

    #[test]
    fn an_absent_file_is_an_empty_list() {
        let (list, _) = BuildList::read(Path::new("/nonexistent/build-list")).unwrap();
        assert_eq!(list.orders().count(), 0);
    }
}
