//! What an archive is compressed with, told by its first bytes.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _};

use liblzma::stream::{CONCATENATED, Stream};

/// Most memory for xz in bytes; `xz -9` needs 65 MiB.
const XZ_MEMORY: u64 = 1 << 30;

/// The archive in a file that is compressed with gzip, xz, zstd or nothing.
///
/// # Errors
/// The file cannot be read.
pub fn expanded(mut file: File) -> io::Result<Box<dyn Read>> {
    let mut magic = Vec::new();
    file.by_ref().take(4).read_to_end(&mut magic)?;
    file.rewind()?;
    let file = BufReader::with_capacity(128 << 10, file);
    Ok(match magic[..] {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::stream::read::Decoder::with_buffer(file)?),
        [0xfd, b'7', b'z', b'X'] => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED).map_err(io::Error::from)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(file, stream))
        }
        _ => Box::new(file),
    })
}
