//! Counts calls per digest.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::entry::ObjectKey;

use crate::blob::{BlobStore, BlobStream, Body, Listed, Scope, SignedUrl, Stat};
use crate::error::{Operation, StorageError};
use crate::staged::Staged;

/// Counts what passes to the store inside.
#[derive(Debug)]
pub struct CountingStore {
    inner: Arc<dyn BlobStore>,
    calls: Mutex<HashMap<(Operation, Digest), usize>>,
    asked: Mutex<HashMap<Digest, u64>>,
}

impl CountingStore {
    /// Counts calls to `inner`.
    pub fn new(inner: Arc<dyn BlobStore>) -> Arc<Self> {
        Arc::new(Self { inner, calls: Mutex::default(), asked: Mutex::default() })
    }

    /// Calls of `operation` for `digest`.
    pub fn calls(&self, operation: Operation, digest: &Digest) -> usize {
        self.calls.lock().unwrap().get(&(operation, *digest)).copied().unwrap_or(0)
    }

    /// Bytes that gets for `digest` asked for.
    pub fn asked(&self, digest: &Digest) -> u64 {
        self.asked.lock().unwrap().get(digest).copied().unwrap_or(0)
    }

    fn count(&self, operation: Operation, key: &ObjectKey) {
        *self.calls.lock().unwrap().entry((operation, key.digest)).or_default() += 1;
    }
}

#[deny(clippy::missing_trait_methods, reason = "a method that is not passed on would not be counted")]
#[async_trait]
impl BlobStore for CountingStore {
    async fn stat(&self, key: &ObjectKey) -> Result<Stat, StorageError> {
        self.count(Operation::Stat, key);
        self.inner.stat(key).await
    }

    async fn get(&self, key: &ObjectKey, size: u64, range: Range<u64>) -> Result<BlobStream, StorageError> {
        self.count(Operation::Get, key);
        *self.asked.lock().unwrap().entry(key.digest).or_default() += range.end - range.start;
        self.inner.get(key, size, range).await
    }

    async fn put(&self, key: &ObjectKey, body: Body) -> Result<Stat, StorageError> {
        self.count(Operation::Put, key);
        self.inner.put(key, body).await
    }

    async fn stage(&self, key: &ObjectKey) -> Result<Option<Staged>, StorageError> {
        self.inner.stage(key).await
    }

    async fn commit(&self, staged: Staged) -> Result<Stat, StorageError> {
        self.count(Operation::Put, staged.key());
        self.inner.commit(staged).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StorageError> {
        self.count(Operation::Delete, key);
        self.inner.delete(key).await
    }

    fn list(&self, scope: Scope) -> BoxStream<'static, Result<Listed, StorageError>> {
        self.inner.list(scope)
    }

    async fn presign(&self, key: &ObjectKey, ttl: Duration) -> Result<Option<SignedUrl>, StorageError> {
        self.count(Operation::Presign, key);
        self.inner.presign(key, ttl).await
    }

    async fn probe(&self) -> Result<(), StorageError> {
        self.inner.probe().await
    }
}
