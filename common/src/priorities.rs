//! Priorities of orders: `pkgbase N`, one a line; larger first, negative is later than all others, 0 without a line.
//!
//! A line that is none is reported with its number and kept where it is. Of two lines of one pkgbase the later counts.

use std::fmt;

use crate::names::PkgBase;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Priority(PkgBase, i64),
    Junk(String),
}

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Priorities {
    lines: Vec<Line>,
}

impl Priorities {
    /// Reads the text of the file, with a complaint for each line that is not used. Empty lines are passed over.
    #[must_use]
    pub fn parse(text: &str) -> (Self, Vec<String>) {
        let mut complaints = Vec::new();
        let mut lines = Vec::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let parsed = match fields[..] {
                [pkgbase, number] => pkgbase.parse().ok().zip(number.parse().ok()),
                _ => None,
            };
            lines.push(match parsed {
                Some((pkgbase, number)) => Line::Priority(pkgbase, number),
                None => {
                    complaints.push(format!(
                        "priorities line {} is not used: expected `pkgbase number`",
                        index + 1
                    ));
                    Line::Junk(line.trim_end().to_owned())
                }
            });
        }
        (Self { lines }, complaints)
    }

    /// The priorities that are given, in the order of the lines.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&PkgBase, i64)> {
        self.lines.iter().filter_map(|line| match line {
            Line::Priority(pkgbase, priority) => Some((pkgbase, *priority)),
            Line::Junk(_) => None,
        })
    }

    /// The priority of a package.
    #[must_use]
    pub fn of(&self, pkgbase: &PkgBase) -> i64 {
        let mut given = self.iter().filter(|(other, _)| *other == pkgbase);
        given.next_back().map_or(0, |(_, priority)| priority)
    }

    /// Gives a package a priority; 0 takes its line away.
    pub fn set(&mut self, pkgbase: &PkgBase, priority: i64) {
        let is_its = |line: &Line| matches!(line, Line::Priority(other, _) if other == pkgbase);
        let place = self.lines.iter().position(is_its);
        self.lines.retain(|line| !is_its(line));
        if priority != 0 {
            let place = place.unwrap_or(self.lines.len());
            self.lines.insert(place, Line::Priority(pkgbase.clone(), priority));
        }
    }
}

impl fmt::Display for Priorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            match line {
                Line::Priority(pkgbase, priority) => writeln!(f, "{pkgbase} {priority}")?,
                Line::Junk(text) => writeln!(f, "{text}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_lost_and_the_later_of_two_counts() {
        let (mut priorities, complaints) = Priorities::parse("a 3\n\nhigh zlib\r\nb -2\na 5\n");
        assert_eq!(complaints, ["priorities line 3 is not used: expected `pkgbase number`"]);
        let (a, c): (PkgBase, PkgBase) = ("a".parse().unwrap(), "c".parse().unwrap());
        assert_eq!((priorities.of(&a), priorities.of(&c)), (5, 0));
        priorities.set(&a, 1);
        priorities.set(&c, 9);
        assert_eq!(priorities.to_string(), "a 1\nhigh zlib\nb -2\nc 9\n");
        priorities.set(&a, 0);
        assert_eq!(priorities.to_string(), "high zlib\nb -2\nc 9\n");
    }
}
