//! [`ObjectTier`]: [`BlobStore`] over an object store.

use std::fmt;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::multipart::MultipartStore;
use object_store::signer::{Method, Signer};
use object_store::{ObjectStore, ObjectStoreExt as _};
use roadstead_proto::domain::entry::ObjectKey;
use roadstead_proto::domain::limits::{BLOB_MAX_BYTES, STORE_UPLOAD_PARTS_MAX};
use roadstead_proto::offload::offload;
use tokio::sync::Semaphore;

use super::answer::{Answer, advice};
use super::local::{LocalDirectory, LocalError};
use super::pool::Pool;
use super::upload::{UploadLog, Uploads};
use super::writers::Writers;
use super::{list, read, write};
use crate::blob::{BlobStore, BlobStream, Body, Listed, Scope, SignedUrl, Stat};
use crate::error::{Cause, CutShort, Operation, Rejection, StorageError};
use crate::floor::Floor;
use crate::key;
use crate::memory::ChecksumMemory;
use crate::staged::Staged;

/// Content of the marker: the layout's version. A layout this release cannot read must not be written into.
const MARKER_TEXT: &str = "roadstead-store 1\n";

/// How the tier uses its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Bytes of one part of an upload.
    pub part_bytes: usize,
    /// Parts of one upload that may be on their way at once.
    pub parts_in_flight: usize,
    /// Bytes that the parts of all uploads may hold.
    pub upload_bytes: u64,
    /// Bytes of checksums kept in memory.
    pub checksum_bytes: u64,
    /// Bytes of a local directory's disk that stay free.
    pub min_free_bytes: u64,
    /// Most bytes of one object: stops a body without end.
    pub object_bytes: u64,
}

impl Options {
    /// For a local directory: its writes are serialised anyway, so a second part on its way would only
    /// hold memory, and a part may be as small as one efficient write.
    pub fn local(upload_bytes: u64, checksum_bytes: u64) -> Self {
        Self {
            part_bytes: 1 << 20,
            parts_in_flight: 1,
            upload_bytes,
            checksum_bytes,
            min_free_bytes: 0,
            object_bytes: BLOB_MAX_BYTES,
        }
    }

    /// For a cloud store: every part but the last is of the same size and at least 5 MiB (S3, R2), and each is a request.
    pub fn cloud(upload_bytes: u64, checksum_bytes: u64) -> Self {
        let part_bytes = 8 << 20;
        // Parts are of one size (R2) and their number is limited, so that larger objects pass through unstored.
        let object_bytes = BLOB_MAX_BYTES.min(part_bytes as u64 * STORE_UPLOAD_PARTS_MAX);
        Self { part_bytes, parts_in_flight: 3, object_bytes, ..Self::local(upload_bytes, checksum_bytes) }
    }
}

/// A bucket as this tier uses it; its names are without any prefix.
#[derive(Clone)]
pub(crate) struct Bucket {
    pub(crate) objects: Arc<dyn ObjectStore>,
    /// Uploads by ids that outlive the process. Azure has none: what an upload leaves there is gone after a week.
    pub(crate) uploads: Option<Arc<dyn MultipartStore>>,
    /// Signs for the endpoint that clients know.
    pub(crate) signer: Arc<dyn Signer>,
}

/// Objects in an object store.
#[derive(Debug, Clone)]
pub struct ObjectTier {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) uploads: Uploads,
    /// Makes URLs that clients read objects by.
    signer: Option<Arc<dyn Signer>>,
    pub(super) local: Option<Arc<LocalDirectory>>,
    pub(super) options: Options,
    pub(super) checksums: ChecksumMemory,
    pub(super) pool: Arc<Pool>,
    /// One permit is one part.
    pub(super) upload_budget: Arc<Semaphore>,
    pub(super) writers: Arc<Writers>,
}

