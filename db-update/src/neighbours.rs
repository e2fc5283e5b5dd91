//! archlinux32's rule: an order that is not there yet holds what it runs on and what runs on it.
//!
//! Orders before the stage in question (on the build list; for stable also in staging, and untested in testing) hold
//! every order that waits there and is connected with them by a dependency to run, in either direction and through others
//! that wait. Names count, versions do not: nobody knows what the package that is still to come will ask for. What has
//! been before the stage for longer than `max_package_age_*` days holds nothing any more.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use common::build_list::Order;
use common::names::PkgBase;

/// An order with what it is called and what it needs to run, by name.
#[derive(Debug, Clone)]
pub(crate) struct Neighbour {
    pub(crate) order: Order,
    pub(crate) names: BTreeSet<String>,
    pub(crate) needs: BTreeSet<String>,
    /// What is to be said of one that holds others: `is on the build list (1 of 7 days)`.
    pub(crate) standing: String,
}

/// Why an order is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    /// The neighbour.
    pub(crate) by: PkgBase,
    /// The dependency between them.
    pub(crate) name: String,
    /// Which of them needs it.
    pub(crate) direction: Direction,
    /// Why the neighbour is not there; empty when it is held itself.
    pub(crate) standing: String,
}

/// Who needs whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// The held order needs the neighbour.
    Needs,
    /// The neighbour needs the held order.
    NeededBy,
}

/// Which of `waiting` are held by `absent` ones, directly or through each other.
pub(crate) fn held(waiting: &[Neighbour], absent: &[Neighbour]) -> BTreeMap<Order, Held> {
    let mut by_name: HashMap<&str, Vec<&Neighbour>> = HashMap::new();
    let mut by_need: HashMap<&str, Vec<&Neighbour>> = HashMap::new();
    for neighbour in waiting {
        for name in &neighbour.names {
            by_name.entry(name).or_default().push(neighbour);
        }
        for need in &neighbour.needs {
            by_need.entry(need).or_default().push(neighbour);
        }
    }
    let mut held: BTreeMap<Order, Held> = BTreeMap::new();
    let mut pending: Vec<(&Neighbour, bool)> = absent.iter().rev().map(|neighbour| (neighbour, true)).collect();
    while let Some((holder, is_absent)) = pending.pop() {
        let users = holder
            .names
            .iter()
            .map(|name| (name, Direction::Needs, by_need.get(name.as_str())));
        let used = holder
            .needs
            .iter()
            .map(|name| (name, Direction::NeededBy, by_name.get(name.as_str())));
        for (name, direction, others) in users.chain(used) {
            for other in others.into_iter().flatten() {
                // An older build of the same package is not in its own way.
                if other.order.pkgbase == holder.order.pkgbase || held.contains_key(&other.order) {
                    continue;
                }
                let reason = Held {
                    by: holder.order.pkgbase.clone(),
                    name: name.clone(),
                    direction,
                    standing: if is_absent {
                        holder.standing.clone()
                    } else {
                        String::new()
                    },
                };
                held.insert(other.order.clone(), reason);
                pending.push((other, false));
            }
        }
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    fn neighbour(pkgbase: &str, needs: &[&str]) -> Neighbour {
        let zeros = "0".repeat(40);
        Neighbour {
            order: format!("{pkgbase} {zeros} {zeros} core").parse().unwrap(),
            names: BTreeSet::from([pkgbase.to_owned()]),
            needs: needs.iter().map(|need| (*need).to_owned()).collect(),
            standing: "is on the build list".to_owned(),
        }
    }

    #[test]
    fn scenario_57_what_is_connected_with_a_pending_order_is_held() {
        let waiting = [
            neighbour("v", &["y"]),
            neighbour("w", &[]),
            neighbour("x", &["y"]),
            neighbour("y", &[]),
        ];
        let held = held(&waiting, &[neighbour("z", &["x"])]);
        let names: Vec<&str> = held.keys().map(|order| order.pkgbase.as_str()).collect();
        assert_eq!(names, ["v", "x", "y"]);
        let of = |name: &str| held.iter().find(|(order, _)| order.pkgbase.as_str() == name).unwrap().1;
        assert_eq!((of("x").by.as_str(), of("x").direction), ("z", Direction::NeededBy));
        assert_eq!(of("x").standing, "is on the build list");
        assert_eq!((of("v").by.as_str(), of("v").direction), ("y", Direction::Needs));
    }

    #[test]
    fn an_older_build_is_not_in_the_way_of_its_successor() {
        assert!(held(&[neighbour("x", &["x"])], &[neighbour("x", &["x"])]).is_empty());
    }
}
