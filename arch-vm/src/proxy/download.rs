//! One download of a file for all who want it.
//!
//! What comes is written to a file without a name and told to whoever waits: so many bytes of so many. When a mirror
//! hangs up, the next one is asked for the rest. When the whole is not what the database says it is thrown away and
//! fetched again from the next mirror: a new attempt, and whoever has had a part of the old one is cut off.

use std::path::PathBuf;
use std::sync::Arc;

use reqwest::StatusCode;
use reqwest::header::{CONTENT_RANGE, HeaderMap};
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::sync::watch;

use super::answer::Front;
use super::expected::Expected;
use super::mirrors::{Arriving, Mirror, Refusal};
use super::request::{Kind, Wanted};

/// How often all mirrors are asked.
const ROUNDS: usize = 2;
/// A signature is larger than this only when it is none.
const LARGEST_SIGNATURE: u64 = 64 << 10;

/// How far a download is.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// No mirror has begun to send.
    Asking,
    /// So much is there.
    Coming(Part),
    /// It is in the cache.
    Kept,
    /// No mirror has the file.
    Absent,
    /// No mirror gave it whole and right; the reasons.
    Failed(Arc<str>),
}

/// What has come so far.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// Where it lies.
    pub(super) path: Arc<PathBuf>,
    /// Counts the beginnings: what came in another attempt is worth nothing.
    pub(super) attempt: u32,
    /// Bytes that are there.
    pub(super) written: u64,
    /// Bytes that there will be.
    pub(super) total: u64,
}

/// Downloads a file into the cache, and says how it ended.
pub(super) async fn download(front: &Arc<Front>, wanted: &Wanted, news: &watch::Sender<State>) -> State {
    let claim = {
        let (front, wanted) = (Arc::clone(front), wanted.clone());
        tokio::task::spawn_blocking(move || front.cache.claim(&wanted))
    };
    let _claim = match claim.await {
        Ok(Ok(claim)) => claim,
        Ok(Err(error)) => return failed(error),
        Err(error) => return failed(error),
    };
    let expected = front.expected(wanted).await;
    if front.cache.find(wanted, expected.as_ref()).is_some() {
        return State::Kept;
    }
    let file = match front.cache.begin(wanted) {
        Ok(file) => file,
        Err(error) => return failed(error),
    };
    let opened = match file.reopen() {
        Ok(opened) => File::from_std(opened),
        Err(error) => return failed(error),
    };
    let mut transfer = Transfer {
        wanted,
        expected,
        news,
        file: opened,
        path: Arc::new(file.path().to_owned()),
        attempt: 0,
        written: 0,
        total: None,
        sum: Sha256::new(),
        head: Vec::new(),
    };
    match transfer.fetch(front).await {
        Ok(()) => match front.cache.keep(wanted, file) {
            Ok(()) => State::Kept,
            Err(error) => failed(error),
        },
        Err(state) => state,
    }
}

fn failed(error: impl std::fmt::Display) -> State {
    State::Failed(error.to_string().into())
}

/// A file on its way.
struct Transfer<'a> {
    wanted: &'a Wanted,
    expected: Option<Expected>,
    news: &'a watch::Sender<State>,
    file: File,
    path: Arc<PathBuf>,
    attempt: u32,
    written: u64,
    total: Option<u64>,
    sum: Sha256,
    /// The first bytes.
    head: Vec<u8>,
}

