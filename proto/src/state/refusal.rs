//! Why a command was refused, each reason as a value of its own.

use crate::domain::registry::{GroupId, LinkId, RegistryId, UpstreamId};
use crate::error::ErrorCode;

/// Why a command was refused. The state is unchanged.
///
/// Where a reason is about a field of what was sent ([`Refusal::field`]), its text goes on from the field's name, as the
/// management contract shows it: `name` "has already been taken".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The upstream does not exist.
    #[error("there is no upstream {0}")]
    NoUpstream(UpstreamId),
    /// The group does not exist.
    #[error("there is no group {0}")]
    NoGroup(GroupId),
    /// No group has this path.
    #[error("there is no group of this path")]
    NoGroupPath,
    /// The registry does not exist.
    #[error("there is no registry {0}")]
    NoRegistry(RegistryId),
    /// The link does not exist.
    #[error("there is no link {0}")]
    NoLink(LinkId),
    /// The upstream is of another group than the registry. Whoever asks must not learn that it exists.
    #[error("upstream {0} is of another group")]
    OtherGroup(UpstreamId),
    /// Something of the group has this name.
    #[error("has already been taken")]
    NameTaken,
    /// An upstream of the group asks the same address as the same account.
    #[error("already has an upstream with the same credentials")]
    Twin(UpstreamId),
    /// The registry has the upstream.
    #[error("is already linked to this registry")]
    AlreadyLinked,
    /// Positions count from 1.
    #[error("must be 1 or more")]
    NoPosition,
    /// A limit of the settings.
    #[error("already has {0} registries, which is the limit")]
    TooManyRegistries(usize),
    /// A limit of the configuration.
    #[error("a registry has at most {0} upstreams")]
    TooManyUpstreams(usize),
    /// It is not any more what whoever wants to change it has read.
    #[error("it was changed meanwhile")]
    Changed,
    /// The session has ended.
    #[error("the session has ended")]
    NoSession,
    /// The lease is not held under this token.
    #[error("the lease is not held under this token")]
    LeaseLost,
    /// The upstream's url or credentials changed, or its cache was purged.
    #[error("the upstream has changed")]
    EpochChanged,
    /// A right by HEAD needs content that an upstream of the same origin delivered and that is stored.
    #[error("no upstream of this origin has delivered this content")]
    NotDelivered,
}

impl Refusal {
    /// The code that callers decide on.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::NoUpstream(_)
            | Self::NoGroup(_)
            | Self::NoGroupPath
            | Self::NoRegistry(_)
            | Self::NoLink(_)
            | Self::OtherGroup(_) => ErrorCode::NotFound,
            Self::TooManyRegistries(_) | Self::TooManyUpstreams(_) => ErrorCode::ResourceExhausted,
            Self::NoPosition => ErrorCode::InvalidArgument,
            Self::NameTaken
            | Self::Twin(_)
            | Self::AlreadyLinked
            | Self::Changed
            | Self::NoSession
            | Self::LeaseLost
            | Self::EpochChanged
            | Self::NotDelivered => ErrorCode::FailedPrecondition,
        }
    }

    /// The field it is about, where the request is well formed and the rules refuse what it says.
    pub fn field(self) -> Option<&'static str> {
        match self {
            Self::NameTaken => Some("name"),
            Self::Twin(_) | Self::TooManyRegistries(_) => Some("group"),
            Self::AlreadyLinked => Some("upstream"),
            Self::NoPosition => Some("position"),
            Self::TooManyUpstreams(_) => Some("registry"),
            Self::NoUpstream(_)
            | Self::NoGroup(_)
            | Self::NoGroupPath
            | Self::NoRegistry(_)
            | Self::NoLink(_)
            | Self::OtherGroup(_)
            | Self::Changed
            | Self::NoSession
            | Self::LeaseLost
            | Self::EpochChanged
            | Self::NotDelivered => None,
        }
    }
}
