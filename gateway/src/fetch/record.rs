//! What becomes of content that arrived: object storage, then the metadata, in this order; then others may find it.

use roadstead_proto::domain::entry::{BlobLocation, ContentKind, Descriptor, EntryRef, ObjectKey, Right};
use roadstead_proto::domain::epoch::{Epoch, Revision};
use roadstead_proto::domain::lease::{Completion, Delivered, FencingToken, TagVerdict};
use roadstead_proto::domain::media::MediaType;
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::state::command::Recorded;
use roadstead_storage::blob::Body;
use tracing::{debug, warn};

use super::Tools;
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

    /// Records stored content, and with it what the upstream said of the tag. `None` where nothing was recorded.
    pub(super) async fn record(&self, held: Held, content: Content, tag: Option<TagVerdict>) -> Option<Known> {
        let right = content.right(self.clock.now());
        let (object, region) = (content.object, self.session.region().clone());
        let build = |key, token: FencingToken| Completion {
            key,
            token,
            began: Revision(token.0),
            entry: content.entry,
            delivered: Some(Delivered {
                object,
                region,
                size: content.size,
                media_type: content.media_type,
                kind: content.kind,
                sha1: content.sha1,
                children: content.children,
                replaces: content.replaces,
            }),
            tag,
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
            // The object may be recorded: only garbage collection, which sees the rows, may judge.
            Err(error) => {
                warn!(%object, %error, "stored, but not recorded");
                None
            }
        }
    }

    async fn discard_duplicate(&self, ours: &ObjectKey, live: &BlobLocation) {
        if live.key != *ours {
            self.discard(ours).await;
        }
    }

    async fn discard(&self, object: &ObjectKey) {
        if let Err(error) = self.store.delete(object).await {
            warn!(%object, %error, "an object that nothing refers to could not be deleted");
        }
    }
}
