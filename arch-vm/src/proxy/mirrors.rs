//! The mirrors that are asked, in their order.

use std::str::FromStr;
use std::time::Duration;

use reqwest::header::{CONTENT_LENGTH, HeaderMap, RANGE};
use reqwest::{Client, Response, StatusCode, Url};
use thiserror::Error;

use super::request::Wanted;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// The address of a mirror as in pacman's `Server`, `$repo` and `$arch` included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mirror(String);

/// A text that is no mirror.
#[derive(Debug, Error)]
#[error("{0:?} is no address of a mirror: it has to begin with http:// or https://")]
pub(crate) struct MirrorError(String);

impl FromStr for Mirror {
    type Err = MirrorError;

    fn from_str(text: &str) -> Result<Self, MirrorError> {
        let url = Url::parse(text).map_err(|_| MirrorError(text.to_owned()))?;
        if matches!(url.scheme(), "http" | "https") && !url.cannot_be_a_base() {
            Ok(Self(text.trim_end_matches('/').to_owned()))
        } else {
            Err(MirrorError(text.to_owned()))
        }
    }
}

/// Why a mirror did not give a file.
#[derive(Debug, Error)]
pub(super) enum Refusal {
    /// It has not got it.
    #[error("{0} has no such file")]
    Absent(String),
    /// It answered something else.
    #[error("{0} answers {1}")]
    Status(String, StatusCode),
    /// It cannot be reached, or hung up.
    #[error("{0}: {1}")]
    Transport(String, String),
    /// It sent nothing for too long.
    #[error("{0} sends nothing")]
    Stalled(String),
    /// What it sent is not what the database says.
    #[error("{0} has something else: {1}")]
    Wrong(String, String),
}

impl Mirror {
    /// Where it has a file.
    pub(super) fn url(&self, wanted: &Wanted) -> Option<Url> {
        let directory = self
            .0
            .replace("$repo", wanted.repository.as_str())
            .replace("$arch", wanted.arch.as_str());
        let mut url = Url::parse(&directory).ok()?;
        url.path_segments_mut().ok()?.push(wanted.file.as_str());
        Some(url)
    }
}

/// Asks for files.
#[derive(Debug)]
pub(super) struct Upstream {
    client: Client,
    pub(super) mirrors: Vec<Mirror>,
    stall: Duration,
}

/// One answer that is being read.
pub(super) struct Arriving {
    response: Response,
    stall: Duration,
    from: String,
}

impl Upstream {
    pub(super) fn new(mirrors: Vec<Mirror>, stall: Duration) -> reqwest::Result<Self> {
        let client = Client::builder()
            .connect_timeout(CONNECT)
            .user_agent(concat!("portsmith/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, mirrors, stall })
    }

    /// Asks one mirror for a file from a byte on, with more headers. Every answer but success (and 304, when `headers`
    /// asked for it) is a refusal.
    pub(super) async fn ask(
        &self,
        mirror: &Mirror,
        wanted: &Wanted,
        (from, headers): (u64, HeaderMap),
    ) -> Result<Arriving, Refusal> {
        let name = mirror.0.clone();
        let Some(url) = mirror.url(wanted) else {
            return Err(Refusal::Transport(name, "it makes no address".to_owned()));
        };
        let mut request = self.client.get(url).headers(headers);
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        let response = match tokio::time::timeout(self.stall, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(Refusal::Transport(name, reason(&error))),
            Err(_) => return Err(Refusal::Stalled(name)),
        };
        match response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED => Ok(Arriving {
                response,
                stall: self.stall,
                from: name,
            }),
            StatusCode::NOT_FOUND | StatusCode::GONE => Err(Refusal::Absent(name)),
            status => Err(Refusal::Status(name, status)),
        }
    }
}

impl Arriving {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// How many bytes are announced.
    pub(super) fn length(&self) -> Option<u64> {
        self.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    /// The next bytes; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>, Refusal> {
        match tokio::time::timeout(self.stall, self.response.chunk()).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) => Err(Refusal::Transport(self.from.clone(), reason(&error))),
            Err(_) => Err(Refusal::Stalled(self.from.clone())),
        }
    }

    pub(super) fn is_wrong(&self, how: String) -> Refusal {
        Refusal::Wrong(self.from.clone(), how)
    }
}

/// The innermost cause, which is the one that says something.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_by_the_template_and_its_name_is_quoted() {
        let wanted = Wanted::parse("core", "x86_64", "a#b%c?-1:2+3-1-any.pkg.tar.zst").unwrap();
        let mirror: Mirror = "https://mirror.example/arch/$repo/os/$arch/".parse().unwrap();
        assert_eq!(
            mirror.url(&wanted).unwrap().as_str(),
            "https://mirror.example/arch/core/os/x86_64/a%23b%25c%3F-1:2+3-1-any.pkg.tar.zst"
        );
        assert!("ftp://mirror.example/".parse::<Mirror>().is_err());
        assert!("mirror.example".parse::<Mirror>().is_err());
    }
}
