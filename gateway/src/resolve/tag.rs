//! Tags: fresh ones are served without asking, and what cannot be asked in time is served stale (architecture §5).
//!
//! Whoever has a copy waits little. The walk goes on behind him, with the patience of those who have none: an upstream that
//! is slow, and not away, is heard in the end.

use std::sync::Arc;
use std::time::Duration;

use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::entry::{Freshness, TagEntry};
use roadstead_proto::domain::image::Tag;
use roadstead_proto::domain::limits;
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::domain::upstream::OnNotFound;
use roadstead_proto::meta::Consistency;

use super::walk::Need;
use super::{Outcome, Resolved, Resolver, landed};
use crate::cache_status::CacheStatus;
use crate::catalog::{KnownTag, TagName};
use crate::fetch::error::FetchError;
use crate::fetch::manifests::Manifest;
use crate::flight::{Abandoned, Part};
use crate::meta::snapshot::{Scope, UpstreamView};
use crate::policy::Permit;
use crate::upstream::error::Fault;

/// A copy that may be served if its upstream cannot be asked.
#[derive(Debug)]
pub(super) struct CachedCopy {
    pub(super) view: Arc<UpstreamView>,
    pub(super) entry: TagEntry,
    pub(super) manifest: Manifest,
}

impl CachedCopy {
    /// How long after its validity it is.
    fn past(&self, now: Timestamp) -> Duration {
        age(&self.entry, now).saturating_sub(self.view.upstream.settings.validity)
    }
}

/// What is known of a tag.
#[derive(Debug, Clone)]
pub(super) enum Looked {
    /// Nobody has to be asked.
    Settled(Box<Resolved>, Arc<UpstreamView>, TagEntry),
    /// There is a copy, past its validity.
    Copy(Arc<CachedCopy>),
    /// Nothing that could be served.
    Nothing,
}

/// Whether a tag that its upstream has not had since `since` is not served any more, whatever the upstream says or does not.
pub(super) fn is_gone_for_good(view: &UpstreamView, since: Timestamp, now: Timestamp) -> bool {
    view.upstream.settings.on_not_found == OnNotFound::Gone || now.since(since) >= limits::STALE_IF_NOT_FOUND
}

/// Time since the upstream last said that the tag names this. A check that found it gone confirmed nothing.
pub(super) fn age(entry: &TagEntry, now: Timestamp) -> Duration {
    now.since(entry.gone_since.map_or(entry.checked_at, |gone| gone.min(entry.checked_at)))
}

impl Resolver {
    /// Whether an entry is served without asking, and as what.
    pub(super) fn settled(&self, view: &UpstreamView, entry: &TagEntry, now: Timestamp) -> Option<CacheStatus> {
        let settings = &view.upstream.settings;
        // What the upstream no longer has is asked for each time (answers are remembered briefly).
        if entry.gone_since.is_some() {
            return None;
        }
        match entry.freshness(now, settings.validity, settings.stale_if_error) {
            Freshness::Fresh => Some(CacheStatus::Hit),
            Freshness::Stale => {
                let stretched = self.tools.client.validity(view, entry.checked_at, now);
                (now.since(entry.checked_at) < stretched).then_some(CacheStatus::Stretched)
            }
            Freshness::Expired => None,
        }
    }

    pub(super) fn tag_in_memory(self: &Arc<Self>, permit: &Permit, tag: &Tag) -> Option<Resolved> {
        let (scope, repository) = (permit.registry().scope, permit.repository());
        let name = TagName { scope, repository: repository.clone(), tag: tag.clone() };
        let known = self.tools.catalog.known_tag(&name)?;
        let view = Self::routed(permit, &known)?;
        let now = self.tools.clock.now();
        let status = self.settled(view, &known.entry, now)?;
        let digest = &known.entry.digest;
        let manifest = self.manifests.in_memory(digest, &self.tools.catalog.known(view, repository, digest)?)?;
        self.look_ahead(permit, &name, view, &known.entry);
        Some(Resolved { manifest, upstream: view.upstream.id, status, age: Some(age(&known.entry, now)) })
    }

    pub(super) async fn by_tag(self: &Arc<Self>, permit: &Permit, tag: &Tag) -> Outcome {
        let outcome = self.resolve_tag(permit, tag).await;
        if let Ok(Resolved { status: CacheStatus::Stale { reason, .. }, .. }) = &outcome {
            self.tools.metrics.served_stale(reason);
        }
        outcome
    }