impl Transfer<'_> {
    /// From the first mirror that has it, the rest from others if need be.
    async fn fetch(&mut self, front: &Front) -> Result<(), State> {
        let mut refusals = Vec::new();
        for mirror in std::iter::repeat_n(&front.upstream.mirrors, ROUNDS).flatten() {
            match self.fetch_from(front, mirror).await {
                Ok(()) => return Ok(()),
                Err(refusal) => {
                    front
                        .messages
                        .note(format_args!("{}: {refusal}; asking the next mirror", self.wanted));
                    refusals.push(refusal);
                }
            }
        }
        if refusals.iter().all(|refusal| matches!(refusal, Refusal::Absent(_))) {
            return Err(State::Absent);
        }
        refusals.dedup_by_key(|refusal| refusal.to_string());
        let reasons: Vec<String> = refusals.iter().map(ToString::to_string).collect();
        Err(State::Failed(reasons.join("; ").into()))
    }

    /// What is missing, from one mirror.
    async fn fetch_from(&mut self, front: &Front, mirror: &Mirror) -> Result<(), Refusal> {
        let ask = front
            .upstream
            .ask(mirror, self.wanted, (self.written, HeaderMap::new()));
        let mut arriving = ask.await?;
        let mut skip = self.skipped(&arriving)?;
        self.agree_on_total(&arriving, skip)?;
        let total = self.total.unwrap_or_default();
        while let Some(bytes) = arriving.next().await? {
            let bytes = bytes.as_ref();
            let known = usize::try_from(skip).map_or(bytes.len(), |skip| skip.min(bytes.len()));
            skip -= known as u64;
            let fresh = &bytes[known..];
            if self.written + fresh.len() as u64 > total {
                return Err(arriving.is_wrong("it is longer than it says".to_owned()));
            }
            self.add(fresh)
                .await
                .map_err(|error| arriving.is_wrong(format!("it cannot be written: {error}")))?;
        }
        if self.written < total {
            return Err(arriving.is_wrong(format!("it ends after {} of {total} bytes", self.written)));
        }
        match self.check() {
            Ok(()) => Ok(()),
            Err(how) => {
                self.begin_again()
                    .await
                    .map_err(|error| arriving.is_wrong(format!("it cannot be thrown away: {error}")))?;
                Err(arriving.is_wrong(how))
            }
        }
    }

    /// How many bytes of an answer are there already.
    fn skipped(&self, arriving: &Arriving) -> Result<u64, Refusal> {
        if arriving.status() != StatusCode::PARTIAL_CONTENT {
            return Ok(self.written);
        }
        let range = arriving
            .headers()
            .get(CONTENT_RANGE)
            .and_then(|range| range.to_str().ok());
        let begin = format!("bytes {}-", self.written);
        match range {
            Some(range) if range.starts_with(&begin) => Ok(0),
            _ => Err(arriving.is_wrong("it sends another part than was asked for".to_owned())),
        }
    }

    /// The announced size has to be that of the database, and that of the other mirrors.
    fn agree_on_total(&mut self, arriving: &Arriving, skip: u64) -> Result<(), Refusal> {
        let Some(length) = arriving.length() else {
            return Err(arriving.is_wrong("it does not say how long it is".to_owned()));
        };
        let total = length + self.written - skip;
        let expected = self
            .expected
            .as_ref()
            .map(|expected| expected.size)
            .filter(|size| *size > 0);
        for known in [expected, self.total].into_iter().flatten() {
            if known != total {
                return Err(arriving.is_wrong(format!("it has {total} bytes and not {known}")));
            }
        }
        self.total = Some(total);
        Ok(())
    }

    async fn add(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all(bytes).await?;
        // Others read the file.
        self.file.flush().await?;
        self.sum.update(bytes);
        let missing = 8_usize.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..missing]);
        self.written += bytes.len() as u64;
        self.news.send_replace(State::Coming(Part {
            path: Arc::clone(&self.path),
            attempt: self.attempt,
            written: self.written,
            total: self.total.unwrap_or_default(),
        }));
        Ok(())
    }

    /// Whether what has come is what was wanted.
    fn check(&self) -> Result<(), String> {
        let expected = self.expected.as_ref().map(|expected| expected.sha256.as_str());
        match (self.wanted.kind(), expected) {
            (Kind::Signature, _) if is_signature(&self.head, self.written) => Ok(()),
            (Kind::Signature, _) => Err("it is no signature".to_owned()),
            (_, Some(expected)) if !expected.is_empty() => {
                let digest = self.sum.clone().finalize();
                let found: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
                (found == expected)
                    .then_some(())
                    .ok_or_else(|| "its SHA-256 is not that of the database".to_owned())
            }
            _ if is_compressed_as_it_says(self.wanted.file.as_str(), &self.head) => Ok(()),
            _ => Err("it is no package".to_owned()),
        }
    }

    async fn begin_again(&mut self) -> std::io::Result<()> {
        self.file.set_len(0).await?;
        self.file.rewind().await?;
        self.attempt += 1;
        self.written = 0;
        self.total = None;
        self.sum = Sha256::new();
        self.head.clear();
        self.news.send_replace(State::Asking);
        Ok(())
    }
}

/// A signature packet, RFC 4880 section 4.2: tag 2, in the old or the new form.
fn is_signature(head: &[u8], size: u64) -> bool {
    matches!(head, [0x88..=0x8b | 0xc2, ..]) && size <= LARGEST_SIGNATURE
}

/// An error page is no archive.
fn is_compressed_as_it_says(name: &str, head: &[u8]) -> bool {
    let magic: &[u8] = match name.rsplit_once(".tar") {
        Some((_, ".zst")) => &[0x28, 0xb5, 0x2f, 0xfd],
        Some((_, ".xz")) => &[0xfd, b'7', b'z', b'X', b'Z'],
        Some((_, ".gz")) => &[0x1f, 0x8b],
        Some((_, ".bz2")) => b"BZh",
        _ => return !head.starts_with(b"<"),
    };
    head.starts_with(magic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_page_is_neither_a_package_nor_a_signature() {
        let page = b"<html><b";
        assert!(!is_signature(page, 100) && !is_compressed_as_it_says("a-1-1-any.pkg.tar.zst", page));
        assert!(!is_compressed_as_it_says("a-1-1-any.pkg.tar", page));
        assert!(is_signature(&[0x89, 2, 0x33], 566) && !is_signature(&[0x89, 2], 1 << 20));
        assert!(is_compressed_as_it_says("a-1-1-any.pkg.tar.xz", b"\xfd7zXZ\0\0\0"));
    }
}
