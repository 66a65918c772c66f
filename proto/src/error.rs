//! The closed set of outcomes that callers decide on. Retry is decided here and nowhere else.

/// Why something did not happen, as far as a caller needs to know in order to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The request itself is wrong; sending it again changes nothing.
    InvalidArgument,
    /// The thing does not exist.
    NotFound,
    /// Who asks is not known.
    Unauthenticated,
    /// Who asks may not.
    PermissionDenied,
    /// The state does not allow it: a conflict, an outdated token, an epoch that has passed.
    FailedPrecondition,
    /// A limit was reached.
    ResourceExhausted,
    /// The other side did not answer; the outcome of a write is unknown.
    Unavailable,
    /// The other side did not answer in time; the outcome of a write is unknown.
    DeadlineExceeded,
    /// This member cannot serve it, another may: not the leader, or not up to date. Nothing was done.
    NotLeader,
    /// What was kept is damaged.
    DataLoss,
    /// A defect of ours.
    Internal,
}

impl ErrorCode {
    /// Every code, for exhaustive tests of the mappings at the edges.
    pub const ALL: [Self; 11] = [
        Self::InvalidArgument,
        Self::NotFound,
        Self::Unauthenticated,
        Self::PermissionDenied,
        Self::FailedPrecondition,
        Self::ResourceExhausted,
        Self::Unavailable,
        Self::DeadlineExceeded,
        Self::NotLeader,
        Self::DataLoss,
        Self::Internal,
    ];

    /// Whether the same request may succeed later without anybody changing anything.
    pub fn is_retryable(self) -> bool {
        match self {
            Self::Unavailable | Self::DeadlineExceeded | Self::NotLeader | Self::ResourceExhausted => true,
            Self::InvalidArgument
            | Self::NotFound
            | Self::Unauthenticated
            | Self::PermissionDenied
            | Self::FailedPrecondition
            | Self::DataLoss
            | Self::Internal => false,
        }
    }

    /// Whether a write that ended so may have happened all the same.
    pub fn may_have_side_effects(self) -> bool {
        match self {
            Self::Unavailable | Self::DeadlineExceeded | Self::Internal => true,
            Self::InvalidArgument
            | Self::NotFound
            | Self::Unauthenticated
            | Self::PermissionDenied
            | Self::FailedPrecondition
            | Self::ResourceExhausted
            | Self::NotLeader
            | Self::DataLoss => false,
        }
    }
}
