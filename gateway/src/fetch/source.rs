//! The bytes of a blob, wherever they come from, on their way to a client.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use roadstead_proto::domain::entry::{BlobLocation, ObjectKey};
use roadstead_proto::domain::lease::FencingToken;
use roadstead_proto::domain::registry::UpstreamId;
use roadstead_storage::blob::BlobStream;
use roadstead_storage::error::{Kind, StorageError};
use tracing::warn;

use super::blobs::Blobs;
use super::error::FillFailure;
use super::fill::{Fill, Reach};
use super::spool::Reader;
use crate::cache_status::CacheStatus;
use crate::catalog::Known;
use crate::meta::snapshot::UpstreamView;

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
#[derive(Debug)]
pub struct Source {
    /// The upstream whose cache it is.
    pub upstream: UpstreamId,
    /// Its size, where known.
    pub size: Option<u64>,
    /// How it came about.
    pub status: CacheStatus,
    pub(super) origin: ByteOrigin,
}

#[derive(Debug)]
pub(super) enum ByteOrigin {
    Stored(BlobLocation),
    /// A running download, the place in it that is kept for this client, and the size that was promised of it.
    Fill(Arc<Fill>, Reader, Option<u64>),
}

/// An object that is recorded but could not be read: what to tell the next attempt.
#[derive(Debug, Clone, Copy)]
pub struct Lost {
    /// Which: to be replaced by a new download.
    pub object: FencingToken,
}

pub(super) fn stored(view: &UpstreamView, known: &Known) -> Option<Source> {
    let location = known.location?;
    Some(Source {
        upstream: view.upstream.id,
        size: Some(location.size),
        status: CacheStatus::Hit,
        origin: ByteOrigin::Stored(location),
    })
}

impl Blobs {
    /// Opens the bytes of `range`, the first of them in hand.
    pub async fn open(self: &Arc<Self>, source: Source, range: Range<u64>) -> Result<BlobBytes, Lost> {
        match source.origin {
            ByteOrigin::Fill(fill, reader, promised) => Ok(fill
                .stream(reader, range, Reach::Released(promised))
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
}
