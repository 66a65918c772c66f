//! Tags: fresh ones are served without asking, expired ones are revalidated, and what cannot be asked is served stale
//! (architecture §5). One walk per tag at a time in this process, one per (upstream, repository, tag) in the cluster.

use std::sync::Arc;
use std::time::Duration;

use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::entry::{EntryRef, Freshness, TagEntry};
use roadstead_proto::domain::image::{Reference, Tag};
use roadstead_proto::domain::lease::TagVerdict;
use roadstead_proto::domain::limits;
use roadstead_proto::domain::registry::UpstreamId;
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::domain::upstream::{OnError, OnNotFound};
use tracing::{info, warn};

use super::{Outcome, Resolved, Resolver, landed};
use crate::cache_status::CacheStatus;
use crate::catalog::{KnownTag, TagName};
use crate::fetch::error::{FetchError, upstream_fault};
use crate::fetch::manifests::{Manifest, Turn, entry_of};
use crate::lease::Held;
use crate::meta::snapshot::{Scope, UpstreamView};
use crate::policy::Permit;
use crate::upstream::client::Patience;
use crate::upstream::error::{Answer, NotHere};

/// A copy that is past its validity, and may be served if its upstream cannot be asked.
struct StaleCopy {
    view: Arc<UpstreamView>,
    entry: TagEntry,
    manifest: Manifest,
    past: Duration,
}

/// One walk down a registry's upstreams.
struct Walk<'a> {
    permit: &'a Permit,
    name: &'a TagName,
    reference: Reference,
    tag: &'a Tag,
    patience: Patience,
    now: Timestamp,
    not_here: Vec<UpstreamId>,
}

fn freshness(view: &UpstreamView, entry: &TagEntry, now: Timestamp) -> Freshness {
    let settings = &view.upstream.settings;
    match entry.freshness(now, settings.validity, settings.stale_if_error) {
        // What the upstream no longer has is asked for each time (answers are remembered briefly).
        Freshness::Fresh if entry.gone_since.is_some() => Freshness::Stale,
        freshness => freshness,
    }
}

impl Resolver {
    pub(super) fn tag_in_memory(&self, permit: &Permit, tag: &Tag) -> Option<Resolved> {
        let (scope, repository) = (permit.registry().scope, permit.repository());
        let known =
            self.tools.catalog.known_tag(&TagName { scope, repository: repository.clone(), tag: tag.clone() })?;
        let view = self.fresh_at(permit, &known)?;
        let digest = &known.entry.digest;
        let manifest = self.manifests.in_memory(digest, &self.tools.catalog.known(view, repository, digest)?)?;
        Some(Resolved { manifest, upstream: view.upstream.id, status: CacheStatus::Hit })
    }

    pub(super) async fn by_tag(self: &Arc<Self>, permit: &Permit, tag: &Tag) -> Outcome {
        let registry = &permit.registry().registry;
        let scope = permit.registry().scope;
        let name = TagName { scope, repository: permit.repository().clone(), tag: tag.clone() };
        if let Some(known) = self.tools.catalog.known_tag(&name)
            && let Some(hit) = self.fresh(permit, &known).await
        {
            return Ok(hit);
        }
        let flight = (name.clone(), registry.routing);
        let (resolver, permit) = (Arc::clone(self), permit.clone());
        landed(self.tags.run(flight, move || async move { resolver.walk(&permit, &name).await }).await)
    }

