//! How long builds took, out of the journal: from the hand-out of an order to its return by the same builder.
//!
//! The last success of a package counts, in the present journal or in the one before it; whatever is in neither is taken
//! to be usual.

use std::collections::{BTreeMap, HashMap};

use crate::atomic::{self, FileError};
use crate::graph::BuildTimes;
use crate::journal::{Event, Journal};
use crate::lines::lines;
use crate::names::PkgBase;

/// The times that a journal knows, the rotated one included; `None` when it knows none.
///
/// # Errors
/// The journal cannot be read.
pub fn read(journal: &Journal) -> Result<Option<BuildTimes>, FileError> {
    // The present one first: when it is rotated in between it is read twice, which changes nothing.
    let present = atomic::read_text(journal.path())?.unwrap_or_default();
    let rotated = atomic::read_text(&journal.rotated())?.unwrap_or_default();
    Ok(BuildTimes::new(times([&rotated, &present])))
}

/// Seconds of the last build of each package, out of journals, the oldest first: a build may begin in one and end in the
/// next. Lines that are none are passed over; a journal can have half a million, so only the fields that count are looked
/// at.
fn times(journals: [&str; 2]) -> BTreeMap<PkgBase, u64> {
    let mut begun: HashMap<(&str, &str), u64> = HashMap::new();
    let mut times = BTreeMap::new();
    for line in journals.into_iter().flat_map(lines) {
        let mut fields = line.split('\t');
        let (Some(time), Some(event), Some(pkgbase)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let (Some(builder), Ok(time)) = (fields.nth(3), time.parse::<u64>()) else {
            continue;
        };
        if event == Event::Assigned.as_str() {
            begun.insert((pkgbase, builder), time);
        } else if event == Event::Failed.as_str() {
            begun.remove(&(pkgbase, builder));
        } else if event == Event::Returned.as_str()
            && let Some(begin) = begun.remove(&(pkgbase, builder))
            && let Ok(pkgbase) = pkgbase.parse()
        {
            times.insert(pkgbase, time.saturating_sub(begin));
        }
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_lasts_from_its_hand_out_to_its_return_by_the_same_builder() {
        let line = |time: u64, event: &str, pkgbase: &str, builder: &str| {
            let (revision, zeros) = ("1".repeat(40), "0".repeat(40));
            format!("{time}\t{event}\t{pkgbase}\t{revision}\t{zeros}\tcore\t{builder}\t-\n")
        };
        let text = [
            line(10, "assigned", "a", "one"),
            line(15, "assigned", "a", "two"),
            line(30, "assigned", "b", "one"),
            line(60, "returned", "a", "two"),
            line(70, "failed", "b", "one"),
            line(75, "returned", "b", "one"),
            line(80, "scheduled", "c", "-"),
            "torn\tline".to_owned(),
        ]
        .concat();
        assert_eq!(times(["", &text]), BTreeMap::from([("a".parse().unwrap(), 45)]));
        assert_eq!(BuildTimes::new(BTreeMap::new()), None);
        let rotated = line(1, "assigned", "a", "two") + &line(5, "assigned", "d", "one") + "torn";
        let present = line(8, "returned", "a", "two") + &line(9, "returned", "d", "one") + &text;
        assert_eq!(
            times([&rotated, &present]),
            BTreeMap::from([("a".parse().unwrap(), 45), ("d".parse().unwrap(), 4)]),
            "a build that began in the journal before"
        );
    }
}
