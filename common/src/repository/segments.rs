//! Databases that can be changed in part: one ordinary gzip member, put together from segments.
//!
//! The tar archive is cut between packages into segments, each deflated on its own and ended by a flush on a byte
//! boundary. Header, segments, a last block with the archive's end mark and the combined CRC-32 make one gzip member that
//! every reader takes (members one after the other would be cut off by some). A change deflates the segments that it
//! touches anew and copies the others.
//!
//! Segments are of about the same length, so that each change costs about the same: one that has grown too long is cut
//! evenly when it is made anew, and takes in a neighbour when both are short. A package with a long list of files has a
//! segment of its own, and is left alone when its neighbours change. Where the cuts are is history, not content.
//!
//! The index `REPO.db.segments` lies beside the database and has a line for each segment: first package, length and
//! CRC-32 of the deflated bytes, length and CRC-32 of the inflated ones (the CRCs hexadecimal). It is derived: without
//! it, or when it does not fit the database, everything is read and written once. Of the database only what is needed is
//! read; each segment is checked then, and one that is not what the index says is an error, as it is for pacman.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::LazyLock;

use crc32fast::Hasher;
use flate2::write::DeflateEncoder;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use super::directory::Kind;
use crate::atomic::{self, FileError};
use crate::names::PkgName;

/// No name, no time, a Unix system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
/// The end mark of a tar archive.
const END_MARK: [u8; 1024] = [0; 1024];

/// zlib's level. One below the default costs half a per cent and saves between a tenth and a third of the time.
const LEVEL: Compression = Compression::new(5);
/// More changes than this are many.
pub(super) const MANY: usize = 500;
/// Bytes that come out of zlib at a time.
const ROOM: usize = 32 << 10;
/// Segments that are copied at a time.
const COPIED: usize = 32;
/// Bytes that are written at a time.
const WRITTEN: usize = 128 << 10;

/// How a database is cut.
impl Kind {
    /// Bytes of the archive that a segment is to hold: more deflate better, fewer are changed faster. Lists of files are
    /// long, fetched by few, and most of the time of a large change: 20 instead of 32 KiB cost 7 % more and save a third
    /// of it.
    const fn target(self) -> usize {
        match self {
            Self::Db => 128 << 10,
            Self::Files => 20 << 10,
        }
    }

    /// The level for this many changes. With many of them most segments are made anew, to be read once or twice until the
    /// next ones: in a third less time and 7 % longer, lists of files in half the time and a quarter longer.
    pub(super) const fn level(self, changes: usize) -> Compression {
        match self {
            _ if changes <= MANY => LEVEL,
            Self::Db => Compression::new(2),
            Self::Files => Compression::new(1),
        }
    }

    /// Whether segments of these lengths make one when one of them is changed.
    pub(super) const fn is_one(self, one: usize, next: usize) -> bool {
        one.saturating_add(next) <= self.target()
    }

    /// What no segment of several packages exceeds.
    #[cfg(test)]
    pub(super) const fn longest(self) -> usize {
        2 * self.target()
    }

    /// Cuts the parts of packages into those of segments: one if half as much again as the target is enough for it,
    /// otherwise even ones, and a very long part by itself.
    pub(super) fn cut<'a, T>(self, parts: &'a [(T, &'a [u8])]) -> Vec<&'a [(T, &'a [u8])]> {
        let mut left: usize = parts.iter().map(|(_, part)| part.len()).sum();
        let share = |left: usize| left / left.div_ceil(self.target()).max(1);
        let mut room = match left {
            _ if left <= self.target() * 3 / 2 => left,
            _ => share(left),
        };
        let (mut segments, mut begin, mut length) = (Vec::new(), 0, 0);
        for (at, (_, part)) in parts.iter().enumerate() {
            if at > begin && length + part.len() / 2 > room {
                segments.push(&parts[begin..at]);
                left -= length;
                (begin, length, room) = (at, 0, share(left));
            }
            length += part.len();
        }
        segments.extend((begin < parts.len()).then(|| &parts[begin..]));
        segments
    }
}

/// What the index says of a segment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Segment {
    /// Its first package.
    pub(super) first: PkgName,
    length: usize,
    check: u32,
    /// Bytes of the archive in it.
    pub(super) size: usize,
    crc: u32,
}

impl Segment {
    /// Deflates the parts of some packages.
    pub(super) fn make(parts: &[(PkgName, &[u8])], level: Compression) -> io::Result<(Self, Vec<u8>)> {
        let (first, _) = parts.first().ok_or_else(|| io::Error::other("a segment of nothing"))?;
        let deflated = DEFLATER.with_borrow_mut(|deflater| deflater.deflate(parts, level))?;
        let mut crc = Hasher::new();
        parts.iter().for_each(|(_, part)| crc.update(part));
        let segment = Self {
            first: first.clone(),
            length: deflated.len(),
            check: crc32fast::hash(&deflated),
            size: parts.iter().map(|(_, part)| part.len()).sum(),
            crc: crc.finalize(),
        };
        Ok((segment, deflated))
    }

    fn is_another(&self) -> io::Error {
        io::Error::other(format!("the segment of {} is not what the index says", self.first))
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let segment = Self {
            first: words.next()?.parse().ok()?,
            length: words.next()?.parse().ok()?,
            check: u32::from_str_radix(words.next()?, 16).ok()?,
            size: words.next()?.parse().ok()?,
            crc: u32::from_str_radix(words.next()?, 16).ok()?,
        };
        words.next().is_none().then_some(segment)
    }
}

/// The line of the index.
impl std::fmt::Display for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            first,
            length,
            check,
            size,
            crc,
        } = self;
        write!(f, "{first} {length} {check:08x} {size} {crc:08x}")
    }
}

