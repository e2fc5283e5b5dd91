//! The next database of a repository: which segments of the last one stay, and which are made anew.
//!
//! Making them is most of the work of a transaction, and no segment needs another: each is a [`Job`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;

use flate2::Compression;

use super::database::{self, Record};
use super::directory::Kind;
use super::segments::{self, Part, Segment, Volume};
use super::stock::{Changes, Stock};
use crate::names::PkgName;

/// Packages of a job that has no segments to begin with.
const CHUNK: usize = 256;

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

/// What changes in some segments.
type JobChanges<'a> = BTreeMap<&'a PkgName, Option<&'a Record>>;

/// Neighbouring segments and what changes in them.
pub(super) struct Job<'a> {
    kind: Kind,
    level: Compression,
    old: Vec<(&'a Volume, usize)>,
    changes: JobChanges<'a>,
}

/// The segments that come out of a job.
pub(super) type Made = Vec<(Segment, Vec<u8>)>;

impl<'a> Rewriting<'a> {
    /// A repository's database with changes.
    pub(super) fn of(stock: &'a Stock, kind: Kind, changes: &'a Changes) -> Self {
        let level = kind.level(changes.len());
        match stock {
            Stock::Whole(content) => Self::of_whole(content.iter().collect(), changes, kind, kind.level(0)),
            Stock::Segmented { volumes, .. } if volumes[&kind].segments().is_empty() => {
                Self::of_whole(BTreeMap::new(), changes, kind, level)
            }
            Stock::Segmented { volumes, .. } => Self::of_volume(&volumes[&kind], changes, kind, level),
        }
    }

    fn of_whole(
        mut all: BTreeMap<&'a PkgName, &'a Record>,
        changes: &'a Changes,
        kind: Kind,
        level: Compression,
    ) -> Self {
        for (name, change) in changes {
            match change {
                Some(record) => all.insert(name, record),
                None => all.remove(name),
            };
        }
        let all: Vec<(&PkgName, &Record)> = all.into_iter().collect();
        let mut rewriting = Self::new(kind, level);
        for chunk in all.chunks(CHUNK) {
            let changes = chunk.iter().map(|(name, record)| (*name, Some(*record)));
            rewriting.make(Vec::new(), changes.collect());
        }
        rewriting
    }

