//! The configuration as one value: what every gateway holds whole and swaps whole.

use super::epoch::Revision;
use super::principal::Token;
use super::registry::{Group, Link, Registry};
use super::upstream::Upstream;

/// Groups, registries, upstreams, links and tokens as they stood at one revision.
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
}
