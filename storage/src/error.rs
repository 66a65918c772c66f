//! What an operation on storage can end in.
//!
//! Three answers are easily confused and must not be: "the object is not there" ([`Kind::NotFound`],
//! a miss), "the store refuses" ([`Kind::Rejected`]) and "the store did not answer"
//! ([`Kind::Unavailable`]). Only the first, and damage, may lead to a download: an outage of storage
//! must never turn into a stampede on an upstream.

use std::fmt;
use std::sync::Arc;

use roadstead_proto::domain::digest::DigestMismatch;
use roadstead_proto::domain::entry::ObjectKey;

use crate::checksums::ChecksumsError;

/// An error underneath, shared: one failed load answers all its waiters.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Why an operation failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageError {
    /// The store answered, and the object is not there. A miss.
    #[error("object {key} is not stored")]
    NotFound {
        /// What was asked for.
        key: ObjectKey,
    },
    /// The store did not answer, or its answer says that it is not itself now. Nothing follows for the object.
    #[error("storage gave no answer to {operation}")]
    Unavailable {
        /// What was asked.
        operation: Operation,
        /// What happened instead of an answer.
        source: Cause,
    },
    /// What is stored is not what was stored. No byte of it was handed out. A miss.
    #[error("object {key} is damaged")]
    Corrupt {
        /// The damaged object.
        key: ObjectKey,
        /// What is wrong with it.
        source: Damage,
    },
    /// The store, or this crate before it, refuses. Asking again the same way ends the same way.
    #[error("{operation} was refused")]
    Rejected {
        /// What was asked.
        operation: Operation,
        /// Why it was refused.
        source: Rejection,
    },
    /// The body of a put broke off. Nothing was stored.
    #[error("the body of {key} broke off")]
    Aborted {
        /// What was being stored.
        key: ObjectKey,
        /// The body's own error.
        source: Cause,
    },
}

/// The closed set that callers decide by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// See [`StorageError::NotFound`].
    NotFound,
    /// See [`StorageError::Unavailable`].
    Unavailable,
    /// See [`StorageError::Corrupt`].
    Corrupt,
    /// See [`StorageError::Rejected`].
    Rejected,
    /// See [`StorageError::Aborted`].
    Aborted,
}

impl Kind {
    /// One word, as metrics and logs spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Unavailable => "unavailable",
            Self::Corrupt => "corrupt",
            Self::Rejected => "rejected",
            Self::Aborted => "aborted",
        }
    }
}

/// The operations of [`crate::blob::BlobStore`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// `stat`
    Stat,
    /// `get`
    Get,
    /// `put`
    Put,
    /// `delete`
    Delete,
    /// `list`
    List,
    /// `presign`
    Presign,
    /// `probe`
    Probe,
}

impl Operation {
    /// One word, as metrics and logs spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stat => "stat",
            Self::Get => "get",
            Self::Put => "put",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Presign => "presign",
            Self::Probe => "probe",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is wrong with a stored object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Longer or shorter than it was when it was stored.
    #[error("it has {actual} bytes, expected {expected}")]
    Size {
        /// The size in the metadata.
        expected: u64,
        /// The size found.
        actual: u64,
    },
    /// A small object's bytes are not those of its digest.
    #[error(transparent)]
    Digest(#[from] Box<DigestMismatch>),
    /// A block's bytes do not have the checksum of the time they were stored.
    #[error("the checksum of the block at byte {at} does not match")]
    Block {
        /// First byte of the block.
        at: u64,
    },
    /// The checksums beside a large object are gone, so its bytes cannot be checked.
    #[error("its checksums are missing")]
    ChecksumsMissing,
    /// The checksums beside a large object are damaged, so its bytes cannot be checked.
    #[error("its checksums are unusable")]
    Checksums(#[from] ChecksumsError),
}

/// Why an operation was refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Rejection {
    /// The body of a put is not the content that the key names.
    #[error(transparent)]
    Digest(#[from] Box<DigestMismatch>),
    /// The body of a put is longer than any blob may be.
    #[error("the body is longer than {limit} bytes")]
    TooLarge {
        /// Most bytes of one object.
        limit: u64,
    },
    /// A range outside the object.
    #[error("bytes {start} to {end} do not lie within an object of {size} bytes")]
    Range {
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
        /// The object's size, as the caller gave it.
        size: u64,
    },
    /// A staged body for a store that stages none.
    #[error("object {0} was not staged here")]
    NotStaged(ObjectKey),
    /// The store's own refusal: no permission, no space, not supported.
    #[error("the store refuses")]
    Refused(#[source] Cause),
}

impl StorageError {
    /// What callers decide by.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotFound { .. } => Kind::NotFound,
            Self::Unavailable { .. } => Kind::Unavailable,
            Self::Corrupt { .. } => Kind::Corrupt,
            Self::Rejected { .. } => Kind::Rejected,
            Self::Aborted { .. } => Kind::Aborted,
        }
    }

    /// The cache does not have the object: fetching it again is the answer. True for nothing else.
    pub fn is_miss(&self) -> bool {
        matches!(self.kind(), Kind::NotFound | Kind::Corrupt)
    }

    pub(crate) fn corrupt(key: &ObjectKey, damage: impl Into<Damage>) -> Self {
        Self::Corrupt { key: *key, source: damage.into() }
    }

    pub(crate) fn unavailable(
        operation: Operation,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable { operation, source: Arc::from(cause.into()) }
    }

    /// The end of a put whose body ended in `error`. A verdict against the bytes is a refusal;
    /// everything else is a body that broke off.
    pub(crate) fn of_body(key: &ObjectKey, error: crate::blob::BodyError) -> Self {
        match mismatch_in(&*error) {
            Some(mismatch) => Self::Rejected { operation: Operation::Put, source: Rejection::Digest(mismatch) },
            None => Self::Aborted { key: *key, source: Arc::from(error) },
        }
    }
}

/// The verdict, wherever the producer wrapped it. A boxed one that went through `?` is boxed twice.
fn mismatch_in(error: &(dyn std::error::Error + 'static)) -> Option<Box<DigestMismatch>> {
    let mut next = Some(error);
    while let Some(error) = next {
        let boxed = || error.downcast_ref::<Box<DigestMismatch>>().cloned();
        if let Some(found) = error.downcast_ref::<DigestMismatch>().map(|found| Box::new(*found)).or_else(boxed) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// Whoever waits on a task that is gone learns that, not that the object is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the work was cut short: the runtime is stopping or a task panicked")]
pub(crate) struct CutShort;
