//! A get: whole blocks from the store, checked, then trimmed to the range.
//!
//! An object of at most one chunk is read whole and checked against its own digest. A larger one is read from
//! the block that holds the range's first byte to the one that holds its last, each checked against
//! its checksum before it is handed out.
//!
//! Who reads a small object in parts would have all of it read and hashed for every part. So checksums
//! of a small object that has just passed its digest are kept in memory, and parts of it are then read like
//! parts of a large one.
//!
//! Every block has an allocation of its own. A consumer blocked on its socket then pins one block, not
//! the chunk around it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::{GetOptions, GetRange, GetResultPayload, ObjectStoreExt as _};
use roadstead_proto::domain::digest::Verifier;
use roadstead_proto::domain::entry::ObjectKey;
use roadstead_proto::domain::limits::CHUNK_BYTES;
use roadstead_proto::offload::offload;

use super::pool::Pool;
use super::tier::{Inner, translate};
use crate::blob::{BlobStream, check_range};
use crate::checksums::{BLOCK_BYTES, Checksums, ChecksumsError, Summer, encoded_len};
use crate::error::{CutShort, Damage, Operation, StorageError};
use crate::key;

/// Blocks read by one trip to a blocking thread: enough that the trip costs nothing, few enough that
/// a large read does not hold a chunk.
const BLOCKS_PER_TRIP: usize = 4;

pub(super) async fn get(
    inner: &Arc<Inner>,
    key: &ObjectKey,
    size: u64,
    range: Range<u64>,
) -> Result<BlobStream, StorageError> {
    check_range(size, &range)?;
    if range.is_empty() {
        return nothing(inner, key, size).await;
    }
    let span = range.start - range.start % BLOCK_BYTES..range.end.next_multiple_of(BLOCK_BYTES).min(size);
    let mut blocks = if size <= CHUNK_BYTES {
        small(inner, key, size, span).await?
    } else {
        // Asked for together; the object's answer counts first, for without it the other says nothing.
        let (blocks, checksums) = futures::join!(Blocks::open(inner, key, size, span), checksums(inner, key, size));
        let mut blocks = blocks?;
        blocks.check = Check::Against(checksums?);
        blocks
    };
    let Some(first) = blocks.next_within(&range).await? else { return Ok(futures::stream::empty().boxed()) };
    let rest = futures::stream::try_unfold((blocks, range), |(mut blocks, range)| async move {
        Ok(blocks.next_within(&range).await?.map(|item| (item, (blocks, range))))
    });
    Ok(futures::stream::iter([Ok(first)]).chain(rest).boxed())
}

/// An empty range reads nothing, but says whether the object is there.
async fn nothing(inner: &Inner, key: &ObjectKey, size: u64) -> Result<BlobStream, StorageError> {
    match inner.store.head(&key::object_path(key)).await {
        Ok(meta) if meta.size == size => Ok(futures::stream::empty().boxed()),
        Ok(meta) => Err(StorageError::corrupt(key, Damage::Size { expected: size, actual: meta.size })),
        Err(error) => Err(inner.failure(Operation::Get, key, error).await),
    }
}

/// A small object: all of it checked against its digest, or the part that is wanted against what that left.
async fn small(inner: &Arc<Inner>, key: &ObjectKey, size: u64, span: Range<u64>) -> Result<Blocks, StorageError> {
    let in_parts = span != (0..size);
    if in_parts && let Some(checksums) = inner.checksums.get(key, size).await {
        let mut blocks = Blocks::open(inner, key, size, span).await?;
        blocks.check = Check::Against(checksums);
        return Ok(blocks);
    }
    let mut blocks = Blocks::open(inner, key, size, 0..size).await?;
    let (mut verifier, mut summer) = (Verifier::new(key.digest), Summer::new());
    let mut read = VecDeque::new();
    while let Some(block) = blocks.next().await? {
        verifier.update(&block);
        summer.update(&block);
        read.push_back(block);
    }
    verifier.finish().map_err(|mismatch| StorageError::corrupt(key, mismatch))?;
    if in_parts {
        inner.checksums.keep(key, summer.finish()).await;
    }
    Ok(Blocks { ready: read, at: 0, ..blocks })
}

/// The checksums of a large object, from memory or from beside it.
async fn checksums(inner: &Arc<Inner>, key: &ObjectKey, size: u64) -> Result<Arc<Checksums>, StorageError> {
    let found = inner.checksums.get_or_load(key, load_checksums(inner, key, size)).await?;
    // Kept under the size of whoever loaded them.
    if found.size() == size {
        Ok(found)
    } else {
        Err(StorageError::corrupt(key, Damage::Size { expected: size, actual: found.size() }))
    }
}

async fn load_checksums(inner: &Arc<Inner>, key: &ObjectKey, size: u64) -> Result<Arc<Checksums>, StorageError> {
    let found = match inner.store.get(&key::checksums_path(key)).await {
        Ok(found) => found,
        Err(error) => {
            return Err(match inner.failure(Operation::Get, key, error).await {
                StorageError::NotFound { .. } => StorageError::corrupt(key, Damage::ChecksumsMissing),
                other => other,
            });
        }
    };
    // Judged before a byte is read: what lies there does not decide how much memory it takes.
    if found.meta.size != encoded_len(size) {
        return Err(StorageError::corrupt(key, Damage::Checksums(ChecksumsError::Length)));
    }
    let stored = found.bytes().await.map_err(|error| translate(Operation::Get, key, error))?;
    let checksums =
        Checksums::decode(&stored, size).map_err(|error| StorageError::corrupt(key, Damage::Checksums(error)))?;
    Ok(Arc::new(checksums))
}

