//! Answers to requests: from the cache, from a download on its way, or what a mirror says.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path as InPath, Request, State as Shared};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, RANGE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use common::cli::Messages;
use futures_util::stream;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;
use tower::ServiceExt as _;
use tower_http::services::ServeFile;

use super::cache::Cache;
use super::download::{Part, State, download};
use super::expected::{Expected, Known};
use super::mirrors::{Arriving, Refusal, Upstream};
use super::request::{Kind, Wanted};
use super::settings::ProxySettings;

/// Larger than any database; it is held in memory, so that a client gets all of it or none.
const LARGEST_DATABASE: usize = 512 << 20;
/// So many bytes at the end are held back until the whole has been checked.
const HELD_BACK: u64 = 64 << 10;
/// A client is sent so many bytes at a time.
const CHUNK: u64 = 256 << 10;

/// Everything that answers have to do with.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) upstream: Upstream,
    pub(super) cache: Cache,
    pub(super) messages: Messages,
    known: Known,
    downloads: Mutex<BTreeMap<Wanted, watch::Receiver<State>>>,
}

/// The addresses that are served.
pub(super) fn routes(front: Arc<Front>) -> Router {
    Router::new()
        .route("/{repository}/os/{arch}/{file}", get(named))
        .route("/proxy.cgi/{repository}/os/{arch}/{file}", get(named))
        .with_state(front)
}

async fn named(
    Shared(front): Shared<Arc<Front>>,
    InPath((repository, arch, file)): InPath<(String, String, String)>,
    request: Request,
) -> Response {
    match Wanted::parse(&repository, &arch, &file) {
        Some(wanted) => front.answer(wanted, request).await,
        None => refuse(StatusCode::NOT_FOUND, "that is no file of a repository"),
    }
}

/// An error that nobody takes for a file.
pub(super) fn refuse(status: StatusCode, reason: &str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain")], format!("{reason}\n")).into_response()
}

impl Front {
    pub(super) fn open(settings: ProxySettings, messages: Messages) -> Result<Self> {
        Ok(Self {
            upstream: Upstream::new(settings.mirrors, settings.stall).context("cannot ask mirrors")?,
            cache: Cache::open(settings.cache, settings.max_age, settings.max_bytes)?,
            messages,
            known: Known::default(),
            downloads: Mutex::default(),
        })
    }

    /// Removes what is old or too much; that it fails hinders nobody.
    pub(super) fn clean(&self) {
        if let Err(error) = self.cache.clean() {
            self.messages
                .error(format_args!("the cache cannot be cleaned: {error}"));
        }
    }

    pub(super) async fn answer(self: &Arc<Self>, wanted: Wanted, request: Request) -> Response {
        match wanted.kind() {
            Kind::Passing => self.pass(&wanted, request.headers()).await,
            Kind::Package | Kind::Signature => self.keep(&wanted, request).await,
        }
    }

    /// A package or a signature.
    async fn keep(self: &Arc<Self>, wanted: &Wanted, request: Request) -> Response {
        if let Some(path) = self.cache.find(wanted, self.known.of(wanted).as_ref()) {
            return serve(&path, request).await;
        }
        let is_for_a_part = request.headers().contains_key(RANGE);
        let mut news = self.join(wanted);
        loop {
            let state = news.borrow_and_update().clone();
            match state {
                State::Kept => return serve(&self.cache.path(wanted), request).await,
                State::Absent => return refuse(StatusCode::NOT_FOUND, "no mirror has this file"),
                State::Failed(reasons) => return refuse(StatusCode::BAD_GATEWAY, &reasons),
                State::Coming(part) if !is_for_a_part => {
                    // When it has just got its name, or was given up, the next news say so.
                    if let Ok(file) = File::open(&*part.path).await {
                        return follow(file, &part, news);
                    }
                }
                State::Asking | State::Coming(_) => {}
            }
            if news.changed().await.is_err() {
                return refuse(StatusCode::BAD_GATEWAY, "the download was given up");
            }
        }
    }

    /// The download of a file, begun if nobody has.
    fn join(self: &Arc<Self>, wanted: &Wanted) -> watch::Receiver<State> {
        let mut downloads = self.downloads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(news) = downloads.get(wanted) {
            return news.clone();
        }
        let (sender, news) = watch::channel(State::Asking);
        downloads.insert(wanted.clone(), news.clone());
        let (front, wanted) = (Arc::clone(self), wanted.clone());
        tokio::spawn(async move {
            let state = download(&front, &wanted, &sender).await;
            if let State::Failed(reasons) = &state {
                front.messages.error(format_args!("{wanted}: {reasons}"));
            }
            let is_kept = matches!(state, State::Kept);
            let mut downloads = front.downloads.lock().unwrap_or_else(PoisonError::into_inner);
            downloads.remove(&wanted);
            drop(downloads);
            sender.send_replace(state);
            if is_kept {
                drop(tokio::task::spawn_blocking(move || front.clean()));
            }
        });
        news
    }

