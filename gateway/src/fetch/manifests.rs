//! Manifests: small, opaque bytes, kept in memory under a budget of their own, fetched whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt as _;
use moka::sync::Cache;
use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::entry::{ContentKind, EntryRef, ObjectKey};
use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::domain::image::{Reference, RepositoryName};
use roadstead_proto::domain::lease::{Completion, FencingToken, LeaseKey, TagVerdict};
use roadstead_proto::domain::limits;
use roadstead_proto::domain::media::MediaType;
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::meta::Consistency;
use roadstead_storage::blob::Body;
use sha1::Digest as _;
use tracing::{debug, warn};

use super::Tools;
use super::error::{FetchError, upstream_fault};
use super::later::Deferred;
use super::record::Content;
use crate::catalog::{Era, Known};
use crate::labels::Labels;
use crate::lease::{Held, Lease};
use crate::manifest;
use crate::meta::snapshot::UpstreamView;
use crate::upstream::client::Patience;
use crate::upstream::content::FetchedManifest;
use crate::upstream::error::Answer;
use crate::upstream::standing::Circuit;

/// A manifest as it is served: never rewritten.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Computed from the bytes.
    pub digest: Digest,
    /// As the upstream sent it, byte for byte.
    pub media_type: MediaType,
    /// The bytes.
    pub bytes: Bytes,
    /// What its headers say.
    pub labels: Labels,
    /// Whether a client has taken it since an upstream was asked for it.
    pub news: News,
}

/// Whether something is new to clients, however many copies of it there are. Clients often ask by HEAD first, which takes
/// nothing.
#[derive(Debug, Clone)]
pub struct News(Arc<AtomicBool>);

impl News {
    fn new(is_new: bool) -> Self {
        Self(Arc::new(AtomicBool::new(is_new)))
    }

    /// A client takes it: whether it is the first.
    pub fn take(&self) -> bool {
        // Nearly always false, and then nothing is written.
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed)
    }
}

/// A manifest in memory: all of it that is the digest's own, and no upstream's.
#[derive(Debug, Clone)]
struct InMemory {
    bytes: Bytes,
    labels: Labels,
    news: News,
}

/// The manifests of every registry.
pub struct Manifests {
    tools: Tools,
    /// By digest; whoever reads it has checked the right to it.
    memory: Cache<Digest, InMemory>,
}

impl std::fmt::Debug for Manifests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Manifests")
    }
}

/// What stands between a wish and asking the upstream.
#[derive(Debug)]
pub(crate) enum Turn {
    /// The lease is ours.
    Ours(Held),
    /// The metadata is away: ask, and record nothing.
    Unrecorded,
    /// Another gateway has just finished: what it recorded may do.
    After(Held),
    /// The bytes are stored and the right holds.
    Stored(Known),
}

/// Where a result is recorded.
enum Place {
    /// Under the lease that is held.
    Lease(Held),
    /// When the metadata is back.
    Later(LeaseKey),
}

/// Bytes a cached manifest costs beside its own.
const CACHE_OVERHEAD: u32 = 600;

impl Manifests {
    /// No manifest in memory, and `memory` bytes for them.
    pub fn new(tools: Tools, memory: u64) -> Self {
        let weigh = |_: &Digest, manifest: &InMemory| {
            u32::try_from(manifest.bytes.len()).unwrap_or(u32::MAX).saturating_add(CACHE_OVERHEAD)
        };
        Self { tools, memory: Cache::builder().weigher(weigh).max_capacity(memory).build() }
    }

    /// The manifest of a digest that (upstream, repository) has the right to: from memory, else from storage, where it
    /// is hashed as it comes. `None` where it cannot be read; the caller asks the upstream.
    pub async fn load(&self, digest: &Digest, known: &Known) -> Option<Manifest> {
        if let Some(manifest) = self.in_memory(digest, known) {
            return Some(manifest);
        }
        if known.right.kind != ContentKind::Manifest {
            return None;
        }
        let bytes = self.load_stored(digest, known).await?;
        Some(self.keep(*digest, known.right.media_type.clone(), bytes, false))
    }

