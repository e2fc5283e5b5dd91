//! What packages need and what they provide: `name`, `name>=1.2`, `libfoo.so=1-64`.

use std::cmp::Ordering;
use std::fmt;

use crate::vercmp::vercmp;

/// How a version is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `=`
    Equal,
    /// `>=`
    AtLeast,
    /// `>`
    Greater,
}

impl Comparison {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Equal => "=",
            Self::AtLeast => ">=",
            Self::Greater => ">",
        }
    }

    fn accepts(self, ordering: Ordering) -> bool {
        match self {
            Self::Less => ordering.is_lt(),
            Self::AtMost => ordering.is_le(),
            Self::Equal => ordering.is_eq(),
            Self::AtLeast => ordering.is_ge(),
            Self::Greater => ordering.is_gt(),
        }
    }
}

/// A name with an optional version: a dependency, a conflict or a provision.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dependency {
    /// A package's name, a virtual one, a group or a soname.
    pub name: String,
    /// Which versions.
    pub version: Option<(Comparison, String)>,
}

impl Dependency {
    /// Reads `name`, `name=1`, `name<1` …; anything is a name that has none of these signs in it.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        let Some(at) = text.find(['<', '>', '=']) else {
            return Self {
                name: text.to_owned(),
                version: None,
            };
        };
        let (name, rest) = text.split_at(at);
        let signs = [
            Comparison::AtMost,
            Comparison::AtLeast,
            Comparison::Less,
            Comparison::Greater,
            Comparison::Equal,
        ];
        let version = signs
            .into_iter()
            .find_map(|sign| Some((sign, rest.strip_prefix(sign.as_str())?.trim().to_owned())))
            .filter(|(_, version)| !version.is_empty());
        Self {
            name: name.trim_end().to_owned(),
            version,
        }
    }

    /// Whether it is on a shared library: `libfoo.so`, `libfoo.so=1-64`.
    #[must_use]
    pub fn is_soname(&self) -> bool {
        self.name.ends_with(".so")
    }

    /// Whether a package of this name satisfies it in this version, as libalpm decides it.
    #[must_use]
    pub fn accepts_version(&self, version: &str) -> bool {
        match &self.version {
            None => true,
            Some((sign, wanted)) => sign.accepts(vercmp(version, wanted)),
        }
    }

    /// Whether a provision satisfies it: one without a version satisfies only a dependency without.
    #[must_use]
    pub fn accepts(&self, provision: &Dependency) -> bool {
        self.name == provision.name
            && match (&self.version, &provision.version) {
                (None, _) => true,
                (Some(_), Some((Comparison::Equal, version))) => self.accepts_version(version),
                (Some(_), _) => false,
            }
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.version {
            Some((sign, version)) => write!(f, "{}{version}", sign.as_str()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_read_with_every_sign() {
        for text in ["a", "a<9", "a<=1:2-3", "libfoo.so=1-64", "a>=1", "a>1", "libsigc++"] {
            assert_eq!(Dependency::parse(text).to_string(), text);
        }
    }

    #[test]
    fn versions_are_compared_as_pacman_does() {
        let accepts = |dependency: &str, version: &str| Dependency::parse(dependency).accepts_version(version);
        assert!(accepts("a<9", "8.9-1") && !accepts("a<9", "9-1") && !accepts("a<9", "10-1"));
        assert!(accepts("a=1.2", "1.2-7") && !accepts("a=1.2", "1.2.1-1") && accepts("a", "1-1"));
        assert!(accepts("a>=1:1", "1:1-1") && !accepts("a>=1:1", "9-1"));
    }

    #[test]
    fn a_provision_without_version_satisfies_only_a_dependency_without() {
        let accepts = |needs: &str, has: &str| Dependency::parse(needs).accepts(&Dependency::parse(has));
        assert!(accepts("sh", "sh") && !accepts("sh>=1", "sh") && accepts("sh>=1", "sh=2"));
        assert!(accepts("libfoo.so=1-64", "libfoo.so=1-64") && !accepts("libfoo.so=2-64", "libfoo.so=1-64"));
        assert!(accepts("libfoo.so", "libfoo.so=1-64") && !accepts("libfoo.so=1-64", "libfoo.so=1-32"));
    }
}
