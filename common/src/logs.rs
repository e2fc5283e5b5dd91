//! Where the logs of builds are: `build_log_directory/error|success/PKGBASE/ORDER-ID/`, one directory an order, so that
//! those of `a` and of `a.b` never meet.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::atomic::FileError;
use crate::build_list::Order;
use crate::config::{Config, ConfigError};
use crate::state::{order_id, parse_order_id};
use crate::work_dir::WorkDir;

/// How the build ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shelf {
    /// It failed.
    Error,
    /// Its packages were accepted.
    Success,
}

/// The directory of all logs.
#[derive(Debug, Clone)]
pub struct Logs(PathBuf);

impl Logs {
    /// The one that `build_log_directory` names, or `logs` in the work directory.
    ///
    /// # Errors
    /// The path is relative.
    pub fn open(config: &Config, work_dir: &WorkDir) -> Result<Self, ConfigError> {
        let configured = config.path("build_log_directory")?;
        Ok(Self(configured.unwrap_or_else(|| work_dir.root().join("logs"))))
    }

    /// The directory of one order.
    #[must_use]
    pub fn directory(&self, shelf: Shelf, order: &Order) -> PathBuf {
        self.shelf(shelf).join(&order.pkgbase).join(order_id(order))
    }

    /// The orders that have logs, with their directories. What has another name is passed over.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn orders(&self, shelf: Shelf) -> Result<Vec<(Order, PathBuf)>, FileError> {
        let mut found = Vec::new();
        for path in children(&self.shelf(shelf))? {
            for directory in children(&path)? {
                let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                if let Ok(order) = parse_order_id(name)
                    && self.directory(shelf, &order) == directory
                {
                    found.push((order, directory));
                }
            }
        }
        Ok(found)
    }

    fn shelf(&self, shelf: Shelf) -> PathBuf {
        self.0.join(match shelf {
            Shelf::Error => "error",
            Shelf::Success => "success",
        })
    }
}

/// The directories in a directory, sorted; none where there is none.
fn children(directory: &Path) -> Result<Vec<PathBuf>, FileError> {
    let read = || -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                paths.push(entry.path());
            }
        }
        paths.sort();
        Ok(paths)
    };
    match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        paths => paths.map_err(FileError::at("read", directory)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_with_logs_are_found_and_strangers_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let logs = Logs(directory.path().to_owned());
        let order = |pkgbase: &str| Order {
            pkgbase: pkgbase.parse().unwrap(),
            revision: "1".repeat(40).parse().unwrap(),
            mod_revision: "2".repeat(40).parse().unwrap(),
            repository: "core".parse().unwrap(),
        };
        assert!(logs.orders(Shelf::Error).unwrap().is_empty());
        for pkgbase in ["a", "a.b"] {
            fs::create_dir_all(logs.directory(Shelf::Error, &order(pkgbase))).unwrap();
        }
        for stranger in ["error/a/notes", "error/b", "error/b/.portsmith-x"] {
            fs::create_dir_all(directory.path().join(stranger)).unwrap();
        }
        let misplaced = directory.path().join("error/b").join(order_id(&order("a")));
        fs::create_dir(misplaced).unwrap();
        let found = logs.orders(Shelf::Error).unwrap();
        let names: Vec<&str> = found.iter().map(|(order, _)| order.pkgbase.as_str()).collect();
        assert_eq!(names, ["a", "a.b"]);
    }
}