/// Why storage did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The local directory cannot be used.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// The store did not answer, or refused.
    #[error("the store could not be opened{}", advised(.0))]
    Store(#[from] StorageError),
    /// The store was written by a release that this one does not understand.
    #[error("the store has layout {found:?}, this release reads {MARKER_TEXT:?}")]
    Layout {
        /// What its marker says.
        found: String,
    },
}

impl ObjectTier {
    /// Over a local directory, which is created if need be. Clears what a killed process left.
    pub async fn open_local(path: &Path, options: Options) -> Result<Self, OpenError> {
        let path = path.to_owned();
        let opened = offload(move || LocalDirectory::open(&path, Floor(options.min_free_bytes))).await;
        let (directory, store) = opened.map_err(|_| StorageError::unavailable(Operation::Probe, CutShort))??;
        Self::open(Arc::new(store), Uploads::Handles, None, Some(Arc::new(directory)), options).await
    }

    /// Over any store whose uploads clean up after themselves when they are dropped.
    pub async fn open_store(store: Arc<dyn ObjectStore>, options: Options) -> Result<Self, OpenError> {
        Self::open(store, Uploads::Handles, None, None, options).await
    }

    /// Over a store that keeps the parts of dead uploads: their ids go to `log` before the first part, and what it knows
    /// of an earlier process is aborted.
    pub async fn open_cloud<S: ObjectStore + MultipartStore>(
        store: Arc<S>,
        log: Arc<dyn UploadLog>,
        options: Options,
    ) -> Result<Self, OpenError> {
        let uploads = Uploads::Known { store: Arc::clone(&store) as Arc<dyn MultipartStore>, log };
        Self::open(store, uploads, None, None, options).await
    }

    /// Over a bucket.
    pub(crate) async fn open_bucket(
        bucket: Bucket,
        log: Arc<dyn UploadLog>,
        options: Options,
    ) -> Result<Self, OpenError> {
        let uploads = bucket.uploads.map_or(Uploads::Handles, |store| Uploads::Known { store, log });
        Self::open(bucket.objects, uploads, Some(bucket.signer), None, options).await
    }

    async fn open(
        store: Arc<dyn ObjectStore>,
        uploads: Uploads,
        signer: Option<Arc<dyn Signer>>,
        local: Option<Arc<LocalDirectory>>,
        options: Options,
    ) -> Result<Self, OpenError> {
        let inner = Inner::new(store, uploads, signer, local, options);
        inner.mark().await?;
        let aborted = inner.uploads.abort_left().await;
        if aborted > 0 {
            tracing::info!(aborted, "aborted the uploads that an earlier process left in the store");
        }
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Over a store that is only read, and may be away now: nothing is asked of it before a read. Its marker is still looked
    /// for where an object is missing.
    pub fn for_reading(store: Arc<dyn ObjectStore>, options: Options) -> Self {
        Self { inner: Arc::new(Inner::new(store, Uploads::Handles, None, None, options)) }
    }

    /// Bytes of checksums in memory.
    pub(crate) fn checksum_memory(&self) -> ChecksumMemory {
        self.inner.checksums.clone()
    }
}

impl Inner {
    fn new(
        store: Arc<dyn ObjectStore>,
        uploads: Uploads,
        signer: Option<Arc<dyn Signer>>,
        local: Option<Arc<LocalDirectory>>,
        options: Options,
    ) -> Self {
        let parts = options.upload_bytes / (options.part_bytes as u64).max(1);
        Self {
            store,
            uploads,
            signer,
            local,
            options,
            checksums: ChecksumMemory::new(options.checksum_bytes),
            pool: Arc::default(),
            upload_budget: Arc::new(Semaphore::new(usize::try_from(parts).unwrap_or(1).clamp(1, 1 << 20))),
            writers: Arc::default(),
        }
    }
}

#[async_trait]
impl BlobStore for ObjectTier {
    async fn stat(&self, key: &ObjectKey) -> Result<Stat, StorageError> {
        match self.inner.store.head(&key::object_path(key)).await {
            Ok(meta) => Ok(Stat { size: meta.size }),
            Err(error) => Err(self.inner.failure(Operation::Stat, key, error).await),
        }
    }

