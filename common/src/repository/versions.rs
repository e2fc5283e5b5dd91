//! Older versions of packages that are kept beside the newest ones (`kept_versions`).
//!
//! Only packages that the database still names keep older versions: what was moved to another repository or deleted goes
//! with all its versions.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::{FileName, PkgName};
use crate::version::{FullVersion, PackageFileName};

/// Of the files that the database does not name, the `count` newest of each package that it names.
pub(super) fn newest_besides(named: &BTreeSet<FileName>, files: &[FileName], count: u64) -> BTreeSet<FileName> {
    let parse = |name: &FileName| name.as_str().parse::<PackageFileName>().ok();
    if count == 0 {
        return BTreeSet::new();
    }
    let packages: BTreeSet<PkgName> = named.iter().filter_map(parse).map(|file| file.pkgname).collect();
    let mut older: BTreeMap<PkgName, Vec<(FullVersion, &FileName)>> = BTreeMap::new();
    for name in files.iter().filter(|name| !named.contains(*name)) {
        if let Some(file) = parse(name).filter(|file| packages.contains(&file.pkgname)) {
            older.entry(file.pkgname).or_default().push((file.version, name));
        }
    }
    let mut kept = BTreeSet::new();
    for mut versions in older.into_values() {
        versions.sort_by(|one, other| other.cmp(one));
        kept.extend((0..count).zip(versions).map(|(_, (_, name))| name.clone()));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_versions_of_what_is_still_named_are_kept() {
        let names = |texts: &[&str]| -> Vec<FileName> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        let files = names(&[
            "a-1:1-1-any.pkg.tar.zst",
            "a-10-1-any.pkg.tar.zst",
            "a-10-1-any.pkg.tar.zst.sig",
            "a-9-1-any.pkg.tar.zst",
            "a-8-1-any.pkg.tar.zst",
            "gone-1-1-any.pkg.tar.zst",
        ]);
        let named = files[..1].iter().cloned().collect();
        let kept = |count| newest_besides(&named, &files, count);
        assert_eq!(kept(0), BTreeSet::new());
        assert_eq!(kept(1), [files[1].clone()].into());
        assert_eq!(kept(2), [files[1].clone(), files[3].clone()].into());
        assert_eq!(kept(9).len(), 3);
    }
}
