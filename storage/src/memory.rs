//! What is kept in memory: chunks of blobs, and checksums of large objects. Bounded by bytes, each apart.
//!
//! No entry expires: a key is written once, so what was read under it stays true. moka counts uses and
//! admits a newcomer only if it is asked for more often than what it would push out, so one pass over
//! a huge layer does not empty the memory of what everybody pulls.
//!
//! moka applies insertions in batches: left alone, 64 chunks of 4 MiB could stand in its queue above
//! the ceiling. So every load ends with [`ChunkMemory::settle`].

use std::sync::Arc;

use bytes::Bytes;
use moka::future::Cache;
use roadstead_proto::domain::entry::ObjectKey;
use roadstead_proto::domain::limits::CHUNK_BYTES;

use crate::checksums::{BLOCK_BYTES, Checksums};
use crate::error::StorageError;

/// What an entry costs beside its bytes: key, cache node, counters, allocation headers. Rounded up, so that
/// a million tiny objects do not hide in it.
const ENTRY_OVERHEAD: usize = 512;

/// One chunk of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ChunkKey {
    pub(crate) object: ObjectKey,
    pub(crate) index: u64,
}

/// Checked bytes of one chunk: a list of blocks, each an allocation of its own.
#[derive(Debug)]
pub(crate) struct Chunk {
    blocks: Box<[Bytes]>,
    len: usize,
}

impl Chunk {
    /// `blocks` are of [`BLOCK_BYTES`] each, the last one of what is left.
    pub(crate) fn new(blocks: Vec<Bytes>) -> Self {
        let len = blocks.iter().map(Bytes::len).sum();
        Self { blocks: blocks.into(), len }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The block that holds byte `at` of the chunk, and where it begins.
    pub(crate) fn block(&self, at: u64) -> (Bytes, u64) {
        let index = at / BLOCK_BYTES;
        (self.blocks[index as usize].clone(), index * BLOCK_BYTES)
    }
}

/// Chunks, by use.
#[derive(Debug, Clone)]
pub(crate) struct ChunkMemory {
    chunks: Cache<ChunkKey, Arc<Chunk>>,
    capacity: u64,
}

impl ChunkMemory {
    pub(crate) fn new(capacity: u64) -> Self {
        let chunks = Cache::builder().max_capacity(capacity).weigher(|_, chunk: &Arc<Chunk>| weight(chunk.len)).build();
        Self { chunks, capacity }
    }

    /// The chunk, and a vote for keeping it (also where it is not there).
    pub(crate) async fn get(&self, key: &ChunkKey) -> Option<Arc<Chunk>> {
        self.chunks.get(key).await
    }

    /// Whether the chunk is there; no vote.
    pub(crate) fn contains(&self, key: &ChunkKey) -> bool {
        self.chunks.contains_key(key)
    }

    /// The chunk, loaded once for all who ask meanwhile. An error goes to all of them and is not kept.
    pub(crate) async fn get_or_load(
        &self,
        key: ChunkKey,
        load: impl Future<Output = Result<Arc<Chunk>, StorageError>>,
    ) -> Result<Arc<Chunk>, StorageError> {
        self.chunks.try_get_with(key, load).await.map_err(|error| (*error).clone())
    }

    /// Whether a whole chunk would be admitted without pushing anything out.
    pub(crate) fn has_room(&self) -> bool {
        self.chunks.weighted_size() + u64::from(weight(CHUNK_BYTES as usize)) <= self.capacity
    }

    /// Applies what is queued: the ceiling holds, and [`ChunkMemory::contains`] tells who was admitted.
    pub(crate) async fn settle(&self) {
        self.chunks.run_pending_tasks().await;
    }

    /// Forgets the chunks of an object of `size` bytes.
    pub(crate) async fn forget(&self, object: &ObjectKey, size: u64) {
        for index in 0..size.div_ceil(CHUNK_BYTES).max(1) {
            self.chunks.invalidate(&ChunkKey { object: *object, index }).await;
        }
    }

    /// The same where the size is not known: looks at every entry.
    pub(crate) async fn forget_all_of(&self, object: &ObjectKey) {
        let found: Vec<_> = self.chunks.iter().filter(|(key, _)| key.object == *object).map(|(key, _)| key).collect();
        for key in found {
            self.chunks.invalidate(&*key).await;
        }
    }

    /// Bytes held, overhead included.
    pub(crate) fn used(&self) -> u64 {
        self.chunks.weighted_size()
    }
}

/// Checksums of objects that are read in parts.
#[derive(Debug, Clone)]
pub(crate) struct ChecksumMemory(Cache<ObjectKey, Arc<Checksums>>);

impl ChecksumMemory {
    pub(crate) fn new(capacity: u64) -> Self {
        Self(Cache::builder().max_capacity(capacity).weigher(|_, sums: &Arc<Checksums>| weight(sums.weight())).build())
    }

    /// The checksums, loaded once for all who ask meanwhile.
    pub(crate) async fn get_or_load(
        &self,
        key: &ObjectKey,
        load: impl Future<Output = Result<Arc<Checksums>, StorageError>>,
    ) -> Result<Arc<Checksums>, StorageError> {
        let found = self.0.entry(*key).or_try_insert_with(load).await.map_err(|error| (*error).clone())?;
        if found.is_fresh() {
            self.0.run_pending_tasks().await;
        }
        Ok(found.into_value())
    }

    /// The checksums of an object of `size` bytes, if they are there.
    pub(crate) async fn get(&self, key: &ObjectKey, size: u64) -> Option<Arc<Checksums>> {
        self.0.get(key).await.filter(|checksums| checksums.size() == size)
    }

    pub(crate) async fn keep(&self, key: &ObjectKey, checksums: Checksums) {
        self.0.insert(*key, Arc::new(checksums)).await;
    }

    pub(crate) async fn forget(&self, key: &ObjectKey) {
        self.0.invalidate(key).await;
    }

    /// Bytes held, overhead included.
    pub(crate) fn used(&self) -> u64 {
        self.0.weighted_size()
    }
}

fn weight(bytes: usize) -> u32 {
    u32::try_from(bytes + ENTRY_OVERHEAD).unwrap_or(u32::MAX)
}
