//! What a fetch can end in.

use std::time::Duration;

use roadstead_proto::domain::digest::DigestMismatch;
use roadstead_proto::error::ErrorCode;

use super::spool::SpoolError;
use crate::meta::snapshot::UpstreamView;
use crate::upstream::error::Fault;

/// A fault of an upstream, under the name that people know it by.
pub(crate) fn upstream_fault(view: &UpstreamView, fault: Fault) -> FetchError {
    FetchError::Upstream { upstream: view.upstream.settings.name.clone(), fault }
}

/// No content, and why.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FetchError {
    /// Every upstream that may answer says "not here".
    #[error("no upstream of the registry has it")]
    NotFound,
    /// An upstream could not say.
    #[error("upstream {upstream}: {fault}")]
    Upstream {
        /// Its display name.
        upstream: String,
        /// What happened.
        fault: Fault,
    },
    /// A download that was joined failed.
    #[error("the download failed: {0}")]
    Fill(FillFailure),
    /// Another gateway works on it and did not finish in time.
    #[error("another gateway is fetching it and has not finished")]
    Elsewhere,
    /// A task ended without a result.
    #[error("the work was abandoned")]
    Abandoned,
}

/// Why a download ended before its end.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FillFailure {
    /// The upstream broke off and did not recover.
    #[error("upstream {upstream}: {fault}")]
    Upstream {
        /// Its display name.
        upstream: String,
        /// What happened last.
        fault: Fault,
    },
    /// The bytes are not those of the digest.
    #[error("{0}")]
    Corrupt(Box<DigestMismatch>),
    /// More bytes than the upstream announced, or than any blob may have.
    #[error("the blob is larger than {0} bytes")]
    TooLarge(u64),
    /// It has another size than before.
    #[error("the blob's size changed from {before} to {now} bytes")]
    SizeChanged {
        /// First said.
        before: u64,
        /// Then said.
        now: u64,
    },
    /// The spool could not be written or read.
    #[error("spool: {0}")]
    Spool(SpoolError),
    /// Another gateway works on it and did not finish in time.
    #[error("another gateway is fetching it and has not finished")]
    Elsewhere,
    /// The task ended without a result.
    #[error("the download was abandoned")]
    Abandoned,
}

impl FillFailure {
    /// For metrics and logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Upstream { fault, .. } => fault.reason(),
            Self::Corrupt(_) => "corrupt",
            Self::TooLarge(_) => "too_large",
            Self::SizeChanged { .. } => "size_changed",
            Self::Spool(_) => "spool",
            Self::Elsewhere => "elsewhere",
            Self::Abandoned => "abandoned",
        }
    }
}

impl FillFailure {
    /// As storage wants to hear it: a mismatch as itself, so that the put ends as rejected and not as an outage.
    pub(super) fn into_body_error(self) -> roadstead_storage::blob::BodyError {
        match self {
            Self::Corrupt(mismatch) => mismatch,
            other => Box::new(other),
        }
    }
}

impl From<FillFailure> for FetchError {
    fn from(failure: FillFailure) -> Self {
        match failure {
            FillFailure::Upstream { upstream, fault } => Self::Upstream { upstream, fault },
            FillFailure::Elsewhere => Self::Elsewhere,
            FillFailure::Abandoned => Self::Abandoned,
            other => Self::Fill(other),
        }
    }
}

impl FetchError {
    /// The code that the edge decides on.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound => ErrorCode::NotFound,
            Self::Upstream { fault, .. } => fault.code(),
            Self::Fill(_) | Self::Elsewhere => ErrorCode::Unavailable,
            Self::Abandoned => ErrorCode::Internal,
        }
    }

    /// Whether an upstream is to blame, and not this gateway.
    pub fn is_upstreams(&self) -> bool {
        use FillFailure::{Corrupt, SizeChanged, TooLarge};
        matches!(self, Self::Upstream { .. } | Self::Fill(Corrupt(_) | TooLarge(_) | SizeChanged { .. }))
    }

    /// For metrics and `Cache-Status`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Upstream { fault, .. } => fault.reason(),
            _ => "unavailable",
        }
    }

    /// When to try again, where the upstream said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Upstream { fault, .. } => fault.retry_after(),
            _ => None,
        }
    }
}
