//! A put: body to parts to one atomic commit.
//!
//! ```text
//! body ─► CRC per block ─► part ─► part written (few at a time) ─┐
//!           └► checksums, written first ──────────────► commit ◄─┘
//! ```
//!
//! - **Small bodies** never become a multipart upload: one that ends within its first part is one `put`.
//! - **Memory**: a part takes its bytes from the budget of all uploads before its first byte is buffered and
//!   gives them back when it is written. A put that waits for the budget holds no unwritten part, so puts
//!   cannot block each other in a circle; a full budget slows bodies down, nothing else. A body that stalls
//!   keeps one part's worth meanwhile.
//! - **Dropped puts**: the commit, once begun, and every clean-up run in tasks of their own. A commit
//!   whose caller has left is undone.

use std::any::Any;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use object_store::{MultipartUpload, ObjectStoreExt as _, PutPayload};
use roadstead_proto::domain::entry::ObjectKey;
use roadstead_proto::domain::limits::CHUNK_BYTES;
use roadstead_proto::offload::offload;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::task::JoinSet;

use super::tier::{Inner, of_file, translate};
use super::upload::BeginError;
use super::writers::Writing;
use crate::blob::{Body, Stat};
use crate::checksums::Summer;
use crate::error::{CutShort, Operation, Rejection, StorageError};
use crate::key;
use crate::staged::Staged;

/// Pieces below this are copied together: a body that trickles in must not become a list of thousands of
/// slivers, each pinning the network buffer it is a slice of.
const SMALL_PIECE: usize = 64 * 1024;

pub(super) async fn put(inner: &Arc<Inner>, key: &ObjectKey, body: Body) -> Result<Stat, StorageError> {
    let mut draft = Draft::begin(inner, key).await;
    let mut body = body.into_stream();
    loop {
        let written = match body.next().await {
            Some(Ok(piece)) => match inner.admit(piece.len() as u64) {
                Ok(()) => draft.write(piece).await,
                Err(error) => Err(error),
            },
            Some(Err(error)) => Err(StorageError::of_body(key, error)),
            None => return draft.commit().await,
        };
        if let Err(error) = written {
            draft.discard().await;
            return Err(error);
        }
    }
}

/// Keeps others from writing the same key.
type Turn = Box<dyn Any + Send>;

/// A file for the body of `key`, where the store is a directory.
pub(super) async fn stage(inner: &Arc<Inner>, key: &ObjectKey) -> Result<Option<Staged>, StorageError> {
    let Some(local) = inner.local.clone() else { return Ok(None) };
    let (key, turn) = (*key, inner.writers.enter(*key).await);
    let staged = offload(move || local.stage(key, Box::new(turn))).await;
    match staged {
        Ok(staged) => staged.map(Some).map_err(|error| of_file(Operation::Put, error)),
        Err(_) => Err(StorageError::unavailable(Operation::Put, CutShort)),
    }
}

/// Commits what was staged, in a task of its own: a caller who leaves gets it undone.
pub(super) async fn commit(inner: &Arc<Inner>, mut staged: Staged) -> Result<Stat, StorageError> {
    let (inner, key) = (Arc::clone(inner), *staged.key());
    let (verdict, outcome) = oneshot::channel();
    tokio::spawn(async move {
        let turn = staged.take_turn();
        let result = inner.finish_staged(&key, staged).await;
        let unclaimed = turn.map(|turn| (inner, key, turn));
        drop(verdict.send(result.map(|stat| Committed { stat, unclaimed })));
    });
    match outcome.await {
        Ok(result) => result.map(Committed::claim),
        Err(_) => Err(StorageError::unavailable(Operation::Put, CutShort)),
    }
}

/// An object that is not committed. Dropping it removes what it has written.
struct Draft {
    inner: Arc<Inner>,
    /// Taken by whichever of commit, discard and drop comes first.
    work: Option<Work>,
}

struct Work {
    key: ObjectKey,
    writing: Writing,
    summer: Summer,
    part: Part,
    upload: Option<Upload>,
}

struct Upload {
    handle: Box<dyn MultipartUpload>,
    parts: JoinSet<object_store::Result<()>>,
}

impl Draft {
    async fn begin(inner: &Arc<Inner>, key: &ObjectKey) -> Self {
        let writing = inner.writers.enter(*key).await;
        let work = Work { key: *key, writing, summer: Summer::new(), part: Part::default(), upload: None };
        Self { inner: Arc::clone(inner), work: Some(work) }
    }

