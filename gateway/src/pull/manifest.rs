//! GET and HEAD of a manifest.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, Method};
use roadstead_proto::domain::entry::EntryRef;
use roadstead_proto::domain::image::Reference;

use super::error::{PullError, What};
use super::respond::{Head, not_modified, respond, unchanged};
use super::{Answered, Puller, hint, name_of};
use crate::policy::Permit;
use crate::resolve::Resolved;

impl Puller {
    pub(super) async fn manifest(
        &self,
        permit: &Permit,
        reference: &Reference,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Answered, PullError> {
        let resolved = self.resolver.manifest(permit, reference).await.map_err(|error| PullError::Fetch {
            what: What::Manifest,
            name: name_of(permit, reference),
            hint: hint(permit),
            error,
        })?;
        Ok(self.render_manifest(permit, reference, resolved, method, headers))
    }

    /// The answer around a manifest that is in hand.
    pub(super) fn render_manifest(
        &self,
        permit: &Permit,
        reference: &Reference,
        resolved: Resolved,
        method: &Method,
        headers: &HeaderMap,
    ) -> Answered {
        let manifest = resolved.manifest;
        let head = Head {
            labels: manifest.labels,
            media_type: manifest.media_type.as_str(),
            status: resolved.status,
            size: Some(manifest.bytes.len() as u64),
            range: None,
            immutable: reference.digest().is_some(),
            age: resolved.age,
        };
        let response: Response = if not_modified(headers, &head.labels) {
            unchanged(&head)
        } else if method == Method::HEAD {
            respond(&head, Body::empty())
        } else {
            let entry = EntryRef {
                upstream: resolved.upstream,
                repository: permit.repository().clone(),
                reference: reference.clone(),
            };
            self.usage.touch(&entry);
            if let Some(prefetcher) = self.prefetcher.as_ref().filter(|_| manifest.news.take()) {
                prefetcher.manifest_served(permit, resolved.upstream, &manifest.bytes);
            }
            self.metrics.sent(manifest.bytes.len() as u64, resolved.status.label());
            respond(&head, Body::from(manifest.bytes))
        };
        Answered { response, cache: resolved.status.label() }
    }
}
