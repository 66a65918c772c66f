//! Blobs: whose bytes they are, and where they come from.
//!
//! The order is memory, metadata, a running download, a new one. Neither stored bytes nor a running download are used
//! for an (upstream, repository) that has not earned the right to them (architecture §4, "Whose blob is it").

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::entry::{BlobLocation, ContentKind, Descriptor, EntryRef, ObjectKey};
use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::domain::image::{Reference, RepositoryName};
use roadstead_proto::domain::lease::{EarnedByHead, FencingToken};
use roadstead_proto::domain::limits;
use roadstead_proto::domain::media::MediaType;
use roadstead_proto::domain::registry::UpstreamId;
use roadstead_proto::domain::upstream::{OnError, SourceId};
use roadstead_proto::meta::MetaStore;
use roadstead_proto::state::command::Command;
use roadstead_storage::blob::BlobStream;
use roadstead_storage::error::{Kind, StorageError};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use super::Tools;
use super::error::{FetchError, FillFailure};
use super::fill::{Fill, Phase, Reach};
use super::lead::{Finish, Lead};
use super::spool::SpoolSpace;
use crate::cache_status::CacheStatus;
use crate::catalog::{Known, LookedUp};
use crate::meta::snapshot::UpstreamView;
use crate::policy::Permit;
use crate::upstream::client::Patience;
use crate::upstream::error::Answer;

/// Bytes on their way to a client.
pub type BlobBytes = BoxStream<'static, Result<Bytes, BodyFailure>>;

/// A body broke off: the client's connection is aborted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BodyFailure {
    /// The download did.
    #[error(transparent)]
    Fill(#[from] FillFailure),
    /// Object storage did.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Where a blob's bytes come from.
#[derive(Debug, Clone)]
pub struct Source {
    /// The upstream whose cache it is.
    pub upstream: UpstreamId,
    /// Its size, where known.
    pub size: Option<u64>,
    /// How it came about.
    pub status: CacheStatus,
    pub(super) origin: ByteOrigin,
}

#[derive(Debug, Clone)]
pub(super) enum ByteOrigin {
    Stored(BlobLocation),
    /// A running download, and the size that was promised of it.
    Fill(Arc<Fill>, Option<u64>),
}

/// How often a joiner looks for another download after one that was not its own failed.
const JOIN_ATTEMPTS: usize = 3;

/// An object that is recorded but could not be read: what to tell the next attempt.
#[derive(Debug, Clone, Copy)]
pub struct Lost {
    /// Which: to be replaced by a new download.
    pub object: FencingToken,
}

pub(super) type FillKey = (SourceId, Digest);

/// The blobs of every registry.
pub struct Blobs {
    pub(super) tools: Tools,
    meta: Arc<dyn MetaStore>,
    space: SpoolSpace,
    running: Mutex<HashMap<FillKey, Arc<Fill>>>,
    /// Turns to download: memory is bounded however many blobs are wanted at once.
    pub(super) turns: Arc<Semaphore>,
}

impl std::fmt::Debug for Blobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blobs").field("running", &self.running().len()).finish_non_exhaustive()
    }
}

