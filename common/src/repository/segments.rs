//! Databases that can be changed in part: one ordinary gzip member, put together from segments.
//!
//! The tar archive is cut between packages into segments, each deflated on its own and ended by a flush on a byte
//! boundary. Header, segments, a last block with the archive's end mark and the combined CRC-32 make one gzip member that
//! every reader takes (members one after the other would be cut off by some). A change deflates the segments that it
//! touches anew and copies the others.
//!
//! A package whose name hashes to 0 modulo the segments' mean length begins a segment: the same packages make the same
//! bytes, whatever came and went before.
//!
//! The index `REPO.db.segments` lies beside the database and has a line for each segment: first package, length and
//! CRC-32 of the deflated bytes, length and CRC-32 of the inflated ones (the CRCs hexadecimal). It is derived: without
//! it, or when it does not fit the database, everything is read and written once. Of the database only what is needed is
//! read; each segment is checked then, and one that is not what the index says is an error, as it is for pacman.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

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
const LEVEL: u32 = 5;
/// Room for more output in bytes.
const ROOM: usize = 16 << 10;

/// How a database is cut.
impl Kind {
    /// Packages in a segment, in the mean: more deflate better, fewer are changed faster. Lists of files are long, fetched
    /// by few, and most of the time of a large change: 4 instead of 8 of them cost 8 % more and save 40 % of it.
    const fn mean_length(self) -> u64 {
        match self {
            Self::Db => 64,
            Self::Files => 4,
        }
    }

    /// Whether a segment begins with this package: FNV-1a, 64 bits, the upper half of it.
    pub(super) fn begins_segment(self, name: &str) -> bool {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, step);
        (hash >> 32) % self.mean_length() == 0
    }
}

/// What the index says of a segment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Segment {
    /// Its first package.
    pub(super) first: PkgName,
    length: usize,
    check: u32,
    size: usize,
    crc: u32,
}

impl Segment {
    /// Deflates a part of an archive.
    pub(super) fn make(first: PkgName, plain: &[u8]) -> io::Result<(Self, Vec<u8>)> {
        let mut compress = Compress::new(Compression::new(LEVEL), false);
        let mut deflated = Vec::with_capacity(plain.len() / 2 + ROOM);
        loop {
            let taken = usize::try_from(compress.total_in()).map_err(io::Error::other)?;
            // Ends on a byte boundary without ending the stream. It is complete when room is left: zlib has to be called
            // again with the same flush until then, which flate2's own encoder does not do.
            compress
                .compress_vec(&plain[taken..], &mut deflated, FlushCompress::Sync)
                .map_err(io::Error::other)?;
            if compress.total_in() == plain.len() as u64 && deflated.len() < deflated.capacity() {
                break;
            }
            deflated.reserve(ROOM);
        }
        let segment = Self {
            first,
            length: deflated.len(),
            check: crc32fast::hash(&deflated),
            size: plain.len(),
            crc: crc32fast::hash(plain),
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
        let expected = sum.end()?;
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

    /// A segment as it lies in the database, into a buffer that is used again.
    fn read(&self, position: usize, deflated: &mut Vec<u8>) -> io::Result<()> {
        let segment = &self.segments[position];
        deflated.resize(segment.length, 0);
        self.file.read_exact_at(deflated, self.places[position])?;
        if crc32fast::hash(deflated) == segment.check {
            Ok(())
        } else {
            Err(segment.is_another())
        }
    }

    /// The part of the archive that a segment holds.
    pub(super) fn inflated(&self, position: usize) -> io::Result<Vec<u8>> {
        let segment = &self.segments[position];
        let mut deflated = Vec::new();
        self.read(position, &mut deflated)?;
        let (mut decompress, mut plain) = (Decompress::new(false), Vec::with_capacity(segment.size));
        loop {
            let before = (decompress.total_in(), decompress.total_out());
            let taken = usize::try_from(before.0).map_err(io::Error::other)?;
            decompress
                .decompress_vec(&deflated[taken..], &mut plain, FlushDecompress::Sync)
                .map_err(io::Error::other)?;
            if before == (decompress.total_in(), decompress.total_out()) {
                break;
            }
        }
        if plain.len() == segment.size && crc32fast::hash(&plain) == segment.crc {
            Ok(plain)
        } else {
            Err(segment.is_another())
        }
    }
}

/// A segment of the next database.
pub(super) enum Part<'a> {
    /// One of the last database.
    Kept(&'a Volume, usize),
    /// A new one, deflated.
    Made(&'a Segment, &'a [u8]),
}

/// Writes a database out of segments; returns its index.
pub(super) fn write<'a>(parts: impl Iterator<Item = Part<'a>>, out: impl Write) -> io::Result<String> {
    let mut out = BufWriter::with_capacity(1 << 20, out);
    let mut index = String::new();
    let mut sum = Sum::default();
    let mut copied = Vec::new();
    out.write_all(&HEADER)?;
    for part in parts {
        let segment = match part {
            Part::Kept(volume, position) => {
                volume.read(position, &mut copied)?;
                out.write_all(&copied)?;
                &volume.segments[position]
            }
            Part::Made(segment, deflated) => {
                out.write_all(deflated)?;
                segment
            }
        };
        sum.add(segment.crc, segment.size);
        index.push_str(&format!("{segment}\n"));
    }
    out.write_all(&sum.end()?)?;
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
    fn end(mut self) -> io::Result<Vec<u8>> {
        let mut mark = DeflateEncoder::new(Vec::new(), Compression::new(LEVEL));
        mark.write_all(&END_MARK)?;
        let mut end = mark.finish()?;
        self.add(crc32fast::hash(&END_MARK), END_MARK.len());
        end.extend_from_slice(&self.crc.finalize().to_le_bytes());
        end.extend_from_slice(&self.size.to_le_bytes()[..4]);
        Ok(end)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn parts() -> Vec<(Segment, Vec<u8>)> {
        ["alpha", "beta", "gamma"]
            .map(|name| Segment::make(name.parse().unwrap(), name.repeat(500).as_bytes()).unwrap())
            .to_vec()
    }

    fn written() -> (Vec<u8>, String) {
        let parts = parts();
        let mut bytes = Vec::new();
        let borrowed = parts.iter().map(|(segment, bytes)| Part::Made(segment, bytes));
        let index = write(borrowed, &mut bytes).unwrap();
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
            let (segment, deflated) = Segment::make("a".parse().unwrap(), plain).unwrap();
            let mut bytes = Vec::new();
            let index = write(std::iter::once(Part::Made(&segment, &deflated)), &mut bytes).unwrap();
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
            let parts = (0..3).map(|position| Part::Kept(&volume, position));
            let error = write(parts, &mut Vec::new()).unwrap_err();
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