/// The end mark as the last block of a database.
static DEFLATED_END_MARK: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut deflated = Vec::new();
    // Nothing can go wrong in memory; and what is no end does not fit any database.
    drop(DeflateEncoder::new(&mut deflated, LEVEL).write_all(&END_MARK));
    deflated
});

thread_local! {
    // Their tables are large, and to make them takes longer than a short segment does.
    static DEFLATER: RefCell<Deflater> = RefCell::new(Deflater::new());
    static INFLATER: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

/// Deflates segments one after the other.
struct Deflater {
    state: Compress,
    /// What comes out of it, a part at a time: zlib needs room that was written to.
    room: Vec<u8>,
}

impl Deflater {
    fn new() -> Self {
        Self {
            state: Compress::new(LEVEL, false),
            room: vec![0; ROOM],
        }
    }

    /// Deflates parts one after the other, up to a byte boundary and without ending the stream.
    fn deflate(&mut self, parts: &[(PkgName, &[u8])], level: Compression) -> io::Result<Vec<u8>> {
        self.state.reset();
        self.state.set_level(level).map_err(io::Error::other)?;
        let mut deflated = Vec::new();
        for (_, part) in parts {
            let begin = self.state.total_in();
            let mut rest = *part;
            while !rest.is_empty() {
                self.step(rest, FlushCompress::None, &mut deflated)?;
                let taken = usize::try_from(self.state.total_in() - begin).map_err(io::Error::other)?;
                rest = &part[taken..];
            }
        }
        // It is complete when room is left: zlib has to be called again with the same flush until then, which flate2's own
        // encoder does not do.
        while self.step(&[], FlushCompress::Sync, &mut deflated)? == self.room.len() {}
        Ok(deflated)
    }

    /// Calls zlib once; returns how many bytes came out.
    fn step(&mut self, input: &[u8], flush: FlushCompress, deflated: &mut Vec<u8>) -> io::Result<usize> {
        let before = self.state.total_out();
        self.state
            .compress(input, &mut self.room, flush)
            .map_err(io::Error::other)?;
        let made = usize::try_from(self.state.total_out() - before).map_err(io::Error::other)?;
        deflated.extend_from_slice(&self.room[..made]);
        Ok(made)
    }
}

/// Inflates what ends on a byte boundary; at most `size` bytes.
fn inflate(state: &mut Decompress, deflated: &[u8], size: usize) -> io::Result<Vec<u8>> {
    state.reset(false);
    let mut plain = vec![0; size];
    let at = |total: u64| usize::try_from(total).map_err(io::Error::other);
    loop {
        let (taken, made) = (at(state.total_in())?, at(state.total_out())?);
        state
            .decompress(&deflated[taken..], &mut plain[made..], FlushDecompress::Sync)
            .map_err(io::Error::other)?;
        if (taken, made) == (at(state.total_in())?, at(state.total_out())?) {
            plain.truncate(made);
            return Ok(plain);
        }
    }
}

/// A database with its segments, which are read when they are needed and checked then.
#[derive(Debug)]
pub(super) struct Volume {
    file: File,
    segments: Vec<Segment>,
    /// Where each segment begins, and the last one ends.
    places: Vec<u64>,
}

impl Volume {
    /// Opens a database with its index; `None` when one of them is missing, or they do not fit: header, end and all
    /// checksums together are what the index says.
    pub(super) fn open(database: &Path, index: &Path) -> Result<Option<Self>, FileError> {
        let Some(index) = atomic::read_text(index)? else {
            return Ok(None);
        };
        match File::open(database) {
            Ok(file) => Self::fit(&index, file).map_err(FileError::at("read", database)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError::at("open", database)(error)),
        }
    }

    fn fit(index: &str, file: File) -> io::Result<Option<Self>> {
        let Some(segments) = index.lines().map(Segment::parse).collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        let mut sum = Sum::default();
        let mut places = vec![HEADER.len() as u64];
        let mut end = HEADER.len() as u64;
        for segment in &segments {
            sum.add(segment.crc, segment.size);
            end = end.saturating_add(segment.length as u64);
            places.push(end);
        }
        let expected = sum.end();
        let length = file.metadata()?.len();
        if end.checked_add(expected.len() as u64) != Some(length) {
            return Ok(None);
        }
        let (mut header, mut found) = (HEADER, expected.clone());
        file.read_exact_at(&mut header, 0)?;
        file.read_exact_at(&mut found, end)?;
        let is_whole = header == HEADER && found == expected;
        Ok(is_whole.then_some(Self { file, segments, places }))
    }

    /// The segments, sorted by their first packages.
    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The segment that a package of this name is in, if it is in any.
    pub(super) fn position(&self, name: &PkgName) -> Option<usize> {
        let after = self.segments.partition_point(|segment| segment.first <= *name);
        // What comes before all others joins the first one.
        (!self.segments.is_empty()).then(|| after.saturating_sub(1))
    }

    /// Segments as they lie in the database, into a buffer that is used again; each is checked.
    fn read(&self, positions: Range<usize>, deflated: &mut Vec<u8>) -> io::Result<()> {
        let segments = &self.segments[positions.clone()];
        deflated.resize(segments.iter().map(|segment| segment.length).sum(), 0);
        self.file.read_exact_at(deflated, self.places[positions.start])?;
        let mut rest = &deflated[..];
        for segment in segments {
            let one = rest.split_off(..segment.length).unwrap_or_default();
            if crc32fast::hash(one) != segment.check {
                return Err(segment.is_another());
            }
        }
        Ok(())
    }

    /// The part of the archive that a segment holds.
    pub(super) fn inflated(&self, position: usize) -> io::Result<Vec<u8>> {
        let segment = &self.segments[position];
        let mut deflated = Vec::new();
        self.read(position..position + 1, &mut deflated)?;
        let plain = INFLATER.with_borrow_mut(|state| inflate(state, &deflated, segment.size))?;
        if plain.len() == segment.size && crc32fast::hash(&plain) == segment.crc {
            Ok(plain)
        } else {
            Err(segment.is_another())
        }
    }
}

/// A part of the next database.
pub(super) enum Part<'a> {
    /// Segments of the last database that lie one behind the other.
    Kept(&'a Volume, Range<usize>),
    /// A new one, deflated.
    Made(Segment, Vec<u8>),
}

/// Writes a database out of segments; returns its index.
pub(super) fn write<'a>(parts: impl Iterator<Item = io::Result<Part<'a>>>, out: impl Write) -> io::Result<String> {
    let mut out = BufWriter::with_capacity(WRITTEN, out);
    let mut index = String::new();
    let mut sum = Sum::default();
    let mut note = |segment: &Segment| {
        sum.add(segment.crc, segment.size);
        index.push_str(&format!("{segment}\n"));
    };
    let mut copied = Vec::new();
    out.write_all(&HEADER)?;
    for part in parts {
        match part? {
            Part::Kept(volume, positions) => {
                for begin in positions.clone().step_by(COPIED) {
                    volume.read(begin..positions.end.min(begin + COPIED), &mut copied)?;
                    out.write_all(&copied)?;
                }
                volume.segments[positions].iter().for_each(&mut note);
            }
            Part::Made(segment, deflated) => {
                out.write_all(&deflated)?;
                note(&segment);
            }
        }
    }
    out.write_all(&sum.end())?;
    out.flush()?;
    Ok(index)
}