impl Blobs {
    /// No blob, no download.
    pub fn new(tools: Tools, meta: Arc<dyn MetaStore>, space: SpoolSpace) -> Self {
        Self { tools, meta, space, running: Mutex::default(), turns: Arc::new(Semaphore::new(limits::FILLS_MAX)) }
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

    /// The upstreams to ask, in order: those whose manifests name the digest, then the others.
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
        let mut candidates: Vec<_> = named.into_iter().map(|(view, child)| (view, size(&child))).collect();
        // Who has the right has delivered it before: where its object was lost, it is asked again. Then everybody else in
        // order: who names a digest comes first, and that is all, or it could hide what another has.
        let known = looked_up.known.iter().map(|(view, known)| (view, Some(known.right.size)));
        for (view, size) in known.chain(registry.upstreams.iter().map(|view| (view, None))) {
            if !candidates.iter().any(|(candidate, _)| candidate.upstream.id == view.upstream.id) {
                candidates.push((Arc::clone(view), size));
            }
        }
        candidates
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
            if self.tools.catalog.not_here(&view, repository, &reference, now).is_some() {
                continue;
            }
            let wanted = Wanted { view: &view, repository, digest, size, lost };
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

    async fn from_upstream(
        self: &Arc<Self>,
        wanted: Wanted<'_>,
        looked_up: &LookedUp,
    ) -> Result<Answer<Source>, FetchError> {
        let Wanted { view, repository, digest, lost, .. } = wanted;
        if lost.is_none() && looked_up.delivered.contains(&view.upstream.id) {
            match self.earn_by_head(&wanted, looked_up.revision).await? {
                Answer::Here(Some(source)) => return Ok(Answer::Here(source)),
                Answer::Here(None) => {}
                Answer::NotHere(not_here) => return Ok(Answer::NotHere(not_here)),
            }
        }
        for _ in 0..JOIN_ATTEMPTS {
            let (fill, led) = self.join_or_lead(&wanted);
            if !led && !fill.admits(view.upstream.id, repository) {
                let patience = Patience::lasting(self.tools.timeouts.answer);
                match self.tools.client.head_blob(view, repository, digest, patience).await {
                    Ok(Answer::Here(_)) => fill.admit(view.upstream.id, repository.clone()),
                    Ok(Answer::NotHere(not_here)) => return Ok(Answer::NotHere(not_here)),
                    Err(fault) => return Err(upstream_fault(view, fault)),
                }
            }
            let status = if led { CacheStatus::Miss } else { CacheStatus::Collapsed };
            match await_headers(&wanted, Arc::clone(&fill), status, self.tools.timeouts.headers).await {
                // What the upstream said to another repository is not said to this one.
                Ok(Answer::NotHere(_)) | Err(_) if !fill.is_led_for(view.upstream.id, repository) => {
                    self.take_off(&(view.source.clone(), *digest), &fill);
                }
                answered => return answered,
            }
        }
        Err(FetchError::Abandoned)
    }

    /// The running download of a digest from a source, or a new one that this caller leads.
    fn join_or_lead(self: &Arc<Self>, wanted: &Wanted<'_>) -> (Arc<Fill>, bool) {
        let Wanted { view, repository, digest, lost, .. } = *wanted;
        let key = (view.source.clone(), *digest);
        let fill = {
            let mut running = self.running();
            if let Some(fill) = running.get(&key) {
                return (Arc::clone(fill), false);
            }
            let fill = Arc::new(Fill::new(*digest, self.space.spool(), view.upstream.id, repository.clone()));
            running.insert(key.clone(), Arc::clone(&fill));
            fill
        };
        let lead = Lead {
            finish: Finish::new(Arc::clone(self), key, Arc::clone(&fill)),
            view: Arc::clone(view),
            repository: repository.clone(),
            digest: *digest,
            replaces: lost.map(|lost| lost.object),
        };
        self.tools.tasks.spawn(lead.run());
        (fill, true)
    }

    /// Takes a fill off the map, unless another is there by now.
    pub(super) fn take_off(&self, key: &FillKey, fill: &Arc<Fill>) {
        let mut running = self.running();
        if running.get(key).is_some_and(|there| Arc::ptr_eq(there, fill)) {
            running.remove(key);
        }
    }

    /// Earns the right to stored bytes of the same origin. `Here(None)` where the bytes turn out not to be usable.
    async fn earn_by_head(&self, wanted: &Wanted<'_>, began: Revision) -> Result<Answer<Option<Source>>, FetchError> {
        let Wanted { view, repository, digest, .. } = *wanted;
        let patience = Patience::lasting(self.tools.timeouts.answer);
        match self.tools.client.head_blob(view, repository, digest, patience).await {
            Ok(Answer::Here(_)) => {}
            Ok(Answer::NotHere(not_here)) => return Ok(Answer::NotHere(not_here)),
            Err(fault) => return Err(upstream_fault(view, fault)),
        }
        let command = Command::EarnRight(EarnedByHead {
            entry: entry(wanted),
            upstream_epoch: view.upstream.epoch,
            began,
            region: self.tools.session.region().clone(),
            media_type: MediaType::octet_stream(),
            kind: ContentKind::Blob,
        });
        if let Err(error) = self.meta.propose(command).await {
            debug!(%error, %digest, "a right could not be recorded; downloading instead");
            return Ok(Answer::Here(None));
        }
        // Read back, so that the right in memory is the one that was recorded.
        let known = self.look_up_one(view, repository, digest).await;
        Ok(Answer::Here(known.and_then(|known| stored(view, &known))))
    }

    async fn look_up_one(
        &self,
        view: &Arc<UpstreamView>,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Option<Known> {
        self.tools.catalog.look_up_at(view, repository, digest).await.ok().flatten()
    }

    /// Opens the bytes of `range`, the first of them in hand.
    pub async fn open(self: &Arc<Self>, source: &Source, range: Range<u64>) -> Result<BlobBytes, Lost> {
        match &source.origin {
            ByteOrigin::Fill(fill, promised) => Ok(Arc::clone(fill)
                .stream(range, Reach::Released(*promised))
                .map(|item| item.map_err(BodyFailure::from))
                .boxed()),
            ByteOrigin::Stored(location) => match self.tools.store.get(&location.key, location.size, range).await {
                Ok(bytes) => Ok(self.watched(location.key, bytes)),
                Err(error) => {
                    warn!(
                        object = %location.key,
                        error = &error as &dyn std::error::Error,
                        "a recorded object cannot be read"
                    );
                    self.distrust(location.key, &error).await;
                    Err(Lost { object: location.key.token })
                }
            },
        }
    }

    async fn distrust(&self, object: ObjectKey, error: &StorageError) {
        // An outage says nothing about the object.
        if matches!(error.kind(), Kind::NotFound | Kind::Corrupt) {
            self.tools.catalog.distrust(object);
        }
    }

    /// Stored bytes; damage that shows in the middle breaks this body off, and the next pull replaces the object.
    fn watched(self: &Arc<Self>, object: ObjectKey, bytes: BlobStream) -> BlobBytes {
        let blobs = Arc::clone(self);
        bytes
            .then(move |item| {
                let blobs = Arc::clone(&blobs);
                async move {
                    if let Err(error) = &item {
                        blobs.distrust(object, error).await;
                    }
                    item.map_err(BodyFailure::from)
                }
            })
            .boxed()
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

/// A blob that is wanted of one upstream.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    view: &'a Arc<UpstreamView>,
    repository: &'a RepositoryName,
    digest: &'a Digest,
    /// What a manifest says of its size.
    size: Option<u64>,
    lost: Option<Lost>,
}

fn entry(wanted: &Wanted<'_>) -> EntryRef {
    EntryRef {
        upstream: wanted.view.upstream.id,
        repository: wanted.repository.clone(),
        reference: Reference::Digest(*wanted.digest),
    }
}

fn stored(view: &UpstreamView, known: &Known) -> Option<Source> {
    let location = known.location?;
    Some(Source {
        upstream: view.upstream.id,
        size: Some(location.size),
        status: CacheStatus::Hit,
        origin: ByteOrigin::Stored(location),
    })
}

pub(crate) fn upstream_fault(view: &UpstreamView, fault: crate::upstream::error::Fault) -> FetchError {
    FetchError::Upstream { upstream: view.upstream.settings.name.clone(), fault }
}

/// Waits for what a fill's headers need: the upstream's status, or, where the manifest told the size, at most
/// `headers`. Clients give up on headers that do not come; a later failure aborts the body.
async fn await_headers(
    wanted: &Wanted<'_>,
    fill: Arc<Fill>,
    status: CacheStatus,
    headers: Duration,
) -> Result<Answer<Source>, FetchError> {
    let upstream = wanted.view.upstream.id;
    let source = |size| Source { upstream, size, status, origin: ByteOrigin::Fill(Arc::clone(&fill), size) };
    let phase = match wanted.size {
        None => fill.answered().await,
        Some(size) => match tokio::time::timeout(headers, fill.answered()).await {
            Ok(phase) => phase,
            Err(_) => return Ok(Answer::Here(source(Some(size)))),
        },
    };
    match phase {
        Phase::Stored(known) => match stored(wanted.view, &known) {
            Some(source) => Ok(Answer::Here(source)),
            None => Err(FetchError::Abandoned),
        },
        Phase::NotHere(not_here) => Ok(Answer::NotHere(not_here)),
        Phase::Open { size } => Ok(Answer::Here(source(size))),
        Phase::Verified { size } => Ok(Answer::Here(source(Some(size)))),
        Phase::Failed(failure) => Err(failure.into()),
        Phase::Asking => Err(FetchError::Abandoned),
    }
}
