//! The task behind a fill: lease, download and upload side by side, record. It belongs to no client.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::entry::{ContentKind, EntryRef, ObjectKey};
use roadstead_proto::domain::image::{Reference, RepositoryName};
use roadstead_proto::domain::lease::{FencingToken, LeaseKey};
use roadstead_proto::domain::limits;
use roadstead_proto::domain::media::MediaType;
use roadstead_storage::blob::Body;
use roadstead_storage::error::StorageError;
use roadstead_storage::staged::Staged;
use tokio::time::Instant;
use tracing::warn;

use super::blobs::{Blobs, FillKey};
use super::error::{FetchError, FillFailure};
use super::fill::{Fill, Phase, Reach};
use super::intake::Taken;
use super::join::Wanted;
use super::pump::Pump;
use super::record::Content;
use super::spool::SpoolError;
use crate::catalog::Known;
use crate::lease::{Held, Lease};
use crate::meta::snapshot::UpstreamView;
use crate::upstream::error::Answer;

/// Takes the fill off the map when its tasks end, however they end.
pub(super) struct Finish {
    blobs: Arc<Blobs>,
    key: FillKey,
    fill: Arc<Fill>,
}

impl Finish {
    pub(super) fn new(blobs: Arc<Blobs>, key: FillKey, fill: Arc<Fill>) -> Self {
        Self { blobs, key, fill }
    }
}

impl Drop for Finish {
    fn drop(&mut self) {
        self.blobs.take_off(&self.key, &self.fill);
        // For a task that panicked; a phase that was reached stays.
        self.fill.abandon();
        self.fill.class().end();
    }
}

/// Pause between two looks at a lease that another gateway holds.
const ELSEWHERE_PAUSE: Duration = Duration::from_millis(200);

/// The task behind a fill: lease, download, upload, record.
pub(super) struct Lead {
    pub(super) finish: Finish,
    pub(super) view: Arc<UpstreamView>,
    pub(super) repository: RepositoryName,
    pub(super) digest: Digest,
    /// What a manifest says of its size.
    pub(super) promised: Option<u64>,
    /// The object found missing or damaged that this download heals.
    pub(super) replaces: Option<FencingToken>,
    /// Another download of the same blob has moved on without being kept, and has the lease: this one is not recorded.
    pub(super) beside: bool,
}

impl Lead {
    pub(super) async fn run(self) {
        let fill = &self.finish.fill;
        let _turn = self.finish.blobs.turns.take(&self.view.source).await;
        let held = match self.lease().await {
            Ok(held) => held,
            Err(phase) => return self.found(phase).await,
        };
        if held.is_some()
            && let Some(phase) = self.delivered_meanwhile().await
        {
            return self.found(phase).await;
        }
        let tools = &self.finish.blobs.tools;
        let pump = Pump {
            client: &tools.client,
            timeouts: tools.timeouts,
            promised: self.promised,
            view: &self.view,
            repository: &self.repository,
            fill,
        };
        let body = match pump.open().await {
            Ok(Answer::Here(body)) => body,
            Ok(Answer::NotHere(not_here)) => return fill.enter(Phase::NotHere(not_here)),
            Err(failure) => return fill.enter(Phase::Failed(failure)),
        };
        let _unrecorded = tools.metrics.unrecorded();
        let running = tools.metrics.fill_began();
        fill.enter(Phase::Open { size: body.size });
        let object = held.as_ref().map(|held| ObjectKey { digest: self.digest, token: held.token });
        let Ok(staged) = self.stage(object.as_ref(), body.size).await else {
            // Nobody reads it, and it would not be kept.
            running.ended("not_stored");
            return fill.enter(Phase::Failed(FillFailure::Spool(SpoolError::Unread)));
        };
        // A body that is written where it will stay needs no upload beside it.
        let upload = object.filter(|_| staged.is_none());
        let (taken, is_uploaded) = tokio::join!(
            async {
                let taken = pump.run(body, staged).await;
                match &taken {
                    Ok(taken) => fill.enter(Phase::Verified { size: taken.size }),
                    Err(failure) => fill.enter(Phase::Failed(failure.clone())),
                }
                taken
            },
            self.upload(upload)
        );
        let taken = match taken {
            Ok(taken) => taken,
            Err(failure) => {
                // Of one that nobody asked for, whoever began it speaks.
                if !fill.class().is_unasked() {
                    warn!(digest = %self.digest, upstream = %self.view.upstream.id, %failure, "a download failed");
                }
                running.ended(failure.reason());
                return;
            }
        };
        let size = taken.size;
        let is_stored = is_uploaded || self.commit(object.filter(|_| upload.is_none()), taken).await;
        running.ended(if is_stored { "stored" } else { "not_stored" });
        if let (Some(held), true) = (held, is_stored) {
            let content = Content {
                entry: self.entry(),
                upstream_epoch: self.view.upstream.epoch,
                object: ObjectKey { digest: self.digest, token: held.token },
                size,
                media_type: MediaType::octet_stream(),
                kind: ContentKind::Blob,
                // A second hash would cost as much as everything else that happens to a byte; whoever shows one computes
                // it from the stored object.
                sha1: None,
                children: Vec::new(),
                replaces: self.replaces,
            };
            if let Some(known) = tools.record(held, content, None).await {
                tools.catalog.learn(&self.view, &self.repository, &self.digest, known);
                self.finish.blobs.earn_admitted(fill).await;
            }
        }
    }

