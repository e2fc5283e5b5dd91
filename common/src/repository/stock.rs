//! What a repository's databases in force say.
//!
//! Databases that were written here are read in segments ([`super::segments`]): a look at some packages costs as much as
//! their segments. Others (repo-add's, or without a fitting index) are read as a whole.

use std::collections::{BTreeMap, BTreeSet};

use super::RepositoryError;
use super::database::{self, Content, Record};
use super::directory::{Directory, Kind};
use super::entry::Entry;
use super::segments::Volume;
use crate::atomic::FileError;
use crate::names::PkgName;
use crate::parallel;

/// Packages that one thread understands at a time.
const CHUNK: usize = 256;

/// The packages that change, with what they are afterwards; `None`: they go.
pub(super) type Changes = BTreeMap<PkgName, Option<Record>>;

/// What a repository has.
#[derive(Debug)]
pub(super) enum Stock {
    /// Databases in segments.
    Segmented {
        /// The databases by kind.
        volumes: BTreeMap<Kind, Volume>,
        directory: Directory,
    },
    /// Everything.
    Whole(Content),
}

impl Stock {
    /// Opens the databases in force.
    pub(super) fn open(directory: &Directory) -> Result<Self, RepositoryError> {
        match Self::segmented(directory, &Kind::ALL)? {
            Some(stock) => Ok(stock),
            None => Ok(Self::Whole(directory.content()?)),
        }
    }

    fn segmented(directory: &Directory, kinds: &[Kind]) -> Result<Option<Self>, RepositoryError> {
        let Some(number) = directory.current()?.filter(|_| !directory.is_foreign()) else {
            return Ok(None);
        };
        let mut volumes = BTreeMap::new();
        for kind in kinds {
            let generation = directory.generation(number);
            let database = generation.join(directory.database_name(*kind));
            match Volume::open(&database, &generation.join(directory.index_name(*kind)))? {
                Some(volume) => volumes.insert(*kind, volume),
                None => return Ok(None),
            };
        }
        Ok(Some(Self::Segmented {
            volumes,
            directory: directory.clone(),
        }))
    }

    /// What the smaller database says of some packages.
    pub(super) fn look_up(directory: &Directory, names: &BTreeSet<PkgName>) -> Result<Content, RepositoryError> {
        match Self::segmented(directory, &[Kind::Db])? {
            Some(stock) => stock.pick(Kind::Db, names),
            None => Self::Whole(directory.content()?).pick(Kind::Db, names),
        }
    }

    /// Every package of the smaller database, by name; each segment is understood on its own, so many at a time.
    pub(super) fn entries(directory: &Directory) -> Result<Vec<Entry>, RepositoryError> {
        let Some(path) = directory.database(Kind::Db)? else {
            return Ok(Vec::new());
        };
        let bad = |source| RepositoryError::Entry {
            path: path.clone(),
            source,
        };
        let parts = match Self::segmented(directory, &[Kind::Db])? {
            Some(Self::Segmented { volumes, .. }) => {
                let volume = &volumes[&Kind::Db];
                let positions: Vec<usize> = (0..volume.segments().len()).collect();
                parallel::map(&positions, |position| {
                    let plain = volume.inflated(*position).map_err(FileError::at("read", &path))?;
                    let descs = database::descs(&plain).map_err(FileError::at("read", &path))?;
                    descs.into_iter().map(|desc| Entry::parse(desc).map_err(bad)).collect()
                })
            }
            _ => {
                let records: Vec<Record> = database::read(&path)?.into_values().collect();
                let chunks: Vec<&[Record]> = records.chunks(CHUNK).collect();
                parallel::map(&chunks, |chunk| {
                    chunk
                        .iter()
                        .map(|record| Entry::parse(&record.desc).map_err(bad))
                        .collect()
                })
            }
        };
        let parts: Vec<Vec<Entry>> = parts.into_iter().collect::<Result<_, RepositoryError>>()?;
        Ok(parts.into_iter().flatten().collect())
    }

    /// What is said of some packages, as far as they are there.
    pub(super) fn pick(&self, kind: Kind, names: &BTreeSet<PkgName>) -> Result<Content, RepositoryError> {
        let (volume, path) = match self {
            Self::Whole(content) => {
                let found = names.iter().filter_map(|name| content.get_key_value(name));
                return Ok(found.map(|(name, record)| (name.clone(), record.clone())).collect());
            }
            Self::Segmented { volumes, directory } => {
                (&volumes[&kind], directory.path.join(directory.database_name(kind)))
            }
        };
        let positions: BTreeSet<usize> = names.iter().filter_map(|name| volume.position(name)).collect();
        let positions: Vec<usize> = positions.into_iter().collect();
        let picked = parallel::map(&positions, |position| {
            let plain = volume.inflated(*position).map_err(FileError::at("read", &path))?;
            let mut picked = Content::new();
            for (name, part) in database::split(&plain).map_err(FileError::at("read", &path))? {
                if names.contains(&name) {
                    picked.append(&mut database::read_part(part, &path)?);
                }
            }
            Ok(picked)
        });
        let picked: Vec<Content> = picked.into_iter().collect::<Result<_, RepositoryError>>()?;
        Ok(picked.into_iter().flatten().collect())
    }
}
