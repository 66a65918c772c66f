//! Down a registry's upstreams for one tag: "not here" goes on, a fault stops, or lets the copy be served (architecture §5).
//!
//! One walk per tag at a time in this process, one question per (upstream, repository, tag) in the cluster. A check ahead is a
//! walk like any other; it only takes less for an answer.

use std::sync::Arc;
use std::time::Duration;

use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::entry::{EntryRef, TagEntry};
use roadstead_proto::domain::image::{Reference, Tag};
use roadstead_proto::domain::lease::TagVerdict;
use roadstead_proto::domain::registry::UpstreamId;
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::domain::upstream::OnError;
use roadstead_proto::meta::Consistency;
use tracing::{info, warn};

use super::tag::{CachedCopy, age, is_gone_for_good};
use super::{Outcome, Resolved, Resolver};
use crate::cache_status::CacheStatus;
use crate::catalog::{Era, KnownTag, TagName};
use crate::fetch::error::{FetchError, upstream_fault};
use crate::fetch::manifests::{Manifest, Turn, entry_of};
use crate::lease::Held;
use crate::meta::snapshot::{Scope, UpstreamView};
use crate::policy::Permit;
use crate::upstream::client::Patience;
use crate::upstream::error::{Answer, Fault, NotHere};

/// What is wanted of a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// An answer that is fresh.
    Fresh,
    /// An answer from after this confirmation: the tag is checked ahead.
    After(Timestamp),
}

/// One walk.
struct Walk<'a> {
    permit: &'a Permit,
    name: &'a TagName,
    reference: Reference,
    tag: &'a Tag,
    copy: Option<Arc<CachedCopy>>,
    need: Need,
    patience: Patience,
    now: Timestamp,
    era: Era,
    not_here: Vec<UpstreamId>,
}

impl Walk<'_> {
    /// How long to wait for an upstream: where a fault of it is passed over, the next one needs time too.
    fn patience_for(&self, view: &UpstreamView) -> Patience {
        let last = self.permit.registry().upstreams.last().is_some_and(|last| last.upstream.id == view.upstream.id);
        let passed_over = view.upstream.settings.on_error == OnError::Next && !last;
        if passed_over { self.patience.half() } else { self.patience }
    }

    /// The copy, where it is of this upstream.
    fn copy_of(&self, view: &UpstreamView) -> Option<&Arc<CachedCopy>> {
        self.copy.as_ref().filter(|copy| copy.view.upstream.id == view.upstream.id)
    }
}

/// What an upstream has, and how that came about.
type Found = (Manifest, CacheStatus);

/// What a HEAD said.
enum Headed {
    /// It names what we have.
    Here(Found),
    /// It names something else, or nothing.
    Other,
    NotHere(NotHere),
}

impl Resolver {
    pub(super) async fn walk(
        &self,
        permit: &Permit,
        name: &TagName,
        copy: Option<Arc<CachedCopy>>,
        need: Need,
    ) -> Outcome {
        let mut walk = Walk {
            permit,
            name,
            reference: Reference::Tag(name.tag.clone()),
            tag: &name.tag,
            copy,
            need,
            patience: Patience::lasting(self.tools.timeouts.answer),
            now: self.tools.clock.now(),
            era: self.tools.catalog.era(),
            not_here: Vec::new(),
        };
        let mut passed_over = None;
        for view in &permit.registry().upstreams {
            match self.ask(&walk, view).await {
                Ok(Answer::Here((manifest, status))) => {
                    let age = match status {
                        CacheStatus::Miss | CacheStatus::Collapsed => None,
                        _ => self.tools.catalog.known_tag(name).map(|known| age(&known.entry, walk.now)),
                    };
                    return Ok(Resolved { manifest, upstream: view.upstream.id, status, age });
                }
                Ok(Answer::NotHere(not_here)) => {
                    walk.not_here.push(view.upstream.id);
                    let repository = permit.repository();
                    self.tools.catalog.remember_not_here(view, repository, &walk.reference, not_here, walk.now);
                    if walk.copy_of(view).is_some()
                        && let Some(copy) = walk.copy.take()
                        && let Some(resolved) = self.vanished(&walk, &copy)
                    {
                        return Ok(resolved);
                    }
                }
                Err(error) => {
                    // Where faults are passed over, the copy's own upstream is still to be heard: it may have a newer one.
                    let goes_on = view.upstream.settings.on_error == OnError::Next;
                    let is_lower = goes_on && walk.copy_of(view).is_none();
                    if let Some(copy) = walk.copy.take_if(|_| !is_lower) {
                        return Ok(self.serve_stale(&walk, &copy, &error));
                    }
                    if !goes_on {
                        return Err(error);
                    }
                    passed_over.get_or_insert(error);
                }
            }
        }
        let error = passed_over.unwrap_or(FetchError::NotFound);
        match walk.copy.take().filter(|_| !matches!(error, FetchError::NotFound)) {
            Some(copy) => Ok(self.serve_stale(&walk, &copy, &error)),
            None => Err(error),
        }
    }

