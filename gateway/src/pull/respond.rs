//! Headers of an answered pull, and its body as it streams.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt as _;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use roadstead_storage::blob::SignedUrl;
use tracing::warn;

use crate::cache_status::CacheStatus;
use crate::fetch::source::BlobBytes;
use crate::labels::Labels;
use crate::metrics::Metrics;
use crate::upstream::content::DOCKER_CONTENT_DIGEST;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// How much of the body is sent, and what it is.
pub(super) struct Head<'a> {
    pub(super) labels: Labels,
    pub(super) media_type: &'a str,
    pub(super) status: CacheStatus,
    /// Of the whole body; without it, the body ends where the connection says so.
    pub(super) size: Option<u64>,
    /// The half-open part that is sent; the whole without it.
    pub(super) range: Option<std::ops::Range<u64>>,
    /// Content under a digest never changes.
    pub(super) immutable: bool,
}

/// Whether the client has it already (RFC 9110 §13.1.2, weak comparison).
pub(super) fn not_modified(headers: &HeaderMap, labels: &Labels) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|candidate| {
            let candidate = candidate.trim();
            candidate == "*" || candidate.strip_prefix("W/").unwrap_or(candidate).as_bytes() == labels.etag().as_bytes()
        })
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn cache_status(status: CacheStatus) -> HeaderValue {
    match status {
        CacheStatus::Hit => HeaderValue::from_static(CacheStatus::HIT),
        other => value(&other.render()),
    }
}

/// The answer's head around `body`.
pub(super) fn respond(head: &Head<'_>, body: Body) -> Response {
    let mut response = Response::new(body);
    // Room for all that follow, and for what the listener adds.
    *response.headers_mut() = HeaderMap::with_capacity(16);
    let headers = response.headers_mut();
    headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    headers.insert(DOCKER_CONTENT_DIGEST, head.labels.digest().clone());
    headers.insert(ETAG, head.labels.etag().clone());
    headers.insert(CACHE_STATUS, cache_status(head.status));
    headers.insert(CONTENT_TYPE, value(head.media_type));
    if head.immutable {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=31536000, immutable"));
    }
    let length = match (&head.range, head.size) {
        (Some(range), _) => Some(range.end - range.start),
        (None, size) => size,
    };
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    if let (Some(range), Some(size)) = (&head.range, head.size) {
        headers.insert(CONTENT_RANGE, value(&format!("bytes {}-{}/{size}", range.start, range.end - 1)));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}

/// Marks a body that can be asked for in parts.
pub(super) fn accept_ranges(mut response: Response) -> Response {
    response.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response
}

/// A list of something, which has no validator: it is put together anew each time.
pub(super) fn list(body: Bytes, media_type: &'static str, status: CacheStatus) -> Response {
    let length = body.len() as u64;
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    headers.insert(CACHE_STATUS, cache_status(status));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CONTENT_LENGTH, length.into());
    response
}

/// 304, with the headers that a 200 would have had.
pub(super) fn unchanged(head: &Head<'_>) -> Response {
    let mut response = respond(head, Body::empty());
    response.headers_mut().remove(CONTENT_LENGTH);
    response.headers_mut().remove(CONTENT_RANGE);
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}

/// 307 to the object store. Never kept by anybody: the URL ends soon, and is a right. `None` where it is no header.
pub(super) fn redirected(head: &Head<'_>, url: &SignedUrl) -> Option<Response> {
    let mut location = HeaderValue::from_str(url.expose()).ok()?;
    location.set_sensitive(true);
    let mut response = respond(head, Body::empty());
    let headers = response.headers_mut();
    headers.remove(CONTENT_TYPE);
    headers.insert(CONTENT_LENGTH, 0.into());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(LOCATION, location);
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    Some(response)
}

/// `/v2/`: this is a registry.
pub(super) fn pong() -> Response {
    let mut response = Response::new(Body::from(Bytes::from_static(b"{}")));
    response.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A body whose bytes are counted. An error inside it aborts the connection: a body that broke off must never look whole.
pub(super) fn stream(bytes: BlobBytes, expected: Option<u64>, label: &'static str, metrics: Metrics) -> Body {
    let state = (bytes, 0u64, metrics);
    let counted = futures::stream::try_unfold(state, move |(mut bytes, sent, metrics)| async move {
        match bytes.next().await {
            Some(Ok(piece)) => {
                let sent = sent + piece.len() as u64;
                metrics.sent(piece.len() as u64, label);
                Ok(Some((piece, (bytes, sent, metrics))))
            }
            None if expected.is_none_or(|expected| sent == expected) => Ok(None),
            None => {
                metrics.body_broke();
                warn!(sent, ?expected, "a body ended early: the connection is aborted");
                Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof))
            }
            Some(Err(error)) => {
                metrics.body_broke();
                warn!(sent, %error, "a body broke off: the connection is aborted");
                Err(std::io::Error::other(error))
            }
        }
    });
    Body::from_stream(counted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use roadstead_proto::domain::digest::Digest;

    use super::*;

    proptest! {
        /// Not modified exactly where one of the listed tags is ours, weak or strong, on however many lines they stand.
        #[test]
        fn our_tag_among_others(
            tags in proptest::collection::vec((0_usize..7, any::<bool>()), 0..5),
            space in "[ \t]{0,2}",
            apart: bool,
        ) {
            let (ours, other) = (Digest::sha256(b"ours"), Digest::sha256(b"other"));
            let known = [
                format!("\"{ours}\""),
                format!("\"{other}\""),
                ours.to_string(),
                format!("\"{}\"", ours.hex()),
                format!("\"{ours}"),
                format!("\"{}\"", ours.to_string().to_uppercase()),
                "\"\"".to_owned(),
            ];
            let listed: Vec<String> =
                tags.iter().map(|(which, weak)| format!("{}{}", if *weak { "W/" } else { "" }, known[*which])).collect();
            let lines = if apart { listed } else { vec![listed.join(&format!("{space},{space}"))] };
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(IF_NONE_MATCH, HeaderValue::from_str(&line).expect("a header"));
            }
            prop_assert_eq!(not_modified(&headers, &Labels::of(&ours)), tags.iter().any(|(which, _)| *which == 0));
        }

        #[test]
        fn a_text_without_our_tag_is_no_match(text in "[ -~]{0,40}") {
            let ours = Digest::sha256(b"ours");
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, HeaderValue::from_str(&text).expect("a header"));
            let anything = text.split(',').any(|candidate| candidate.trim() == "*");
            prop_assert_eq!(not_modified(&headers, &Labels::of(&ours)), anything);
        }
    }
}