    /// What a file has to be, as its repository's database says.
    pub(super) async fn expected(&self, wanted: &Wanted) -> Option<Expected> {
        if wanted.kind() != Kind::Package {
            return None;
        }
        if let Some(expected) = self.known.of(wanted) {
            return Some(expected);
        }
        let database = wanted.database()?;
        if let Ok((_, bytes)) = self.whole(&database, &HeaderMap::new()).await {
            self.learn(&database, &bytes);
        }
        self.known.of(wanted)
    }

    /// A database, or anything that is not kept.
    async fn pass(&self, wanted: &Wanted, headers: &HeaderMap) -> Response {
        let mut asked = HeaderMap::new();
        for name in [IF_MODIFIED_SINCE, IF_NONE_MATCH] {
            if let Some(value) = headers.get(&name) {
                asked.insert(name, value.clone());
            }
        }
        let (arriving, bytes) = match self.whole(wanted, &asked).await {
            Ok(found) => found,
            Err(refusals) if refusals.iter().all(|refusal| matches!(refusal, Refusal::Absent(_))) => {
                return refuse(StatusCode::NOT_FOUND, "no mirror has this file");
            }
            Err(refusals) => {
                let reasons: Vec<String> = refusals.iter().map(ToString::to_string).collect();
                return refuse(StatusCode::BAD_GATEWAY, &reasons.join("; "));
            }
        };
        if arriving.status() == StatusCode::OK {
            self.learn(wanted, &bytes);
        }
        let mut response = Response::new(Body::from(bytes));
        *response.status_mut() = arriving.status();
        for name in [LAST_MODIFIED, ETAG, CONTENT_TYPE] {
            if let Some(value) = arriving.headers().get(&name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
        response
    }

    /// The whole of a file from the first mirror that gives it, or why none did.
    async fn whole(&self, wanted: &Wanted, headers: &HeaderMap) -> Result<(Arriving, Vec<u8>), Vec<Refusal>> {
        let mut refusals = Vec::new();
        for mirror in &self.upstream.mirrors {
            let read = async {
                let mut arriving = self.upstream.ask(mirror, wanted, (0, headers.clone())).await?;
                let mut bytes = Vec::new();
                while let Some(more) = arriving.next().await? {
                    bytes.extend_from_slice(more.as_ref());
                    if bytes.len() > LARGEST_DATABASE {
                        return Err(arriving.is_wrong("it is too large for a database".to_owned()));
                    }
                }
                Ok((arriving, bytes))
            };
            match read.await {
                Ok(found) => return Ok(found),
                Err(refusal) => refusals.push(refusal),
            }
        }
        Err(refusals)
    }

    fn learn(&self, wanted: &Wanted, bytes: &[u8]) {
        let name = format!("{}.db", wanted.repository);
        let is_database = match wanted.file.as_str().strip_prefix(&name) {
            Some(rest) => rest.is_empty() || (rest.starts_with(".tar") && !rest.ends_with(".sig")),
            None => false,
        };
        if is_database && let Err(error) = self.known.learn(wanted, bytes) {
            self.messages.error(format_args!("{wanted} cannot be read: {error}"));
        }
    }
}

/// A kept file, or the part of it that is asked for.
async fn serve(path: &Path, request: Request) -> Response {
    match ServeFile::new(path).oneshot(request).await {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    }
}

/// A client that gets what comes.
struct Follower {
    file: File,
    sent: u64,
    part: Part,
    news: watch::Receiver<State>,
}

/// A file while it comes. The client is cut off when it comes to nothing.
fn follow(file: File, part: &Part, news: watch::Receiver<State>) -> Response {
    let total = part.total;
    let follower = Follower {
        file,
        sent: 0,
        part: part.clone(),
        news,
    };
    let body = Body::from_stream(stream::try_unfold(follower, |mut follower| async move {
        let bytes = follower.next().await?;
        Ok::<_, std::io::Error>(bytes.map(|bytes| (bytes, follower)))
    }));
    ([(CONTENT_LENGTH, total.to_string())], body).into_response()
}

impl Follower {
    async fn next(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        while self.sent < self.part.total {
            let state = self.news.borrow_and_update().clone();
            let free = match state {
                State::Kept => self.part.total,
                State::Coming(part) if part.attempt == self.part.attempt => {
                    part.written.min(part.total.saturating_sub(HELD_BACK))
                }
                _ => return Err(std::io::Error::other("what came was not what was wanted")),
            };
            if free > self.sent {
                let length = (free - self.sent).min(CHUNK);
                let mut bytes = Vec::new();
                (&mut self.file).take(length).read_to_end(&mut bytes).await?;
                if bytes.is_empty() {
                    return Err(std::io::Error::other("the file is shorter than it was"));
                }
                self.sent += bytes.len() as u64;
                return Ok(Some(bytes));
            }
            if self.news.changed().await.is_err() {
                return Err(std::io::Error::other("the download was given up"));
            }
        }
        Ok(None)
    }
}