    /// The upstream of a tag, where the route still stands.
    fn routed<'a>(permit: &'a Permit, known: &KnownTag) -> Option<&'a Arc<UpstreamView>> {
        let registry = permit.registry();
        let view = registry.upstream(known.upstream)?;
        // Who named the upstream asked for no route.
        let routed = known.routing == registry.registry.routing || matches!(registry.scope, Scope::Upstream(_));
        (routed && known.entry.upstream_epoch == view.upstream.epoch).then_some(view)
    }

    /// The upstream of a tag that need not be asked about.
    fn fresh_at<'a>(&self, permit: &'a Permit, known: &KnownTag) -> Option<&'a Arc<UpstreamView>> {
        let view = Self::routed(permit, known)?;
        (freshness(view, &known.entry, self.tools.clock.now()) == Freshness::Fresh).then_some(view)
    }

    async fn fresh(&self, permit: &Permit, known: &KnownTag) -> Option<Resolved> {
        let view = self.fresh_at(permit, known)?;
        let manifest = self.load(permit, view, &known.entry.digest).await?;
        Some(Resolved { manifest, upstream: view.upstream.id, status: CacheStatus::Hit })
    }

    async fn load(&self, permit: &Permit, view: &Arc<UpstreamView>, digest: &Digest) -> Option<Manifest> {
        let (catalog, repository) = (&self.tools.catalog, permit.repository());
        let known = match catalog.known(view, repository, digest) {
            Some(known) => known,
            None => catalog.look_up_at(view, repository, digest).await.ok()??,
        };
        self.manifests.load(digest, &known).await
    }

    async fn stale_copy(&self, permit: &Permit, known: &KnownTag) -> Option<StaleCopy> {
        let view = Self::routed(permit, known)?;
        let now = self.tools.clock.now();
        if freshness(view, &known.entry, now) == Freshness::Expired {
            return None;
        }
        let manifest = self.load(permit, view, &known.entry.digest).await?;
        let past = now.since(known.entry.checked_at).saturating_sub(view.upstream.settings.validity);
        Some(StaleCopy { view: Arc::clone(view), entry: known.entry.clone(), manifest, past })
    }

    async fn walk(&self, permit: &Permit, name: &TagName) -> Outcome {
        let known = self.tools.catalog.look_up_tag(permit.registry(), name).await;
        let mut stale = None;
        if let Some(known) = &known {
            if let Some(hit) = self.fresh(permit, known).await {
                return Ok(hit);
            }
            stale = self.stale_copy(permit, known).await;
        }
        // Whoever has a copy waits little; whoever has none waits as long as clients do.
        let total = if stale.is_some() { self.tools.timeouts.stale } else { self.tools.timeouts.answer };
        let mut walk = Walk {
            permit,
            name,
            reference: Reference::Tag(name.tag.clone()),
            tag: &name.tag,
            patience: Patience::lasting(total),
            now: self.tools.clock.now(),
            not_here: Vec::new(),
        };
        let mut passed_over = None;
        for view in &permit.registry().upstreams {
            match self.ask(&walk, view, stale.as_ref()).await {
                Ok(Answer::Here((manifest, status))) => {
                    return Ok(Resolved { manifest, upstream: view.upstream.id, status });
                }
                Ok(Answer::NotHere(not_here)) => {
                    if let Some(copy) = stale.take_if(|copy| copy.view.upstream.id == view.upstream.id)
                        && let Some(resolved) = self.vanished(&walk, copy).await
                    {
                        return Ok(resolved);
                    }
                    self.pass_by(&mut walk, view, not_here).await;
                }
                Err(error) => {
                    if let Some(copy) = stale.take() {
                        return Ok(self.serve_stale(&walk, copy, &error).await);
                    }
                    if view.upstream.settings.on_error == OnError::Stop {
                        return Err(error);
                    }
                    passed_over.get_or_insert(error);
                }
            }
        }
        Err(passed_over.unwrap_or(FetchError::NotFound))
    }

    async fn pass_by(&self, walk: &mut Walk<'_>, view: &UpstreamView, not_here: NotHere) {
        walk.not_here.push(view.upstream.id);
        let repository = walk.permit.repository();
        self.tools.catalog.remember_not_here(view, repository, &walk.reference, not_here, walk.now);
    }

    /// Asks one upstream for the tag, in the cheapest way that can be right.
    async fn ask(
        &self,
        walk: &Walk<'_>,
        view: &Arc<UpstreamView>,
        stale: Option<&StaleCopy>,
    ) -> Result<Answer<(Manifest, CacheStatus)>, FetchError> {
        let (catalog, repository) = (&self.tools.catalog, walk.permit.repository());
        if let Some(not_here) = catalog.not_here(view, repository, &walk.reference, walk.now) {
            return Ok(Answer::NotHere(not_here));
        }
        if stale.is_some()
            && let Some(fault) = catalog.recent_fault(view, repository, &walk.reference, walk.now)
        {
            return Err(upstream_fault(view, fault));
        }
        if let Some(hit) = self.recorded(walk, view).await {
            return Ok(Answer::Here((hit, CacheStatus::Hit)));
        }
        let entry = entry_of(view, repository, walk.reference.clone());
        let asked = tokio::time::timeout(walk.patience.left(), self.ask_upstream(walk, view, &entry, stale)).await;
        let asked = asked.unwrap_or_else(|_| Err(upstream_fault(view, walk.patience.over())));
        if let Err(FetchError::Upstream { fault, .. }) = &asked {
            catalog.remember_fault(view, repository, &walk.reference, fault.clone(), walk.now);
        }
        asked
    }

    /// What the metadata says of the tag at this upstream, if it is fresh: another registry, or another gateway, asked.
    async fn recorded(&self, walk: &Walk<'_>, view: &Arc<UpstreamView>) -> Option<Manifest> {
        let entry = self.tools.catalog.tag_entry(view, walk.permit.repository(), walk.tag).await?;
        if freshness(view, &entry, walk.now) != Freshness::Fresh {
            return None;
        }
        let manifest = self.load(walk.permit, view, &entry.digest).await?;
        self.learn(walk, view, entry).await;
        Some(manifest)
    }

    async fn ask_upstream(
        &self,
        walk: &Walk<'_>,
        view: &Arc<UpstreamView>,
        entry: &EntryRef,
        stale: Option<&StaleCopy>,
    ) -> Result<Answer<(Manifest, CacheStatus)>, FetchError> {
        let held = match self.manifests.turn(view, entry, walk.patience).await? {
            Turn::Ours(held) => Some(held),
            Turn::After(held) => match self.recorded(walk, view).await {
                Some(manifest) => return Ok(Answer::Here((manifest, CacheStatus::Collapsed))),
                None => Some(held),
            },
            Turn::Unrecorded | Turn::Stored(_) => None,
        };
        let copy = stale.filter(|copy| copy.view.upstream.id == view.upstream.id);
        let held = match copy {
            None => held,
            Some(copy) => match self.revalidate(walk, copy, held).await? {
                Revalidation::Same => return Ok(Answer::Here((copy.manifest.clone(), CacheStatus::Revalidated))),
                Revalidation::NotHere(not_here) => return Ok(Answer::NotHere(not_here)),
                Revalidation::Other(held) => held,
            },
        };
        let names = |digest, etag| self.names(walk, digest, etag);
        let fetched = self
            .manifests
            .fetch(view, entry, held, |got| Some(names(got.digest, got.etag.clone())), walk.patience)
            .await?;
        match fetched {
            Answer::NotHere(not_here) => Ok(Answer::NotHere(not_here)),
            Answer::Here(manifest) => {
                self.learn(walk, view, self.new_entry(walk, view, copy.map(|copy| &copy.entry), manifest.digest)).await;
                Ok(Answer::Here((manifest, CacheStatus::Miss)))
            }
        }
    }

    /// HEAD: the tag still names what we have, or it does not.
    async fn revalidate(
        &self,
        walk: &Walk<'_>,
        copy: &StaleCopy,
        held: Option<Held>,
    ) -> Result<Revalidation, FetchError> {
        let (view, repository) = (&copy.view, walk.permit.repository());
        let head = self.tools.client.head_manifest(view, repository, &walk.reference, walk.patience).await;
        let head = match head.map_err(|fault| upstream_fault(view, fault))? {
            Answer::Here(head) => head,
            Answer::NotHere(not_here) => {
                if let Some(held) = held {
                    let entry = entry_of(view, repository, walk.reference.clone());
                    self.manifests.confirm(entry, held, TagVerdict::Gone);
                }
                return Ok(Revalidation::NotHere(not_here));
            }
        };
        if head.digest != Some(copy.entry.digest) {
            return Ok(Revalidation::Other(held));
        }
        if let Some(held) = held {
            let entry = entry_of(view, repository, walk.reference.clone());
            self.manifests.confirm(entry, held, self.names(walk, copy.entry.digest, head.etag));
        }
        self.learn(walk, view, self.new_entry(walk, view, Some(&copy.entry), copy.entry.digest)).await;
        Ok(Revalidation::Same)
    }

    fn names(&self, walk: &Walk<'_>, digest: Digest, upstream_etag: Option<String>) -> TagVerdict {
        TagVerdict::Names {
            digest,
            upstream_etag,
            registry: match walk.name.scope {
                Scope::Registry(id) => Some(id),
                Scope::Upstream(_) => None,
            },
            not_here: walk.not_here.clone(),
            routing: walk.permit.registry().registry.routing,
        }
    }

    fn new_entry(&self, walk: &Walk<'_>, view: &UpstreamView, earlier: Option<&TagEntry>, digest: Digest) -> TagEntry {
        let same = earlier.filter(|earlier| earlier.digest == digest);
        TagEntry {
            digest,
            checked_at: walk.now,
            created_at: earlier.map_or(walk.now, |earlier| earlier.created_at),
            updated_at: same.map_or(walk.now, |same| same.updated_at),
            upstream_etag: None,
            gone_since: None,
            upstream_epoch: view.upstream.epoch,
        }
    }

    async fn learn(&self, walk: &Walk<'_>, view: &UpstreamView, entry: TagEntry) {
        let routing = walk.permit.registry().registry.routing;
        self.tools.catalog.learn_tag(walk.name, KnownTag { upstream: view.upstream.id, entry, routing });
    }

    /// The upstream no longer has a tag that we hold. `None` where the copy must not be served any more.
    async fn vanished(&self, walk: &Walk<'_>, copy: StaleCopy) -> Option<Resolved> {
        let since = copy.entry.gone_since.unwrap_or(walk.now);
        let kept = walk.now.since(since) < limits::STALE_IF_NOT_FOUND;
        if copy.view.upstream.settings.on_not_found == OnNotFound::Gone || !kept {
            info!(registry = %walk.permit.registry().registry.id, repository = %walk.name.repository, tag = %walk.tag, "a tag is gone upstream");
            return None;
        }
        warn!(
            registry = %walk.permit.registry().registry.id, repository = %walk.name.repository, tag = %walk.tag,
            upstream = %copy.view.upstream.id, "a tag is gone upstream: the cached copy is served"
        );
        let gone = TagEntry { gone_since: Some(since), ..copy.entry.clone() };
        self.learn(walk, &copy.view, gone).await;
        Some(self.stale(copy, "not-found"))
    }

    async fn serve_stale(&self, walk: &Walk<'_>, copy: StaleCopy, error: &FetchError) -> Resolved {
        warn!(
            registry = %walk.permit.registry().registry.id, repository = %walk.name.repository, tag = %walk.tag, %error,
            "the upstream cannot say: the cached copy is served"
        );
        self.stale(copy, error.reason())
    }

    fn stale(&self, copy: StaleCopy, reason: &'static str) -> Resolved {
        self.tools.metrics.served_stale(reason);
        let status = CacheStatus::Stale { reason, by: copy.past };
        Resolved { manifest: copy.manifest, upstream: copy.view.upstream.id, status }
    }
}

/// What a HEAD said of a copy.
enum Revalidation {
    Same,
    Other(Option<Held>),
    NotHere(NotHere),
}
