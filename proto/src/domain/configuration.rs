//! The configuration as one value: what every gateway holds whole and swaps whole.

use super::cleanup::CleanupPolicy;
use super::epoch::Revision;
use super::identity::{ClaimRule, GitLabInstance, IdentityProvider};
use super::principal::{SigningKey, Token};
use super::registry::{Group, Link, Registry};
use super::upstream::Upstream;

/// Everything that somebody configured, as it stood at one revision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Configuration {
    /// The revision this is the state of.
    pub revision: Revision,
    /// By id.
    pub groups: Vec<Group>,
    /// By id.
    pub registries: Vec<Registry>,
    /// By id.
    pub upstreams: Vec<Upstream>,
    /// By registry, then position.
    pub links: Vec<Link>,
    /// By id.
    pub tokens: Vec<Token>,
    /// By id.
    pub signing_keys: Vec<SigningKey>,
    /// By group.
    pub cleanup_policies: Vec<CleanupPolicy>,
    /// By id.
    pub identity_providers: Vec<IdentityProvider>,
    /// By id.
    pub claim_rules: Vec<ClaimRule>,
    /// Whose job tokens are accepted.
    pub gitlab: Option<GitLabInstance>,
}
