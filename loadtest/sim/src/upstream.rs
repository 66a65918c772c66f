//! The upstream: a registry behind the gateway's transport seam, which counts, delays, breaks off and lies as it is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use roadstead_gateway::upstream::HttpExchange;
use roadstead_gateway::upstream::exchange::{ExchangeError, Request, Response};
use roadstead_proto::domain::digest::Digest;

use crate::content::{Image, MANIFEST_TYPE, Object};
use crate::draw::Draw;
use crate::history::{Counter, Ending, Recorder, What};

/// A body travels in pieces of this size.
const PIECE: usize = 16 * 1024;

/// How the upstream behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manners {
    /// Between two pieces of a body, at most so many milliseconds.
    pub(crate) piece_ms: u64,
    /// So many bodies in a hundred break off somewhere.
    pub(crate) breaks: u64,
    /// So many answers in a hundred are a 503.
    pub(crate) refuses: u64,
    /// So many bodies in a hundred have one wrong byte.
    pub(crate) lies: u64,
}

impl Default for Manners {
    fn default() -> Self {
        Self { piece_ms: 10, breaks: 0, refuses: 0, lies: 0 }
    }
}

/// What the upstream has, and what is asked of it.
pub(crate) struct Upstream {
    images: Vec<Image>,
    manners: Mutex<Manners>,
    draw: Mutex<Draw>,
    gets: Counter,
}

impl Upstream {
    pub(crate) fn new(seed: u64, images: Vec<Image>, manners: Manners) -> Arc<Self> {
        let draw = Mutex::new(Draw::of(seed, "upstream"));
        Arc::new(Self { images, manners: Mutex::new(manners), draw, gets: Counter::default() })
    }

    /// From now on it behaves so.
    pub(crate) fn set_manners(&self, manners: Manners) {
        *self.manners.lock().expect("one thread") = manners;
    }

    fn manners(&self) -> Manners {
        *self.manners.lock().expect("one thread")
    }

    fn draw<T>(&self, draw: impl FnOnce(&Draw) -> T) -> T {
        draw(&self.draw.lock().expect("one thread"))
    }

    fn manifest(&self, reference: &str) -> Option<&Object> {
        let named = |image: &&Image| image.tag == reference || image.manifest.digest.to_string() == reference;
        self.images.iter().find(named).map(|image| &image.manifest)
    }

    fn blob(&self, digest: &str) -> Option<&Object> {
        self.images.iter().flat_map(|image| &image.blobs).find(|blob| blob.digest.to_string() == digest)
    }
}

/// The way of one gateway to it.
pub(crate) struct Exchange {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) recorder: Recorder,
}

#[async_trait]
impl HttpExchange for Exchange {
    async fn send(&self, request: Request) -> Result<Response, ExchangeError> {
        let delay = self.upstream.draw(|draw| draw.millis(2, 30));
        tokio::time::sleep(delay).await;
        if self.upstream.draw(|draw| draw.percent(self.upstream.manners().refuses)) {
            return Ok(empty(StatusCode::SERVICE_UNAVAILABLE));
        }
        let path = request.url.path().to_owned();
        if let Some((_, reference)) = path.split_once("/manifests/") {
            let Some(manifest) = self.upstream.manifest(reference) else { return Ok(empty(StatusCode::NOT_FOUND)) };
            return Ok(self.answer(&request, manifest, MANIFEST_TYPE));
        }
        let blob = path.split_once("/blobs/").and_then(|(_, digest)| self.upstream.blob(digest));
        Ok(blob.map_or_else(
            || empty(StatusCode::NOT_FOUND),
            |blob| self.answer(&request, blob, "application/octet-stream"),
        ))
    }
}

fn empty(status: StatusCode) -> Response {
    Response { status, headers: HeaderMap::new(), body: futures::stream::empty().boxed() }
}