    /// Asks one upstream for the tag, in the cheapest way that can be right.
    async fn ask(&self, walk: &Walk<'_>, view: &Arc<UpstreamView>) -> Result<Answer<Found>, FetchError> {
        let (catalog, repository) = (&self.tools.catalog, walk.permit.repository());
        if let Some(not_here) = catalog.not_here(view, repository, &walk.reference, walk.now) {
            return Ok(Answer::NotHere(not_here));
        }
        if walk.copy.is_some()
            && let Some(fault) = catalog.recent_fault(view, repository, &walk.reference, walk.now)
        {
            return Err(upstream_fault(view, fault));
        }
        if let Some(found) = self.recorded(walk, view, Consistency::Local).await {
            return Ok(Answer::Here(found));
        }
        let entry = entry_of(view, repository, walk.reference.clone());
        let patience = walk.patience_for(view);
        let asked = tokio::time::timeout(patience.left(), self.ask_upstream(walk, view, &entry, patience)).await;
        let asked = asked.unwrap_or_else(|_| Err(upstream_fault(view, patience.over())));
        match &asked {
            // The breaker knows better how long.
            Err(FetchError::Upstream { fault: Fault::LeftAlone { .. }, .. }) => {}
            Err(FetchError::Upstream { fault, .. }) => {
                catalog.remember_fault(view, repository, &walk.reference, fault.clone(), walk.now);
            }
            _ => {}
        }
        asked
    }

    /// What the metadata says of the tag at this upstream, if that will do: another registry, or another gateway, asked.
    async fn recorded(&self, walk: &Walk<'_>, view: &Arc<UpstreamView>, consistency: Consistency) -> Option<Found> {
        let entry = self.tools.catalog.tag_entry(view, walk.permit.repository(), walk.tag, consistency).await?;
        let status = self.settled(view, &entry, walk.now)?;
        if let Need::After(confirmed) = walk.need
            && entry.checked_at <= confirmed
        {
            return None;
        }
        let manifest = self.load(walk.permit, view, &entry.digest, consistency).await?;
        self.learn(walk, view, entry);
        Some((manifest, status))
    }

    async fn ask_upstream(
        &self,
        walk: &Walk<'_>,
        view: &Arc<UpstreamView>,
        entry: &EntryRef,
        patience: Patience,
    ) -> Result<Answer<Found>, FetchError> {
        let (mut held, waited) = match self.manifests.turn(view, entry, patience).await? {
            Turn::Ours(held) => (Some(held), false),
            Turn::After(held) => (Some(held), true),
            Turn::Unrecorded | Turn::Stored(_) => (None, false),
        };
        // Who held it before us may have asked, and have ended between our look at the tag and our wish for the lease. What
        // a node shows now is from after the grant. Nobody waits for a check ahead, so that it can afford to be sure.
        let is_careful = waited || walk.need != Need::Fresh;
        let consistency = if is_careful { Consistency::Linearizable } else { Consistency::Local };
        if (is_careful || held.is_some())
            && let Some((manifest, _)) = self.recorded(walk, view, consistency).await
        {
            return Ok(Answer::Here((manifest, CacheStatus::Collapsed)));
        }
        // Registries count the GETs of manifests. A HEAD tells whether one is needed: where there is a copy, or the repository
        // has other manifests, of which this tag may name one.
        if walk.copy.is_some() || self.tools.catalog.has_manifests(view, walk.permit.repository()) {
            match self.head(walk, view, &mut held, patience).await? {
                Headed::Here(found) => return Ok(Answer::Here(found)),
                Headed::NotHere(not_here) => return Ok(Answer::NotHere(not_here)),
                Headed::Other => {}
            }
        }
        let names = |digest, etag| self.names(walk, digest, etag);
        let fetched = self
            .manifests
            .fetch(view, entry, &mut held, |got| Some(names(got.digest, got.etag.clone())), patience)
            .await?;
        match fetched {
            Answer::NotHere(not_here) => {
                self.gone(walk, view, held);
                Ok(Answer::NotHere(not_here))
            }
            Answer::Here(manifest) => {
                self.learn(walk, view, self.new_entry(walk, view, manifest.digest));
                Ok(Answer::Here((manifest, CacheStatus::Miss)))
            }
        }
    }

