//! What a repository's databases in force say, and writing its next databases with changes.
//!
//! Databases that were written here are read in segments ([`super::segments`]): a look at some packages, or a change of
//! them, costs as much as their segments. Others (repo-add's, or without a fitting index) are read as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;

use super::RepositoryError;
use super::database::{self, Content, Record};
use super::directory::{Directory, Kind};
use super::entry::Entry;
use super::segments::{self, Part, Segment, Volume};
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
        let mut picked = Content::new();
        for position in positions {
            let plain = volume.inflated(position).map_err(FileError::at("read", &path))?;
            for (name, part) in database::split(&plain).map_err(FileError::at("read", &path))? {
                if names.contains(&name) {
                    picked.append(&mut database::read_part(part, &path)?);
                }
            }
        }
        Ok(picked)
    }

    /// Writes a database with changes; returns its index.
    pub(super) fn write(&self, kind: Kind, changes: &Changes, file: &File) -> io::Result<String> {
        let (slots, jobs) = match self {
            Self::Whole(content) => from_whole(kind, content, changes),
            Self::Segmented { volumes, .. } => from_volume(&volumes[&kind], changes),
        };
        let made: Vec<Made> = parallel::map(&jobs, |job| job.run(kind))
            .into_iter()
            .collect::<io::Result<_>>()?;
        let parts = slots.iter().flat_map(|slot| match slot {
            Slot::Kept(volume, position) => vec![Part::Kept(volume, *position)],
            Slot::Made(job) => made[*job]
                .iter()
                .map(|(segment, bytes)| Part::Made(segment, bytes))
                .collect(),
        });
        segments::write(parts, file)
    }
}

/// A place in the next database.
enum Slot<'a> {
    /// A segment stays.
    Kept(&'a Volume, usize),
    /// What a job makes comes here.
    Made(usize),
}

/// Neighbouring segments and what changes in them.
#[derive(Default)]
struct Job<'a> {
    old: Vec<(&'a Volume, usize)>,
    changes: BTreeMap<&'a PkgName, Option<&'a Record>>,
}

fn from_whole<'a>(kind: Kind, content: &'a Content, changes: &'a Changes) -> (Vec<Slot<'a>>, Vec<Job<'a>>) {
    let mut all: BTreeMap<&PkgName, &Record> = content.iter().collect();
    for (name, change) in changes {
        match change {
            Some(record) => all.insert(name, record),
            None => all.remove(name),
        };
    }
    let mut jobs: Vec<Job<'_>> = Vec::new();
    for (name, record) in all {
        if jobs.is_empty() || kind.begins_segment(name.as_str()) {
            jobs.push(Job::default());
        }
        if let Some(job) = jobs.last_mut() {
            job.changes.insert(name, Some(record));
        }
    }
    ((0..jobs.len()).map(Slot::Made).collect(), jobs)
}

fn from_volume<'a>(volume: &'a Volume, changes: &'a Changes) -> (Vec<Slot<'a>>, Vec<Job<'a>>) {
    let mut touched: BTreeMap<usize, Vec<(&PkgName, Option<&Record>)>> = BTreeMap::new();
    for (name, change) in changes {
        let position = volume.position(name).unwrap_or(0);
        touched.entry(position).or_default().push((name, change.as_ref()));
        // Without its first package a segment is the end of the one before.
        if position > 0 && change.is_none() && volume.segments()[position].first == *name {
            touched.entry(position - 1).or_default();
        }
    }
    let (mut slots, mut jobs) = (Vec::new(), Vec::<Job<'_>>::new());
    for position in 0..volume.segments().len().max(1) {
        let Some(changes) = touched.remove(&position) else {
            if position < volume.segments().len() {
                slots.push(Slot::Kept(volume, position));
            }
            continue;
        };
        let loses_first = |(name, change): &(&PkgName, Option<&Record>)| {
            change.is_none()
                && volume
                    .segments()
                    .get(position)
                    .is_some_and(|segment| segment.first == **name)
        };
        if position == 0 || !changes.iter().any(loses_first) {
            slots.push(Slot::Made(jobs.len()));
            jobs.push(Job::default());
        }
        if let Some(job) = jobs.last_mut() {
            if position < volume.segments().len() {
                job.old.push((volume, position));
            }
            job.changes.extend(changes);
        }
    }
    (slots, jobs)
}

