//! Bodies and their keys.

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use roadstead_proto::domain::digest::{Algorithm, Digest};
use roadstead_proto::domain::entry::ObjectKey;
use roadstead_proto::domain::lease::FencingToken;

use crate::blob::{BlobStore, BlobStream, Body, BodyError, BodyStream};
use crate::error::StorageError;

/// A body and the key it belongs under.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The key.
    pub key: ObjectKey,
    /// The bytes.
    pub bytes: Bytes,
}

impl Sample {
    /// `len` bytes that differ by `seed`, under a SHA-256 digest and token 1.
    pub fn new(len: usize, seed: u64) -> Self {
        Self::with(Algorithm::Sha256, len, seed)
    }

    /// The same under another algorithm.
    pub fn with(algorithm: Algorithm, len: usize, seed: u64) -> Self {
        // Random-looking pages, each with its number: no two places look alike, so a block that is out of place
        // shows. Copied, not computed: unoptimised tests make gigabytes of it.
        const PAGE: usize = 4096;
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut page = Vec::with_capacity(PAGE);
        while page.len() < PAGE {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            page.extend_from_slice(&state.to_le_bytes());
        }
        let mut bytes = Vec::with_capacity(len + PAGE);
        while bytes.len() < len {
            page[..8].copy_from_slice(&(state ^ bytes.len() as u64).to_le_bytes());
            bytes.extend_from_slice(&page);
        }
        bytes.truncate(len);
        let digest = Digest::of(algorithm, &bytes);
        Self { key: ObjectKey { digest, token: FencingToken(1) }, bytes: bytes.into() }
    }

    /// The same bytes as another grant wrote them.
    pub fn under(&self, token: u64) -> Self {
        Self { key: ObjectKey { token: FencingToken(token), ..self.key }, bytes: self.bytes.clone() }
    }

    /// Its size.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Its bytes in pieces of odd sizes, as a network brings them.
    pub fn stream(&self) -> BodyStream {
        let (bytes, sizes) = (self.bytes.clone(), [1, 17, 4096, 65_536, 100_003]);
        let pieces = futures::stream::unfold((bytes, 0), move |(mut rest, turn)| async move {
            let piece = rest.split_to(rest.len().min(sizes[turn % sizes.len()]));
            (!piece.is_empty()).then_some((Ok(piece), (rest, turn + 1)))
        });
        pieces.boxed()
    }

    /// A body that nobody vouches for.
    pub fn body(&self) -> Body {
        Body::unchecked(self.stream())
    }

    /// A body that breaks off after `bytes` bytes.
    pub fn broken_after(&self, bytes: usize) -> Body {
        let end = futures::stream::iter([Err(BodyError::from("the connection was reset"))]);
        let part = Self { bytes: self.bytes.slice(..bytes), ..self.clone() };
        Body::unchecked(part.stream().chain(end).boxed())
    }

    /// Stores it.
    pub async fn put(&self, store: &dyn BlobStore) {
        assert_eq!(store.put(&self.key, self.body()).await.unwrap().size, self.size());
    }

    /// Reads all of it.
    pub async fn read(&self, store: &dyn BlobStore) -> Result<Bytes, StorageError> {
        collect(store.get(&self.key, self.size(), 0..self.size()).await?).await
    }
}

/// All bytes of a stream.
pub async fn collect(stream: BlobStream) -> Result<Bytes, StorageError> {
    stream
        .try_fold(Vec::new(), |mut all, item| async move {
            all.extend_from_slice(&item);
            Ok(all)
        })
        .await
        .map(Bytes::from)
}
