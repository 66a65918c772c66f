//! Blobs: where the bytes of a digest are looked for.
//!
//! The order is memory, metadata, a running download, a new one. Neither stored bytes nor a running download are used
//! for an (upstream, repository) that has not earned the right to them (architecture §4, "Whose blob is it").

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::entry::{ContentKind, Descriptor};
use roadstead_proto::domain::image::Reference;
use roadstead_proto::domain::upstream::{OnError, SourceId};
use roadstead_proto::meta::MetaStore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::Tools;
use super::error::{FetchError, upstream_fault};
use super::fill::Fill;
use super::join::Wanted;
use super::source::{Lost, Source, stored};
use super::spool::SpoolSpace;
use super::turns::Turns;
use crate::cache_status::CacheStatus;
use crate::catalog::LookedUp;
use crate::meta::snapshot::UpstreamView;
use crate::policy::Permit;
use crate::upstream::client::Patience;
use crate::upstream::error::Answer;

pub(super) type FillKey = (SourceId, Digest);

/// The blobs of every registry.
pub struct Blobs {
    pub(super) tools: Tools,
    pub(super) meta: Arc<dyn MetaStore>,
    pub(super) space: SpoolSpace,
    /// From its end on nothing runs that nobody has asked for.
    pub(super) draining: CancellationToken,
    running: Mutex<HashMap<FillKey, Arc<Fill>>>,
    pub(super) turns: Turns,
}

impl std::fmt::Debug for Blobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blobs").field("running", &self.running().len()).finish_non_exhaustive()
    }
}

impl Blobs {
    /// No blob, no download.
    pub fn new(tools: Tools, meta: Arc<dyn MetaStore>, space: SpoolSpace) -> Self {
        Self { tools, meta, space, draining: CancellationToken::new(), running: Mutex::default(), turns: Turns::new() }
    }

    /// The process is to end: downloads that nobody has asked for are given up, the others go on to their end.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    pub(super) fn running(&self) -> MutexGuard<'_, HashMap<FillKey, Arc<Fill>>> {
        // Every section only inserts or removes.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the bytes of a digest come from. `lost` is an earlier answer that could not be read.
    pub async fn find(
        self: &Arc<Self>,
        permit: &Permit,
        digest: &Digest,
        lost: Option<Lost>,
    ) -> Result<Source, FetchError> {
        let catalog = &self.tools.catalog;
        if lost.is_none() {
            for view in &permit.registry().upstreams {
                if let Some(source) =
                    catalog.known(view, permit.repository(), digest).and_then(|known| stored(view, &known))
                {
                    return Ok(source);
                }
            }
        }
        // Without metadata nothing stored can be used, but a cold pull goes through all the same.
        let looked_up = match catalog.look_up(permit.registry(), permit.repository(), digest).await {
            Ok(looked_up) => looked_up,
            Err(error) => {
                warn!(%error, "the metadata cannot say whose blob it is");
                LookedUp::default()
            }
        };
        let lost = lost.or(looked_up.damaged.map(|object| Lost { object }));
        if lost.is_none()
            && let Some(source) = looked_up.known.iter().find_map(|(view, known)| stored(view, known))
        {
            return Ok(source);
        }
        self.find_upstream(permit, digest, lost, &looked_up).await
    }

    /// The upstreams to ask, in order: those by whose right another region's copy may be read, since that asks nobody; those whose
    /// manifests name the digest; then the others.
    async fn candidates(
        &self,
        permit: &Permit,
        digest: &Digest,
        looked_up: &LookedUp,
    ) -> Vec<(Arc<UpstreamView>, Option<u64>)> {
        let (registry, repository) = (permit.registry(), permit.repository());
        let mut named = self.tools.catalog.named(registry, repository, digest);
        if named.is_empty() {
            named.clone_from(&looked_up.named);
        }
        // The size of what somebody calls a manifest is not that of a blob.
        let size = |child: &Descriptor| (child.kind == ContentKind::Blob).then_some(child.size);
        let entitled = looked_up.elsewhere.entitled.iter().filter(|_| self.may_copy(looked_up));
        let entitled = entitled.map(|(view, right)| (Arc::clone(view), Some(right.size)));
        let mut candidates: Vec<_> = entitled.collect();
        let named = named.into_iter().map(|(view, child)| (view, size(&child)));
        // Who has the right has delivered it before: where its object was lost, it is asked again. Then everybody else in
        // order: who names a digest comes first, and that is all, or it could hide what another has.
        let known = looked_up.known.iter().map(|(view, known)| (Arc::clone(view), Some(known.right.size)));
        let others = registry.upstreams.iter().map(|view| (Arc::clone(view), None));
        for (view, size) in named.chain(known).chain(others) {
            if !candidates.iter().any(|(candidate, _)| candidate.upstream.id == view.upstream.id) {
                candidates.push((view, size));
            }
        }
        candidates
    }