/// The segments that come out of a job.
type Made = Vec<(Segment, Vec<u8>)>;

impl Job<'_> {
    fn run(&self, kind: Kind) -> io::Result<Made> {
        let old = self
            .old
            .iter()
            .map(|(volume, position)| volume.inflated(*position))
            .collect::<io::Result<Vec<_>>>()?;
        let new = self
            .changes
            .iter()
            .map(|(name, change)| Ok((*name, change.map(|record| record.encode(kind)).transpose()?)))
            .collect::<io::Result<Vec<_>>>()?;
        let mut parts: BTreeMap<PkgName, &[u8]> = BTreeMap::new();
        for plain in &old {
            parts.extend(database::split(plain)?);
        }
        for (name, part) in &new {
            match part {
                Some(part) => parts.insert((*name).clone(), part),
                None => parts.remove(*name),
            };
        }
        let mut groups: Vec<(PkgName, Vec<u8>)> = Vec::new();
        for (name, part) in parts {
            match groups.last_mut() {
                Some((_, plain)) if !kind.begins_segment(name.as_str()) => plain.extend_from_slice(part),
                _ => groups.push((name, part.to_vec())),
            }
        }
        groups
            .into_iter()
            .map(|(first, plain)| Segment::make(first, &plain))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(name: &PkgName, release: u8) -> Record {
        let file_name = format!("{name}-1-{release}-any.pkg.tar.zst");
        Record {
            directory: format!("{name}-1-{release}"),
            desc: format!("%FILENAME%\n{file_name}\n\n%NAME%\n{name}\n\n%VERSION%\n1-{release}\n\n"),
            file_name: file_name.parse().unwrap(),
            files: Some(format!("%FILES%\nusr/share/{name}/{release}\n")),
        }
    }

    /// Writes the next databases as a stock of their own, and returns their bytes, too.
    fn next(stock: &Stock, changes: &Changes, place: &std::path::Path) -> (Stock, Vec<Vec<u8>>) {
        let mut volumes = BTreeMap::new();
        let mut all = Vec::new();
        for kind in Kind::ALL {
            let (database, index) = (place.join("database"), place.join("index"));
            // The last one is still open, and read from.
            crate::atomic::remove(&database).unwrap();
            let text = stock.write(kind, changes, &File::create(&database).unwrap()).unwrap();
            crate::atomic::write(&index, text.as_bytes()).unwrap();
            all.push(std::fs::read(&database).unwrap());
            volumes.insert(kind, Volume::open(&database, &index).unwrap().unwrap());
        }
        let directory = Directory::new("core".parse().unwrap(), place.to_owned());
        (Stock::Segmented { volumes, directory }, all)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn changed_in_part_or_written_as_a_whole_the_databases_have_the_same_bytes(
            steps in proptest::collection::vec(
                proptest::collection::btree_map("[ab]{1,4}|[a-z]{1,3}", proptest::option::of(0..3_u8), 0..40),
                1..6,
            )
        ) {
            let place = tempfile::tempdir().unwrap();
            let mut content = Content::new();
            let mut stock = Stock::Whole(Content::new());
            for step in steps {
                let changes: Changes = step
                    .into_iter()
                    .map(|(name, release)| {
                        let name: PkgName = name.parse().unwrap();
                        let record = release.map(|release| record(&name, release));
                        (name, record)
                    })
                    .collect();
                for (name, change) in &changes {
                    match change {
                        Some(record) => content.insert(name.clone(), record.clone()),
                        None => content.remove(name),
                    };
                }
                let (in_part, bytes) = next(&stock, &changes, place.path());
                let whole = Stock::Whole(content.clone());
                prop_assert_eq!(&bytes, &next(&whole, &Changes::new(), place.path()).1);
                let names: BTreeSet<PkgName> = content.keys().chain(changes.keys()).cloned().collect();
                prop_assert_eq!(in_part.pick(Kind::Files, &names).unwrap(), content.clone());
                stock = in_part;
            }
        }
    }
}
