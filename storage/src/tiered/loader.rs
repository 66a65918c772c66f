//! Into memory: one chunk for all who want it, or one block for one reader.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use futures::TryStreamExt as _;
use roadstead_proto::domain::entry::ObjectKey;
use roadstead_proto::domain::limits::CHUNK_BYTES;

use super::budget::{Budget, Share};
use crate::blob::{BlobStore, BlobStream};
use crate::checksums::BLOCK_BYTES;
use crate::error::{Damage, StorageError};
use crate::memory::{Chunk, ChunkKey, ChunkMemory};
use crate::metrics::{Lookup, MemoryMetrics};

/// The object a reader reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blob {
    pub(super) key: ObjectKey,
    pub(super) size: u64,
}

impl Blob {
    pub(super) fn chunk_key(&self, index: u64) -> ChunkKey {
        ChunkKey { object: self.key, index }
    }

    pub(super) fn chunk(&self, index: u64) -> Range<u64> {
        index * CHUNK_BYTES..((index + 1) * CHUNK_BYTES).min(self.size)
    }

    fn block(&self, at: u64) -> Range<u64> {
        let begins = at - at % BLOCK_BYTES;
        begins..(begins + BLOCK_BYTES).min(self.size)
    }
}

/// The leave to load a whole chunk.
#[derive(Debug)]
pub(super) enum Admission {
    /// Memory will keep it.
    Room,
    /// The reader may keep it.
    Hold(Share),
}

/// What all reads share.
#[derive(Debug)]
pub(super) struct Loader {
    pub(super) slow: Arc<dyn BlobStore>,
    pub(super) memory: ChunkMemory,
    pub(super) loads: Budget,
    pub(super) holds: Budget,
    pub(super) hands: Budget,
    pub(super) metrics: MemoryMetrics,
}

impl Loader {
    /// Whether a whole chunk may be loaded now. One that would not be kept by anybody would be read again for
    /// every block of it.
    pub(super) fn admit(&self) -> Option<Admission> {
        if self.memory.has_room() { Some(Admission::Room) } else { self.hold().map(Admission::Hold) }
    }

    pub(super) fn hold(&self) -> Option<Share> {
        self.holds.try_take(CHUNK_BYTES)
    }

    /// A whole chunk, read once for all who ask for it meanwhile.
    ///
    /// To be spawned: whoever comes first reads for all, and must not depend on being polled by its client.
    pub(super) async fn load_chunk(self: Arc<Self>, blob: Blob, index: u64) -> Result<Arc<Chunk>, StorageError> {
        let load = async {
            self.metrics.looked_up(Lookup::Load);
            let range = blob.chunk(index);
            let _share = self.loads.take(range.end - range.start).await;
            let blocks = self.fetch(blob, range).await?;
            Ok(Arc::new(Chunk::new(blocks)))
        };
        let chunk = self.memory.get_or_load(blob.chunk_key(index), load).await;
        self.memory.settle().await;
        chunk
    }

    /// The block around byte `at`, for one reader. To be spawned, like a chunk.
    pub(super) async fn load_block(self: Arc<Self>, blob: Blob, at: u64) -> Result<Bytes, StorageError> {
        self.metrics.looked_up(Lookup::Block);
        let range = blob.block(at);
        // A small object may have to be read whole to be checked.
        let read = if blob.size <= CHUNK_BYTES { blob.size } else { range.end - range.start };
        let _share = self.loads.take(read).await;
        Ok(self.fetch(blob, range).await?.into_iter().next().unwrap_or_default())
    }

    /// Blocks of `range`, which begins at a block.
    async fn fetch(&self, blob: Blob, range: Range<u64>) -> Result<Vec<Bytes>, StorageError> {
        let wanted = range.end - range.start;
        let stream = self.slow.get(&blob.key, blob.size, range).await?;
        cut(stream, wanted)
            .await?
            .map_err(|actual| StorageError::corrupt(&blob.key, Damage::Size { expected: wanted, actual }))
    }
}

/// A stream of `wanted` bytes as blocks. The outer error is the stream's; the inner one says how many bytes came instead.
async fn cut(mut stream: BlobStream, wanted: u64) -> Result<Result<Vec<Bytes>, u64>, StorageError> {
    let mut blocks = Vec::with_capacity(wanted.div_ceil(BLOCK_BYTES) as usize);
    let mut open = Vec::new();
    let mut came = 0;
    while let Some(mut item) = stream.try_next().await? {
        came += item.len() as u64;
        if came > wanted {
            return Ok(Err(came));
        }
        while !item.is_empty() {
            let whole = item.len() as u64 == BLOCK_BYTES || came == wanted;
            // The object tier hands out blocks as they were allocated: these are kept, not copied.
            if open.is_empty() && whole && item.len() as u64 <= BLOCK_BYTES {
                blocks.push(std::mem::take(&mut item));
                continue;
            }
            let take = item.len().min(BLOCK_BYTES as usize - open.len());
            open.extend_from_slice(&item[..take]);
            item.advance(take);
            if open.len() as u64 == BLOCK_BYTES {
                blocks.push(std::mem::take(&mut open).into());
            }
        }
    }
    if !open.is_empty() {
        blocks.push(open.into());
    }
    Ok(if came == wanted { Ok(blocks) } else { Err(came) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt as _;
    use proptest::prelude::*;

    fn stream(body: &Bytes, cuts: &[usize]) -> BlobStream {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (body.len() + 1)).chain([0, body.len()]).collect();
        cuts.sort_unstable();
        let items: Vec<_> = cuts.windows(2).map(|ends| Ok(body.slice(ends[0]..ends[1]))).collect();
        futures::stream::iter(items).boxed()
    }

    proptest! {
        // Slow ones: a part of the usual number, however many that is.
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.div_ceil(4)))]

        /// Whatever a slow tier makes of its items, a chunk is a list of blocks.
        #[test]
        fn any_items_become_blocks(len in 0..3 * BLOCK_BYTES as usize, cuts: Vec<usize>, wanted in 0..3 * BLOCK_BYTES) {
            let body: Bytes = (0..len).map(|at| (at / 251) as u8).collect::<Vec<_>>().into();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let whole = runtime.block_on(cut(stream(&body, &cuts), len as u64)).unwrap().unwrap();
            let blocks: Vec<_> = body.chunks(BLOCK_BYTES as usize).collect();
            prop_assert!(whole == blocks);
            let other = runtime.block_on(cut(stream(&body, &cuts), wanted)).unwrap();
            prop_assert_eq!(other.is_ok(), wanted == len as u64);
        }
    }
}