/// The checksum and the length of what was put together so far.
#[derive(Default)]
struct Sum {
    crc: Hasher,
    size: u64,
}

impl Sum {
    fn add(&mut self, crc: u32, size: usize) {
        self.crc.combine(&Hasher::new_with_initial_len(crc, size as u64));
        self.size += size as u64;
    }

    /// What follows the segments: the end mark of the archive, deflated, and that of the gzip member, which is CRC-32
    /// and length modulo 2^32.
    fn end(mut self) -> Vec<u8> {
        let mut end = DEFLATED_END_MARK.clone();
        self.add(crc32fast::hash(&END_MARK), END_MARK.len());
        end.extend_from_slice(&self.crc.finalize().to_le_bytes());
        end.extend_from_slice(&self.size.to_le_bytes()[..4]);
        end
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn segment(name: &str, plain: &[u8]) -> (Segment, Vec<u8>) {
        Segment::make(&[(name.parse().unwrap(), plain)], LEVEL).unwrap()
    }

    fn parts() -> Vec<(Segment, Vec<u8>)> {
        ["alpha", "beta", "gamma"]
            .map(|name| segment(name, name.repeat(500).as_bytes()))
            .to_vec()
    }

    fn written() -> (Vec<u8>, String) {
        let parts = parts();
        let mut bytes = Vec::new();
        let made = parts.into_iter().map(|(segment, bytes)| Ok(Part::Made(segment, bytes)));
        let index = write(made, &mut bytes).unwrap();
        (bytes, index)
    }

    /// A database of these bytes.
    fn fit(index: &str, bytes: &[u8]) -> Option<Volume> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Volume::fit(index, file).unwrap()
    }