    /// Whether another region has a copy that may be read now.
    fn may_copy(&self, looked_up: &LookedUp) -> bool {
        self.tools.regions.may_have(&looked_up.elsewhere.copies)
    }

    async fn find_upstream(
        self: &Arc<Self>,
        permit: &Permit,
        digest: &Digest,
        lost: Option<Lost>,
        looked_up: &LookedUp,
    ) -> Result<Source, FetchError> {
        let mut passed_over = None;
        let reference = Reference::Digest(*digest);
        let now = self.tools.clock.now();
        for (view, size) in self.candidates(permit, digest, looked_up).await {
            let repository = permit.repository();
            let entitled = |(entitled, _): &(Arc<UpstreamView>, _)| entitled.upstream.id == view.upstream.id;
            let elsewhere = looked_up.elsewhere.entitled.iter().any(entitled) && self.may_copy(looked_up);
            if !elsewhere && self.tools.catalog.not_here(&view, repository, &reference, now).is_some() {
                continue;
            }
            let wanted = Wanted { view: &view, repository, digest, size, lost, elsewhere };
            match self.from_upstream(wanted, looked_up).await {
                Ok(Answer::Here(source)) => return Ok(source),
                Ok(Answer::NotHere(not_here)) => {
                    debug!(upstream = %view.upstream.id, %digest, reason = not_here.reason(), "not here");
                    self.tools.catalog.remember_not_here(&view, repository, &reference, not_here, now);
                }
                Err(error) if view.upstream.settings.on_error == OnError::Next => {
                    passed_over.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(passed_over.unwrap_or(FetchError::NotFound))
    }

    /// The size of a digest, without downloading it: from the cache, from a manifest's descriptor, or by one HEAD.
    pub async fn size(&self, permit: &Permit, digest: &Digest) -> Result<(Option<u64>, CacheStatus), FetchError> {
        let (registry, repository) = (permit.registry(), permit.repository());
        for view in &registry.upstreams {
            if let Some(known) = self.tools.catalog.known(view, repository, digest) {
                return Ok((Some(known.right.size), CacheStatus::Hit));
            }
        }
        let looked_up = self.tools.catalog.look_up(registry, repository, digest).await.unwrap_or_default();
        if let Some((_, known)) = looked_up.known.first() {
            return Ok((Some(known.right.size), CacheStatus::Hit));
        }
        let mut passed_over = None;
        let (reference, now) = (Reference::Digest(*digest), self.tools.clock.now());
        for (view, size) in self.candidates(permit, digest, &looked_up).await {
            // HEAD must not promise what a GET has just been refused.
            if self.tools.catalog.not_here(&view, repository, &reference, now).is_some() {
                continue;
            }
            if let Some(size) = size {
                return Ok((Some(size), CacheStatus::Miss));
            }
            let patience = Patience::lasting(self.tools.timeouts.answer);
            let client = &self.tools.client;
            let answer = match client.head_blob(&view, repository, digest, patience).await {
                // The registry redirects, and only the target knows: a GET would tell the size, and so must this.
                Ok(Answer::Here(None)) => client.blob_size(&view, repository, digest, patience).await,
                answer => answer,
            };
            match answer {
                Ok(Answer::Here(size)) => return Ok((size, CacheStatus::Miss)),
                Ok(Answer::NotHere(_)) => {}
                Err(fault) if view.upstream.settings.on_error == OnError::Next => {
                    passed_over.get_or_insert(upstream_fault(&view, fault));
                }
                Err(fault) => return Err(upstream_fault(&view, fault)),
            }
        }
        Err(passed_over.unwrap_or(FetchError::NotFound))
    }
}
