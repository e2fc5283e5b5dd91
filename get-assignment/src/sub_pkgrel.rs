//! The sub-release of the packages of an order: one more than the largest that is published for the same version.

use std::collections::BTreeSet;

use common::names::PkgName;
use common::version::{FullVersion, PackageFileName};

/// The next sub-release: 0 when no package of that version is published yet.
///
/// `published` is every package file in any repository of the port, `version` the order's version without sub-release.
#[must_use]
pub fn next<'a>(
    published: impl IntoIterator<Item = &'a PackageFileName>,
    pkgnames: &BTreeSet<PkgName>,
    version: &FullVersion,
) -> u32 {
    published
        .into_iter()
        .filter(|file| pkgnames.contains(&file.pkgname))
        .filter_map(|file| {
            // Without a sub-release it is upstream's own build, which counts as number 0.
            if file.version.as_str() == version.as_str() {
                Some(0)
            } else {
                file.version.sub_pkgrel_over(version)
            }
        })
        .max()
        .map_or(0, |largest| largest.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenario_35_the_next_number_of_the_same_version() {
        let published = |names: &[&str]| -> Vec<PackageFileName> { names.iter().map(|n| n.parse().unwrap()).collect() };
        let pkgnames = BTreeSet::from(["a".parse().unwrap(), "a-libs".parse().unwrap()]);
        let version = "1-1".parse().unwrap();
        let next = |names: &[&str]| super::next(&published(names), &pkgnames, &version);
        assert_eq!(next(&["a-1-1.0-i686.pkg.tar.xz", "a-libs-1-1.1-any.pkg.tar.xz"]), 2);
        assert_eq!(next(&[]), 0);
        assert_eq!(
            next(&[
                "a-2-1.5-i686.pkg.tar.xz",
                "b-1-1.9-i686.pkg.tar.xz",
                "a-1-11.3-any.pkg.tar.xz"
            ]),
            0
        );
        assert_eq!(next(&["a-1-1-i686.pkg.tar.xz"]), 1);
    }
}