/// Blocks of one object, from a block boundary on.
struct Blocks {
    key: ObjectKey,
    source: Source,
    pool: Arc<Pool>,
    check: Check,
    /// Read, not yet handed out.
    ready: VecDeque<Bytes>,
    /// First byte of the next block to hand out.
    at: u64,
    /// First byte not read yet.
    read: u64,
    end: u64,
}

enum Source {
    File(Arc<File>),
    Stream(BoxStream<'static, object_store::Result<Bytes>>, Bytes),
}

enum Check {
    /// Somebody else checks.
    Elsewhere,
    Against(Arc<Checksums>),
}

impl Blocks {
    async fn open(inner: &Inner, key: &ObjectKey, size: u64, span: Range<u64>) -> Result<Self, StorageError> {
        let path = key::object_path(key);
        let options = GetOptions { range: Some(GetRange::Bounded(span.clone())), ..GetOptions::default() };
        let found = match inner.store.get_opts(&path, options).await {
            Ok(found) => found,
            Err(error @ object_store::Error::NotFound { .. }) => {
                return Err(inner.failure(Operation::Get, key, error).await);
            }
            Err(error) => {
                // A range beyond the end of a truncated object fails like an outage does. Only the size tells.
                let failure = translate(Operation::Get, key, error);
                return Err(match inner.store.head(&path).await {
                    Ok(meta) if meta.size != size => {
                        StorageError::corrupt(key, Damage::Size { expected: size, actual: meta.size })
                    }
                    _ => failure,
                });
            }
        };
        if found.meta.size != size || found.range != span {
            return Err(StorageError::corrupt(key, Damage::Size { expected: size, actual: found.meta.size }));
        }
        let source = match found.payload {
            GetResultPayload::File(file, _) => Source::File(Arc::new(file)),
            GetResultPayload::Stream(stream) => Source::Stream(stream, Bytes::new()),
        };
        let (at, end) = (span.start, span.end);
        let pool = Arc::clone(&inner.pool);
        Ok(Self { key: *key, source, pool, check: Check::Elsewhere, ready: VecDeque::new(), at, read: at, end })
    }

    /// The next block's bytes within `range`, checked; `None` at its end.
    async fn next_within(&mut self, range: &Range<u64>) -> Result<Option<Bytes>, StorageError> {
        while self.at < range.end {
            let begins = self.at;
            let Some(block) = self.next().await? else { return Ok(None) };
            let ends = begins + block.len() as u64;
            if ends <= range.start {
                continue;
            }
            let from = range.start.saturating_sub(begins) as usize;
            let to = (range.end.min(ends) - begins) as usize;
            return Ok(Some(block.slice(from..to)));
        }
        Ok(None)
    }

    async fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
        if self.ready.is_empty() {
            self.read_more().await?;
        }
        let Some(block) = self.ready.pop_front() else { return Ok(None) };
        if let Check::Against(checksums) = &self.check
            && !checksums.matches(self.at, &block)
        {
            return Err(StorageError::corrupt(&self.key, Damage::Block { at: self.at }));
        }
        self.at += block.len() as u64;
        Ok(Some(block))
    }

    async fn read_more(&mut self) -> Result<(), StorageError> {
        let left = self.end - self.read;
        if left == 0 {
            return Ok(());
        }
        let wanted = left.min(BLOCK_BYTES * BLOCKS_PER_TRIP as u64);
        match &mut self.source {
            Source::File(file) => {
                let (file, pool, from) = (Arc::clone(file), Arc::clone(&self.pool), self.read);
                let read = offload(move || read_file(&file, &pool, from, wanted)).await;
                let read = read.map_err(|_| StorageError::unavailable(Operation::Get, CutShort))?;
                self.ready = read.map_err(|error| StorageError::unavailable(Operation::Get, error))?;
            }
            Source::Stream(stream, spill) => {
                let block = read_stream(stream, spill, &self.pool, wanted.min(BLOCK_BYTES) as usize).await;
                self.ready.push_back(block.map_err(|error| translate(Operation::Get, &self.key, error))?);
            }
        }
        let came: u64 = self.ready.iter().map(|block| block.len() as u64).sum();
        self.read += came;
        // Fewer bytes than asked for, and no error: the object ends here, whatever its metadata said.
        if came < wanted.min(BLOCK_BYTES) || (!came.is_multiple_of(BLOCK_BYTES) && self.read < self.end) {
            return Err(StorageError::corrupt(&self.key, Damage::Size { expected: self.end, actual: self.read }));
        }
        Ok(())
    }
}

fn read_file(mut file: &File, pool: &Arc<Pool>, from: u64, wanted: u64) -> std::io::Result<VecDeque<Bytes>> {
    file.seek(SeekFrom::Start(from))?;
    let mut blocks = VecDeque::with_capacity(BLOCKS_PER_TRIP);
    let mut left = wanted;
    while left > 0 {
        let len = left.min(BLOCK_BYTES);
        let mut block = pool.take(len as usize);
        let came = file.take(len).read_to_end(&mut block)?;
        left -= came as u64;
        blocks.push_back(pool.share(block));
        if (came as u64) < len {
            break;
        }
    }
    Ok(blocks)
}

async fn read_stream(
    stream: &mut BoxStream<'static, object_store::Result<Bytes>>,
    spill: &mut Bytes,
    pool: &Arc<Pool>,
    wanted: usize,
) -> object_store::Result<Bytes> {
    let mut block = pool.take(wanted);
    while block.len() < wanted {
        if spill.is_empty() {
            match stream.try_next().await? {
                Some(piece) => *spill = piece,
                None => break,
            }
        }
        let take = spill.len().min(wanted - block.len());
        block.extend_from_slice(&spill[..take]);
        spill.advance(take);
    }
    Ok(pool.share(block))
}
