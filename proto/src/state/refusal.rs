//! Why a command was refused, each reason as a value of its own.

use crate::domain::registry::{
    ClaimRuleId, GroupId, IdentityProviderId, LinkId, RegistryId, SigningKeyId, TokenId, UpstreamId,
};
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
    /// The token does not exist.
    #[error("there is no token {0}")]
    NoToken(TokenId),
    /// The signing key does not exist.
    #[error("there is no signing key {0}")]
    NoSigningKey(SigningKeyId),
    /// The group has no cleanup policy.
    #[error("group {0} has no cleanup policy")]
    NoCleanupPolicy(GroupId),
    /// The identity provider does not exist.
    #[error("there is no identity provider {0}")]
    NoIdentityProvider(IdentityProviderId),
    /// The claim rule does not exist.
    #[error("there is no claim rule {0}")]
    NoClaimRule(ClaimRuleId),
    /// The upstream is of another group than the registry. Whoever asks must not learn that it exists.
    #[error("upstream {0} is of another group")]
    OtherGroup(UpstreamId),
    /// Something of the group has this name.
    #[error("has already been taken")]
    NameTaken,
    /// There is a token of this text.
    #[error("has already been taken")]
    TokenTaken,
    /// The group has a cleanup policy.
    #[error("already has a cleanup policy")]
    HasCleanupPolicy(GroupId),
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
    /// A limit of the settings.
    #[error("there are {0} identity providers, which is the limit")]
    TooManyIdentityProviders(usize),
    /// A limit of the settings.
    #[error("already has {0} claim rules, which is the limit")]
    TooManyClaimRules(usize),
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
            | Self::NoToken(_)
            | Self::NoSigningKey(_)
            | Self::NoCleanupPolicy(_)
            | Self::NoIdentityProvider(_)
            | Self::NoClaimRule(_)
            | Self::OtherGroup(_) => ErrorCode::NotFound,
            Self::TooManyRegistries(_)
            | Self::TooManyUpstreams(_)
            | Self::TooManyIdentityProviders(_)
            | Self::TooManyClaimRules(_) => ErrorCode::ResourceExhausted,
            Self::NoPosition => ErrorCode::InvalidArgument,
            Self::NameTaken
            | Self::TokenTaken
            | Self::HasCleanupPolicy(_)
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
            Self::TokenTaken => Some("token"),
            Self::Twin(_) | Self::TooManyRegistries(_) | Self::HasCleanupPolicy(_) => Some("group"),
            Self::AlreadyLinked => Some("upstream"),
            Self::NoPosition => Some("position"),
            Self::TooManyUpstreams(_) => Some("registry"),
            Self::TooManyClaimRules(_) => Some("provider"),
            Self::NoUpstream(_)
            | Self::NoGroup(_)
            | Self::NoGroupPath
            | Self::NoRegistry(_)
            | Self::NoLink(_)
            | Self::NoToken(_)
            | Self::NoSigningKey(_)
            | Self::NoCleanupPolicy(_)
            | Self::NoIdentityProvider(_)
            | Self::NoClaimRule(_)
            | Self::TooManyIdentityProviders(_)
            | Self::OtherGroup(_)
            | Self::Changed
            | Self::NoSession
            | Self::LeaseLost
            | Self::EpochChanged
            | Self::NotDelivered => None,
        }
    }
}
