//! A graph out of a text that names its nodes in any order and as often as it likes.
//!
//! Each name is checked and numbered when it comes first, and found by its hash from then on; when all are known the
//! numbers are exchanged for places in the order of the names. So an edge costs two look-ups.

use std::collections::hash_map::Entry;

use super::needs::{Need, Needs, number};
use crate::names::{NameError, NameMap, PkgBase};

/// What has been named.
#[derive(Debug, Default)]
pub struct Named<'t> {
    numbers: NameMap<&'t str, u32>,
    /// By their numbers.
    names: Vec<PkgBase>,
    /// Who needs, and whom, by the numbers.
    edges: Vec<(u32, Need)>,
}

impl<'t> Named<'t> {
    /// The number of a name.
    ///
    /// # Errors
    /// It is new and not the name of a package.
    pub fn number(&mut self, name: &'t str) -> Result<u32, NameError> {
        match self.numbers.entry(name) {
            Entry::Occupied(known) => Ok(*known.get()),
            Entry::Vacant(free) => {
                self.names.push(name.parse()?);
                Ok(*free.insert(number(self.names.len() - 1)))
            }
        }
    }

    /// How many names there are: the number of the next new one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether nothing has been named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Forgets all names but the first ones. No edge may have been added to one of those that are forgotten.
    pub fn truncate(&mut self, count: usize) {
        for name in self.names.drain(count..) {
            self.numbers.remove(name.as_str());
        }
    }

    /// Adds an edge between numbers.
    pub fn add(&mut self, needer: u32, need: Need) {
        self.edges.push((needer, need));
    }

    /// The names, sorted, and what each needs, by their places.
    #[must_use]
    pub fn sorted(self) -> (Vec<PkgBase>, Needs) {
        let mut sorted: Vec<(PkgBase, u32)> = self.names.into_iter().zip(0..).collect();
        sorted.sort_unstable();
        let mut places = vec![0_u32; sorted.len()];
        for (place, (_, number)) in (0..).zip(&sorted) {
            places[*number as usize] = place;
        }
        let mut edges = self.edges;
        for (needer, need) in &mut edges {
            *needer = places[*needer as usize];
            need.node = places[need.node as usize];
        }
        let names = sorted.into_iter().map(|(name, _)| name).collect();
        (names, Needs::of_edges(places.len(), &edges))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build_graph::Kind;
    use crate::graph::Kinds;

    #[test]
    fn names_are_sorted_and_their_edges_go_with_them() {
        let mut named = Named::default();
        for (needer, needed) in [("c", "a"), ("b", "c"), ("c", "a"), ("a", "a")] {
            let (needer, node) = (named.number(needer).unwrap(), named.number(needed).unwrap());
            let kinds = Kinds::of(Kind::Make);
            named.add(needer, Need { node, kinds });
        }
        assert!(named.number("../b").is_err());
        assert_eq!(named.number("d").unwrap(), 3);
        named.truncate(3);
        assert_eq!((named.len(), named.is_empty()), (3, false));
        let (names, needs) = named.sorted();
        assert_eq!(names.iter().map(PkgBase::as_str).collect::<Vec<_>>(), ["a", "b", "c"]);
        let of = |node| needs.of(node).iter().map(|need| need.node).collect::<Vec<_>>();
        assert_eq!((of(0), of(1), of(2)), (vec![], vec![2], vec![0]));
    }
}