    async fn write(&mut self, mut piece: Bytes) -> Result<(), StorageError> {
        let Self { inner, work: Some(work) } = self else { return Ok(()) };
        let limit = inner.options.object_bytes;
        if work.summer.size() + piece.len() as u64 > limit {
            let source = Rejection::TooLarge { limit };
            return Err(StorageError::Rejected { operation: Operation::Put, source });
        }
        work.summer.update(&piece);
        while !piece.is_empty() {
            // A full part leaves only when another byte has come: until then the body may still be one `put`.
            if work.part.len == inner.options.part_bytes {
                work.send_part(inner).await?;
            }
            if work.part.share.is_none() {
                work.part.share = Arc::clone(&inner.upload_budget).acquire_owned().await.ok();
            }
            let room = inner.options.part_bytes - work.part.len;
            work.part.push(piece.split_to(room.min(piece.len())));
        }
        Ok(())
    }

    async fn commit(mut self) -> Result<Stat, StorageError> {
        let Some(work) = self.work.take() else { return Err(StorageError::unavailable(Operation::Put, CutShort)) };
        let inner = Arc::clone(&self.inner);
        let (verdict, outcome) = oneshot::channel();
        tokio::spawn(async move {
            let Work { key, writing, summer, part, upload } = work;
            let result = inner.finish(&key, summer, part, upload).await;
            let turn: Turn = Box::new(writing);
            let result = result.map(|stat| Committed { stat, unclaimed: Some((inner, key, turn)) });
            // A caller who has left, or leaves before it looks, drops what is in the channel.
            drop(verdict.send(result));
        });
        match outcome.await {
            Ok(result) => result.map(Committed::claim),
            Err(_) => Err(StorageError::unavailable(Operation::Put, CutShort)),
        }
    }

    async fn discard(mut self) {
        if let Some(work) = self.work.take() {
            // In a task, so that a caller who leaves now does not leave the rest behind.
            let cleaned = tokio::spawn(work.clean_up());
            if let Err(error) = cleaned.await {
                tracing::warn!(error = &error as &dyn std::error::Error, "cleaning up after a put was cut short");
            }
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let Some(work) = self.work.take_if(|work| work.upload.is_some()) else { return };
        // Without a runtime the local directory's upload still removes its file as it is dropped.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(work.clean_up());
        }
    }
}

/// A commit whose caller has not heard of it. Dropped unheard, it is undone: nobody will ever refer to it.
struct Committed {
    stat: Stat,
    unclaimed: Option<(Arc<Inner>, ObjectKey, Turn)>,
}

impl Committed {
    fn claim(mut self) -> Stat {
        self.unclaimed = None;
        self.stat
    }
}

impl Drop for Committed {
    fn drop(&mut self) {
        let Some((inner, key, turn)) = self.unclaimed.take() else { return };
        // Without a runtime the process is ending, and garbage collection finds it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            tracing::debug!(%key, "a put was dropped while it committed, removing the object");
            inner.remove_traces(&key).await;
            drop(turn);
        });
    }
}

impl Work {
    async fn send_part(&mut self, inner: &Inner) -> Result<(), StorageError> {
        let failed = |error| translate(Operation::Put, &self.key, error);
        if self.upload.is_none() {
            let begun = inner.uploads.begin(&inner.store, &self.key).await;
            let handle = begun.map_err(|error| match error {
                BeginError::Store(error) => failed(error),
                BeginError::Log(error) => StorageError::of_body(&self.key, error),
            })?;
            self.upload = Some(Upload { handle, parts: JoinSet::new() });
        }
        if let Some(upload) = &mut self.upload {
            upload.wait_below(inner.options.parts_in_flight).await.map_err(failed)?;
            upload.send(&mut self.part);
        }
        Ok(())
    }

    /// Nothing was committed, so only the upload is there to be removed. The key is free afterwards.
    async fn clean_up(self) {
        if let Some(upload) = self.upload {
            upload.abort(&self.key).await;
        }
        drop(self.writing);
    }
}

impl Upload {
    fn send(&mut self, part: &mut Part) {
        let (payload, share) = part.take();
        let written = self.handle.put_part(payload);
        self.parts.spawn(async move {
            let _share = share;
            written.await
        });
    }