    async fn resolve_tag(self: &Arc<Self>, permit: &Permit, tag: &Tag) -> Outcome {
        let name =
            TagName { scope: permit.registry().scope, repository: permit.repository().clone(), tag: tag.clone() };
        let copy = match self.look(permit, &name).await.map_err(|_| FetchError::Abandoned)? {
            Looked::Settled(resolved, view, entry) => {
                self.look_ahead(permit, &name, &view, &entry);
                return Ok(*resolved);
            }
            Looked::Nothing => return landed(self.walk_of(permit, &name, None, Need::Fresh).await),
            Looked::Copy(copy) => copy,
        };
        let (total, now) = (self.tools.timeouts.stale, self.tools.clock.now());
        let over = Fault::Timeout(total).reason();
        if self.slow.get(&name).is_some_and(|until| now < until) {
            return Ok(self.stale(&copy, over));
        }
        let walk = self.walk_of(permit, &name, Some(Arc::clone(&copy)), Need::Fresh);
        match tokio::time::timeout(total, walk).await {
            Ok(landing) => landed(landing),
            Err(_) => {
                self.slow.insert(name, now.after(limits::FAULT_MEMORY));
                Ok(self.stale(&copy, over))
            }
        }
    }

    async fn look(self: &Arc<Self>, permit: &Permit, name: &TagName) -> Result<Looked, Abandoned> {
        let key = (self.standpoint(permit), name.clone());
        let (resolver, permit, wanted) = (Arc::clone(self), permit.clone(), name.clone());
        let look = move || async move {
            let Some(known) = resolver.tools.catalog.look_up_tag(permit.registry(), &wanted).await else {
                return Looked::Nothing;
            };
            let Some(copy) = resolver.copy(&permit, &known).await else { return Looked::Nothing };
            let now = resolver.tools.clock.now();
            match resolver.settled(&copy.view, &copy.entry, now) {
                None => Looked::Copy(Arc::new(copy)),
                Some(status) => {
                    let upstream = copy.view.upstream.id;
                    let age = Some(age(&copy.entry, now));
                    let resolved = Resolved { manifest: copy.manifest, upstream, status, age };
                    Looked::Settled(Box::new(resolved), copy.view, copy.entry)
                }
            }
        };
        self.looks.run(key, look).await.map(|(looked, _)| looked)
    }

    /// The walk for a tag: the one that is under way, or a new one.
    pub(super) async fn walk_of(
        self: &Arc<Self>,
        permit: &Permit,
        name: &TagName,
        copy: Option<Arc<CachedCopy>>,
        need: Need,
    ) -> Result<(Outcome, Part), Abandoned> {
        let key = (self.standpoint(permit), name.clone());
        let (resolver, permit, name) = (Arc::clone(self), permit.clone(), name.clone());
        self.tags.run(key, move || async move { resolver.walk(&permit, &name, copy, need).await }).await
    }

    /// The upstream of a tag, where the route still stands.
    pub(super) fn routed<'a>(permit: &'a Permit, known: &KnownTag) -> Option<&'a Arc<UpstreamView>> {
        let registry = permit.registry();
        let view = registry.upstream(known.upstream)?;
        // Who named the upstream asked for no route.
        let routed = known.routing == registry.registry.routing || matches!(registry.scope, Scope::Upstream(_));
        (routed && known.entry.upstream_epoch == view.upstream.epoch).then_some(view)
    }

    /// What may be served of a tag, now or while its upstream is away.
    pub(super) async fn copy(&self, permit: &Permit, known: &KnownTag) -> Option<CachedCopy> {
        let view = Self::routed(permit, known)?;
        let settings = &view.upstream.settings;
        let now = self.tools.clock.now();
        if known.entry.freshness(now, settings.validity, settings.stale_if_error) == Freshness::Expired {
            return None;
        }
        if known.entry.gone_since.is_some_and(|since| is_gone_for_good(view, since, now)) {
            return None;
        }
        let manifest = self.load(permit, view, &known.entry.digest, Consistency::Local).await?;
        Some(CachedCopy { view: Arc::clone(view), entry: known.entry.clone(), manifest })
    }

    pub(super) async fn load(
        &self,
        permit: &Permit,
        view: &Arc<UpstreamView>,
        digest: &Digest,
        consistency: Consistency,
    ) -> Option<Manifest> {
        let (catalog, repository) = (&self.tools.catalog, permit.repository());
        let known = match catalog.known(view, repository, digest) {
            Some(known) => Some(known),
            None => catalog.look_up_at(view, repository, digest, consistency).await.ok()?,
        };
        match known {
            Some(known) => self.manifests.load(digest, &known).await,
            None => self.manifests.copy(view, repository, digest).await,
        }
    }

    pub(super) fn stale(&self, copy: &CachedCopy, reason: &'static str) -> Resolved {
        let now = self.tools.clock.now();
        Resolved {
            manifest: copy.manifest.clone(),
            upstream: copy.view.upstream.id,
            status: CacheStatus::Stale { reason, by: copy.past(now) },
            age: Some(age(&copy.entry, now)),
        }
    }
}