    async fn get(&self, key: &ObjectKey, size: u64, range: Range<u64>) -> Result<BlobStream, StorageError> {
        read::get(&self.inner, key, size, range).await
    }

    async fn put(&self, key: &ObjectKey, body: Body) -> Result<Stat, StorageError> {
        write::put(&self.inner, key, body).await
    }

    async fn stage(&self, key: &ObjectKey) -> Result<Option<Staged>, StorageError> {
        write::stage(&self.inner, key).await
    }

    async fn commit(&self, staged: Staged) -> Result<Stat, StorageError> {
        write::commit(&self.inner, staged).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StorageError> {
        self.inner.remove(key).await
    }

    fn list(&self, scope: Scope) -> BoxStream<'static, Result<Listed, StorageError>> {
        list::list(Arc::clone(&self.inner), scope)
    }

    async fn presign(&self, key: &ObjectKey, ttl: Duration) -> Result<Option<SignedUrl>, StorageError> {
        let Some(signer) = &self.inner.signer else { return Ok(None) };
        let signed = signer.signed_url(Method::GET, &key::object_path(key), ttl).await;
        signed.map(|url| Some(SignedUrl::new(url))).map_err(|error| without_object(Operation::Presign, error))
    }

    async fn probe(&self) -> Result<(), StorageError> {
        let answer = async {
            self.inner.present(Operation::Probe).await?;
            let put = self.inner.store.put(&key::PROBE.into(), MARKER_TEXT.into()).await;
            put.map(drop).map_err(|error| without_object(Operation::Probe, error))
        };
        answer.await
    }
}

impl Inner {
    /// Finds the marker, or leaves it in a store that has none.
    async fn mark(&self) -> Result<(), OpenError> {
        let failed = |error| without_object(Operation::Probe, error);
        let found = match self.store.get(&key::MARKER.into()).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => {
                self.store.put(&key::MARKER.into(), MARKER_TEXT.into()).await.map_err(failed)?;
                return Ok(());
            }
            Err(error) => return Err(failed(error).into()),
        };
        // Whatever lies there, no more of it is read than a marker has.
        let mut text = Vec::new();
        if found.meta.size <= 256 {
            text = found.bytes().await.map_err(failed)?.to_vec();
        }
        if text == MARKER_TEXT.as_bytes() {
            return Ok(());
        }
        Err(OpenError::Layout { found: String::from_utf8_lossy(&text).into_owned() })
    }

    /// What a failed request for `key` means. "Not found" counts only if the store itself is still there: an
    /// unmounted disk and a bucket emptied behind our back have no objects either.
    pub(super) async fn failure(
        &self,
        operation: Operation,
        key: &ObjectKey,
        error: object_store::Error,
    ) -> StorageError {
        match translate(operation, key, error) {
            missing @ StorageError::NotFound { .. } => self.present(operation).await.err().unwrap_or(missing),
            other => other,
        }
    }

    pub(super) async fn present(&self, operation: Operation) -> Result<(), StorageError> {
        match self.store.head(&key::MARKER.into()).await {
            Ok(_) => Ok(()),
            Err(object_store::Error::NotFound { .. }) => Err(StorageError::unavailable(operation, MarkerGone)),
            Err(error) => Err(without_object(operation, error)),
        }
    }

    /// Whether `bytes` more may be stored, as far as that can be known here.
    pub(super) fn admit(&self, bytes: u64) -> Result<(), StorageError> {
        let Some(local) = &self.local else { return Ok(()) };
        local.admit(bytes).map_err(|error| of_file(Operation::Put, error))
    }

