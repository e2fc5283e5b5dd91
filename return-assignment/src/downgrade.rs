//! Packages that are older than what is published: pacman would never install them, and they would hide the newer ones.
//!
//! The names of published files, which are cached, answer nearly always; only where one of them is newer are the databases
//! read, since a file may lie there that no database names any more.

use std::collections::BTreeSet;
use std::path::Path;

use common::names::{PkgName, Repository};
use common::repository::{Class, NewPackage, Repositories};

/// A published package that is newer than one of those that enter `to`; a sentence about it. Standalone repositories stand
/// for themselves, all others are one port.
pub(crate) fn find(
    repositories: &Repositories,
    cache: &Path,
    to: &Repository,
    packages: &[NewPackage],
) -> anyhow::Result<Option<String>> {
    let names: BTreeSet<PkgName> = packages.iter().map(|package| package.file.name().clone()).collect();
    let published = repositories.file_names_of(&names, cache)?;
    let may_be_older = |package: &&NewPackage| {
        published
            .iter()
            .any(|other| other.pkgname == *package.file.name() && other.version > *package.file.version())
    };
    let suspects: Vec<&NewPackage> = packages.iter().filter(may_be_older).collect();
    if suspects.is_empty() {
        return Ok(None);
    }
    let classes = repositories.classes();
    let is_alone = classes.class_of(to) == Some(Class::Standalone);
    let rivals = classes
        .all()
        .filter(|(name, class)| *name == to || !is_alone && *class != Class::Standalone);
    for (repository, _) in rivals {
        for entry in repositories.packages(repository)? {
            let is_newer =
                |package: &&&NewPackage| *package.file.name() == entry.name && *package.file.version() < entry.version;
            if let Some(package) = suspects.iter().find(is_newer) {
                return Ok(Some(format!(
                    "{}: {} is published in {repository}, so this would be a downgrade",
                    package.file.file_name, entry.version
                )));
            }
        }
    }
    Ok(None)
}
