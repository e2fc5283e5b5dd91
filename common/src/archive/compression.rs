//! What an archive is compressed with, told by its first bytes.

use std::io::{self, BufRead, Cursor, Read};

use liblzma::stream::{CONCATENATED, Stream};

/// Most memory for xz in bytes; `xz -9` needs 65 MiB.
const XZ_MEMORY: u64 = 1 << 30;

/// The content of an archive that is compressed with gzip, xz, zstd or nothing. How much it becomes is limited by whoever
/// reads it: [`super::walk`] does.
///
/// # Errors
/// It cannot be read.
pub fn expanded<'a>(mut archive: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut magic = Vec::new();
    archive.by_ref().take(4).read_to_end(&mut magic)?;
    let kind = magic.clone();
    let archive = Cursor::new(magic).chain(archive);
    Ok(match kind[..] {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(archive)),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::stream::read::Decoder::with_buffer(archive)?),
        [0xfd, b'7', b'z', b'X'] => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED).map_err(io::Error::from)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(archive, stream))
        }
        _ => Box::new(archive),
    })
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write as _};

    use super::*;

    const TEXT: &[u8] = b"some text, and some more of it";

    /// Every compression, twice in a row: what `cat` makes of two files is one to the programs.
    fn compressed() -> Vec<Vec<u8>> {
        let (one, other) = TEXT.split_at(10);
        let gzip = |text: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        };
        let xz = |text: &[u8]| {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        };
        let zstd = |text: &[u8]| zstd::encode_all(text, 1).unwrap();
        vec![
            TEXT.to_vec(),
            [gzip(one), gzip(other)].concat(),
            [xz(one), xz(other)].concat(),
            [zstd(one), zstd(other)].concat(),
        ]
    }

    #[test]
    fn each_compression_is_told_by_its_first_bytes_however_they_come() {
        for bytes in compressed() {
            for capacity in [1, 3, 1 << 10] {
                let mut text = Vec::new();
                let archive = BufReader::with_capacity(capacity, &bytes[..]);
                expanded(archive).unwrap().read_to_end(&mut text).unwrap();
                assert_eq!(text, TEXT, "{:02x?}, {capacity} bytes at a time", &bytes[..4]);
            }
        }
    }

    #[test]
    fn what_is_shorter_than_a_beginning_is_not_compressed() {
        for bytes in [&b""[..], b"a", b"\x1f"] {
            let mut text = Vec::new();
            expanded(bytes).unwrap().read_to_end(&mut text).unwrap();
            assert_eq!(text, bytes);
        }
    }
}
