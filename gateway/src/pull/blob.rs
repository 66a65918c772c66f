//! GET and HEAD of a blob, whole or in part.

use std::net::IpAddr;

use axum::body::Body;
use axum::response::Response;
use http::header::{IF_RANGE, RANGE};
use http::{HeaderMap, Method};
use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::entry::EntryRef;
use roadstead_proto::domain::image::Reference;
use roadstead_proto::domain::media::OCTET_STREAM;
use roadstead_proto::domain::registry::UpstreamId;

use super::error::{PullError, What};
use super::range::{self, Wanted};
use super::redirect::{self, Asked};
use super::respond::{Head, accept_ranges, not_modified, redirected, respond, stream, unchanged};
use super::{Answered, Puller, name_of};
use crate::cache_status::CacheStatus;
use crate::fetch::error::FetchError;
use crate::fetch::source::Source;
use crate::labels::Labels;
use crate::policy::Permit;

/// Attempts to open a blob: what is recorded, and once more past an object that could not be read.
const ATTEMPTS: usize = 2;

/// What a request for a blob says besides which.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) method: &'a Method,
    pub(super) headers: &'a HeaderMap,
    /// Where it came from.
    pub(super) client: Option<IpAddr>,
}

impl Puller {
    pub(super) async fn blob(
        &self,
        permit: &Permit,
        digest: &Digest,
        asking: Asking<'_>,
    ) -> Result<Answered, PullError> {
        let Asking { method, headers, .. } = asking;
        let failed = |error| PullError::Fetch {
            what: What::Blob,
            name: name_of(permit, &Reference::Digest(*digest)),
            hint: None,
            error,
        };
        let labels = Labels::of(digest);
        // What the client has already is not downloaded to say so.
        if method == Method::HEAD || not_modified(headers, &labels) {
            let (size, status) = self.blobs.size(permit, digest).await.map_err(failed)?;
            let head = head(&labels, status, size, None);
            let response =
                if not_modified(headers, &head.labels) { unchanged(&head) } else { respond(&head, Body::empty()) };
            return Ok(Answered { response: accept_ranges(response), cache: status.label() });
        }
        let mut lost = None;
        for _ in 0..ATTEMPTS {
            let source = self.blobs.find(permit, digest, lost).await.map_err(failed)?;
            let range = self.range(headers, &labels, &source)?;
            if let Some(redirected) = self.redirected(permit, digest, &source, asking).await {
                return Ok(redirected);
            }
            let bytes = range.clone().unwrap_or(0..source.size.unwrap_or(u64::MAX));
            let expected = source.size.map(|_| bytes.end - bytes.start);
            let head = head(&labels, source.status, source.size, range);
            let upstream = source.upstream;
            match self.blobs.open(source, bytes).await {
                Ok(bytes) => {
                    let label = head.status.label();
                    self.touch(permit, digest, upstream);
                    let body = stream(bytes, expected, label, self.metrics.clone());
                    let response: Response = respond(&head, body);
                    return Ok(Answered { response: accept_ranges(response), cache: label });
                }
                Err(unreadable) => lost = Some(unreadable),
            }
        }
        Err(failed(FetchError::Abandoned))
    }

    fn touch(&self, permit: &Permit, digest: &Digest, upstream: UpstreamId) {
        self.usage.touch(&EntryRef {
            upstream,
            repository: permit.repository().clone(),
            reference: Reference::Digest(*digest),
        });
    }

    /// The way to the object store, where this client is to take it and the bytes are there.
    async fn redirected(
        &self,
        permit: &Permit,
        digest: &Digest,
        source: &Source,
        asking: Asking<'_>,
    ) -> Option<Answered> {
        let asked = Asked { method: asking.method, client: asking.client, size: source.size };
        let rules = redirect::decide(self.redirects.as_ref(), asked)?;
        let url = self.blobs.presign(source, rules.expiry).await?;
        let response = redirected(&head(&Labels::of(digest), source.status, None, None), &url)?;
        self.touch(permit, digest, source.upstream);
        Some(Answered { response, cache: source.status.label() })
    }

    fn range(
        &self,
        headers: &HeaderMap,
        labels: &Labels,
        source: &Source,
    ) -> Result<Option<std::ops::Range<u64>>, PullError> {
        // Without a size no part can be named in an answer; the whole is right for every client.
        let Some(size) = source.size else { return Ok(None) };
        // If-Range with another validator: the client has a part of something else and wants the whole.
        if headers.get(IF_RANGE).is_some_and(|value| value != labels.etag()) {
            return Ok(None);
        }
        let value = headers.get(RANGE).map(|value| value.to_str().unwrap_or("bytes"));
        let wanted: Result<Wanted, _> = range::parse(value);
        wanted.and_then(|wanted| wanted.within(size)).map_err(|range::Unsatisfiable| PullError::Range { size })
    }
}

fn head(labels: &Labels, status: CacheStatus, size: Option<u64>, range: Option<std::ops::Range<u64>>) -> Head<'static> {
    Head { labels: labels.clone(), media_type: OCTET_STREAM, status, size, range, immutable: true }
}
