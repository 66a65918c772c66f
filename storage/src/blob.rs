//! The seam: content-addressed objects behind one trait.
//!
//! The promises below are the contract. `testing::suite` holds every implementation to them.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use roadstead_proto::domain::digest::{Algorithm, Digest};
use roadstead_proto::domain::entry::ObjectKey;
use roadstead_proto::domain::time::Timestamp;

use crate::error::{Operation, Rejection, StorageError};
use crate::staged::Staged;

/// Most bytes of one item of a [`BlobStream`]. A consumer that is blocked on its socket holds one
/// item, so this times the number of connections is memory.
pub const ITEM_MAX_BYTES: usize = 256 * 1024;

/// Checked bytes in order. An error ends it.
pub type BlobStream = BoxStream<'static, Result<Bytes, StorageError>>;

/// What is to be stored, as it comes.
pub type BodyStream = BoxStream<'static, Result<Bytes, BodyError>>;

/// Why a body broke off, in the words of whoever produced it.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// Content-addressed objects.
///
/// - **Atomic**: an object is visible whole or not at all, and only after the `put` said `Ok`.
/// - **Checked**: no method hands out a byte that was not checked since it left the slow tier.
/// - **Honest**: `NotFound` means that the store answered and has no such object. An outage, an
///   unmounted disk or an emptied bucket is `Unavailable`.
/// - **Keys are written once.** A key carries the fencing token of its writer, so two contents never
///   meet under one key, and nothing that was read under a key can become wrong.
#[async_trait]
pub trait BlobStore: fmt::Debug + Send + Sync + 'static {
    /// Size of a committed object.
    async fn stat(&self, key: &ObjectKey) -> Result<Stat, StorageError>;

    /// Bytes of `range` (half-open) of an object of `size` bytes, in items of at most
    /// [`ITEM_MAX_BYTES`], none of them empty.
    ///
    /// `size` is what the metadata says ([`BlobLocation::size`]); an object of another size is
    /// damaged. The first item is in hand before this returns, so that an error comes before any header
    /// is sent. An empty range asks only whether the object is there.
    ///
    /// [`BlobLocation::size`]: roadstead_proto::domain::entry::BlobLocation::size
    async fn get(&self, key: &ObjectKey, size: u64, range: Range<u64>) -> Result<BlobStream, StorageError>;

    /// Reads `body` to its end and commits the object, which is visible and durable after `Ok`.
    ///
    /// A body that ends in an error, or whose bytes are not those of the key's digest, leaves nothing
    /// behind; the same holds for a put whose future is dropped, soon after. One key is put by one
    /// writer; a second put of it in this process waits for the first, clean-up included.
    async fn put(&self, key: &ObjectKey, body: Body) -> Result<Stat, StorageError>;

    /// A file of the store's own for the body of `key`, where the store is a directory: what is written there need not be
    /// written again. `None` where it is not; then [`BlobStore::put`] is the way.
    ///
    /// One key is put by one writer: this waits for another put of it in this process.
    async fn stage(&self, key: &ObjectKey) -> Result<Option<Staged>, StorageError> {
        let _ = key;
        Ok(None)
    }

    /// Makes what was staged the object, which is visible and durable after `Ok`. The caller has hashed the very bytes it
    /// wrote and vouches for them as for [`Body::vouched`]. An error leaves nothing behind.
    async fn commit(&self, staged: Staged) -> Result<Stat, StorageError> {
        let source = Rejection::NotStaged(*staged.key());
        Err(StorageError::Rejected { operation: Operation::Put, source })
    }

    /// Removes the object. Removing what is not there is `Ok`. Reads under way may end either way.
    async fn delete(&self, key: &ObjectKey) -> Result<(), StorageError>;

    /// What is stored within `scope`, in no promised order. Objects that come or go meanwhile may or
    /// may not appear.
    fn list(&self, scope: Scope) -> BoxStream<'static, Result<Listed, StorageError>>;

    /// A URL under which anybody reads this object from the store itself until `ttl` is over; `None` where the store has
    /// no such URLs. The store is not asked whether the object is there, and nobody checks the bytes on their way: only
    /// whoever checks the digest at the end may be sent there.
    async fn presign(&self, key: &ObjectKey, ttl: Duration) -> Result<Option<SignedUrl>, StorageError>;

    /// Reachable and writable now, asked of the slow tier itself. For readiness: cheap, but not free.
    async fn probe(&self) -> Result<(), StorageError>;
}

/// What is known of an object without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Bytes of the object.
    pub size: u64,
}

/// What a listing covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    All,
    /// All digests of one algorithm.
    Algorithm(Algorithm),
    /// One digest, under whatever tokens: how an object is found while the metadata is away.
    Digest(Digest),
}

/// One line of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// Whose it is.
    pub key: ObjectKey,
    /// Which part of it. Only [`Part::Object`] says that the object exists.
    pub part: Part,
    /// Bytes of this part.
    pub size: u64,
    /// When this part was written.
    pub modified: Timestamp,
}

/// What is stored under one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The bytes themselves.
    Object,
    /// The checksums beside a large object. They are written first and removed last, so they may stand alone;
    /// `delete` of their key removes them.
    Checksums,
}

/// A URL that is a right: whoever has it reads one object for a while. Never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedUrl(String);

impl SignedUrl {
    /// Takes over a URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The URL itself, for whoever has the right to the object.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignedUrl(…)")
    }
}

/// The body of a put, and who vouches for it.
pub struct Body {
    stream: BodyStream,
    vouched: bool,
}

impl Body {
    /// Bytes nobody has checked: the stack hashes them on the way and commits only on a match.
    pub fn unchecked(stream: BodyStream) -> Self {
        Self { stream, vouched: false }
    }

    /// Bytes whose producer hashes them and ends the stream in `Ok` only after its own verdict for the
    /// same digest; on a mismatch it ends in an error. They are not hashed again: SHA-256 is by far the
    /// dearest thing that happens to a byte here. Give the producer's `DigestMismatch` as the error and
    /// the put ends as [`Kind::Rejected`](crate::error::Kind::Rejected).
    pub fn vouched(stream: BodyStream) -> Self {
        Self { stream, vouched: true }
    }

    /// A body that is in memory whole, unchecked.
    pub fn from_bytes(bytes: Bytes) -> Self {
        Self::unchecked(Box::pin(futures::stream::iter([Ok(bytes)])))
    }

    /// Whether the stream ends in `Ok` only after a verdict.
    pub fn is_vouched(&self) -> bool {
        self.vouched
    }

    /// The bytes.
    pub fn into_stream(self) -> BodyStream {
        self.stream
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("vouched", &self.vouched).finish_non_exhaustive()
    }
}

/// Every implementation refuses a range outside the object in the same words.
pub(crate) fn check_range(size: u64, range: &Range<u64>) -> Result<(), StorageError> {
    if range.start <= range.end && range.end <= size {
        return Ok(());
    }
    let source = Rejection::Range { start: range.start, end: range.end, size };
    Err(StorageError::Rejected { operation: Operation::Get, source })
}
