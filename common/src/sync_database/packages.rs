//! pacman's sync databases as a source of packages: gzip, xz, zstd or plain tar.
//!
//! A package's `desc` names what it needs to be built and tested, too, so whole distributions can be ordered without a
//! PKGBUILD. The packages of one pkgbase are united again. Of two packages of one name the one in the earlier
//! database counts, as it does for pacman.
//!
//! libalpm wants databases in a directory of its own form: a temporary one, into which their text is copied (module
//! `text`). It is used from one thread at a time; each database gets its own handle, so that several are read at once.

use std::collections::{BTreeMap, HashSet};
use std::mem::ManuallyDrop;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use thiserror::Error;

use super::text::{self, NoText};
use crate::alpm::binding::{self, Alpm, SigLevel};
use crate::archive::ArchiveError;
use crate::atomic::FileError;
use crate::graph::Packages;
use crate::names::{NameError, PkgBase, PkgName};
use crate::soname::{Soname, Sonames};
use crate::srcinfo::{Comparison, Dependency, Package, SrcInfo};
use crate::version::VersionError;

/// A database that cannot be used.
#[derive(Debug, Error)]
pub enum SyncError {
    /// Its name is not that of a database.
    #[error("{} is not the name of a sync database (REPOSITORY.db)", .0.display())]
    Name(PathBuf),
    /// There is no place for libalpm's directory.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is no database, or libalpm cannot read it.
    #[error("cannot read the database {}: {cause}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
}

/// A package that cannot be used; the others are not concerned.
#[derive(Debug, Error)]
#[error("{} of {} is left out: {cause}", package, path.display())]
pub struct Complaint {
    package: String,
    path: PathBuf,
    cause: EntryError,
}

#[derive(Debug, Error)]
enum EntryError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Version(#[from] VersionError),
    #[error("its {0} is not UTF-8")]
    NoText(String),
}

/// What is built from one pkgbase, and the place of its database.
#[derive(Debug, Clone)]
struct Built {
    info: SrcInfo,
    rank: usize,
}

/// The packages of some databases.
#[derive(Debug, Default)]
pub struct Databases {
    built: BTreeMap<PkgBase, Built>,
    /// Packages that are left out, with the reasons.
    pub complaints: Vec<Complaint>,
}

/// What comes of one database.
type Read = (Vec<Entry>, Vec<Complaint>);

/// One package as a database has it.
struct Entry {
    pkgbase: PkgBase,
    info: SrcInfo,
}

impl Databases {
    /// Reads databases, the one that counts most first.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn read(files: &[PathBuf]) -> Result<Self, SyncError> {
        let read: Vec<_> = std::thread::scope(|scope| {
            let readers: Vec<_> = files.iter().map(|file| scope.spawn(|| read(file))).collect();
            let join = |reader: std::thread::ScopedJoinHandle<'_, _>| {
                reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            readers.into_iter().map(join).collect()
        });
        let mut databases = Self::default();
        let mut names: HashSet<PkgName> = HashSet::new();
        for (rank, entries) in read.into_iter().enumerate() {
            let (entries, complaints) = entries?;
            databases.complaints.extend(complaints);
            for entry in entries {
                // An entry is one package.
                if entry
                    .info
                    .packages
                    .iter()
                    .all(|package| names.insert(package.pkgname.clone()))
                {
                    databases.add(entry, rank);
                }
            }
        }
        Ok(databases)
    }

    /// The packages, to be resolved and ordered.
    #[must_use]
    pub fn packages(&self) -> Packages<'_> {
        let built = self.built.iter();
        Packages::ranked(built.map(|(pkgbase, built)| (pkgbase, Some(&built.info), built.rank)))
    }

    /// What the databases say, a pkgbase each.
    pub fn infos(&self) -> impl Iterator<Item = (&PkgBase, &SrcInfo)> {
        self.built.iter().map(|(pkgbase, built)| (pkgbase, &built.info))
    }

    /// Adds what the files of a package need and provide, which need not be declared.
    pub fn add_sonames(&mut self, pkgbase: &PkgBase, pkgname: &PkgName, sonames: &Sonames) {
        let packages = self.built.get_mut(pkgbase).map(|built| &mut built.info.packages);
        for package in packages
            .into_iter()
            .flatten()
            .filter(|package| package.pkgname == *pkgname)
        {
            package.depends.extend(sonames.needed.iter().map(Soname::to_dependency));
            package
                .provides
                .extend(sonames.provided.iter().map(Soname::to_dependency));
        }
    }

    fn add(&mut self, entry: Entry, rank: usize) {
        let Some(built) = self.built.get_mut(&entry.pkgbase) else {
            let info = entry.info;
            self.built.insert(entry.pkgbase, Built { info, rank });
            return;
        };
        let unite = |all: &mut Vec<Dependency>, more: Vec<Dependency>| {
            // Every package of a pkgbase says the same.
            if *all != more {
                all.extend(more);
                all.sort_unstable();
                all.dedup();
            }
        };
        unite(&mut built.info.makedepends, entry.info.makedepends);
        unite(&mut built.info.checkdepends, entry.info.checkdepends);
        built.info.packages.extend(entry.info.packages);
    }
}

/// The packages of one database in its order, and those that are left out.
fn read(file: &Path) -> Result<Read, SyncError> {
    let name = repository_of(file)?;
    let file = file.canonicalize().map_err(FileError::at("find", file))?;
    let database = Plain::of(&file, name)?;
    // Giving back a hundred thousand strings one by one takes as long as reading them; a program reads a database once.
    let alpm = ManuallyDrop::new(database.open()?);
    database.read(&alpm, name)
}

