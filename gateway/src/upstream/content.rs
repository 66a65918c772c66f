//! Manifests and blobs of an upstream.

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use roadstead_proto::domain::digest::{Algorithm, Digest};
use roadstead_proto::domain::image::{Reference, RepositoryName};
use roadstead_proto::domain::limits;
use roadstead_proto::domain::media::{MANIFEST_ACCEPT, MediaType};

use super::client::{Client, Patience, Question, transport_fault};
use super::error::{Answer, Fault};
use super::exchange::{ExchangeError, Response};
use crate::manifest;
use crate::meta::snapshot::UpstreamView;

/// The upstream's own word for a manifest's digest; computed from the bytes wherever we have them.
pub(crate) const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// A manifest as it came.
#[derive(Debug, Clone)]
pub struct FetchedManifest {
    /// The bytes, never to be changed.
    pub bytes: Bytes,
    /// Computed from the bytes.
    pub digest: Digest,
    /// As the upstream sent it, else as the manifest says, else unknown.
    pub media_type: MediaType,
    /// The upstream's `ETag`.
    pub etag: Option<String>,
}

/// What a HEAD of a manifest tells.
#[derive(Debug, Clone)]
pub struct ManifestHead {
    /// The digest, where the upstream names one.
    pub digest: Option<Digest>,
    /// The upstream's `ETag`.
    pub etag: Option<String>,
}

/// A blob that begins to arrive.
pub struct BlobBody {
    /// Where the body begins: what was asked for, or 0 where the upstream ignores ranges.
    pub offset: u64,
    /// Size of the whole blob, where the upstream names it.
    pub size: Option<u64>,
    /// The bytes from `offset` on.
    pub body: BoxStream<'static, Result<Bytes, ExchangeError>>,
    /// Whether the upstream sends them; else they are copied from another region.
    pub is_from_upstream: bool,
}

pub(super) fn plain_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    // Digests are over the bytes as they are stored.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers
}

fn manifest_headers() -> HeaderMap {
    let mut headers = plain_headers();
    headers.insert(ACCEPT, HeaderValue::from_static(MANIFEST_ACCEPT));
    headers
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    header(headers, &CONTENT_LENGTH)?.parse().ok()
}

fn etag(headers: &HeaderMap) -> Option<String> {
    header(headers, &ETAG).filter(|etag| etag.len() <= limits::UPSTREAM_ETAG_MAX).map(str::to_owned)
}

impl Client {
    /// GET of a manifest, read to its end and hashed.
    pub async fn manifest(
        &self,
        view: &UpstreamView,
        repository: &RepositoryName,
        reference: &Reference,
        patience: Patience,
    ) -> Result<Answer<FetchedManifest>, Fault> {
        let question = Question {
            kind: "manifest_get",
            method: Method::GET,
            repository,
            path: format!("manifests/{reference}"),
            query: None,
            is_blob: false,
            headers: manifest_headers(),
            patience,
            stop_at_redirect: false,
        };
        let response = match self.ask(view, question).await? {
            Answer::Here(response) => response,
            Answer::NotHere(not_here) => return Ok(Answer::NotHere(not_here)),
        };
        if response.status != StatusCode::OK {
            return Err(Fault::Status { status: response.status, retry_after: None });
        }
        let stated: Option<Digest> =
            header(&response.headers, &DOCKER_CONTENT_DIGEST).and_then(|text| text.parse().ok());
        let (etag, content_type) =
            (etag(&response.headers), header(&response.headers, &CONTENT_TYPE).and_then(|text| text.parse().ok()));
        let bytes = tokio::time::timeout(patience.left(), read_body(response, limits::MANIFEST_MAX_BYTES, "manifest"))
            .await
            .map_err(|_| patience.over())??;
        self.metrics.received(view.upstream.id, bytes.len() as u64);
        // A client that asks the upstream itself can compare the two; through us it sees our header only.
        if let Some(stated) = stated
            && Digest::of(stated.algorithm(), &bytes) != stated
        {
            return Err(Fault::BadAnswer("the manifest's bytes are not those of its Docker-Content-Digest".to_owned()));
        }
        // By digest, the bytes prove themselves. By tag, a sign-in page with status 200 would be the image for a day.
        if reference.digest().is_none() && !manifest::is_document(&bytes) {
            return Err(Fault::BadAnswer(
                "the answer to a tag is not a manifest, but something else than JSON".to_owned(),
            ));
        }
        // A registry that names its content by another algorithm is compared with by that name on each revalidation.
        let named = reference.digest().or(stated.as_ref());
        let algorithm = named.map_or(Algorithm::Sha256, Digest::algorithm);
        let digest = Digest::of(algorithm, &bytes);
        if let Some(expected) = reference.digest()
            && digest != *expected
        {
            return Err(Fault::BadAnswer(format!("the manifest has digest {digest}, expected {expected}")));
        }
        let media_type = content_type.unwrap_or_else(|| manifest::media_type(&bytes));
        Ok(Answer::Here(FetchedManifest { bytes, digest, media_type, etag }))
    }