    fn of_volume(volume: &'a Volume, changes: &'a Changes, kind: Kind, level: Compression) -> Self {
        let mut touched: BTreeMap<usize, JobChanges<'_>> = BTreeMap::new();
        for (name, change) in changes {
            let position = volume.position(name).unwrap_or(0);
            touched.entry(position).or_default().insert(name, change.as_ref());
        }
        let mut rewriting = Self::new(kind, level);
        for group in Group::all(volume, kind, |position| touched.contains_key(&position)) {
            let positions = group.positions;
            if group.is_touched {
                let changes = positions.clone().filter_map(|position| touched.remove(&position));
                let changes = changes.flatten().collect();
                rewriting.make(positions.map(|position| (volume, position)).collect(), changes);
            } else {
                rewriting.keep(volume, positions);
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

    /// Has segments made: out of these old ones, with these changes.
    fn make(&mut self, old: Vec<(&'a Volume, usize)>, changes: JobChanges<'a>) {
        self.slots.push(Slot::Made);
        self.jobs.push(Job {
            kind: self.kind,
            level: self.level,
            old,
            changes,
        });
    }

    /// Leaves segments as they are.
    fn keep(&mut self, volume: &'a Volume, segments: Range<usize>) {
        match self.slots.last_mut() {
            Some(Slot::Kept(_, positions)) => positions.end = segments.end,
            _ => self.slots.push(Slot::Kept(volume, segments)),
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

/// Neighbouring segments that stay as they are or are made anew, as one.
struct Group {
    positions: Range<usize>,
    length: usize,
    is_touched: bool,
}

impl Group {
    /// All segments, in order: one that is touched takes in a short one on either side.
    fn all(volume: &Volume, kind: Kind, is_touched: impl Fn(usize) -> bool) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for (position, segment) in volume.segments().iter().enumerate() {
            let is_touched = is_touched(position);
            match groups.last_mut() {
                Some(last) if (last.is_touched || is_touched) && kind.is_one(last.length, segment.size) => {
                    last.positions.end = position + 1;
                    last.length += segment.size;
                    last.is_touched = true;
                }
                _ => groups.push(Self {
                    positions: position..position + 1,
                    length: segment.size,
                    is_touched,
                }),
            }
        }
        groups
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
        let parts: Vec<(PkgName, &[u8])> = parts.into_iter().collect();
        let segments = kind.cut(&parts).into_iter();
        segments.map(|parts| Segment::make(parts, self.level)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::super::database::Content;
    use super::super::directory::Directory;
    use super::super::segments::MANY;
    use super::*;

    /// A package; from release to release its list of files gets longer.
    fn record(name: &PkgName, release: u8) -> Record {
        let file_name = format!("{name}-1-{release}-any.pkg.tar.zst");
        let list = format!("usr/share/{name}/{release}\n").repeat(30_usize.pow(release.into()));
        Record {
            directory: format!("{name}-1-{release}"),
            desc: format!("%FILENAME%\n{file_name}\n\n%NAME%\n{name}\n\n%VERSION%\n1-{release}\n\n"),
            file_name: file_name.parse().unwrap(),
            files: Some(format!("%FILES%\n{list}")),
        }
    }

    fn name(number: usize) -> PkgName {
        format!("package{number:04}").parse().unwrap()
    }

    fn empty() -> Stock {
        Stock::Whole(Content::new())
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

    fn archive(database: &[u8]) -> Vec<u8> {
        let mut archive = Vec::new();
        flate2::read::GzDecoder::new(database)
            .read_to_end(&mut archive)
            .unwrap();
        archive
    }

    fn volume(stock: &Stock, kind: Kind) -> &Volume {
        match stock {
            Stock::Segmented { volumes, .. } => &volumes[&kind],
            Stock::Whole(_) => panic!("no segments"),
        }
    }

    #[test]
    fn many_changes_at_once_say_the_same_as_few() {
        let place = tempfile::tempdir().unwrap();
        let content: Content = (0..=MANY)
            .map(|number| (name(number), record(&name(number), 1)))
            .collect();
        let changes: Changes = content
            .clone()
            .into_iter()
            .map(|(name, record)| (name, Some(record)))
            .collect();
        let names = content.keys().cloned().collect();
        let (none, _) = next(&empty(), &Changes::new(), place.path());
        let (quick, bytes) = next(&none, &changes, place.path());
        assert_eq!(quick.pick(Kind::Files, &names).unwrap(), content);
        let (_, thorough) = next(&Stock::Whole(content), &Changes::new(), place.path());
        for (quick, thorough) in bytes.iter().zip(&thorough) {
            assert!(archive(quick) == archive(thorough));
            assert!(quick.len() > thorough.len(), "it was not made quickly");
        }
    }

    #[test]
    fn a_change_leaves_other_segments_as_they_are() {
        let place = tempfile::tempdir().unwrap();
        let content: Content = (0..400)
            .map(|number| (name(number), record(&name(number), 1)))
            .collect();
        let (before, _) = next(&Stock::Whole(content), &Changes::new(), place.path());
        let change = Changes::from([(name(200), Some(record(&name(200), 0)))]);
        let (after, _) = next(&before, &change, place.path());
        for kind in Kind::ALL {
            let [before, after] = [&before, &after].map(|stock| BTreeSet::from_iter(volume(stock, kind).segments()));
            assert!(before.len() > 5, "{kind:?}: {}", before.len());
            assert_eq!(after.difference(&before).count(), 1, "{kind:?}");
        }
    }

    #[test]
    fn what_is_left_of_many_packages_is_in_few_segments() {
        let place = tempfile::tempdir().unwrap();
        let content: Content = (0..400)
            .map(|number| (name(number), record(&name(number), 0)))
            .collect();
        let (mut stock, _) = next(&Stock::Whole(content), &Changes::new(), place.path());
        for number in (0..400).filter(|number| number % 40 != 0) {
            (stock, _) = next(&stock, &Changes::from([(name(number), None)]), place.path());
        }
        for kind in Kind::ALL {
            let count = volume(&stock, kind).segments().len();
            assert!(count <= 3, "{kind:?}: {count}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn databases_that_are_changed_in_part_say_what_they_should(
            steps in proptest::collection::vec(
                proptest::collection::btree_map("[ab]{1,4}|[a-z]{1,3}", proptest::option::of(0..4_u8), 0..40),
                1..6,
            )
        ) {
            let place = tempfile::tempdir().unwrap();
            let mut content = Content::new();
            let (mut stock, _) = next(&empty(), &Changes::new(), place.path());
            let mut names = BTreeSet::new();
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
                names.extend(changes.keys().cloned());
                let bytes;
                (stock, bytes) = next(&stock, &changes, place.path());
                prop_assert_eq!(&stock.pick(Kind::Files, &names).unwrap(), &content);
                let (_, whole) = next(&Stock::Whole(content.clone()), &Changes::new(), place.path());
                for ((kind, bytes), whole) in Kind::ALL.into_iter().zip(bytes).zip(whole) {
                    prop_assert!(archive(&bytes) == archive(&whole), "{:?}", kind);
                    for (position, segment) in volume(&stock, kind).segments().iter().enumerate() {
                        let packages = database::split(&volume(&stock, kind).inflated(position).unwrap()).unwrap().len();
                        prop_assert!(packages == 1 || segment.size <= kind.longest(), "{} bytes", segment.size);
                    }
                }
            }
        }
    }
}