    /// HEAD: the tag names a manifest that is here, or it does not.
    async fn head(
        &self,
        walk: &Walk<'_>,
        view: &Arc<UpstreamView>,
        held: &mut Option<Held>,
        patience: Patience,
    ) -> Result<Headed, FetchError> {
        let repository = walk.permit.repository();
        let head = self.tools.client.head_manifest(view, repository, &walk.reference, patience).await;
        let head = match head.map_err(|fault| upstream_fault(view, fault))? {
            Answer::Here(head) => head,
            Answer::NotHere(not_here) => {
                self.gone(walk, view, held.take());
                return Ok(Headed::NotHere(not_here));
            }
        };
        let Some(digest) = head.digest else { return Ok(Headed::Other) };
        let found = match walk.copy_of(view).filter(|copy| copy.entry.digest == digest) {
            Some(copy) => (copy.manifest.clone(), CacheStatus::Revalidated),
            None => match self.load(walk.permit, view, &digest, Consistency::Local).await {
                Some(manifest) => (manifest, CacheStatus::KnownDigest),
                None => return Ok(Headed::Other),
            },
        };
        let entry = entry_of(view, repository, walk.reference.clone());
        self.manifests.confirm(view, entry, held.take(), self.names(walk, digest, head.etag));
        self.learn(walk, view, self.new_entry(walk, view, digest));
        Ok(Headed::Here(found))
    }

    /// Records that the upstream no longer has what we hold a copy of.
    fn gone(&self, walk: &Walk<'_>, view: &Arc<UpstreamView>, held: Option<Held>) {
        if walk.copy_of(view).is_some() {
            let entry = entry_of(view, walk.permit.repository(), walk.reference.clone());
            self.manifests.confirm(view, entry, held, TagVerdict::Gone);
        }
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
            age: Duration::ZERO,
        }
    }

    fn new_entry(&self, walk: &Walk<'_>, view: &UpstreamView, digest: Digest) -> TagEntry {
        let earlier = walk.copy_of(view).map(|copy| &copy.entry);
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

    fn learn(&self, walk: &Walk<'_>, view: &UpstreamView, entry: TagEntry) {
        let routing = walk.permit.registry().registry.routing;
        self.tools.catalog.learn_tag(walk.era, walk.name, KnownTag { upstream: view.upstream.id, entry, routing });
    }

    /// The upstream no longer has a tag that we hold. `None` where the copy must not be served any more.
    fn vanished(&self, walk: &Walk<'_>, copy: &CachedCopy) -> Option<Resolved> {
        let since = copy.entry.gone_since.unwrap_or(walk.now);
        let (registry, repository) = (walk.permit.registry().registry.id, &walk.name.repository);
        if is_gone_for_good(&copy.view, since, walk.now) {
            info!(%registry, %repository, tag = %walk.tag, upstream = %copy.view.upstream.id, "a tag is gone upstream");
            return None;
        }
        warn!(
            %registry, %repository, tag = %walk.tag, upstream = %copy.view.upstream.id,
            "a tag is gone upstream: the cached copy is served"
        );
        let gone = TagEntry { gone_since: Some(since), ..copy.entry.clone() };
        self.learn(walk, &copy.view, gone);
        Some(self.stale(copy, "not-found"))
    }

    fn serve_stale(&self, walk: &Walk<'_>, copy: &CachedCopy, error: &FetchError) -> Resolved {
        let (registry, repository) = (walk.permit.registry().registry.id, &walk.name.repository);
        warn!(%registry, %repository, tag = %walk.tag, %error, "the upstream cannot say: the cached copy is served");
        self.stale(copy, error.reason())
    }
}