    /// HEAD of a manifest.
    pub async fn head_manifest(
        &self,
        view: &UpstreamView,
        repository: &RepositoryName,
        reference: &Reference,
        patience: Patience,
    ) -> Result<Answer<ManifestHead>, Fault> {
        let question = Question {
            kind: "manifest_head",
            method: Method::HEAD,
            repository,
            path: format!("manifests/{reference}"),
            query: None,
            is_blob: false,
            headers: manifest_headers(),
            patience,
            stop_at_redirect: false,
        };
        match self.ask(view, question).await {
            Ok(Answer::Here(response)) => {
                let digest = header(&response.headers, &DOCKER_CONTENT_DIGEST).and_then(|text| text.parse().ok());
                Ok(Answer::Here(ManifestHead { digest, etag: etag(&response.headers) }))
            }
            Ok(Answer::NotHere(not_here)) => Ok(Answer::NotHere(not_here)),
            Err(fault) if head_says_nothing(&fault) => Ok(Answer::Here(ManifestHead { digest: None, etag: None })),
            Err(fault) => Err(fault),
        }
    }

    /// GET of a blob from `offset` on.
    pub async fn blob(
        &self,
        view: &UpstreamView,
        repository: &RepositoryName,
        digest: &Digest,
        offset: u64,
        patience: Patience,
    ) -> Result<Answer<BlobBody>, Fault> {
        let mut headers = plain_headers();
        if offset > 0 {
            let range = HeaderValue::from_str(&format!("bytes={offset}-"))
                .map_err(|_| Fault::BadAnswer("a range that is no header".to_owned()))?;
            headers.insert(RANGE, range);
        }
        let question = Question {
            kind: "blob_get",
            method: Method::GET,
            repository,
            path: format!("blobs/{digest}"),
            query: None,
            is_blob: true,
            headers,
            patience,
            stop_at_redirect: false,
        };
        let response = match self.ask(view, question).await? {
            Answer::Here(response) => response,
            Answer::NotHere(not_here) => return Ok(Answer::NotHere(not_here)),
        };
        let length = content_length(&response.headers);
        match response.status {
            StatusCode::OK => {
                Ok(Answer::Here(BlobBody { offset: 0, size: length, body: response.body, is_from_upstream: true }))
            }
            StatusCode::PARTIAL_CONTENT if offset > 0 => {
                let range = header(&response.headers, &CONTENT_RANGE).and_then(parse_content_range);
                let (first, size) = range.ok_or_else(|| Fault::BadAnswer("206 without a Content-Range".to_owned()))?;
                if first != offset {
                    return Err(Fault::BadAnswer(format!("206 from byte {first}, asked for {offset}")));
                }
                let size = size.or(length.and_then(|length| offset.checked_add(length)));
                Ok(Answer::Here(BlobBody { offset, size, body: response.body, is_from_upstream: true }))
            }
            // Nothing comes after the last byte: a body without a length broke off before it could say that it was whole.
            StatusCode::RANGE_NOT_SATISFIABLE
                if offset > 0 && header(&response.headers, &CONTENT_RANGE).and_then(whole_size) == Some(offset) =>
            {
                Ok(Answer::Here(BlobBody {
                    offset,
                    size: Some(offset),
                    body: futures::stream::empty().boxed(),
                    is_from_upstream: true,
                }))
            }
            status => Err(Fault::Status { status, retry_after: None }),
        }
    }