    /// The same from memory alone.
    pub fn in_memory(&self, digest: &Digest, known: &Known) -> Option<Manifest> {
        if known.right.kind != ContentKind::Manifest {
            return None;
        }
        let InMemory { bytes, labels, news } = self.memory.get(digest)?;
        Some(Manifest { digest: *digest, media_type: known.right.media_type.clone(), bytes, labels, news })
    }

    fn keep(&self, digest: Digest, media_type: MediaType, bytes: Bytes, is_new: bool) -> Manifest {
        let (labels, news) = (Labels::of(&digest), News::new(is_new));
        self.memory.insert(digest, InMemory { bytes: bytes.clone(), labels: labels.clone(), news: news.clone() });
        Manifest { digest, media_type, bytes, labels, news }
    }

    async fn load_stored(&self, digest: &Digest, known: &Known) -> Option<Bytes> {
        let location = known.location.filter(|location| location.size <= limits::MANIFEST_MAX_BYTES)?;
        let whole = self.tools.store.get(&location.key, location.size, 0..location.size).await;
        let gathered = match whole {
            Ok(stream) => stream.try_fold(BytesMut::new(), |mut all, piece| async move {
                all.extend_from_slice(&piece);
                Ok(all)
            }),
            Err(error) => {
                warn!(object = %location.key, %error, "a recorded manifest cannot be read");
                return None;
            }
        };
        let bytes = gathered.await.ok()?.freeze();
        if Digest::of(digest.algorithm(), &bytes) != *digest {
            warn!(object = %location.key, "a recorded manifest is damaged");
            return None;
        }
        Some(bytes)
    }

