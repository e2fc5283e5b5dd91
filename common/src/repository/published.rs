//! Which package files lie in the directories, from names alone, and a cache of that.
//!
//! The cache is a text: a line for every directory (modification time in nanoseconds, inode, path), then the sorted file
//! names, one a line. It counts as long as the directories are as those lines say, and is written only when they have not
//! changed for a while: a change within one tick of the clock would leave no trace. Deleting it costs time only.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::atomic::{self, FileError};
use crate::names::PkgName;
use crate::version::PackageFileName;

/// Directories that changed within this time may change again unseen.
const UNSETTLED: Duration = Duration::from_secs(2);

/// The names of all package files; a directory that does not exist has none.
pub(super) fn list(places: &[PathBuf]) -> Result<BTreeSet<String>, FileError> {
    let mut names = BTreeSet::new();
    for place in places {
        let entries = match fs::read_dir(place) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(FileError::at("read", place)(error)),
        };
        for entry in entries {
            let name = entry.map_err(FileError::at("read", place))?.file_name();
            let is_package = |name: &String| name.contains(".pkg.tar") && !name.ends_with(".sig");
            names.extend(name.into_string().ok().filter(is_package));
        }
    }
    Ok(names)
}

/// The package files of some packages.
pub(super) fn of_packages(
    places: &[PathBuf],
    packages: &BTreeSet<PkgName>,
    cache: &Path,
) -> Result<Vec<PackageFileName>, FileError> {
    let heading = Heading::read(places);
    if let Some(text) = atomic::read_text(cache)?
        && let Some(names) = text.strip_prefix(&heading.text)
    {
        let of_one =
            |package: &PkgName| crate::lines::lines(crate::lines::beginning_with(names, &format!("{package}-")));
        return Ok(select(packages.iter().flat_map(of_one), packages));
    }
    let names = list(places)?;
    let is_settled = SystemTime::now()
        .duration_since(heading.youngest)
        .is_ok_and(|age| age >= UNSETTLED);
    if is_settled && Heading::read(places).text == heading.text {
        let mut text = heading.text;
        for name in &names {
            text.push_str(name);
            text.push('\n');
        }
        atomic::write(cache, text.as_bytes())?;
    }
    Ok(select(names.iter().map(String::as_str), packages))
}

fn select<'a>(names: impl Iterator<Item = &'a str>, packages: &BTreeSet<PkgName>) -> Vec<PackageFileName> {
    let may_be = |name: &str, package: &PkgName| {
        let rest = name.strip_prefix(package.as_str());
        rest.is_some_and(|rest| rest.starts_with('-'))
    };
    names
        .filter(|name| packages.iter().any(|package| may_be(name, package)))
        .filter_map(|name| name.parse::<PackageFileName>().ok())
        .filter(|name| packages.contains(&name.pkgname))
        .collect()
}

/// What the directories look like from outside.
struct Heading {
    text: String,
    youngest: SystemTime,
}

impl Heading {
    fn read(places: &[PathBuf]) -> Self {
        let mut heading = Self {
            text: String::new(),
            youngest: UNIX_EPOCH,
        };
        for place in places {
            let looks = match fs::metadata(place) {
                Ok(found) => {
                    heading.youngest = heading
                        .youngest
                        .max(found.modified().unwrap_or_else(|_| SystemTime::now()));
                    format!("{}.{:09} {}", found.mtime(), found.mtime_nsec(), found.ino())
                }
                Err(_) => "- -".to_owned(),
            };
            heading.text.push_str(&format!("# {looks} {}\n", place.display()));
        }
        heading
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(directory: &Path, name: &str) {
        fs::File::create(directory.join(name)).unwrap();
    }

    fn age(directory: &Path, seconds: u64) {
        let time = SystemTime::now() - Duration::from_secs(seconds);
        fs::File::open(directory).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn the_cache_counts_until_a_directory_changes() {
        let directory = tempfile::tempdir().unwrap();
        let (pool, cache) = (directory.path().join("pool"), directory.path().join("cache"));
        fs::create_dir(&pool).unwrap();
        let places = [pool.clone(), directory.path().join("absent")];
        let packages = BTreeSet::from(["a".parse().unwrap()]);
        let found = || {
            let files = of_packages(&places, &packages, &cache).unwrap();
            files.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        touch(&pool, "a-1-1-any.pkg.tar.zst");
        touch(&pool, "a-1-1-any.pkg.tar.zst.sig");
        touch(&pool, "a-b-1-1-any.pkg.tar.zst");
        assert_eq!(found(), ["a-1-1-any.pkg.tar.zst"]);
        assert!(!cache.exists(), "the directory is too young");
        age(&pool, 100);
        assert_eq!(found(), ["a-1-1-any.pkg.tar.zst"]);
        assert!(
            fs::read_to_string(&cache)
                .unwrap()
                .contains("\na-b-1-1-any.pkg.tar.zst\n")
        );
        touch(&pool, "a-1-2-any.pkg.tar.zst");
        assert_eq!(found().len(), 2);
        age(&pool, 50);
        assert_eq!(found().len(), 2);
        assert_eq!(found().len(), 2);
    }
}
