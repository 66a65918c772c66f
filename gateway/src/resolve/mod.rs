//! From a reference to a manifest.
//!
//! | file | what it holds |
//! |---|---|
//! | `tag` | tags: freshness, the walk down the upstreams, stale answers |
//! | `digest` | digests: never stale, from whoever has the right to them |

mod digest;
mod tag;

use std::sync::Arc;

use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::domain::image::{Reference, RepositoryName};
use roadstead_proto::domain::registry::UpstreamId;

use crate::cache_status::CacheStatus;
use crate::catalog::TagName;
use crate::fetch::Tools;
use crate::fetch::error::FetchError;
use crate::fetch::manifests::{Manifest, Manifests};
use crate::flight::{Abandoned, Flights, Part};
use crate::meta::snapshot::Scope;
use crate::policy::Permit;

/// A manifest, and how it came about.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The manifest.
    pub manifest: Manifest,
    /// The upstream whose cache it is.
    pub upstream: UpstreamId,
    /// How it came about.
    pub status: CacheStatus,
}

type Outcome = Result<Resolved, FetchError>;

/// Resolves references.
#[derive(Debug)]
pub struct Resolver {
    tools: Tools,
    manifests: Manifests,
    /// One walk per tag at a time. The routing is part of the key: a change of order must not join a walk in the old one.
    tags: Flights<(TagName, Revision), Outcome>,
    digests: Flights<(Scope, Revision, RepositoryName, Digest), Outcome>,
}

impl Resolver {
    /// A resolver that keeps up to `manifest_memory` bytes of manifests in memory.
    pub fn new(tools: Tools, manifest_memory: u64) -> Self {
        let manifests = Manifests::new(tools.clone(), manifest_memory);
        Self { tools, manifests, tags: Flights::default(), digests: Flights::default() }
    }

    /// What memory alone can answer, and surely: a fresh tag, or a digest. The way of nearly every pull, so it waits for
    /// nothing and starts no work.
    pub fn in_memory(&self, permit: &Permit, reference: &Reference) -> Option<Resolved> {
        match reference {
            Reference::Tag(tag) => self.tag_in_memory(permit, tag),
            Reference::Digest(digest) => self.digest_in_memory(permit, digest),
        }
    }

    /// The manifest of a reference.
    pub async fn manifest(self: &Arc<Self>, permit: &Permit, reference: &Reference) -> Outcome {
        match reference {
            Reference::Tag(tag) => self.by_tag(permit, tag).await,
            Reference::Digest(digest) => self.by_digest(permit, digest).await,
        }
    }
}

/// What a caller of a flight may say of the result: whoever only waited did not cause the upstream's work.
fn landed(landing: Result<(Outcome, Part), Abandoned>) -> Outcome {
    let (outcome, part) = landing.map_err(|_| FetchError::Abandoned)?;
    let mut resolved = outcome?;
    if part == Part::Joined && resolved.status == CacheStatus::Miss {
        resolved.status = CacheStatus::Collapsed;
    }
    Ok(resolved)
}