    /// The manifest of a digest, copied from another region, where (upstream, repository) has the right to it and it is not stored
    /// here. It is stored here behind. `None` where there is no copy, or not in time.
    pub(crate) async fn copy(
        &self,
        view: &Arc<UpstreamView>,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Option<Manifest> {
        let Tools { regions, catalog, .. } = &self.tools;
        if regions.is_empty() {
            return None;
        }
        let era = catalog.era();
        let views = std::slice::from_ref(view);
        let looked_up = catalog.look_up_among(views, repository, digest, Consistency::Local).await.ok()?;
        let (_, right) = looked_up.elsewhere.entitled.into_iter().next()?;
        if right.kind != ContentKind::Manifest || right.size > limits::MANIFEST_MAX_BYTES {
            return None;
        }
        let bytes = regions.read(&looked_up.elsewhere.copies).await?;
        if Digest::of(digest.algorithm(), &bytes) != *digest {
            warn!(%digest, "another region's copy of a manifest is damaged");
            return None;
        }
        let children = manifest::children(&bytes);
        catalog.learn_children(view, repository, &children);
        catalog.learn_of(era, view, repository, digest, Known { right: right.clone(), location: None });
        let manifest = self.keep(*digest, right.media_type.clone(), bytes.clone(), false);
        let content = Content {
            entry: entry_of(view, repository, Reference::Digest(*digest)),
            upstream_epoch: view.upstream.epoch,
            object: ObjectKey { digest: *digest, token: FencingToken(0) },
            size: right.size,
            media_type: right.media_type,
            kind: right.kind,
            sha1: right.sha1,
            children,
            replaces: None,
            copied: true,
            began: Revision(0),
        };
        self.store_copy(Arc::clone(view), era, content, bytes);
        Some(manifest)
    }

    /// Makes a copy this region's own, where nobody else does. Nothing is lost where that fails: it is copied again.
    fn store_copy(&self, view: Arc<UpstreamView>, era: Era, mut content: Content, bytes: Bytes) {
        let tools = self.tools.clone();
        let unrecorded = self.tools.metrics.unrecorded();
        self.tools.tasks.spawn(async move {
            let _unrecorded = unrecorded;
            let (key, entry) = (LeaseKey::Manifest(content.entry.clone()), content.entry.clone());
            let Ok(Lease::Held(held)) = tools.session.acquire(key, entry, content.upstream_epoch, None).await else {
                return;
            };
            (content.object.token, content.began) = (held.token, Revision(held.token.0));
            let body = Body::vouched(Box::pin(futures::stream::iter([Ok(bytes)])));
            if !tools.store_object(&content.object, body).await {
                return;
            }
            let (repository, digest) = (content.entry.repository.clone(), content.object.digest);
            if let Some(known) = tools.record(held, content, None).await {
                tools.catalog.learn_of(era, &view, &repository, &digest, known);
            }
        });
    }

    /// Waits for the turn to ask an upstream about an entry. No turn comes to an upstream that is left alone.
    pub(crate) async fn turn(
        &self,
        view: &UpstreamView,
        entry: &EntryRef,
        patience: Patience,
    ) -> Result<Turn, FetchError> {
        if let Some(fault) = self.tools.client.left_alone(view, Circuit::Manifests) {
            return Err(upstream_fault(view, fault));
        }
        if self.tools.session.is_away() {
            return Ok(Turn::Unrecorded);
        }
        let mut waited = false;
        // What was tried and could not be loaded must not be offered again.
        let distrusts = self.unreadable(view, entry).await;
        loop {
            let key = LeaseKey::Manifest(entry.clone());
            match self.tools.session.acquire(key, entry.clone(), view.upstream.epoch, distrusts).await {
                Ok(Lease::Held(held)) if waited => return Ok(Turn::After(held)),
                Ok(Lease::Held(held)) => return Ok(Turn::Ours(held)),
                Ok(Lease::Stored(stored)) => {
                    let (location, right) = *stored;
                    return Ok(Turn::Stored(Known { right, location: Some(location) }));
                }
                Ok(Lease::Elsewhere(_)) if patience.left().is_zero() => return Err(FetchError::Elsewhere),
                Ok(Lease::Elsewhere(holder)) => {
                    waited = true;
                    self.tools.session.ended(&LeaseKey::Manifest(entry.clone()), &holder, patience.left()).await;
                }
                Err(error) => {
                    warn!(%error, "no lease: asking the upstream without recording");
                    return Ok(Turn::Unrecorded);
                }
            }
        }
    }

    async fn unreadable(&self, view: &UpstreamView, entry: &EntryRef) -> Option<FencingToken> {
        let digest = entry.reference.digest()?;
        let known = self.tools.catalog.known(view, &entry.repository, digest)?;
        known.location.map(|location| location.key.token)
    }

    /// GETs a manifest from an upstream. What came is usable at once; storing and recording go on behind, and take the
    /// lease with them. It stays with the caller where there was nothing to record.
    pub(crate) async fn fetch(
        &self,
        view: &Arc<UpstreamView>,
        entry: &EntryRef,
        held: &mut Option<Held>,
        verdict: impl FnOnce(&FetchedManifest) -> Option<TagVerdict>,
        patience: Patience,
    ) -> Result<Answer<Manifest>, FetchError> {
        let era = self.tools.catalog.era();
        let answer = self.tools.client.manifest(view, &entry.repository, &entry.reference, patience).await;
        let fetched = match answer.map_err(|fault| upstream_fault(view, fault))? {
            Answer::Here(fetched) => fetched,
            Answer::NotHere(not_here) => return Ok(Answer::NotHere(not_here)),
        };
        // As of now, however long it takes to keep it.
        let tag = verdict(&fetched).map(|verdict| (verdict, self.tools.clock.now()));
        let content = Content {
            entry: entry.clone(),
            upstream_epoch: view.upstream.epoch,
            object: ObjectKey {
                digest: fetched.digest,
                token: match held {
                    Some(held) => held.token,
                    None => FencingToken::provisional((self.tools.random)()),
                },
            },
            size: fetched.bytes.len() as u64,
            media_type: fetched.media_type.clone(),
            kind: ContentKind::Manifest,
            sha1: Some(sha1::Sha1::digest(&fetched.bytes).into()),
            children: manifest::children(&fetched.bytes),
            replaces: self.unreadable(view, &digest_entry(entry, fetched.digest)).await,
            copied: false,
            began: held.as_ref().map_or(self.tools.snapshots.reached(), |held| Revision(held.token.0)),
        };
        let (catalog, repository) = (&self.tools.catalog, &entry.repository);
        let known = Known { right: content.right(self.tools.clock.now()), location: None };
        let manifest = self.keep(fetched.digest, fetched.media_type, fetched.bytes.clone(), true);
        catalog.learn_children(view, repository, &content.children);
        catalog.learn_of(era, view, repository, &fetched.digest, known);
        let place = match held.take() {
            Some(held) => Some(Place::Lease(held)),
            None => self.tools.session.is_away().then(|| Place::Later(LeaseKey::Manifest(entry.clone()))),
        };
        if let Some(place) = place {
            self.store_and_record((Arc::clone(view), era), place, content, fetched.bytes, tag);
        }
        Ok(Answer::Here(manifest))
    }

    fn store_and_record(
        &self,
        (view, era): (Arc<UpstreamView>, Era),
        place: Place,
        content: Content,
        bytes: Bytes,
        tag: Option<(TagVerdict, Timestamp)>,
    ) {
        let tools = self.tools.clone();
        let unrecorded = self.tools.metrics.unrecorded();
        self.tools.tasks.spawn(async move {
            let _unrecorded = unrecorded;
            // Hashed on arrival, from these very bytes.
            let body = Body::vouched(Box::pin(futures::stream::iter([Ok(bytes)])));
            if !tools.store_object(&content.object, body).await {
                return;
            }
            let (repository, digest) = (content.entry.repository.clone(), content.object.digest);
            let known = match place {
                Place::Lease(held) => tools.record(held, content, tag).await,
                Place::Later(key) => Some(tools.record_later(key, content, tag)),
            };
            if let Some(known) = known {
                tools.catalog.learn_of(era, &view, &repository, &digest, known);
            }
        });
    }

    /// Records what an upstream said of a tag whose content is known already; without a lease, when the metadata is back.
    pub(crate) fn confirm(&self, view: &UpstreamView, entry: EntryRef, held: Option<Held>, verdict: TagVerdict) {
        let Some(held) = held else {
            if self.tools.session.is_away() {
                self.tools.later.push(Deferred {
                    key: LeaseKey::Manifest(entry.clone()),
                    entry,
                    upstream_epoch: view.upstream.epoch,
                    began: self.tools.snapshots.reached(),
                    content: None,
                    tag: Some((verdict, self.tools.clock.now())),
                    _unrecorded: self.tools.metrics.unrecorded(),
                });
            }
            return;
        };
        self.tools.tasks.spawn(async move {
            let build = |key, token: FencingToken| Completion {
                key,
                token,
                began: Revision(token.0),
                entry,
                delivered: None,
                tag: Some(verdict),
            };
            if let Err(error) = held.complete(build).await {
                debug!(%error, "a tag's confirmation could not be recorded");
            }
        });
    }
}

pub(crate) fn digest_entry(entry: &EntryRef, digest: Digest) -> EntryRef {
    EntryRef { upstream: entry.upstream, repository: entry.repository.clone(), reference: Reference::Digest(digest) }
}

/// The entry of a reference in an upstream's cache.
pub(crate) fn entry_of(view: &UpstreamView, repository: &RepositoryName, reference: Reference) -> EntryRef {
    EntryRef { upstream: view.upstream.id, repository: repository.clone(), reference }
}
