//! Where orders are put among the others: pure.
//!
//! Invariant: what is chosen gets one priority, beyond those of all others, so that it keeps its order among itself and
//! doing it twice changes nothing.

use common::names::PkgBase;
use common::priorities::Priorities;

use crate::Changed;

/// Where orders are put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Before all others.
    First,
    /// After all others.
    Last,
    /// Where the list has them.
    Usual,
}

/// Puts them there; those whose priority is another now.
pub(crate) fn place(priorities: &mut Priorities, chosen: &[PkgBase], placement: Placement) -> Vec<Changed> {
    let others = priorities.iter().filter(|(pkgbase, _)| !chosen.contains(pkgbase));
    // What has no line has 0.
    let others: Vec<i64> = others.map(|(_, priority)| priority).chain([0]).collect();
    let priority = match placement {
        Placement::First => others.into_iter().max().unwrap_or(0).saturating_add(1),
        Placement::Last => others.into_iter().min().unwrap_or(0).saturating_sub(1),
        Placement::Usual => 0,
    };
    let mut changed = Vec::new();
    for pkgbase in chosen {
        if priorities.of(pkgbase) != priority {
            priorities.set(pkgbase, priority);
            let pkgbase = pkgbase.clone();
            changed.push(Changed { pkgbase, priority });
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(text: &str, chosen: &[&str], placement: Placement) -> String {
        let (mut priorities, _) = Priorities::parse(text);
        let chosen: Vec<PkgBase> = chosen.iter().map(|name| name.parse().unwrap()).collect();
        place(&mut priorities, &chosen, placement);
        assert!(place(&mut priorities, &chosen, placement).is_empty(), "twice");
        priorities.to_string()
    }

    #[test]
    fn what_is_chosen_comes_before_or_after_all_others() {
        assert_eq!(placed("", &["a"], Placement::First), "a 1\n");
        assert_eq!(placed("b 7\na 2\n", &["a", "c"], Placement::First), "b 7\na 8\nc 8\n");
        assert_eq!(placed("b 7\na 2\n", &["a"], Placement::Last), "b 7\na -1\n");
        assert_eq!(placed("b -7\n", &["a"], Placement::Last), "b -7\na -8\n");
        assert_eq!(placed("b 7\na 2\n", &["a", "c"], Placement::Usual), "b 7\n");
    }
}
