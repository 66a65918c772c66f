//! GET and HEAD of a blob, whole or in part.

use axum::body::Body;
use axum::response::Response;
use http::header::{IF_RANGE, RANGE};
use http::{HeaderMap, Method};
use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::entry::EntryRef;
use roadstead_proto::domain::image::Reference;
use roadstead_proto::domain::media::OCTET_STREAM;

use super::error::{PullError, What};
use super::range::{self, Wanted};
use super::respond::{Head, accept_ranges, not_modified, respond, stream, unchanged};
use super::{Answered, Puller, name_of};
use crate::cache_status::CacheStatus;
use crate::fetch::blobs::Source;
use crate::fetch::error::FetchError;
use crate::labels::Labels;
use crate::policy::Permit;

/// Attempts to open a blob: what is recorded, and once more past an object that could not be read.
const ATTEMPTS: usize = 2;

impl Puller {
    pub(super) async fn blob(
        &self,
        permit: &Permit,
        digest: &Digest,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Answered, PullError> {
        let failed = |error| PullError::Fetch {
            what: What::Blob,
            name: name_of(permit, &Reference::Digest(*digest)),
            hint: None,
            error,
        };
        let labels = Labels::of(digest);
        if method == Method::HEAD {
            let (size, status) = self.blobs.size(permit, digest).await.map_err(failed)?;
            let head = head(&labels, status, size, None);
            let response =
                if not_modified(headers, &head.labels) { unchanged(&head) } else { respond(&head, Body::empty()) };
            return Ok(Answered { response: accept_ranges(response), cache: status.label() });
        }
        let mut lost = None;
        for _ in 0..ATTEMPTS {
            let source = self.blobs.find(permit, digest, lost).await.map_err(failed)?;
            if not_modified(headers, &labels) {
                let response = accept_ranges(unchanged(&head(&labels, source.status, source.size, None)));
                return Ok(Answered { response, cache: source.status.label() });
            }
            let range = self.range(headers, &labels, &source)?;
            let bytes = range.clone().unwrap_or(0..source.size.unwrap_or(u64::MAX));
            let expected = source.size.map(|_| bytes.end - bytes.start);
            match self.blobs.open(&source, bytes).await {
                Ok(bytes) => {
                    let label = source.status.label();
                    self.usage.touch(&EntryRef {
                        upstream: source.upstream,
                        repository: permit.repository().clone(),
                        reference: Reference::Digest(*digest),
                    });
                    let body = stream(bytes, expected, label, self.metrics.clone());
                    let response: Response = respond(&head(&labels, source.status, source.size, range), body);
                    return Ok(Answered { response: accept_ranges(response), cache: label });
                }
                Err(unreadable) => lost = Some(unreadable),
            }
        }
        Err(failed(FetchError::Abandoned))
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
