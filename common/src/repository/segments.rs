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
//! it, or when it does not fit the database to the last bit, everything is read and written once.

use std::io::{self, BufWriter, Write};
use std::ops::Range;
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

/// Room for more output in bytes.
const ROOM: usize = 16 << 10;

/// How a database is cut and deflated.
impl Kind {
    /// Packages in a segment, in the mean: more deflate better, fewer are changed faster. Lists of files are long, and
    /// little is lost between them.
    const fn mean_length(self) -> u64 {
        match self {
            Self::Db => 64,
            Self::Files => 8,
        }
    }

    /// zlib's level. One below the default costs a fifth of a per cent of the lists of files and a quarter less time.
    const fn level(self) -> Compression {
        match self {
            Self::Db => Compression::new(6),
            Self::Files => Compression::new(5),
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
    pub(super) fn make(kind: Kind, first: PkgName, plain: &[u8]) -> io::Result<(Self, Vec<u8>)> {
        let mut compress = Compress::new(kind.level(), false);
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

/// A database in memory with its segments, as they were when it was written.
#[derive(Debug)]
pub(super) struct Volume {
    bytes: Vec<u8>,
    segments: Vec<Segment>,
    places: Vec<Range<usize>>,
}

impl Volume {
    /// Reads a database with its index; `None` when one of them is missing, or they do not fit in every bit.
    pub(super) fn open(database: &Path, index: &Path) -> Result<Option<Self>, FileError> {
        let (Some(index), Some(bytes)) = (atomic::read_text(index)?, atomic::read(database)?) else {
            return Ok(None);
        };
        Ok(Self::fit(&index, bytes))
    }

    fn fit(index: &str, bytes: Vec<u8>) -> Option<Self> {
        let segments = index.lines().map(Segment::parse).collect::<Option<Vec<_>>>()?;
        let mut places = Vec::with_capacity(segments.len());
        let mut at = HEADER.len();
        let mut sum = Sum::default();
        for segment in &segments {
            let place = at..at.checked_add(segment.length)?;
            if crc32fast::hash(bytes.get(place.clone())?) != segment.check {
                return None;
            }
            sum.add(segment.crc, segment.size);
            at = place.end;
            places.push(place);
        }
        sum.add(crc32fast::hash(&END_MARK), END_MARK.len());
        let is_whole = bytes.starts_with(&HEADER) && bytes.len() > at && bytes.ends_with(&sum.trailer());
        is_whole.then_some(Self {
            bytes,
            segments,
            places,
        })
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

    /// A segment as it lies in the database.
    pub(super) fn deflated(&self, position: usize) -> &[u8] {
        &self.bytes[self.places[position].clone()]
    }

    /// The part of the archive that a segment holds.
    pub(super) fn inflated(&self, position: usize) -> io::Result<Vec<u8>> {
        let segment = &self.segments[position];
        let (mut decompress, mut plain) = (Decompress::new(false), Vec::with_capacity(segment.size));
        loop {
            let before = (decompress.total_in(), decompress.total_out());
            let taken = usize::try_from(before.0).map_err(io::Error::other)?;
            decompress
                .decompress_vec(&self.deflated(position)[taken..], &mut plain, FlushDecompress::Sync)
                .map_err(io::Error::other)?;
            if before == (decompress.total_in(), decompress.total_out()) {
                break;
            }
        }
        if plain.len() == segment.size && crc32fast::hash(&plain) == segment.crc {
            Ok(plain)
        } else {
            Err(io::Error::other(format!(
                "the segment of {} is not what the index says",
                segment.first
            )))
        }
    }
}

/// Writes a database out of segments; returns its index.
pub(super) fn write<'a>(parts: impl Iterator<Item = (&'a Segment, &'a [u8])>, out: impl Write) -> io::Result<String> {
    let mut out = BufWriter::with_capacity(1 << 20, out);
    let mut index = String::new();
    let mut sum = Sum::default();
    out.write_all(&HEADER)?;
    for (segment, deflated) in parts {
        out.write_all(deflated)?;
        sum.add(segment.crc, segment.size);
        index.push_str(&format!("{segment}\n"));
    }
    let mut end = DeflateEncoder::new(Vec::new(), Compression::new(6));
    end.write_all(&END_MARK)?;
    out.write_all(&end.finish()?)?;
    sum.add(crc32fast::hash(&END_MARK), END_MARK.len());
    out.write_all(&sum.trailer())?;
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

    /// The end of a gzip member: CRC-32, and the length modulo 2^32.
    fn trailer(&self) -> [u8; 8] {
        let mut trailer = [0; 8];
        trailer[..4].copy_from_slice(&self.crc.clone().finalize().to_le_bytes());
        trailer[4..].copy_from_slice(&self.size.to_le_bytes()[..4]);
        trailer
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn parts() -> Vec<(Segment, Vec<u8>)> {
        ["alpha", "beta", "gamma"]
            .map(|name| Segment::make(Kind::Db, name.parse().unwrap(), name.repeat(500).as_bytes()).unwrap())
            .to_vec()
    }

    fn written() -> (Vec<u8>, String) {
        let parts = parts();
        let mut bytes = Vec::new();
        let borrowed = parts.iter().map(|(segment, bytes)| (segment, &bytes[..]));
        let index = write(borrowed, &mut bytes).unwrap();
        (bytes, index)
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
        let volume = Volume::fit(&index, bytes).unwrap();
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
            let (segment, deflated) = Segment::make(Kind::Files, "a".parse().unwrap(), plain).unwrap();
            let mut bytes = Vec::new();
            let index = write(std::iter::once((&segment, &deflated[..])), &mut bytes).unwrap();
            let mut found = Vec::new();
            flate2::read::GzDecoder::new(&bytes[..])
                .read_to_end(&mut found)
                .unwrap();
            assert!(
                found.starts_with(plain) && found.len() == length + END_MARK.len(),
                "{length}"
            );
            assert!(
                Volume::fit(&index, bytes).unwrap().inflated(0).unwrap() == plain,
                "{length}"
            );
        }
    }

    #[test]
    fn an_index_that_does_not_fit_in_every_bit_is_none() {
        let (bytes, index) = written();
        for at in [0, 12, bytes.len() / 2, bytes.len() - 6, bytes.len() - 1] {
            let mut torn = bytes.clone();
            torn[at] ^= 1;
            assert!(Volume::fit(&index, torn).is_none(), "byte {at}");
        }
        assert!(Volume::fit(&index, bytes[..bytes.len() - 1].to_vec()).is_none());
        assert!(Volume::fit(&index[..index.len() / 2], bytes.clone()).is_none());
        let shorter: String = index.lines().take(2).map(|line| format!("{line}\n")).collect();
        assert!(Volume::fit(&shorter, bytes).is_none());
    }
}