    /// Whether the repository has a blob, and its size where the answer tells. Stops at a redirect,
    /// since signed addresses do not take HEAD: `None` then, and what the redirect is worth is for [`Client::blob_size`] to show.
    pub async fn head_blob(
        &self,
        view: &UpstreamView,
        repository: &RepositoryName,
        digest: &Digest,
        patience: Patience,
    ) -> Result<Answer<Option<u64>>, Fault> {
        let head = BlobQuestion { kind: "blob_head", method: Method::HEAD, headers: plain_headers(), follows: false };
        let answer = match self.ask(view, head.about(repository, digest, patience)).await {
            Err(fault) if head_says_nothing(&fault) => {
                self.ask(view, BlobQuestion::first_byte(false).about(repository, digest, patience)).await?
            }
            answer => answer?,
        };
        Ok(match answer {
            Answer::Here(response) => {
                Answer::Here((response.status == StatusCode::OK).then(|| content_length(&response.headers)).flatten())
            }
            Answer::NotHere(not_here) => Answer::NotHere(not_here),
        })
    }

    /// The size of a blob that only a redirect's target knows: signed addresses do not take HEAD, so that one byte of it
    /// is asked for.
    pub async fn blob_size(
        &self,
        view: &UpstreamView,
        repository: &RepositoryName,
        digest: &Digest,
        patience: Patience,
    ) -> Result<Answer<Option<u64>>, Fault> {
        let answer = self.ask(view, BlobQuestion::first_byte(true).about(repository, digest, patience)).await?;
        Ok(match answer {
            Answer::Here(response) if response.status == StatusCode::OK => {
                Answer::Here(content_length(&response.headers))
            }
            Answer::Here(response) => Answer::Here(header(&response.headers, &CONTENT_RANGE).and_then(whole_size)),
            Answer::NotHere(not_here) => Answer::NotHere(not_here),
        })
    }
}

/// A question about a blob that is not to be downloaded.
struct BlobQuestion {
    kind: &'static str,
    method: Method,
    headers: HeaderMap,
    /// Whether a redirect is followed; else it is the answer.
    follows: bool,
}

impl BlobQuestion {
    fn first_byte(follows: bool) -> Self {
        let mut headers = plain_headers();
        headers.insert(RANGE, HeaderValue::from_static("bytes=0-0"));
        Self { kind: "blob_probe", method: Method::GET, headers, follows }
    }

    fn about<'a>(self, repository: &'a RepositoryName, digest: &Digest, patience: Patience) -> Question<'a> {
        let Self { kind, method, headers, follows } = self;
        Question {
            kind,
            method,
            repository,
            path: format!("blobs/{digest}"),
            query: None,
            is_blob: true,
            headers,
            patience,
            stop_at_redirect: !follows,
        }
    }
}

/// Whether a refused HEAD leaves the question open: some registries do not do HEAD, and a 403 without its body does not
/// say what is denied. The caller then asks by GET.
fn head_says_nothing(fault: &Fault) -> bool {
    let open = [StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_IMPLEMENTED, StatusCode::FORBIDDEN];
    matches!(fault, Fault::Status { status, .. } if open.contains(status))
}

/// Reads a body of at most `max` bytes that is what its `Content-Length` says. `what` it is stands in the fault.
pub(super) async fn read_body(mut response: Response, max: u64, what: &str) -> Result<Bytes, Fault> {
    // Asked for as it is; hashed and handed on packed, it would be another manifest.
    if header(&response.headers, &CONTENT_ENCODING).is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(Fault::BadAnswer(format!("the {what} came compressed, though that was not asked for")));
    }
    let mut body = Vec::new();
    let promised = content_length(&response.headers);
    while let Some(piece) = response.body.next().await {
        let piece = piece.map_err(transport_fault)?;
        if body.len() as u64 + piece.len() as u64 > max {
            return Err(Fault::BadAnswer(format!("the {what} is larger than {max} bytes")));
        }
        body.extend_from_slice(&piece);
    }
    // Without a digest to check against, a body cut short would become the tag's new content.
    if promised.is_some_and(|promised| promised != body.len() as u64) {
        return Err(Fault::Connection(format!("the {what} was cut short")));
    }
    Ok(body.into())
}

/// `bytes <first>-<last>/<size or *>`.
fn parse_content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let size = if size == "*" { None } else { Some(number(size)?) };
    // A part that lies outside of its whole is no part of it.
    (first <= last && size.is_none_or(|size| last < size)).then_some((first, size))
}

/// Digits only: Rust's own parser takes a sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// The size of the whole in a `Content-Range`, also in that of an empty one (`bytes */0`).
fn whole_size(text: &str) -> Option<u64> {
    number(text.strip_prefix("bytes ")?.split_once('/')?.1)
}

#[cfg(test)]
#[path = "content_tests.rs"]
mod tests;