    /// Object first, checksums last: a visible object always has its checksums.
    pub(super) async fn remove(&self, key: &ObjectKey) -> Result<(), StorageError> {
        match self.store.delete(&key::object_path(key)).await {
            Ok(()) => {}
            Err(error @ object_store::Error::NotFound { .. }) => {
                match self.failure(Operation::Delete, key, error).await {
                    StorageError::NotFound { .. } => {}
                    outage => return Err(outage),
                }
            }
            Err(error) => return Err(translate(Operation::Delete, key, error)),
        }
        self.checksums.forget(key).await;
        match self.store.delete(&key::checksums_path(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(translate(Operation::Delete, key, error)),
        }
    }
}

/// The store answers, and is not the one that was opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "the store has no `{marker}` any more, so its bucket or directory was emptied, removed or unmounted: bring it back, or \
     start again to go on with an empty one",
    marker = key::MARKER
)]
struct MarkerGone;

/// What to do about an error, as the end of a sentence.
pub(crate) fn advised(error: &(dyn std::error::Error + 'static)) -> String {
    advice(error).map(|advice| format!(": {advice}")).unwrap_or_default()
}

/// The store's errors in our words. "Refused" is what the store said, "unavailable" is everything else.
pub(super) fn translate(operation: Operation, key: &ObjectKey, error: object_store::Error) -> StorageError {
    if matches!(error, object_store::Error::NotFound { .. }) {
        StorageError::NotFound { key: *key }
    } else {
        without_object(operation, error)
    }
}

/// A file's own errors, in the same words.
pub(super) fn of_file(operation: Operation, error: std::io::Error) -> StorageError {
    without_object(operation, object_store::Error::Generic { store: "local", source: Box::new(error) })
}

/// The same where no object is asked for: then "not found" means that the store is not itself.
pub(crate) fn without_object(operation: Operation, error: object_store::Error) -> StorageError {
    use object_store::Error as E;
    let refused = match &error {
        E::PermissionDenied { .. }
        | E::Unauthenticated { .. }
        | E::NotSupported { .. }
        | E::NotImplemented { .. }
        | E::InvalidPath { .. }
        | E::UnknownConfigurationKey { .. } => true,
        // The local directory has no other way to say it.
        other => io_kind(other).is_some_and(|kind| {
            matches!(
                kind,
                ErrorKind::PermissionDenied
                    | ErrorKind::StorageFull
                    | ErrorKind::QuotaExceeded
                    | ErrorKind::ReadOnlyFilesystem
                    | ErrorKind::FileTooLarge
            )
        }),
    };
    let cause: Cause = match Answer::in_error(&error) {
        Some(answer) => Arc::new(answer),
        None => Arc::new(error),
    };
    if refused {
        StorageError::Rejected { operation, source: Rejection::Refused(cause) }
    } else {
        StorageError::Unavailable { operation, source: cause }
    }
}

fn io_kind(error: &object_store::Error) -> Option<ErrorKind> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        source = error.source();
    }
    None
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects")
            // By its name: what else it would show of itself is not ours to judge.
            .field("store", &format_args!("{}", self.store))
            .field("uploads", &self.uploads)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    /// As the local directory wraps its errors.
    #[derive(Debug, thiserror::Error)]
    #[error("unable to copy data to file")]
    struct Wrapped(#[source] std::io::Error);

    #[test]
    fn what_the_store_refuses_is_not_an_outage() {
        for (kind, expected) in [
            (ErrorKind::StorageFull, Kind::Rejected),
            (ErrorKind::QuotaExceeded, Kind::Rejected),
            (ErrorKind::PermissionDenied, Kind::Rejected),
            (ErrorKind::ReadOnlyFilesystem, Kind::Rejected),
            (ErrorKind::TimedOut, Kind::Unavailable),
            (ErrorKind::NotFound, Kind::Unavailable),
        ] {
            let source = Box::new(Wrapped(kind.into()));
            let error = without_object(Operation::Put, object_store::Error::Generic { store: "local", source });
            assert_eq!((error.kind(), error.is_miss()), (expected, false), "{kind}");
        }
    }
}
