//! One range read: chunk after chunk, at most one ahead.

use std::ops::Range;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use roadstead_proto::domain::limits::CHUNK_BYTES;
use tokio::task::JoinHandle;

use super::budget::Share;
use super::loader::{Admission, Blob, Loader};
use crate::checksums::BLOCK_BYTES;
use crate::error::{CutShort, Damage, Operation, StorageError};
use crate::memory::Chunk;
use crate::metrics::Lookup;

/// Handed out as a copy where no block may be. Small enough that a thousand readers at a standstill are
/// little, large enough that a block is not read and checked too often for what is taken from it.
pub(super) const PIECE_BYTES: usize = 32 * 1024;

/// Where a reader's current chunk is. A reader keeps alive only what it has a hold for.
#[derive(Debug)]
enum Place {
    Nowhere,
    /// Memory keeps it, or has dropped it since.
    Memory(Weak<Chunk>),
    Held(Arc<Chunk>, #[expect(dead_code, reason = "its drop gives the hold back")] Share),
}

/// A chunk that is being loaded before it is asked for.
#[derive(Debug)]
struct Ahead {
    index: u64,
    place: JoinHandle<Result<Place, StorageError>>,
}

impl Drop for Ahead {
    /// The reader left, or read elsewhere. Others who wait for the same chunk load it themselves.
    fn drop(&mut self) {
        self.place.abort();
    }
}

/// One range of one object, being read.
#[derive(Debug)]
pub(super) struct Reader {
    loader: Arc<Loader>,
    blob: Blob,
    at: u64,
    end: u64,
    /// The chunk that `place` is about.
    index: u64,
    place: Place,
    ahead: Option<Ahead>,
    /// The chunk that is being read by blocks: it has had its vote in memory.
    by_block: Option<u64>,
}

impl Reader {
    pub(super) fn new(loader: Arc<Loader>, blob: Blob, range: Range<u64>) -> Self {
        let Range { start: at, end } = range;
        Self { loader, blob, at, end, index: 0, place: Place::Nowhere, ahead: None, by_block: None }
    }

    /// The next bytes, or `None` at the end of the range.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
        if self.at >= self.end {
            return Ok(None);
        }
        let index = self.at / CHUNK_BYTES;
        let chunk = match self.here(index) {
            Some(chunk) => Some(chunk),
            None => self.enter(index).await?,
        };
        let (block, begins) = match chunk {
            Some(chunk) => {
                self.check_fits(index, &chunk)?;
                let (block, within) = chunk.block(self.at % CHUNK_BYTES);
                (block, index * CHUNK_BYTES + within)
            }
            None => {
                let block = run(self.loader.clone().load_block(self.blob, self.at)).await?;
                (block, self.at - self.at % BLOCK_BYTES)
            }
        };
        let item = self.hand_out(&block, begins);
        self.at += item.len() as u64;
        if self.at >= self.end || self.at / CHUNK_BYTES != index {
            self.place = Place::Nowhere;
        }
        Ok(Some(item))
    }

    /// Memory is keyed by object, not by what a caller believes of its size: another belief is told, not served.
    fn check_fits(&self, index: u64, chunk: &Chunk) -> Result<(), StorageError> {
        let (Range { start, end: expected }, actual) = (self.blob.chunk(index), chunk.len() as u64);
        if start + actual == expected {
            return Ok(());
        }
        Err(StorageError::corrupt(&self.blob.key, Damage::Size { expected, actual: start + actual }))
    }

    fn here(&self, index: u64) -> Option<Arc<Chunk>> {
        if self.index != index {
            return None;
        }
        match &self.place {
            Place::Nowhere => None,
            Place::Memory(chunk) => chunk.upgrade(),
            Place::Held(chunk, _) => Some(Arc::clone(chunk)),
        }
    }

