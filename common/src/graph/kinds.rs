//! What an edge is for, as a set of kinds, and how much it counts inside a loop.

use crate::build_graph::Kind;

/// What one package needs another one for. The empty set is what every package needs: the chroot that it is built in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kinds(u8);

impl Kinds {
    /// No dependency that somebody declared: base and base-devel.
    pub const IMPLIED: Self = Self(0);
    /// Every kind.
    pub const ALL: Self = Self(0b111);

    /// The set of one kind.
    #[must_use]
    pub const fn of(kind: Kind) -> Self {
        Self(match kind {
            Kind::Make => 0b100,
            Kind::Run => 0b010,
            Kind::Check => 0b001,
        })
    }

    /// Adds the kinds of another set.
    pub fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// The kinds that are in both sets.
    #[must_use]
    pub const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether the kind is in the set.
    #[must_use]
    pub const fn contains(self, kind: Kind) -> bool {
        self.0 & Self::of(kind).0 != 0
    }

    /// Whether there is no kind in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The kinds, in the order of [`Kind`].
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        [Kind::Make, Kind::Run, Kind::Check]
            .into_iter()
            .filter(move |kind| self.contains(*kind))
    }

    /// How much an edge of these kinds counts: as the strongest of them.
    #[must_use]
    pub(super) const fn tier(self) -> Tier {
        if self.contains(Kind::Make) {
            Tier::Make
        } else if self.contains(Kind::Run) {
            Tier::Run
        } else if self.contains(Kind::Check) {
            Tier::Check
        } else {
            Tier::Implied
        }
    }
}

impl FromIterator<Kind> for Kinds {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        let mut all = Self::default();
        kinds.into_iter().for_each(|kind| all.add(Self::of(kind)));
        all
    }
}

/// How much an edge counts, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Tier {
    /// Every package is built with base-devel, and there is a version of it in the chroot.
    Implied,
    /// For tests only.
    Check,
    /// To run only.
    Run,
    /// To be built.
    Make,
}

impl Tier {
    /// The next stronger one; `None` after the strongest.
    pub(super) const fn stronger(self) -> Option<Self> {
        match self {
            Self::Implied => Some(Self::Check),
            Self::Check => Some(Self::Run),
            Self::Run => Some(Self::Make),
            Self::Make => None,
        }
    }
}
