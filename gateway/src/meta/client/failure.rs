//! What a failed call says, and whether another member may be asked.

use roadstead_proto::meta::MetaError;
use roadstead_proto::rpc::revision::is_behind;
use roadstead_proto::rpc::status::{from_status, was_sent};
use tonic::{Code, Status};

/// What a call does to the metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effects {
    /// Nothing.
    None,
    /// Doing it twice is doing it once.
    Repeatable,
    /// Something, each time.
    Once,
}

/// Why a member gave no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// It did nothing, and another member may know better.
    Elsewhere(MetaError),
    /// It has not come as far as this client has seen. It did nothing.
    Behind(MetaError),
    /// What it did is not known.
    Unknown(MetaError),
    /// The answer of the whole group.
    Final(MetaError),
}

impl Failure {
    /// What a status of the call means.
    pub(super) fn of(status: &Status) -> Self {
        let error = from_status(status);
        match error {
            MetaError::Refused(_) => Self::Final(error),
            _ if is_behind(status) => Self::Behind(error),
            // Each member keeps a window of its own and rows of its own.
            MetaError::NotLeader { .. } | MetaError::Compacted | MetaError::Damaged(_) => Self::Elsewhere(error),
            MetaError::Unavailable(_) if !was_sent(status) || was_turned_away(status) => Self::Elsewhere(error),
            MetaError::Unavailable(_) => Self::Unknown(error),
        }
    }

    /// A call that was given up.
    pub(super) fn late(address: &str) -> Self {
        Self::Unknown(MetaError::Unavailable(format!("{address} did not answer in time")))
    }

    /// Whether the call may be made of another member.
    pub(super) fn may_go_on(&self, effects: Effects) -> bool {
        match self {
            Self::Elsewhere(_) | Self::Behind(_) => true,
            Self::Unknown(_) => effects != Effects::Once,
            Self::Final(_) => false,
        }
    }

    /// What the caller hears, where nobody gave a better answer.
    pub(super) fn into_error(self) -> MetaError {
        match self {
            Self::Elsewhere(error) | Self::Behind(error) | Self::Unknown(error) | Self::Final(error) => error,
        }
    }
}

/// Statuses that come before anything is done: who asks may not, or asks for what this version does not know.
fn was_turned_away(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented | Code::InvalidArgument
    )
}