    async fn wait_below(&mut self, most: usize) -> object_store::Result<()> {
        while self.parts.len() >= most {
            let Some(part) = self.parts.join_next().await else { break };
            part??;
        }
        Ok(())
    }

    async fn complete(&mut self, mut last: Part) -> object_store::Result<()> {
        if last.len > 0 {
            self.send(&mut last);
        }
        self.wait_below(1).await?;
        self.handle.complete().await.map(drop)
    }

    async fn abort(mut self, key: &ObjectKey) {
        self.parts.shutdown().await;
        // A local upload whose commit failed says "aborted" here: it has forgotten its file, which
        // `clear_staged` then removes.
        if let Err(error) = self.handle.abort().await {
            tracing::debug!(%key, error = &error as &dyn std::error::Error, "an upload could not be aborted");
        }
    }
}

impl Inner {
    /// All that lies between the last byte and `Ok`. An error leaves nothing visible.
    async fn finish(
        &self,
        key: &ObjectKey,
        summer: Summer,
        mut part: Part,
        mut upload: Option<Upload>,
    ) -> Result<Stat, StorageError> {
        let size = summer.size();
        let committed = async {
            if size > CHUNK_BYTES {
                // Before the object, so that a visible object always has them.
                let checksums = summer.finish().encode();
                self.store.put(&key::checksums_path(key), checksums.into()).await?;
            }
            match &mut upload {
                Some(upload) => upload.complete(part).await,
                None => self.store.put(&key::object_path(key), part.take().0).await.map(drop),
            }
        };
        let Err(error) = committed.await else { return Ok(Stat { size }) };
        if let Some(upload) = upload {
            upload.abort(key).await;
        }
        // "Failed" can mean "renamed, but the directory did not sync" or "done, but the answer was lost".
        self.remove_traces(key).await;
        Err(translate(Operation::Put, key, error))
    }

    /// The same for a body that is in its file already.
    async fn finish_staged(&self, key: &ObjectKey, mut staged: Staged) -> Result<Stat, StorageError> {
        let Some(local) = self.local.clone() else {
            return Err(StorageError::Rejected { operation: Operation::Put, source: Rejection::NotStaged(*key) });
        };
        let (summer, target) = (staged.summer(), local.object(key));
        let size = summer.size();
        let committed = async {
            if size > CHUNK_BYTES {
                let checksums = self.store.put(&key::checksums_path(key), summer.finish().encode().into()).await;
                checksums.map_err(|error| translate(Operation::Put, key, error))?;
            }
            let renamed = offload(move || staged.rename(&target)).await;
            let renamed = renamed.map_err(|_| StorageError::unavailable(Operation::Put, CutShort))?;
            renamed.map_err(|error| of_file(Operation::Put, error))
        };
        match committed.await {
            Ok(()) => Ok(Stat { size }),
            Err(error) => {
                self.remove_traces(key).await;
                Err(error)
            }
        }
    }

    /// Removes whatever a writer of `key` may have left. Nobody else writes under this key.
    async fn remove_traces(&self, key: &ObjectKey) {
        if let Err(error) = self.remove(key).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(%key, error, "an object nobody refers to stays until garbage collection");
        }
        if let Some(local) = &self.local {
            local.clear_staged(*key).await;
        }
    }
}

/// A part under construction.
#[derive(Default)]
struct Part {
    pieces: Vec<Bytes>,
    /// Small pieces, copied together.
    tail: BytesMut,
    len: usize,
    /// This part's bytes of the budget of all uploads.
    share: Option<OwnedSemaphorePermit>,
}

impl Part {
    fn push(&mut self, piece: Bytes) {
        self.len += piece.len();
        if piece.len() >= SMALL_PIECE {
            self.close_tail();
            self.pieces.push(piece);
            return;
        }
        if self.tail.len() + piece.len() > 4 * SMALL_PIECE {
            self.close_tail();
        }
        self.tail.extend_from_slice(&piece);
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push(std::mem::take(&mut self.tail).freeze());
        }
    }

    fn take(&mut self) -> (PutPayload, Option<OwnedSemaphorePermit>) {
        self.close_tail();
        self.len = 0;
        (std::mem::take(&mut self.pieces).into_iter().collect(), self.share.take())
    }
}