/// `core` out of `core.db`, `core.db.tar.gz` and the like.
fn repository_of(file: &Path) -> Result<&str, SyncError> {
    let name = file.file_name().and_then(|name| name.to_str());
    let (repository, _) = name.and_then(|name| name.split_once(".db")).unwrap_or_default();
    if repository.is_empty() {
        return Err(SyncError::Name(file.to_owned()));
    }
    Ok(repository)
}

/// A database as libalpm is given it.
struct Plain<'a> {
    /// What was given to us.
    file: &'a Path,
    /// libalpm's directory.
    root: TempDir,
    /// The database in it.
    copy: PathBuf,
    _memory: Option<OwnedFd>,
    /// What is not in it.
    no_text: NoText,
}

impl<'a> Plain<'a> {
    fn of(file: &'a Path, name: &str) -> Result<Self, SyncError> {
        // libarchive takes a file without content for an archive without members.
        if file.metadata().map_err(FileError::at("look at", file))?.len() == 0 {
            return Err(unusable(file, "it is empty"));
        }
        let root = tempfile::tempdir().map_err(FileError::at("make a directory in", std::env::temp_dir()))?;
        let databases = root.path().join("sync");
        std::fs::create_dir(&databases).map_err(FileError::at("make", &databases))?;
        let copy = databases.join(format!("{name}.db"));
        Ok(Self {
            _memory: text::keep_in_memory(&copy).map_err(FileError::at("make", &copy))?,
            no_text: text::write_text(file, &copy).map_err(|error| unreadable(file, error))?,
            file,
            root,
            copy,
        })
    }

    fn open(&self) -> Result<Alpm, SyncError> {
        let root = self.root.path().to_string_lossy();
        Alpm::new(&*root, &*root).map_err(|error| unusable(self.file, error))
    }

    /// What libalpm makes of it. (The types of its lists differ between the versions of the binding.)
    fn read(&self, alpm: &Alpm, name: &str) -> Result<Read, SyncError> {
        let database = alpm
            .register_syncdb(name, SigLevel::NONE)
            .map_err(|error| unusable(self.file, error))?;
        database.is_valid().map_err(|error| unusable(self.file, error))?;
        let packages = database.pkgs();
        // One bad entry makes libalpm give up all of them, without an error that it would report.
        if packages.is_empty() && (alpm.last_error() != binding::Error::Ok || self.has_entries()?) {
            return Err(unusable(self.file, "libalpm cannot make sense of an entry"));
        }
        let (mut entries, mut complaints) = (Vec::with_capacity(packages.len()), Vec::new());
        for package in packages {
            // Of one that has a file besides its `desc` only the bad one is missing.
            if self.is_without_text(&package) {
                continue;
            }
            match entry(&package) {
                Ok(entry) => entries.push(entry),
                Err(cause) => complaints.push(self.left_out(package.name(), cause)),
            }
        }
        for (package, field) in &self.no_text {
            complaints.push(self.left_out(package, EntryError::NoText(field.clone())));
        }
        Ok((entries, complaints))
    }

    fn is_without_text(&self, package: &binding::Package) -> bool {
        let name = || format!("{}-{}", package.name(), package.version());
        !self.no_text.is_empty() && self.no_text.contains_key(&name())
    }

    fn left_out(&self, package: &str, cause: EntryError) -> Complaint {
        Complaint {
            package: package.to_owned(),
            path: self.file.to_owned(),
            cause,
        }
    }

    fn has_entries(&self) -> Result<bool, SyncError> {
        text::has_entries(&self.copy).map_err(|error| unreadable(self.file, error))
    }
}

fn unusable(file: &Path, cause: impl ToString) -> SyncError {
    SyncError::Database {
        path: file.to_owned(),
        cause: cause.to_string(),
    }
}

fn unreadable(file: &Path, error: ArchiveError) -> SyncError {
    match error {
        ArchiveError::Machine(error) => error.into(),
        error => unusable(file, error),
    }
}

fn entry(package: &binding::Package) -> Result<Entry, EntryError> {
    let pkgbase: PkgBase = package.base().unwrap_or(package.name()).parse()?;
    let info = SrcInfo {
        pkgbase: pkgbase.clone(),
        version: package.version().as_str().parse()?,
        makedepends: package.makedepends().iter().map(|it| dependency(&it)).collect(),
        checkdepends: package.checkdepends().iter().map(|it| dependency(&it)).collect(),
        depends: Vec::new(),
        packages: vec![Package {
            pkgname: package.name().parse()?,
            is_any: package.arch() == Some("any"),
            depends: package.depends().iter().map(|it| dependency(&it)).collect(),
            provides: package.provides().iter().map(|it| dependency(&it)).collect(),
            conflicts: Vec::new(),
            replaces: Vec::new(),
            groups: package.groups().iter().map(str::to_owned).collect(),
        }],
    };
    Ok(Entry { pkgbase, info })
}

fn dependency(it: &binding::Dep) -> Dependency {
    let comparison = match it.depmod() {
        binding::DepMod::Any => None,
        binding::DepMod::Eq => Some(Comparison::Equal),
        binding::DepMod::Ge => Some(Comparison::AtLeast),
        binding::DepMod::Le => Some(Comparison::AtMost),
        binding::DepMod::Gt => Some(Comparison::Greater),
        binding::DepMod::Lt => Some(Comparison::Less),
    };
    Dependency {
        name: it.name().to_owned(),
        version: comparison.and_then(|sign| Some((sign, it.version()?.as_str().to_owned()))),
    }
}
