//! Loops that are built twice: `second-stage` in the work directory.
//!
//! In its first stage a loop is broken somewhere, so some members are built against what was there before. When all
//! members are built and off the list they come onto it again, in one run, and are built against each other. Format:
//! `STAGE member member …`, a loop a line; `1`: its first stage is on the list, `2`: its second.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use common::names::PkgBase;

/// A loop on its way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Loop {
    is_second: bool,
    members: BTreeSet<PkgBase>,
}

/// The loops on their way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stages(Vec<Loop>);

impl Stages {
    /// Reads the file; what is no line of it is passed over.
    pub(crate) fn parse(text: &str) -> Self {
        let parse = |line: &str| {
            let (stage, members) = line.split_once(' ')?;
            let members = members
                .split_whitespace()
                .map(str::parse)
                .collect::<Result<_, _>>()
                .ok()?;
            match stage {
                "1" | "2" => Some(Loop {
                    is_second: stage == "2",
                    members,
                }),
                _ => None,
            }
        };
        Self(text.lines().filter_map(parse).collect())
    }

    /// Members whose second stage can begin, with the reason: no member is on the list.
    pub(crate) fn due(&self, is_on_list: impl Fn(&PkgBase) -> bool) -> BTreeMap<PkgBase, String> {
        let complete = |it: &&Loop| !it.is_second && !it.members.iter().any(&is_on_list);
        let due = self.0.iter().filter(complete).flat_map(|it| &it.members);
        due.map(|member| (member.clone(), "second stage of its loop".to_owned()))
            .collect()
    }

    /// The loops after a run that put what was due onto the list; `loops` are those on the list now.
    pub(crate) fn after(
        &self,
        loops: &[Vec<PkgBase>],
        was_on_list: impl Fn(&PkgBase) -> bool,
        is_on_list: impl Fn(&PkgBase) -> bool,
    ) -> Self {
        let mut after: Vec<Loop> = self.0.clone();
        for it in &mut after {
            it.is_second |= !it.members.iter().any(&was_on_list);
        }
        after.retain(|it| it.members.iter().any(&is_on_list));
        let known: BTreeSet<PkgBase> = after.iter().flat_map(|it| it.members.clone()).collect();
        for members in loops {
            let members: BTreeSet<PkgBase> = members.iter().filter(|it| !known.contains(*it)).cloned().collect();
            if members.len() > 1 {
                after.push(Loop {
                    is_second: false,
                    members,
                });
            }
        }
        after.sort();
        Self(after)
    }
}

impl fmt::Display for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for it in &self.0 {
            f.write_str(if it.is_second { "2" } else { "1" })?;
            for member in &it.members {
                write!(f, " {member}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<PkgBase> {
        text.split(' ').map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn a_loop_is_built_twice_and_not_a_third_time() {
        let on = |text: &'static str| move |name: &PkgBase| text.split(' ').any(|it| it == name.as_str());
        let first = Stages::default().after(&[names("a b c")], on("a b c"), on("a b c"));
        assert_eq!(first.to_string(), "1 a b c\n");
        let shrunk = first.after(&[names("b c")], on("b c"), on("b c"));
        assert_eq!(shrunk, first, "what is built stays a member");
        assert!(shrunk.due(on("c")).is_empty());
        assert_eq!(shrunk.due(on("d")).into_keys().collect::<Vec<_>>(), names("a b c"));
        let second = shrunk.after(&[names("a b c")], on("d"), on("a b c d"));
        assert_eq!(second.to_string(), "2 a b c\n");
        assert_eq!(Stages::parse(&second.to_string()), second);
        assert!(second.due(on("d")).is_empty(), "a second stage is the last");
        assert_eq!(second.after(&[], on("d"), on("d")), Stages::default());
    }
}
