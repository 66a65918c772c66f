//! `GET` and `HEAD` of a blob, at the registry and at the origin that redirects lead to.

use http::header::{ACCEPT_RANGES, AUTHORIZATION, CONTENT_RANGE, ETAG, LOCATION, RANGE};
use http::{HeaderMap, StatusCode};

use super::Redirect;
use super::answer::{Answer, DOCKER_CONTENT_DIGEST};
use super::auth::host;
use super::catalog::Repository;
use super::range::{self, Asked};
use crate::content::Content;
use crate::image::Blob;

const MEDIA_TYPE: &str = "application/octet-stream";

/// The registry's answer with the bytes themselves.
pub(super) fn answer(repository: &Repository, digest: &str, headers: &HeaderMap, ignore_range: bool) -> Answer {
    match repository.blob(digest) {
        Some(blob) => content(blob, headers, ignore_range)
            .with(DOCKER_CONTENT_DIGEST, digest)
            .with(ETAG, &format!("\"{digest}\"")),
        None => unknown(),
    }
}

/// Where redirects lead to: the scheme, another port, and what the signature of an address has to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elsewhere {
    pub(super) scheme: &'static str,
    pub(super) port: u16,
    pub(super) signature: u64,
}

impl Elsewhere {
    /// Its address, for a client that calls the registry `host`.
    pub(super) fn base(&self, host: &str) -> String {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        format!("{}://{name}:{}", self.scheme, self.port)
    }
}

/// The registry's answer with a redirect.
pub(super) fn redirect(
    repository: &Repository,
    digest: &str,
    headers: &HeaderMap,
    redirect: Redirect,
    to: Elsewhere,
) -> Answer {
    if repository.blob(digest).is_none() {
        return unknown();
    }
    let status = StatusCode::from_u16(redirect.status).unwrap_or(StatusCode::TEMPORARY_REDIRECT);
    let location = format!("{}/blobs/{digest}?signature={}", to.base(host(headers)), to.signature);
    Answer::empty(status).with(LOCATION, &location)
}

/// What the other origin is asked: an object store with presigned addresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Presigned<'a> {
    pub(super) query: &'a str,
    /// The signature that is good at present.
    pub(super) signature: u64,
    pub(super) head: bool,
}

impl Presigned<'_> {
    pub(super) fn answer(self, blob: Option<&Blob>, headers: &HeaderMap, ignore_range: bool) -> Answer {
        if headers.contains_key(AUTHORIZATION) {
            return refused(StatusCode::BAD_REQUEST, "InvalidArgument", "Only one auth mechanism allowed");
        }
        // The signature covers GET only.
        if self.head || self.query != format!("signature={}", self.signature) {
            return refused(StatusCode::FORBIDDEN, "SignatureDoesNotMatch", "The signature does not match");
        }
        match blob {
            Some(blob) => content(blob, headers, ignore_range),
            None => refused(StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist"),
        }
    }
}

fn content(blob: &Blob, headers: &HeaderMap, ignore_range: bool) -> Answer {
    let len = blob.size();
    let asked = headers.get(RANGE).filter(|_| !ignore_range).and_then(|value| value.to_str().ok());
    let whole = |status| Answer::new(status, MEDIA_TYPE, blob.content().clone()).counted_as(blob.digest());
    let answer = match range::parse(asked, len) {
        Asked::All => whole(StatusCode::OK),
        Asked::Part(part) => {
            let content_range = format!("bytes {}-{}/{len}", part.start, part.end - 1);
            whole(StatusCode::PARTIAL_CONTENT).with(CONTENT_RANGE, &content_range).part(part)
        }
        Asked::Several => Answer::error(StatusCode::BAD_REQUEST, "UNSUPPORTED", "one range at a time"),
        Asked::Unsatisfiable => Answer::error(StatusCode::RANGE_NOT_SATISFIABLE, "UNSUPPORTED", "no such range")
            .with(CONTENT_RANGE, &format!("bytes */{len}")),
    };
    if ignore_range { answer } else { answer.with(ACCEPT_RANGES, "bytes") }
}

pub(super) fn unknown() -> Answer {
    Answer::error(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", "blob unknown to registry")
}

fn refused(status: StatusCode, code: &str, message: &str) -> Answer {
    let text = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>");
    Answer::new(status, "application/xml", Content::literal(text))
}
