//! [`TieredStore`]: fast over slow.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use opentelemetry::metrics::Meter;
use roadstead_proto::domain::entry::ObjectKey;

use super::budget::Budget;
use super::loader::{Blob, Loader};
use super::reader::Reader;
use crate::blob::{BlobStore, BlobStream, Body, Listed, Scope, SignedUrl, Stat, check_range};
use crate::error::StorageError;
use crate::memory::ChunkMemory;
use crate::metrics::MemoryMetrics;
use crate::staged::Staged;

/// Chunks in memory over a slow tier.
///
/// Reads that memory can answer need no slow tier, also while that is away. A put does not fill the memory:
/// what is pulled once and never again should not push out what everybody pulls.
#[derive(Debug)]
pub struct TieredStore {
    loader: Arc<Loader>,
}

/// How much memory reads may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Chunks that are kept. Zero keeps none.
    pub memory_bytes: u64,
    /// Everything else a read needs: what is being loaded, what a reader holds that memory did not admit, and
    /// what consumers have in their hands.
    pub reader_bytes: u64,
}

impl TieredStore {
    /// Memory over `slow`.
    pub fn new(slow: Arc<dyn BlobStore>, memory: Memory, meter: &Meter) -> Self {
        // A quarter keeps eight loads running by default; the rest is split between chunks that readers
        // hold and blocks on their way out.
        let loads = memory.reader_bytes / 4;
        let holds = (memory.reader_bytes - loads) / 2;
        let hands = memory.reader_bytes - loads - holds;
        let [loads, holds, hands] = [loads, holds, hands].map(Budget::new);
        let chunks = ChunkMemory::new(memory.memory_bytes);
        let metrics = MemoryMetrics::new(meter, &chunks, [&loads, &holds, &hands]);
        Self { loader: Arc::new(Loader { slow, memory: chunks, loads, holds, hands, metrics }) }
    }

    /// Bytes in memory for reads, now: kept, loading, held, and in consumers' hands.
    pub fn bytes_in_memory(&self) -> u64 {
        let loader = &self.loader;
        loader.memory.used() + loader.loads.used() + loader.holds.used() + loader.hands.used()
    }
}

#[deny(clippy::missing_trait_methods, reason = "a method that is not passed on would change what the stack does")]
#[async_trait]
impl BlobStore for TieredStore {
    async fn stat(&self, key: &ObjectKey) -> Result<Stat, StorageError> {
        self.loader.slow.stat(key).await
    }

    async fn get(&self, key: &ObjectKey, size: u64, range: Range<u64>) -> Result<BlobStream, StorageError> {
        check_range(size, &range)?;
        if range.is_empty() {
            return self.loader.slow.get(key, size, range).await;
        }
        let mut reader = Reader::new(Arc::clone(&self.loader), Blob { key: *key, size }, range);
        let first = reader.next().await?;
        let rest = futures::stream::try_unfold(reader, |mut reader| async move {
            Ok(reader.next().await?.map(|item| (item, reader)))
        });
        Ok(futures::stream::iter(first.map(Ok)).chain(rest).boxed())
    }

    async fn put(&self, key: &ObjectKey, body: Body) -> Result<Stat, StorageError> {
        self.loader.slow.put(key, body).await
    }

    async fn stage(&self, key: &ObjectKey) -> Result<Option<Staged>, StorageError> {
        self.loader.slow.stage(key).await
    }

    async fn commit(&self, staged: Staged) -> Result<Stat, StorageError> {
        self.loader.slow.commit(staged).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StorageError> {
        // Asked first: afterwards nobody knows how many chunks it had.
        let size = match self.loader.slow.stat(key).await {
            Ok(stat) => Some(stat.size),
            Err(StorageError::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        self.loader.slow.delete(key).await?;
        match size {
            Some(size) => self.loader.memory.forget(key, size).await,
            None => self.loader.memory.forget_all_of(key).await,
        }
        Ok(())
    }

    fn list(&self, scope: Scope) -> BoxStream<'static, Result<Listed, StorageError>> {
        self.loader.slow.list(scope)
    }

    async fn presign(&self, key: &ObjectKey, ttl: Duration) -> Result<Option<SignedUrl>, StorageError> {
        self.loader.slow.presign(key, ttl).await
    }

    async fn probe(&self) -> Result<(), StorageError> {
        self.loader.slow.probe().await
    }
}
