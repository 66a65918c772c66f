//! A store that has URLs for its objects.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use roadstead_proto::domain::entry::ObjectKey;

use crate::blob::{BlobStore, BlobStream, Body, Listed, Scope, SignedUrl, Stat};
use crate::error::StorageError;
use crate::staged::Staged;

/// Names the store inside by URLs that nobody serves.
#[derive(Debug)]
pub struct SigningStore {
    inner: Arc<dyn BlobStore>,
}

impl SigningStore {
    /// URLs for what is in `inner`.
    pub fn new(inner: Arc<dyn BlobStore>) -> Arc<Self> {
        Arc::new(Self { inner })
    }
}

#[deny(clippy::missing_trait_methods, reason = "a method that is not passed on would change what the store does")]
#[async_trait]
impl BlobStore for SigningStore {
    async fn stat(&self, key: &ObjectKey) -> Result<Stat, StorageError> {
        self.inner.stat(key).await
    }

    async fn get(&self, key: &ObjectKey, size: u64, range: Range<u64>) -> Result<BlobStream, StorageError> {
        self.inner.get(key, size, range).await
    }

    async fn put(&self, key: &ObjectKey, body: Body) -> Result<Stat, StorageError> {
        self.inner.put(key, body).await
    }

    async fn stage(&self, key: &ObjectKey) -> Result<Option<Staged>, StorageError> {
        self.inner.stage(key).await
    }

    async fn commit(&self, staged: Staged) -> Result<Stat, StorageError> {
        self.inner.commit(staged).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StorageError> {
        self.inner.delete(key).await
    }

    fn list(&self, scope: Scope) -> BoxStream<'static, Result<Listed, StorageError>> {
        self.inner.list(scope)
    }

    async fn presign(&self, key: &ObjectKey, ttl: Duration) -> Result<Option<SignedUrl>, StorageError> {
        let (hex, seconds) = (key.digest.hex(), ttl.as_secs());
        Ok(Some(SignedUrl::new(format!("https://bucket.example/{hex}?expires={seconds}&signature=0"))))
    }

    async fn probe(&self) -> Result<(), StorageError> {
        self.inner.probe().await
    }
}
