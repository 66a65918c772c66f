//! Groups, virtual registries and their ordered links to upstreams.

use std::fmt;
use std::str::FromStr;

use super::epoch::Revision;
use super::limits;
use super::time::Timestamp;

macro_rules! numeric_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

numeric_id!(
    /// A group: the unit of tenancy. `default` is group 1.
    GroupId
);
numeric_id!(
    /// A virtual registry.
    RegistryId
);
numeric_id!(
    /// An upstream. The cache hangs on it: registries that share an upstream share its cache.
    UpstreamId
);
numeric_id!(
    /// A link between a registry and an upstream.
    LinkId
);
numeric_id!(
    /// An access token's public number; the token itself is known by its hash only.
    TokenId
);

numeric_id!(
    /// A key that signs our own JWTs: their `kid`.
    SigningKeyId
);
numeric_id!(
    /// A provider of identities.
    IdentityProviderId
);
numeric_id!(
    /// A claim rule.
    ClaimRuleId
);

/// A region: gateways of one region share a bucket. Lower-case letters, digits and `-`, 1 to 63.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionId(String);

/// The text is not a region name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("region `{0}` is not 1 to 63 lower-case letters, digits or `-`")]
pub struct RegionError(String);

impl RegionId {
    /// The region of a deployment that names none.
    pub fn default_region() -> Self {
        Self("default".to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RegionId {
    type Err = RegionError;

    fn from_str(text: &str) -> Result<Self, RegionError> {
        let valid = (1..=limits::REGION_NAME_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if valid { Ok(Self(text.to_owned())) } else { Err(RegionError(text.chars().take(64).collect())) }
    }
}

impl fmt::Display for RegionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A group as somebody names it: by number, or by path. What consists of digits is a number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum GroupRef {
    /// By number.
    Id(GroupId),
    /// By path.
    Path(GroupPath),
}

/// The path of a group: parts of letters, digits, `_`, `-` and `.`, divided by `/`; never a number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupPath(String);

/// The text names no group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a group is a number from 1, or a path of letters, digits, `_`, `-` and `.`, divided by `/`")]
pub struct GroupError;

impl GroupPath {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GroupPath {
    type Err = GroupError;

    fn from_str(text: &str) -> Result<Self, GroupError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        let is_part = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(allowed);
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        let valid = text.len() <= limits::GROUP_PATH_MAX && !is_number && text.split('/').all(is_part);
        if valid { Ok(Self(text.to_owned())) } else { Err(GroupError) }
    }
}

impl GroupId {
    /// The group of a number from outside: GitLab's have 63 bits, and count from 1.
    pub fn from_number(number: u64) -> Option<Self> {
        (1..=u64::MAX >> 1).contains(&number).then_some(Self(number))
    }
}

impl FromStr for GroupRef {
    type Err = GroupError;

    fn from_str(text: &str) -> Result<Self, GroupError> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().ok().and_then(GroupId::from_number).map(Self::Id).ok_or(GroupError);
        }
        text.parse().map(Self::Path)
    }
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its number.
    pub id: GroupId,
    /// Its path, such as `default` or `platform/ci`.
    pub path: String,
    /// When it was created.
    pub created_at: Timestamp,
}

/// A virtual registry: one pull address for an ordered list of upstreams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    /// Its number, which stands in the pull path.
    pub id: RegistryId,
    /// The group it belongs to.
    pub group: GroupId,
    /// Unique within the group.
    pub name: String,
    /// Free text.
    pub description: Option<String>,
    /// Whether pulls need no token.
    pub anonymous_pull: bool,
    /// The revision at which its order, rules or links last changed: routes decided before are void.
    pub routing: Revision,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its own fields last changed.
    pub updated_at: Timestamp,
}

/// An upstream's place in a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub id: LinkId,
    /// The registry.
    pub registry: RegistryId,
    /// The upstream.
    pub upstream: UpstreamId,
    /// From 1, without gaps; 1 is asked first.
    pub position: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_a_number_or_a_path() {
        for (text, number) in [("1", 1), ("785414", 785_414), ("007", 7), ("9223372036854775807", u64::MAX >> 1)] {
            assert_eq!(text.parse(), Ok(GroupRef::Id(GroupId(number))), "{text}");
        }
        for path in ["default", "platform/ci", "a.b", "7up", "1/2", "A_b-c/d"] {
            assert!(matches!(path.parse(), Ok(GroupRef::Path(parsed)) if parsed.as_str() == path), "{path}");
        }
        let long = "a".repeat(256);
        for text in [
            "",
            "0",
            "9223372036854775808",
            "99999999999999999999",
            "/a",
            "a/",
            "a//b",
            "..",
            "a/../b",
            "a b",
            "ä",
            &long,
        ] {
            assert_eq!(text.parse::<GroupRef>(), Err(GroupError), "{text}");
        }
    }
}