    #[test]
    fn segments_make_one_gzip_member_and_come_out_of_it_again() {
        let (bytes, index) = written();
        let mut plain = Vec::new();
        // This decoder stops after the first member.
        flate2::read::GzDecoder::new(&bytes[..])
            .read_to_end(&mut plain)
            .unwrap();
        let expected = ["alpha", "beta", "gamma"].map(|name| name.repeat(500)).concat();
        assert_eq!(plain, [expected.as_bytes(), &END_MARK].concat());
        let volume = fit(&index, &bytes).unwrap();
        assert_eq!(volume.inflated(1).unwrap(), "beta".repeat(500).as_bytes());
        let position = |name: &str| volume.position(&name.parse().unwrap());
        assert_eq!(
            ["a", "alpha", "b", "beta", "z"].map(position),
            [0, 0, 0, 1, 2].map(Some)
        );
    }

    #[test]
    fn segments_of_every_length_come_out_whole() {
        let mut random = 1_u64;
        let mut next = || {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            b"abcdefghijklmnop"[usize::try_from(random >> 60).unwrap()]
        };
        let plain: Vec<u8> = std::iter::repeat_with(&mut next).take(400_000).collect();
        // Output that just fills a buffer is where flushing is hard.
        for length in (1..plain.len()).step_by(1_499).chain(60_000..60_100) {
            let plain = &plain[..length];
            let (segment, deflated) = segment("a", plain);
            let mut bytes = Vec::new();
            let index = write(std::iter::once(Ok(Part::Made(segment, deflated))), &mut bytes).unwrap();
            let mut found = Vec::new();
            flate2::read::GzDecoder::new(&bytes[..])
                .read_to_end(&mut found)
                .unwrap();
            assert!(
                found.starts_with(plain) && found.len() == length + END_MARK.len(),
                "{length}"
            );
            assert!(fit(&index, &bytes).unwrap().inflated(0).unwrap() == plain, "{length}");
        }
    }

    #[test]
    fn an_index_that_does_not_fit_is_none_and_a_damaged_segment_is_never_copied() {
        let (bytes, index) = written();
        let torn = |at: usize| {
            let mut torn = bytes.clone();
            torn[at] ^= 1;
            fit(&index, &torn)
        };
        for at in [0, bytes.len() - 9, bytes.len() - 6, bytes.len() - 1] {
            assert!(torn(at).is_none(), "byte {at}");
        }
        for at in [12, bytes.len() / 2] {
            let volume = torn(at).unwrap();
            let all = std::iter::once(Ok(Part::Kept(&volume, 0..3)));
            let error = write(all, &mut Vec::new()).unwrap_err();
            assert!(error.to_string().contains("not what the index says"), "{error}");
        }
        assert!(fit(&index, &bytes[..bytes.len() - 1]).is_none());
        assert!(fit(&index[..index.len() / 2], &bytes).is_none());
        let shorter: String = index.lines().take(2).map(|line| format!("{line}\n")).collect();
        assert!(fit(&shorter, &bytes).is_none());
        for (number, line) in index.lines().enumerate() {
            let another = index.replace(line, &format!("{}{:x}", &line[..line.len() - 1], number));
            assert!(another == index || fit(&another, &bytes).is_none(), "line {number}");
        }
    }
}
