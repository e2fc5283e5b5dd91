//! The bytes of a package file: checksums on the way in, compression taken off.
//!
//! zstd, xz and gzip are read here, with the memory that pacman's own settings allow: a window of 128 MiB for zstd, 1 GiB
//! for xz. The other compressions of makepkg.conf(5) are taken off by bsdtar, under limits.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;
use std::time::Duration;

use liblzma::stream::{CONCATENATED, Stream};
use md5::Md5;
use sha2::{Digest, Sha256};
use zstd::zstd_safe::{self, DCtx, ResetDirective};

use super::Cause;
use crate::archive::ArchiveError;
use crate::atomic::FileError;
use crate::process::{Command, Output};

/// Most memory for xz in bytes; `xz -9` needs 65 MiB.
const XZ_MEMORY: u64 = 1 << 30;
/// Largest archive that bsdtar may write out.
const EXPANDED_LIMIT: u64 = 8 << 30;
/// Limits of bsdtar in prlimit(1)'s words: it may start a program of the compression's own.
const LIMITS: [&str; 3] = ["--as=4294967296", "--cpu=3600", "--core=0"];

/// Most bytes that are read from a package file at a time.
const BUFFER: u64 = 128 << 10;

thread_local! {
    // Its tables take longer to make than a small package takes to read.
    static ZSTD: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

/// Opens the archive in a package file with this extension and has it read. `file` is what is read, `path` where it lies,
/// and `length` about how long it is.
pub(super) fn with_archive<A>(
    file: &mut Hashed<impl Read>,
    (path, length): (&Path, u64),
    extension: &str,
    read: impl FnOnce(&mut dyn Read) -> Result<A, Cause>,
) -> Result<A, Cause> {
    // It is filled with zeros first, which takes longer than a small package does.
    let buffer = usize::try_from(length.min(BUFFER)).unwrap_or_default().max(1 << 10);
    let file = BufReader::with_capacity(buffer, file);
    match extension {
        ".pkg.tar" => read(&mut { file }),
        ".pkg.tar.gz" => read(&mut flate2::bufread::MultiGzDecoder::new(file)),
        ".pkg.tar.xz" => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED).map_err(io::Error::from);
            let stream = stream.map_err(ArchiveError::Io)?;
            read(&mut liblzma::bufread::XzDecoder::new_stream(file, stream))
        }
        ".pkg.tar.zst" => ZSTD.with_borrow_mut(|context| {
            // It may be in the middle of a damaged package.
            let reset = context.reset(ResetDirective::SessionOnly);
            reset.map_err(|code| ArchiveError::Io(io::Error::other(zstd_safe::get_error_name(code))))?;
            read(&mut zstd::stream::read::Decoder::with_context(file, context))
        }),
        _ => read(&mut expanded(path)?),
    }
}

/// The archive without its compression, in a file without a name beside it.
fn expanded(path: &Path) -> Result<File, Cause> {
    let directory = path.parent().unwrap_or(path);
    let trouble = |source| Cause::File(FileError::at("make a temporary file in", directory)(source));
    let mut file = tempfile::tempfile_in(directory).map_err(trouble)?;
    let mut archive = OsString::from("@");
    archive.push(path);
    Command::new("prlimit")
        .args(LIMITS)
        .args(["bsdtar", "-cf", "-", "--format=pax"])
        .arg(archive)
        .output(Output::Log(file.try_clone().map_err(trouble)?, EXPANDED_LIMIT))
        .timeout(Duration::from_secs(3600))
        .run()?;
    file.rewind().map_err(trouble)?;
    Ok(file)
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// Computes checksums and the length of what is read, and remembers whether reading failed.
pub(super) struct Hashed<R> {
    inner: R,
    md5: Md5,
    sha256: Sha256,
    pub(super) length: u64,
    pub(super) failed: bool,
}

impl<R> Hashed<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            md5: Md5::new(),
            sha256: Sha256::new(),
            length: 0,
            failed: false,
        }
    }

    /// MD5 and SHA-256, hexadecimal.
    pub(super) fn checksums(self) -> (String, String) {
        (hexadecimal(&self.md5.finalize()), hexadecimal(&self.sha256.finalize()))
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer).inspect_err(|error| {
            self.failed |= error.kind() != io::ErrorKind::Interrupted;
        })?;
        self.md5.update(&buffer[..got]);
        self.sha256.update(&buffer[..got]);
        self.length += got as u64;
        Ok(got)
    }
}
