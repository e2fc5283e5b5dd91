//! Dependencies and what packages provide, as pacman compares them (libalpm's deps.c).

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::alpm::vercmp;

/// How a version is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `=`
    Equal,
    /// `>=`
    GreaterOrEqual,
    /// `>`
    Greater,
}

impl Comparison {
    /// Longer signs first, so that the first one that fits is the right one.
    const SIGNS: [(&'static str, Self); 5] = [
        ("<=", Self::LessOrEqual),
        (">=", Self::GreaterOrEqual),
        ("<", Self::Less),
        (">", Self::Greater),
        ("=", Self::Equal),
    ];

    const fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Greater => order.is_gt(),
        }
    }
}

/// `name`, or `name` with a comparison and a version: a dependency, a provision, a conflict, a replacement.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Relation {
    /// The package, virtual package or soname.
    pub name: String,
    /// The versions that are meant; all without it.
    pub constraint: Option<(Comparison, String)>,
}

impl Relation {
    /// Whether a package of this name and version is what this dependency asks for.
    #[must_use]
    pub fn is_met_by_package(&self, name: &str, version: &str) -> bool {
        self.name == name
            && self
                .constraint
                .as_ref()
                .is_none_or(|(comparison, wanted)| comparison.holds(vercmp(version, wanted)))
    }

    /// Whether a provision is what this dependency asks for: one without a version meets no versioned dependency.
    #[must_use]
    pub fn is_met_by_provision(&self, provision: &Self) -> bool {
        self.name == provision.name
            && match (&self.constraint, &provision.constraint) {
                (None, _) => true,
                (Some((comparison, wanted)), Some((Comparison::Equal, version))) => {
                    comparison.holds(vercmp(version, wanted))
                }
                _ => false,
            }
    }
}

impl FromStr for Relation {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Comparison::SIGNS
            .iter()
            .filter_map(|(sign, comparison)| text.find(sign).map(|at| (at, *sign, *comparison)))
            .min_by_key(|(at, sign, _)| (*at, std::cmp::Reverse(sign.len())));
        Ok(match found {
            Some((at, sign, comparison)) => Self {
                name: text[..at].to_owned(),
                constraint: Some((comparison, text[at + sign.len()..].to_owned())),
            },
            None => Self {
                name: text.to_owned(),
                constraint: None,
            },
        })
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some((comparison, version)) = &self.constraint {
            let sign = Comparison::SIGNS
                .iter()
                .find(|(_, known)| known == comparison)
                .map_or("", |(sign, _)| sign);
            write!(f, "{sign}{version}")?;
        }
        Ok(())
    }
}

impl Serialize for Relation {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(text: &str) -> Relation {
        let Ok(relation) = text.parse();
        relation
    }

    #[test]
    fn relations_are_written_as_they_were_read() {
        for text in ["a", "a=1", "a>=1:2-3", "a<=1", "a<1", "a>1", "libz.so=1-64"] {
            assert_eq!(relation(text).to_string(), text);
        }
    }

    #[test]
    fn versions_are_compared_and_a_missing_pkgrel_fits_every_one() {
        assert!(relation("a>=1.2").is_met_by_package("a", "1.10-1"));
        assert!(relation("a=1.2").is_met_by_package("a", "1.2-7"));
        assert!(!relation("a<1.2").is_met_by_package("a", "1.2-1"));
        assert!(!relation("a").is_met_by_package("b", "1-1"));
    }

    #[test]
    fn a_provision_without_a_version_meets_only_plain_dependencies() {
        assert!(relation("sh").is_met_by_provision(&relation("sh")));
        assert!(!relation("sh>=1").is_met_by_provision(&relation("sh")));
        assert!(relation("libz.so=1-64").is_met_by_provision(&relation("libz.so=1-64")));
        assert!(!relation("libz.so=1-64").is_met_by_provision(&relation("libz.so=2-64")));
    }
}
