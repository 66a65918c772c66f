//! `GET` and `HEAD` of a manifest, by tag or digest.

use http::header::{ACCEPT, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, StatusCode};

use super::answer::{Answer, DOCKER_CONTENT_DIGEST};
use super::catalog::Repository;
use super::plan::{Etag, Plan};
use crate::content::Content;
use crate::image::Manifest;

pub(super) fn answer(repository: &Repository, reference: &str, headers: &HeaderMap, plan: &Plan) -> Answer {
    let Some(manifest) = repository.manifest(reference) else {
        return unknown("manifest unknown");
    };
    if plan.strict_accept && !accepts(headers, manifest.media_type()) {
        return unknown(&format!("{} found, but Accept header does not support it", manifest.media_type()));
    }
    let tag = match plan.etag {
        Etag::Missing => return found(manifest),
        Etag::Digest => format!("\"{}\"", manifest.digest()),
        Etag::Opaque => opaque_tag(manifest.digest()),
    };
    if headers.get_all(IF_NONE_MATCH).iter().any(|given| names(given.as_bytes(), &tag)) {
        return Answer::empty(StatusCode::NOT_MODIFIED).with(ETAG, &tag);
    }
    found(manifest).with(ETAG, &tag)
}

/// As good as the digest for whoever only compares it, and nothing for whoever takes it for the digest.
fn opaque_tag(digest: &str) -> String {
    let revision: String = digest.chars().rev().take(16).collect();
    format!("\"{revision}\"")
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
