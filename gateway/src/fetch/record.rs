//! What becomes of content that arrived: object storage, then the metadata, in this order; then others may find it.

use roadstead_proto::domain::entry::{BlobLocation, ContentKind, Descriptor, EntryRef, ObjectKey, Right};
use roadstead_proto::domain::epoch::{Epoch, Revision};
use roadstead_proto::domain::lease::{Completion, Delivered, FencingToken, LeaseKey, TagVerdict};
use roadstead_proto::domain::media::MediaType;
use roadstead_proto::domain::registry::RegionId;
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::state::command::Recorded;
use roadstead_storage::blob::Body;
use tracing::{debug, warn};

use super::Tools;
use super::later::Deferred;
use crate::catalog::Known;
use crate::lease::Held;

/// Content that its upstream delivered whole and right.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub(super) entry: EntryRef,
    pub(super) upstream_epoch: Epoch,
    pub(super) object: ObjectKey,
    pub(super) size: u64,
    pub(super) media_type: MediaType,
    pub(super) kind: ContentKind,
    pub(super) sha1: Option<[u8; 20]>,
    pub(super) children: Vec<Descriptor>,
    pub(super) replaces: Option<FencingToken>,
    /// It was copied from another region.
    pub(super) copied: bool,
    /// When the first of those who fetched it began.
    pub(super) began: Revision,
}

impl Content {
    pub(super) fn right(&self, now: Timestamp) -> Right {
        Right {
            size: self.size,
            media_type: self.media_type.clone(),
            kind: self.kind,
            sha1: self.sha1,
            created_at: now,
            upstream_epoch: self.upstream_epoch,
        }
    }

    /// As the metadata hears of it.
    pub(super) fn delivered(&self, region: RegionId) -> Delivered {
        Delivered {
            object: self.object,
            region,
            size: self.size,
            media_type: self.media_type.clone(),
            kind: self.kind,
            sha1: self.sha1,
            children: self.children.clone(),
            replaces: self.replaces,
            copied: self.copied,
        }
    }
}

impl Tools {
    /// Puts a body into object storage. An outage is logged: clients have their bytes all the same.
    pub(super) async fn store_object(&self, object: &ObjectKey, body: Body) -> bool {
        match self.store.put(object, body).await {
            Ok(_) => true,
            Err(error) => {
                warn!(%object, %error, "not stored");
                false
            }
        }
    }

    /// Records stored content, and with it what the upstream said of the tag, and when. `None` where nothing was recorded, or
    /// will be.
    pub(super) async fn record(
        &self,
        held: Held,
        content: Content,
        tag: Option<(TagVerdict, Timestamp)>,
    ) -> Option<Known> {
        let right = content.right(self.clock.now());
        let (object, region, lease) = (content.object, self.session.region().clone(), held.key().cloned());
        let build = |key, token: FencingToken| Completion {
            key,
            token,
            began: content.began,
            entry: content.entry.clone(),
            delivered: Some(content.delivered(region)),
            tag: tag.clone().map(|(verdict, _)| verdict),
        };
        match held.complete(build).await {
            Ok(Recorded::Live(Some(location))) => {
                self.discard_duplicate(&object, &location).await;
                Some(Known { right, location: Some(location) })
            }
            Ok(Recorded::Live(None)) => None,
            Ok(Recorded::Outdated) => {
                debug!(%object, "purged or changed meanwhile: not recorded");
                // What was learnt while it was on its way must go too.
                self.catalog.forget();
                self.discard(&object).await;
                None
            }
            // It may be recorded all the same: then the next try finds it so.
            Err(error) => {
                warn!(%object, %error, "stored, and to be recorded later");
                Some(self.record_later(lease?, content, tag))
            }
        }
    }

    /// Sees to it that stored content is recorded when the metadata takes writes again. It is known here from now on.
    pub(super) fn record_later(&self, key: LeaseKey, content: Content, tag: Option<(TagVerdict, Timestamp)>) -> Known {
        let now = self.clock.now();
        let location = BlobLocation { key: content.object, size: content.size, stored_at: now };
        let known = Known { right: content.right(now), location: Some(location) };
        self.later.push(Deferred {
            key,
            entry: content.entry.clone(),
            upstream_epoch: content.upstream_epoch,
            began: content.began,
            content: Some(content),
            tag,
            _unrecorded: self.metrics.unrecorded(),
        });
        known
    }

    async fn discard_duplicate(&self, ours: &ObjectKey, live: &BlobLocation) {
        if live.key != *ours {
            self.discard(ours).await;
        }
    }

    pub(super) async fn discard(&self, object: &ObjectKey) {
        if let Err(error) = self.store.delete(object).await {
            warn!(%object, %error, "an object that nothing refers to could not be deleted");
        }
    }
}
