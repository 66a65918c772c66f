//! Hash while streaming; the inner put commits only on a match.
//!
//! Only bodies that nobody vouches for are hashed here. A fill hashes what it downloads for its clients'
//! sake and vouches for its body: hashing again would cost more than everything else a put does (SHA-256
//! runs at some 1.8 GB/s of one core, CRC-64 at 30 GB/s and more). Which of the two a body is, its
//! producer says once, by the constructor's name ([`Body::unchecked`] or [`Body::vouched`]), so no
//! configuration can switch the check off for everybody.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use roadstead_proto::domain::digest::{Digest, Verifier};
use roadstead_proto::domain::entry::ObjectKey;

use crate::blob::{BlobStore, BlobStream, Body, BodyStream, Listed, Scope, SignedUrl, Stat};
use crate::error::StorageError;
use crate::staged::Staged;

/// Refuses bodies that are not the content their key names.
#[derive(Debug)]
pub struct VerifiedStore {
    inner: Arc<dyn BlobStore>,
}

impl VerifiedStore {
    /// Verification in front of `inner`.
    pub fn new(inner: Arc<dyn BlobStore>) -> Self {
        Self { inner }
    }
}

#[deny(clippy::missing_trait_methods, reason = "a method that is not passed on would change what the stack does")]
#[async_trait]
impl BlobStore for VerifiedStore {
    async fn stat(&self, key: &ObjectKey) -> Result<Stat, StorageError> {
        self.inner.stat(key).await
    }

    async fn get(&self, key: &ObjectKey, size: u64, range: Range<u64>) -> Result<BlobStream, StorageError> {
        self.inner.get(key, size, range).await
    }

    async fn put(&self, key: &ObjectKey, body: Body) -> Result<Stat, StorageError> {
        let body = if body.is_vouched() { body } else { Body::vouched(verified(body.into_stream(), key.digest)) };
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
        self.inner.presign(key, ttl).await
    }

    async fn probe(&self) -> Result<(), StorageError> {
        self.inner.probe().await
    }
}

/// `body`, ending in an error if it is not what `digest` names.
fn verified(body: BodyStream, digest: Digest) -> BodyStream {
    let state = Some((body, Verifier::new(digest)));
    futures::stream::unfold(state, |state| async move {
        let (mut body, mut verifier) = state?;
        match body.next().await {
            Some(Ok(piece)) => {
                verifier.update(&piece);
                Some((Ok(piece), Some((body, verifier))))
            }
            Some(Err(error)) => Some((Err(error), None)),
            None => verifier.finish().err().map(|mismatch| (Err(mismatch.into()), None)),
        }
    })
    .boxed()
}
