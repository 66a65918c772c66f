//! `GET` and `HEAD` of a manifest, by tag or digest.

use http::header::{ACCEPT, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, StatusCode};

use super::answer::{Answer, DOCKER_CONTENT_DIGEST};
use super::catalog::Repository;
use crate::content::Content;
use crate::image::Manifest;

pub(super) fn answer(repository: &Repository, reference: &str, headers: &HeaderMap, strict_accept: bool) -> Answer {
    let Some(manifest) = repository.manifest(reference) else {
        return unknown("manifest unknown");
    };
    if strict_accept && !accepts(headers, manifest.media_type()) {
        return unknown("manifest found, but the accept header does not support its media type");
    }
    let tag = format!("\"{}\"", manifest.digest());
    if headers.get_all(IF_NONE_MATCH).iter().any(|given| names(given.as_bytes(), &tag)) {
        return Answer::empty(StatusCode::NOT_MODIFIED).with(ETAG, &tag);
    }
    found(manifest).with(ETAG, &tag)
}

fn found(manifest: &Manifest) -> Answer {
    Answer::new(StatusCode::OK, manifest.media_type(), Content::literal(manifest.bytes().clone()))
        .with(CONTENT_TYPE, manifest.media_type())
        .with(DOCKER_CONTENT_DIGEST, manifest.digest())
        .counted_as(manifest.digest())
}

fn unknown(message: &str) -> Answer {
    Answer::error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", message)
}

fn names(header: &[u8], tag: &str) -> bool {
    std::str::from_utf8(header).is_ok_and(|text| text.split(',').any(|one| one.trim() == tag || one.trim() == "*"))
}

fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(
        |one| {
            let one = one.split(';').next().unwrap_or_default().trim();
            one.eq_ignore_ascii_case(media_type) || one == "*/*"
        },
    )
}
