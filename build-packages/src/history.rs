//! What was tried already, and which straws make sense after it.
//!
//! Sources that cannot be had need sources from elsewhere, and nothing else does; a clean chroot repairs no network; a
//! build that runs into its limits runs into them again; check() is left out when it is check() that fails.

use std::collections::BTreeSet;

use common::build_command::{Outcome, Phase};

use crate::straw::{Remedy, Straw};

/// How one attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// How.
    pub(crate) outcome: Outcome,
    /// The phase that it was in, when that is known.
    pub(crate) phase: Option<Phase>,
}

impl End {
    /// An end whose outcome says all there is to say.
    pub(crate) fn of(outcome: Outcome) -> Self {
        let phase = match outcome {
            Outcome::Failed(phase) => phase,
            _ => None,
        };
        Self { outcome, phase }
    }
}

/// The attempts so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    ends: Vec<End>,
    spent: BTreeSet<Remedy>,
}

impl History {
    /// Adds an attempt.
    pub(crate) fn add(&mut self, straw: &Straw, end: End) {
        self.spent.extend(straw.remedies());
        self.ends.push(end);
    }

    /// Notes that a straw could not be tried: its mirrors have nothing.
    pub(crate) fn pass_over(&mut self, straw: &Straw) {
        self.spent
            .extend(straw.remedies().filter(|remedy| remedy.is_about_sources()));
    }

    /// Whether the straw may work where those before it did not.
    pub(crate) fn gives_hope(&self, straw: &Straw) -> bool {
        let Some(last) = self.ends.last() else {
            return true;
        };
        let lacks_sources = self.ends.iter().any(|end| end.outcome == Outcome::Sources);
        if straw.is_about_sources() != lacks_sources {
            return false;
        }
        if straw.remedies().next().is_none() {
            return matches!(last.outcome, Outcome::Failed(_) | Outcome::Dependencies);
        }
        straw.remedies().any(|remedy| self.helps(remedy, *last))
    }

    fn helps(&self, remedy: Remedy, last: End) -> bool {
        let is_failure = matches!(last.outcome, Outcome::Failed(_));
        let lacks_dependencies = last.outcome == Outcome::Dependencies;
        match remedy {
            Remedy::MirroredSourceByHash | Remedy::MirroredSource => !self.spent.contains(&remedy),
            Remedy::CleanChroot | Remedy::WithBuildSupport => is_failure || lacks_dependencies,
            Remedy::WithoutCheck => {
                let is_in_check = last.phase == Some(Phase::Check);
                is_in_check || lacks_dependencies || (is_failure && last.phase.is_none())
            }
            Remedy::WithDevFuse => is_failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::build_command::LimitKind;

    fn straw(text: &str) -> Straw {
        text.parse().unwrap()
    }

    /// The straws that make sense after these attempts.
    fn hopes(attempts: &[(&str, Outcome)]) -> String {
        let mut history = History::default();
        for (text, outcome) in attempts {
            history.add(&straw(text), End::of(*outcome));
        }
        let all = Remedy::ALL.map(|remedy| format!(":{}:", remedy.as_str()));
        let hopes: Vec<&str> = all
            .iter()
            .filter(|text| history.gives_hope(&straw(text)))
            .map(String::as_str)
            .collect();
        hopes.join(" ")
    }

    #[test]
    fn the_class_of_a_failure_decides_which_straws_make_sense() {
        for (outcome, expected) in [
            (Outcome::Sources, ":mirrored_source_by_hash: :mirrored_source:"),
            (
                Outcome::Dependencies,
                ":clean_chroot: :with_build_support: :without_check:",
            ),
            (
                Outcome::Failed(Some(Phase::Build)),
                ":clean_chroot: :with_build_support: :with_/dev/fuse:",
            ),
            (
                Outcome::Failed(Some(Phase::Check)),
                ":clean_chroot: :with_build_support: :without_check: :with_/dev/fuse:",
            ),
            (
                Outcome::Failed(None),
                ":clean_chroot: :with_build_support: :without_check: :with_/dev/fuse:",
            ),
            (Outcome::Limit(Some(LimitKind::Memory)), ""),
            (Outcome::Limit(None), ""),
        ] {
            assert_eq!(hopes(&[(":", outcome)]), expected, "{outcome:?}");
        }
    }

    #[test]
    fn a_limit_that_is_reached_in_check_is_repaired_by_leaving_it_out() {
        let mut history = History::default();
        let outcome = Outcome::Limit(Some(LimitKind::Stalled));
        let phase = Some(Phase::Check);
        history.add(&straw(":"), End { outcome, phase });
        assert!(history.gives_hope(&straw(":without_check:")));
        assert!(!history.gives_hope(&straw(":clean_chroot:")));
    }

    #[test]
    fn sources_that_are_missing_stay_missing() {
        let by_hash = ":mirrored_source_by_hash:";
        let attempts = [(":", Outcome::Sources), (by_hash, Outcome::Failed(Some(Phase::Build)))];
        assert_eq!(hopes(&attempts), ":mirrored_source:");
        let mut history = History::default();
        for (text, outcome) in attempts {
            history.add(&straw(text), End::of(outcome));
        }
        assert!(history.gives_hope(&straw(":mirrored_source_by_hash:clean_chroot:")));
        history.add(&straw(by_hash), End::of(Outcome::Sources));
        assert!(
            !history.gives_hope(&straw(":mirrored_source_by_hash:clean_chroot:")),
            "no clean chroot brings sources"
        );
        history.pass_over(&straw(":mirrored_source:"));
        assert!(!history.gives_hope(&straw(":mirrored_source:")));
    }

    #[test]
    fn the_first_straw_is_tried_whatever_it_is() {
        for text in [":", ":mirrored_source:", ":without_check:"] {
            assert!(History::default().gives_hope(&straw(text)));
        }
    }
}
