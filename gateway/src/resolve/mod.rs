//! From a reference to a manifest.
//!
//! | file | what it holds |
//! |---|---|
//! | `tag` | tags: fresh ones, and how long to wait for what is not |
//! | `walk` | down the upstreams: ask, revalidate, fetch, or serve a stale copy |
//! | `ahead` | tags in use are checked before their validity ends |
//! | `digest` | digests: never stale, from whoever has the right to them |

mod ahead;
mod digest;
mod tag;
mod walk;

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;

use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::epoch::{Epoch, Revision};
use roadstead_proto::domain::image::{Reference, RepositoryName};
use roadstead_proto::domain::limits;
use roadstead_proto::domain::registry::UpstreamId;
use roadstead_proto::domain::time::Timestamp;
use tokio::sync::Semaphore;

use crate::cache_status::CacheStatus;
use crate::catalog::{Era, TagName};
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
    /// Time since the upstream last confirmed that a tag names it; nothing where this request's own answer does. Content
    /// under a digest has no age: nobody could confirm it any better.
    pub age: Option<Duration>,
}

type Outcome = Result<Resolved, FetchError>;

/// From where a walk sets out: whoever stands elsewhere does not join it. A change of order makes another one, and so does
/// a change of an upstream's url or credentials, or a purge.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Standpoint {
    scope: Scope,
    routing: Revision,
    /// The newest of the upstreams' epochs.
    epoch: Epoch,
    era: Era,
}

/// Resolves references.
#[derive(Debug)]
pub struct Resolver {
    tools: Tools,
    manifests: Manifests,
    /// What is known of a tag, looked up once for all that want it.
    looks: Flights<(Standpoint, TagName), tag::Looked>,
    /// One walk per tag at a time.
    tags: Flights<(Standpoint, TagName), Outcome>,
    digests: Flights<(Standpoint, RepositoryName, Digest), Outcome>,
    /// Tags whose walk took too long for somebody, and until when the next one does not wait for it.
    slow: Cache<TagName, Timestamp>,
    /// Tags that were checked ahead, and of which confirmation.
    ahead: Cache<TagName, Timestamp>,
    /// Turns to check ahead.
    turns: Arc<Semaphore>,
}

impl Resolver {
    /// A resolver that keeps up to `manifest_memory` bytes of manifests in memory.
    pub fn new(tools: Tools, manifest_memory: u64) -> Self {
        let manifests = Manifests::new(tools.clone(), manifest_memory);
        Self {
            tools,
            manifests,
            looks: Flights::default(),
            tags: Flights::default(),
            digests: Flights::default(),
            slow: Cache::builder().max_capacity(limits::SETBACKS_IN_MEMORY).build(),
            ahead: Cache::builder().max_capacity(limits::REFRESHES_IN_MEMORY).build(),
            turns: Arc::new(Semaphore::new(limits::REFRESHES_AT_ONCE)),
        }
    }

    fn standpoint(&self, permit: &Permit) -> Standpoint {
        let registry = permit.registry();
        Standpoint {
            scope: registry.scope,
            routing: registry.registry.routing,
            epoch: registry.upstreams.iter().map(|view| view.upstream.epoch).max().unwrap_or(Epoch(0)),
            era: self.tools.catalog.era(),
        }
    }

    /// What memory alone can answer, and surely: a fresh tag, or a digest. The way of nearly every pull, so it waits for
    /// nothing; a tag that is fresh for not much longer is checked behind it.
    pub fn in_memory(self: &Arc<Self>, permit: &Permit, reference: &Reference) -> Option<Resolved> {
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
