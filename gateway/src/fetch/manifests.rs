//! Manifests: small, opaque bytes, kept in memory under a budget of their own, fetched whole.

use std::sync::Arc;
use std::time::Duration;

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
use roadstead_storage::blob::Body;
use sha1::Digest as _;
use tracing::{debug, warn};

use super::Tools;
use super::error::{FetchError, upstream_fault};
use super::record::Content;
use crate::catalog::Known;
use crate::labels::Labels;
use crate::lease::{Held, Lease};
use crate::manifest;
use crate::meta::snapshot::UpstreamView;
use crate::upstream::client::Patience;
use crate::upstream::content::FetchedManifest;
use crate::upstream::error::Answer;

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
}

/// A manifest in memory: all of it that is the digest's own, and no upstream's.
#[derive(Debug, Clone)]
struct InMemory {
    bytes: Bytes,
    labels: Labels,
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

/// Pause between two looks at a lease that another gateway holds.
const ELSEWHERE_PAUSE: Duration = Duration::from_millis(100);
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
        Some(self.keep(*digest, known.right.media_type.clone(), bytes))
    }

    /// The same from memory alone.
    pub fn in_memory(&self, digest: &Digest, known: &Known) -> Option<Manifest> {
        if known.right.kind != ContentKind::Manifest {
            return None;
        }
        let InMemory { bytes, labels } = self.memory.get(digest)?;
        Some(Manifest { digest: *digest, media_type: known.right.media_type.clone(), bytes, labels })
    }

    fn keep(&self, digest: Digest, media_type: MediaType, bytes: Bytes) -> Manifest {
        let labels = Labels::of(&digest);
        self.memory.insert(digest, InMemory { bytes: bytes.clone(), labels: labels.clone() });
        Manifest { digest, media_type, bytes, labels }
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

    /// Waits for the turn to ask an upstream about an entry.
    pub(crate) async fn turn(
        &self,
        view: &UpstreamView,
        entry: &EntryRef,
        patience: Patience,
    ) -> Result<Turn, FetchError> {
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
                Ok(Lease::Elsewhere) if patience.left().is_zero() => return Err(FetchError::Elsewhere),
                Ok(Lease::Elsewhere) => {
                    waited = true;
                    tokio::time::sleep(ELSEWHERE_PAUSE.min(patience.left())).await;
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

    /// GETs a manifest from an upstream. What came is usable at once; storing and recording go on behind.
    pub(crate) async fn fetch(
        &self,
        view: &Arc<UpstreamView>,
        entry: &EntryRef,
        held: Option<Held>,
        verdict: impl FnOnce(&FetchedManifest) -> Option<TagVerdict>,
        patience: Patience,
    ) -> Result<Answer<Manifest>, FetchError> {
        let answer = self.tools.client.manifest(view, &entry.repository, &entry.reference, patience).await;
        let fetched = match answer.map_err(|fault| upstream_fault(view, fault))? {
            Answer::Here(fetched) => fetched,
            Answer::NotHere(not_here) => return Ok(Answer::NotHere(not_here)),
        };
        let tag = verdict(&fetched);
        let content = Content {
            entry: entry.clone(),
            upstream_epoch: view.upstream.epoch,
            object: ObjectKey {
                digest: fetched.digest,
                token: held.as_ref().map_or(FencingToken(0), |held| held.token),
            },
            size: fetched.bytes.len() as u64,
            media_type: fetched.media_type.clone(),
            kind: ContentKind::Manifest,
            sha1: Some(sha1::Sha1::digest(&fetched.bytes).into()),
            children: manifest::children(&fetched.bytes),
            replaces: self.unreadable(view, &digest_entry(entry, fetched.digest)).await,
        };
        let (catalog, repository) = (&self.tools.catalog, &entry.repository);
        let known = Known { right: content.right(self.tools.clock.now()), location: None };
        let manifest = self.keep(fetched.digest, fetched.media_type, fetched.bytes.clone());
        catalog.learn_children(view, repository, &content.children);
        catalog.learn(view, repository, &fetched.digest, known);
        if let Some(held) = held {
            self.store_and_record(Arc::clone(view), held, content, fetched.bytes, tag);
        }
        Ok(Answer::Here(manifest))
    }

    fn store_and_record(
        &self,
        view: Arc<UpstreamView>,
        held: Held,
        content: Content,
        bytes: Bytes,
        tag: Option<TagVerdict>,
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
            if let Some(known) = tools.record(held, content, tag).await {
                tools.catalog.learn(&view, &repository, &digest, known);
            }
        });
    }

    /// Records what an upstream said of a tag whose content is known already.
    pub(crate) fn confirm(&self, entry: EntryRef, held: Held, verdict: TagVerdict) {
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