    /// Finds the chunk, or loads it; `None` where it must be read by blocks.
    async fn enter(&mut self, index: u64) -> Result<Option<Arc<Chunk>>, StorageError> {
        (self.index, self.place) = (index, Place::Nowhere);
        if let Some(ahead) = self.ahead.take_if(|ahead| ahead.index == index) {
            self.place = joined(ahead).await?;
        }
        let key = self.blob.chunk_key(index);
        if let Some(chunk) = self.here(index) {
            // Loaded ahead; the vote is for the read itself.
            self.loader.memory.get(&key).await;
            self.look_ahead(index);
            return Ok(Some(chunk));
        }
        // One vote per reader and chunk, or a single slow reader would make its blob look popular.
        let may_vote = self.by_block != Some(index) || self.loader.memory.contains(&key);
        if may_vote && let Some(chunk) = self.loader.memory.get(&key).await {
            self.loader.metrics.looked_up(Lookup::Hit);
            self.place = Place::Memory(Arc::downgrade(&chunk));
            self.look_ahead(index);
            return Ok(Some(chunk));
        }
        let Some(admission) = self.loader.admit() else {
            self.by_block = Some(index);
            return Ok(None);
        };
        let chunk = run(self.loader.clone().load_chunk(self.blob, index)).await?;
        self.place = settle(&self.loader, self.blob, index, &chunk, admission);
        self.look_ahead(index);
        Ok(Some(chunk))
    }

    /// Begins to load the chunk after `index`, if this read will want it and it may be kept.
    fn look_ahead(&mut self, index: u64) {
        let next = index + 1;
        let wanted = next * CHUNK_BYTES < self.end && self.ahead.as_ref().is_none_or(|ahead| ahead.index != next);
        if !wanted || self.loader.memory.contains(&self.blob.chunk_key(next)) {
            return;
        }
        let Some(admission) = self.loader.admit() else { return };
        let (loader, blob) = (Arc::clone(&self.loader), self.blob);
        let place = tokio::spawn(async move {
            let chunk = Arc::clone(&loader).load_chunk(blob, next).await?;
            Ok(settle(&loader, blob, next, &chunk, admission))
        });
        self.ahead = Some(Ahead { index: next, place });
    }

    /// The part of `block` that is wanted: as it is if a hand is free, else a small copy, which pins nothing.
    fn hand_out(&self, block: &Bytes, begins: u64) -> Bytes {
        let from = (self.at - begins) as usize;
        let to = block.len().min((self.end - begins) as usize);
        // Charged for the whole block, for that is what it keeps alive.
        match self.loader.hands.try_take(block.len() as u64) {
            Some(share) => Bytes::from_owner(InHand { bytes: block.slice(from..to), _share: share }),
            None => {
                self.loader.metrics.looked_up(Lookup::Squeezed);
                Bytes::copy_from_slice(&block[from..to.min(from + PIECE_BYTES)])
            }
        }
    }
}

/// Bytes in a consumer's hands.
struct InHand {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for InHand {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Who keeps a loaded chunk: memory if it was admitted, else the reader if it may.
fn settle(loader: &Loader, blob: Blob, index: u64, chunk: &Arc<Chunk>, admission: Admission) -> Place {
    if loader.memory.contains(&blob.chunk_key(index)) {
        return Place::Memory(Arc::downgrade(chunk));
    }
    let hold = match admission {
        Admission::Hold(share) => Some(share),
        // Others took the room meanwhile.
        Admission::Room => loader.hold(),
    };
    match hold {
        Some(share) => Place::Held(Arc::clone(chunk), share),
        None => Place::Nowhere,
    }
}

async fn joined(mut ahead: Ahead) -> Result<Place, StorageError> {
    (&mut ahead.place).await.unwrap_or_else(|_| Err(StorageError::unavailable(Operation::Get, CutShort)))
}

/// In a task of its own, which goes on if the reader leaves: others may wait for the same bytes.
async fn run<T: Send + 'static>(
    load: impl Future<Output = Result<T, StorageError>> + Send + 'static,
) -> Result<T, StorageError> {
    tokio::spawn(load).await.unwrap_or_else(|_| Err(StorageError::unavailable(Operation::Get, CutShort)))
}
