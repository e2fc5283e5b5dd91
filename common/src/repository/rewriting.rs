//! The next database of a repository: which segments of the last one stay, and which are made anew.
//!
//! Making them is most of the work of a transaction, and no segment needs another: each is a [`Job`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;

use flate2::Compression;

use super::database::{self, Content, Record};
use super::directory::Kind;
use super::segments::{self, Part, Segment, Volume};
use super::stock::{Changes, Stock};
use crate::names::PkgName;

/// One of the next databases.
pub(super) struct Rewriting<'a> {
    kind: Kind,
    level: Compression,
    slots: Vec<Slot<'a>>,
    jobs: Vec<Job<'a>>,
}

/// A place in the next database.
enum Slot<'a> {
    /// Segments stay.
    Kept(&'a Volume, Range<usize>),
    /// What the next job makes comes here.
    Made,
}

/// Neighbouring segments and what changes in them.
pub(super) struct Job<'a> {
    kind: Kind,
    level: Compression,
    old: Vec<(&'a Volume, usize)>,
    changes: BTreeMap<&'a PkgName, Option<&'a Record>>,
}

/// The segments that come out of a job.
pub(super) type Made = Vec<(Segment, Vec<u8>)>;

impl<'a> Rewriting<'a> {
    /// A repository's database with changes.
    pub(super) fn of(stock: &'a Stock, kind: Kind, changes: &'a Changes) -> Self {
        match stock {
            Stock::Whole(content) => Self::of_whole(content, kind, changes),
            Stock::Segmented { volumes, .. } => Self::of_volume(&volumes[&kind], kind, changes),
        }
    }

    fn of_whole(content: &'a Content, kind: Kind, changes: &'a Changes) -> Self {
        let mut all: BTreeMap<&PkgName, &Record> = content.iter().collect();
        for (name, change) in changes {
            match change {
                Some(record) => all.insert(name, record),
                None => all.remove(name),
            };
        }
        let mut rewriting = Self::new(kind, kind.level(0));
        for (name, record) in all {
            if rewriting.jobs.is_empty() || kind.begins_segment(name.as_str()) {
                rewriting.make();
            }
            if let Some(job) = rewriting.jobs.last_mut() {
                job.changes.insert(name, Some(record));
            }
        }
        rewriting
    }

    fn of_volume(volume: &'a Volume, kind: Kind, changes: &'a Changes) -> Self {
        let mut touched: BTreeMap<usize, Vec<(&PkgName, Option<&Record>)>> = BTreeMap::new();
        for (name, change) in changes {
            let position = volume.position(name).unwrap_or(0);
            touched.entry(position).or_default().push((name, change.as_ref()));
            // Without its first package a segment is the end of the one before.
            if position > 0 && change.is_none() && volume.segments()[position].first == *name {
                touched.entry(position - 1).or_default();
            }
        }
        let mut rewriting = Self::new(kind, kind.level(changes.len()));
        for position in 0..volume.segments().len().max(1) {
            let segment = volume.segments().get(position);
            let Some(changes) = touched.remove(&position) else {
                if segment.is_some() {
                    rewriting.keep(volume, position);
                }
                continue;
            };
            let loses_first = |(name, change): &(&PkgName, Option<&Record>)| {
                change.is_none() && segment.is_some_and(|segment| segment.first == **name)
            };
            if position == 0 || !changes.iter().any(loses_first) {
                rewriting.make();
            }
            if let Some(job) = rewriting.jobs.last_mut() {
                job.old.extend(segment.map(|_| (volume, position)));
                job.changes.extend(changes);
            }
        }
        rewriting
    }

    const fn new(kind: Kind, level: Compression) -> Self {
        Self {
            kind,
            level,
            slots: Vec::new(),
            jobs: Vec::new(),
        }
    }

    /// Begins a job.
    fn make(&mut self) {
        self.slots.push(Slot::Made);
        self.jobs.push(Job {
            kind: self.kind,
            level: self.level,
            old: Vec::new(),
            changes: BTreeMap::new(),
        });
    }

    /// Leaves a segment as it is.
    fn keep(&mut self, volume: &'a Volume, position: usize) {
        match self.slots.last_mut() {
            Some(Slot::Kept(_, positions)) => positions.end = position + 1,
            _ => self.slots.push(Slot::Kept(volume, position..position + 1)),
        }
    }

    /// What there is to do for it.
    pub(super) fn jobs(&self) -> &[Job<'a>] {
        &self.jobs
    }

    /// Writes it, with what came out of its jobs; returns its index.
    pub(super) fn write(&self, made: &mut dyn Iterator<Item = io::Result<Made>>, file: &File) -> io::Result<String> {
        let parts = self.slots.iter().flat_map(|slot| match slot {
            Slot::Kept(volume, positions) => vec![Ok(Part::Kept(volume, positions.clone()))],
            Slot::Made => match made.next() {
                Some(Ok(made)) => made
                    .into_iter()
                    .map(|(segment, deflated)| Ok(Part::Made(segment, deflated)))
                    .collect(),
                Some(Err(error)) => vec![Err(error)],
                None => vec![Err(io::Error::other("nobody makes a segment"))],
            },
        });
        segments::write(parts, file)
    }
}

impl Job<'_> {
    /// Makes the segments.
    pub(super) fn run(&self) -> io::Result<Made> {
        let kind = self.kind;
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
        let mut groups: Vec<(PkgName, Vec<&[u8]>)> = Vec::new();
        for (name, part) in parts {
            match groups.last_mut() {
                Some((_, pieces)) if !kind.begins_segment(name.as_str()) => pieces.push(part),
                _ => groups.push((name, vec![part])),
            }
        }
        groups
            .into_iter()
            .map(|(first, pieces)| Segment::make(first, &pieces, self.level))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::directory::Directory;
    use super::super::segments::MANY;
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
            let rewriting = Rewriting::of(stock, kind, changes);
            let mut made = rewriting.jobs().iter().map(Job::run);
            let file = File::create(&database).unwrap();
            let text = rewriting.write(&mut made, &file).unwrap();
            crate::atomic::write(&index, text.as_bytes()).unwrap();
            all.push(std::fs::read(&database).unwrap());
            volumes.insert(kind, Volume::open(&database, &index).unwrap().unwrap());
        }
        let directory = Directory::new("core".parse().unwrap(), place.to_owned());
        (Stock::Segmented { volumes, directory }, all)
    }

    #[test]
    fn many_changes_at_once_say_the_same_as_few() {
        let place = tempfile::tempdir().unwrap();
        let changes: Changes = (0..=MANY)
            .map(|number| format!("package{number}").parse().unwrap())
            .map(|name: PkgName| (name.clone(), Some(record(&name, 1))))
            .collect();
        let content: Content = changes
            .iter()
            .map(|(name, record)| (name.clone(), record.clone().unwrap()))
            .collect();
        let names = content.keys().cloned().collect();
        let (empty, _) = next(&Stock::Whole(Content::new()), &Changes::new(), place.path());
        let (quick, bytes) = next(&empty, &changes, place.path());
        for (kind, bytes) in Kind::ALL.into_iter().zip(&bytes) {
            let path = place.path().join("as pacman reads it");
            crate::atomic::write(&path, bytes).unwrap();
            assert_eq!(database::read(&path).unwrap().len(), content.len(), "{kind:?}");
        }
        assert_eq!(quick.pick(Kind::Files, &names).unwrap(), content);
        let (_, thorough) = next(&Stock::Whole(content), &Changes::new(), place.path());
        assert_ne!(bytes, thorough, "nothing was made quickly");
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