impl Exchange {
    fn answer(&self, request: &Request, object: &Object, kind: &'static str) -> Response {
        let from = first_byte(&request.headers).filter(|from| *from < object.bytes.len());
        let body = object.bytes.slice(from.unwrap_or(0)..);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CONTENT_LENGTH, body.len().into());
        if kind == MANIFEST_TYPE {
            let digest = object.digest.to_string().parse().expect("a digest is a header value");
            headers.insert("docker-content-digest", digest);
        }
        let mut status = StatusCode::OK;
        if let Some(from) = from {
            status = StatusCode::PARTIAL_CONTENT;
            let size = object.bytes.len();
            let range = format!("bytes {from}-{}/{size}", size - 1);
            headers.insert(CONTENT_RANGE, range.parse().expect("a range is a header value"));
        }
        let body = if request.method == Method::GET {
            self.body(object.digest.clone(), from.unwrap_or(0), body)
        } else {
            futures::stream::empty().boxed()
        };
        Response { status, headers, body }
    }

    fn body(&self, digest: Digest, from: usize, mut bytes: Bytes) -> BoxStream<'static, Result<Bytes, ExchangeError>> {
        let manners = self.upstream.manners();
        let breaks_after = self
            .upstream
            .draw(|draw| draw.percent(manners.breaks).then(|| draw.between(0, bytes.len() as u64)).unwrap_or(u64::MAX));
        let lies = self.upstream.draw(|draw| draw.percent(manners.lies));
        if lies {
            let mut wrong = bytes.to_vec();
            let place = self.upstream.draw(|draw| draw.between(0, wrong.len() as u64));
            wrong[usize::try_from(place).expect("a place")] ^= 0x20;
            bytes = wrong.into();
        }
        let get = self.upstream.gets.next();
        self.recorder.record(What::UpstreamBegan { get, digest, from: from as u64 });
        let sending = Sending {
            get,
            sent: 0,
            bytes,
            breaks_after,
            ending: Some(if lies { Ending::Wrong } else { Ending::Whole }),
            upstream: Arc::clone(&self.upstream),
            recorder: self.recorder.clone(),
        };
        futures::stream::unfold(
            sending,
            |mut sending| async move { sending.piece().await.map(|piece| (piece, sending)) },
        )
        .boxed()
    }
}

/// The offset of `Range: bytes=N-`.
fn first_byte(headers: &HeaderMap) -> Option<usize> {
    let range = headers.get(RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes=")?.split('-').next()?.parse().ok()
}

/// A body on its way.
struct Sending {
    get: u64,
    sent: u64,
    bytes: Bytes,
    breaks_after: u64,
    /// How it ends where it comes to its end; `None` once it has ended.
    ending: Option<Ending>,
    upstream: Arc<Upstream>,
    recorder: Recorder,
}

impl Sending {
    fn end(&mut self, how: Ending) {
        if self.ending.take().is_some() {
            self.recorder.record(What::UpstreamEnded { get: self.get, bytes: self.sent, how });
        }
    }

    async fn piece(&mut self) -> Option<Result<Bytes, ExchangeError>> {
        let whole = self.ending?;
        if self.bytes.is_empty() {
            self.end(whole);
            return None;
        }
        let most = self.upstream.manners().piece_ms;
        let pause = self.upstream.draw(|draw| draw.millis(0, most + 1));
        if pause > Duration::ZERO {
            tokio::time::sleep(pause).await;
        }
        if self.sent >= self.breaks_after {
            self.end(Ending::Broken);
            return Some(Err(ExchangeError::Connection("the upstream broke it off".to_owned())));
        }
        let left = usize::try_from(self.breaks_after - self.sent).unwrap_or(usize::MAX);
        let piece = self.bytes.split_to(PIECE.min(self.bytes.len()).min(left));
        self.sent += piece.len() as u64;
        if self.bytes.is_empty() {
            // A reader that knows the length asks for nothing more.
            self.end(whole);
        }
        Some(Ok(piece))
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.end(Ending::LetGo);
    }
}