    /// There is nothing to download.
    async fn found(&self, phase: Phase) {
        let fill = &self.finish.fill;
        let is_stored = matches!(phase, Phase::Stored(_));
        fill.enter(phase);
        if is_stored {
            self.finish.blobs.earn_admitted(fill).await;
        }
    }

    /// Another download may have delivered the same to another repository between the look at the metadata and the lease:
    /// then a HEAD does.
    async fn delivered_meanwhile(&self) -> Option<Phase> {
        let blobs = &self.finish.blobs;
        let (view, repository, digest) = (&self.view, &self.repository, &self.digest);
        if self.replaces.is_some() {
            return None;
        }
        let looked_up = blobs.tools.catalog.look_up_among(std::slice::from_ref(view), repository, digest).await.ok()?;
        if !looked_up.delivered.contains(&view.upstream.id) {
            return None;
        }
        let wanted = Wanted { view, repository, digest, size: self.promised, lost: None };
        match blobs.earn_by_head(&wanted, &looked_up).await {
            Ok(Answer::Here(known)) => known.map(|known| Phase::Stored(Box::new(known))),
            Ok(Answer::NotHere(not_here)) => Some(Phase::NotHere(not_here)),
            Err(FetchError::Upstream { upstream, fault }) => {
                Some(Phase::Failed(FillFailure::Upstream { upstream, fault }))
            }
            Err(_) => None,
        }
    }

    /// The store's own file for a body that memory will not hold. Without one the body goes by way of a spool.
    ///
    /// # Errors
    /// Where the store has no file for what nobody has asked for.
    async fn stage(&self, object: Option<&ObjectKey>, size: Option<u64>) -> Result<Option<Staged>, StorageError> {
        let object = object.filter(|_| size.is_none_or(|size| size > limits::SPOOL_MEMORY_PER_FILL));
        let Some(object) = object else { return Ok(None) };
        match self.finish.blobs.tools.store.stage(object).await {
            Err(error) if self.finish.fill.class().is_unasked() => Err(error),
            Err(error) => {
                warn!(%object, %error, "no file in the store: the download goes by way of the spool folder");
                Ok(None)
            }
            staged => staged,
        }
    }

    /// Makes what was written into the store's own file the object; a body that memory held is put.
    async fn commit(&self, object: Option<ObjectKey>, taken: Taken) -> bool {
        let Some(object) = object else { return false };
        match taken.staged {
            None if taken.is_whole => self.upload(Some(object)).await,
            None => false,
            Some(staged) => match self.finish.blobs.tools.store.commit(staged).await {
                Ok(_) => true,
                Err(error) => {
                    warn!(%object, %error, "not stored");
                    false
                }
            },
        }
    }

    fn entry(&self) -> EntryRef {
        EntryRef {
            upstream: self.view.upstream.id,
            repository: self.repository.clone(),
            reference: Reference::Digest(self.digest),
        }
    }

    /// The lease on the download; `None` where the metadata is away, and the download goes on unrecorded.
    async fn lease(&self) -> Result<Option<Held>, Phase> {
        if self.beside {
            return Ok(None);
        }
        let session = &self.finish.blobs.tools.session;
        let key =
            LeaseKey::Fill { region: session.region().clone(), source: self.view.source.clone(), digest: self.digest };
        let until = Instant::now() + self.finish.blobs.tools.timeouts.answer;
        loop {
            match session.acquire(key.clone(), self.entry(), self.view.upstream.epoch, self.replaces).await {
                Ok(Lease::Held(held)) => return Ok(Some(held)),
                Ok(Lease::Stored(stored)) => {
                    let (location, right) = *stored;
                    return Err(Phase::Stored(Box::new(Known { right, location: Some(location) })));
                }
                Ok(Lease::Elsewhere) if Instant::now() < until => tokio::time::sleep(ELSEWHERE_PAUSE).await,
                Ok(Lease::Elsewhere) => return Err(Phase::Failed(FillFailure::Elsewhere)),
                // Bytes that nobody waits for would be lost.
                Err(_) if self.finish.fill.class().is_unasked() => {
                    return Err(Phase::Failed(FillFailure::Abandoned));
                }
                Err(error) => {
                    warn!(%error, digest = %self.digest, "no lease: downloading without recording");
                    return Ok(None);
                }
            }
        }
    }

    async fn upload(&self, object: Option<ObjectKey>) -> bool {
        let Some(object) = object else { return false };
        let fill = &self.finish.fill;
        let Some(reader) = fill.spool().attach() else { return false };
        let bytes = fill.stream(reader, 0..u64::MAX, Reach::Received);
        let body = bytes.map(|item| item.map_err(|failure| failure.into_body_error())).boxed();
        self.finish.blobs.tools.store_object(&object, Body::vouched(body)).await
    }
}
