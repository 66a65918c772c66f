//! A store whose disk fails as it is told: at the first byte, in the middle, at the end.

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use roadstead_proto::domain::entry::ObjectKey;

use crate::blob::{BlobStore, BlobStream, Body, Listed, Scope, SignedUrl, Stat};
use crate::error::{Operation, Rejection, StorageError};
use crate::staged::Staged;

/// What the disk does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaks {
    /// It takes everything.
    Nowhere,
    /// No body is even begun.
    AtOpen,
    /// After so many bytes of each body.
    After(u64),
    /// Each body is written, and does not become an object.
    AtCommit,
}

/// A store that works, as far as its disk does.
#[derive(Debug)]
pub struct BrittleStore {
    inner: Arc<dyn BlobStore>,
    breaks: Mutex<Breaks>,
}

impl BrittleStore {
    /// Works over `inner`, until told otherwise.
    pub fn new(inner: Arc<dyn BlobStore>, breaks: Breaks) -> Arc<Self> {
        Arc::new(Self { inner, breaks: Mutex::new(breaks) })
    }

    /// The disk breaks somewhere else, or is well.
    pub fn set(&self, breaks: Breaks) {
        *self.breaks.lock().unwrap() = breaks;
    }

    fn breaks(&self) -> Breaks {
        *self.breaks.lock().unwrap()
    }
}

fn full() -> StorageError {
    let cause = std::io::Error::from(std::io::ErrorKind::StorageFull);
    StorageError::Rejected { operation: Operation::Put, source: Rejection::Refused(Arc::new(cause)) }
}

#[deny(clippy::missing_trait_methods, reason = "a method that is not passed on would change what the store does")]
#[async_trait]
impl BlobStore for BrittleStore {
    async fn stat(&self, key: &ObjectKey) -> Result<Stat, StorageError> {
        self.inner.stat(key).await
    }

    async fn get(&self, key: &ObjectKey, size: u64, range: Range<u64>) -> Result<BlobStream, StorageError> {
        self.inner.get(key, size, range).await
    }

    async fn put(&self, key: &ObjectKey, body: Body) -> Result<Stat, StorageError> {
        match self.breaks() {
            Breaks::Nowhere => self.inner.put(key, body).await,
            // As the real one: what is not stored is not read to its end either.
            _ => Err(full()),
        }
    }

    async fn stage(&self, key: &ObjectKey) -> Result<Option<Staged>, StorageError> {
        let breaks = self.breaks();
        if breaks == Breaks::AtOpen {
            return Err(full());
        }
        let mut staged = self.inner.stage(key).await?;
        if let (Breaks::After(room), Some(staged)) = (breaks, &mut staged) {
            staged.tear_after(room);
        }
        Ok(staged)
    }

    async fn commit(&self, staged: Staged) -> Result<Stat, StorageError> {
        match self.breaks() {
            Breaks::Nowhere => self.inner.commit(staged).await,
            _ => Err(full()),
        }
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StorageError> {
        self.inner.delete(key).await
    }

    fn list(&self, scope: Scope) -> BoxStream<'static, Result<Listed, StorageError>> {
        self.inner.list(scope)
    }

    async fn presign(&self, key: &ObjectKey, ttl: Duration) -> Result<Option<SignedUrl>, StorageError> {
        self.inner.presign(key, ttl).await
    }

    async fn probe(&self) -> Result<(), StorageError> {
        self.inner.probe().await
    }
}
