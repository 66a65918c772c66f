//! Manifests by digest: content-addressed, so what is cached is served and never revalidated.

use std::sync::Arc;

use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::image::Reference;
use roadstead_proto::domain::upstream::OnError;
use tracing::warn;

use super::{Outcome, Resolved, Resolver, landed};
use crate::cache_status::CacheStatus;
use crate::catalog::{Known, LookedUp};
use crate::fetch::error::FetchError;
use crate::fetch::manifests::{Manifest, Turn, entry_of};
use crate::meta::snapshot::UpstreamView;
use crate::policy::Permit;
use crate::upstream::client::Patience;
use crate::upstream::error::Answer;

impl Resolver {
    pub(super) fn digest_in_memory(&self, permit: &Permit, digest: &Digest) -> Option<Resolved> {
        permit.registry().upstreams.iter().find_map(|view| {
            let known = self.tools.catalog.known(view, permit.repository(), digest)?;
            let manifest = self.manifests.in_memory(digest, &known)?;
            Some(Resolved { manifest, upstream: view.upstream.id, status: CacheStatus::Hit, age: None })
        })
    }

    pub(super) async fn by_digest(self: &Arc<Self>, permit: &Permit, digest: &Digest) -> Outcome {
        for view in &permit.registry().upstreams {
            if let Some(known) = self.tools.catalog.known(view, permit.repository(), digest)
                && let Some(hit) = self.hit(view, digest, &known).await
            {
                return Ok(hit);
            }
        }
        let key = (self.standpoint(permit), permit.repository().clone(), *digest);
        let (resolver, permit, digest) = (Arc::clone(self), permit.clone(), *digest);
        landed(self.digests.run(key, move || async move { resolver.seek(&permit, &digest).await }).await)
    }

    async fn hit(&self, view: &UpstreamView, digest: &Digest, known: &Known) -> Option<Resolved> {
        let manifest = self.manifests.load(digest, known).await?;
        Some(Resolved { manifest, upstream: view.upstream.id, status: CacheStatus::Hit, age: None })
    }

    async fn seek(&self, permit: &Permit, digest: &Digest) -> Outcome {
        let (registry, repository) = (permit.registry(), permit.repository());
        let looked_up = match self.tools.catalog.look_up(registry, repository, digest).await {
            Ok(looked_up) => looked_up,
            Err(error) => {
                warn!(%error, "the metadata cannot say where a manifest is");
                LookedUp::default()
            }
        };
        for (view, known) in &looked_up.known {
            if let Some(hit) = self.hit(view, digest, known).await {
                return Ok(hit);
            }
        }
        for (view, _) in &looked_up.elsewhere.entitled {
            if let Some(manifest) = self.manifests.copy(view, repository, digest).await {
                let status = CacheStatus::Copied;
                return Ok(Resolved { manifest, upstream: view.upstream.id, status, age: None });
            }
        }
        // The upstreams whose manifests named it, or that delivered it before; then the others in order.
        let mut named = self.tools.catalog.named(registry, repository, digest);
        if named.is_empty() {
            named = looked_up.named;
        }
        let mut candidates: Vec<Arc<UpstreamView>> = named.into_iter().map(|(view, _)| view).collect();
        candidates.extend(looked_up.known.into_iter().map(|(view, _)| view));
        // Who names a digest comes first, and that is all: what one upstream lists must not hide what another has.
        for view in &registry.upstreams {
            if !candidates.iter().any(|candidate| candidate.upstream.id == view.upstream.id) {
                candidates.push(Arc::clone(view));
            }
        }
        self.ask_in_order(permit, digest, &candidates).await
    }

    async fn ask_in_order(&self, permit: &Permit, digest: &Digest, candidates: &[Arc<UpstreamView>]) -> Outcome {
        let (catalog, reference, now) = (&self.tools.catalog, Reference::Digest(*digest), self.tools.clock.now());
        let mut passed_over = None;
        for view in candidates {
            if catalog.not_here(view, permit.repository(), &reference, now).is_some() {
                continue;
            }
            match self.ask_for_digest(permit, view, digest).await {
                Ok(Answer::Here(manifest)) => {
                    let status = CacheStatus::Miss;
                    return Ok(Resolved { manifest, upstream: view.upstream.id, status, age: None });
                }
                Ok(Answer::NotHere(not_here)) => {
                    catalog.remember_not_here(view, permit.repository(), &reference, not_here, now);
                }
                Err(error) if view.upstream.settings.on_error == OnError::Next => {
                    passed_over.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(passed_over.unwrap_or(FetchError::NotFound))
    }

    async fn ask_for_digest(
        &self,
        permit: &Permit,
        view: &Arc<UpstreamView>,
        digest: &Digest,
    ) -> Result<Answer<Manifest>, FetchError> {
        let patience = Patience::lasting(self.tools.timeouts.answer);
        let entry = entry_of(view, permit.repository(), Reference::Digest(*digest));
        let mut held = match self.manifests.turn(view, &entry, patience).await? {
            Turn::Ours(held) | Turn::After(held) => Some(held),
            Turn::Unrecorded => None,
            Turn::Stored(known) => match self.manifests.load(digest, &known).await {
                Some(manifest) => {
                    self.tools.catalog.learn(view, permit.repository(), digest, known);
                    return Ok(Answer::Here(manifest));
                }
                None => None,
            },
        };
        self.manifests.fetch(view, &entry, &mut held, |_| None, patience).await
    }
}
