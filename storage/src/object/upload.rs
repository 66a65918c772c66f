//! Multipart uploads: one shape over both ways a store offers them.
//!
//! A local directory hands out an opaque upload that cleans up when dropped. A cloud store keeps
//! the parts of an upload whose writer died until somebody aborts it by its id, so there the id is
//! logged before the first part leaves, and a successor or a sweep can abort it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::{FutureExt as _, StreamExt as _};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _, PutPayload, PutResult, UploadPart};
use roadstead_proto::domain::entry::ObjectKey;
use roadstead_proto::domain::limits;

use crate::blob::BodyError;
use crate::key;

/// Where upload ids are kept while their uploads run. The key's token says whose grant it is.
///
/// A log belongs to one process at a time: what [`UploadLog::left`] tells, nobody works on any more.
#[async_trait]
pub trait UploadLog: fmt::Debug + Send + Sync + 'static {
    /// `upload` was begun for `key`. An error ends the put before any part has left: an upload nobody could find again must not
    /// begin.
    async fn began(&self, key: &ObjectKey, upload: &str) -> Result<(), BodyError>;

    /// `upload` is gone from the store, completed or aborted. An entry that stays is looked at once more by the next
    /// start, so that this may fail in silence.
    async fn ended(&self, key: &ObjectKey, upload: &str);

    /// What an earlier process began and did not end.
    async fn left(&self) -> Result<Vec<(ObjectKey, String)>, BodyError>;
}

/// How this store begins an upload.
#[derive(Clone)]
pub(super) enum Uploads {
    /// By an opaque handle that cleans up after itself.
    Handles,
    /// By an id that outlives the process.
    Known { store: Arc<dyn MultipartStore>, log: Arc<dyn UploadLog> },
}

/// Why an upload did not begin.
#[derive(Debug)]
pub(super) enum BeginError {
    Store(object_store::Error),
    Log(BodyError),
}

impl Uploads {
    pub(super) async fn begin(
        &self,
        store: &Arc<dyn ObjectStore>,
        key: &ObjectKey,
    ) -> Result<Box<dyn MultipartUpload>, BeginError> {
        let path = key::object_path(key);
        let (store, log) = match self {
            Self::Handles => return store.put_multipart(&path).await.map_err(BeginError::Store),
            Self::Known { store, log } => (store, log),
        };
        let id = store.create_multipart(&path).await.map_err(BeginError::Store)?;
        if let Err(refusal) = log.began(key, &id).await {
            if let Err(error) = store.abort_multipart(&path, &id).await {
                tracing::warn!(%key, upload = id, error = &error as &dyn std::error::Error, "an empty upload stays");
            }
            return Err(BeginError::Log(refusal));
        }
        let upload = Known {
            store: Arc::clone(store),
            log: Arc::clone(log),
            key: *key,
            path,
            id,
            next: 0,
            parts: Arc::default(),
        };
        Ok(Box::new(upload))
    }

    /// Aborts what an earlier process began and did not end, and says how many they were. One that cannot be aborted now
    /// stays in the log.
    pub(super) async fn abort_left(&self) -> usize {
        let Self::Known { store, log } = self else { return 0 };
        let left = match log.left().await {
            Ok(left) => left,
            Err(error) => {
                tracing::warn!(error = &*error as &dyn std::error::Error, "what earlier uploads left is not known");
                return 0;
            }
        };
        let aborted = futures::stream::iter(left).map(|(key, id)| async move {
            let gone = abort(&**store, &key::object_path(&key), &id).await;
            match &gone {
                Ok(()) => log.ended(&key, &id).await,
                Err(error) => {
                    let error = error as &dyn std::error::Error;
                    tracing::warn!(%key, error, "parts of an upload stay in the store until the next start");
                }
            }
            usize::from(gone.is_ok())
        });
        aborted.buffer_unordered(limits::STORE_ABORTS_AT_ONCE).fold(0, |sum, one| async move { sum + one }).await
    }
}

/// An upload that is not there is as good as aborted: its answer was lost, or it was completed.
async fn abort(store: &dyn MultipartStore, path: &Path, id: &String) -> object_store::Result<()> {
    match store.abort_multipart(path, id).await {
        Err(object_store::Error::NotFound { .. }) => Ok(()),
        answered => answered,
    }
}

impl fmt::Debug for Uploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handles => "Handles",
            Self::Known { .. } => "Known",
        })
    }
}

struct Known {
    store: Arc<dyn MultipartStore>,
    log: Arc<dyn UploadLog>,
    key: ObjectKey,
    path: Path,
    id: String,
    next: usize,
    /// Ids of the parts that arrived, in any order. Locked to push, never across an await.
    parts: Arc<Mutex<Vec<(usize, PartId)>>>,
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known").field("path", &self.path).field("id", &self.id).finish_non_exhaustive()
    }
}

#[async_trait]
impl MultipartUpload for Known {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (store, path, id, index) = (Arc::clone(&self.store), self.path.clone(), self.id.clone(), self.next);
        let parts = Arc::clone(&self.parts);
        self.next += 1;
        async move {
            let part = store.put_part(&path, &id, index, data).await?;
            parts.lock().unwrap_or_else(PoisonError::into_inner).push((index, part));
            Ok(())
        }
        .boxed()
    }

    async fn complete(&mut self) -> object_store::Result<PutResult> {
        let mut parts = std::mem::take(&mut *self.parts.lock().unwrap_or_else(PoisonError::into_inner));
        parts.sort_unstable_by_key(|(index, _)| *index);
        let parts = parts.into_iter().map(|(_, part)| part).collect();
        let completed = self.store.complete_multipart(&self.path, &self.id, parts).await?;
        self.log.ended(&self.key, &self.id).await;
        Ok(completed)
    }

    async fn abort(&mut self) -> object_store::Result<()> {
        abort(&*self.store, &self.path, &self.id).await?;
        self.log.ended(&self.key, &self.id).await;
        Ok(())
    }
}
