//! Lists of a repository: kept for a minute, asked once by however many, served stale while an upstream is away.
//!
//! | file | what it holds |
//! |---|---|
//! | `memory` | what one upstream said, for how long it counts, one question at a time |
//! | `tags` | tags, of the first upstream that has the repository |
//! | `referrers` | what refers to a manifest, at all upstreams of the registry |
//! | `index` | the image index that referrers are listed in (pure) |

mod index;
mod memory;
mod referrers;
mod tags;

use std::sync::Arc;

use roadstead_proto::domain::digest::Digest;

use crate::fetch::Tools;
use crate::resolve::Resolver;
use memory::Memory;

pub use referrers::ReferrersList;
pub use tags::TagsList;

/// Lists what repositories hold.
#[derive(Debug)]
pub struct Lister {
    tools: Tools,
    resolver: Arc<Resolver>,
    tags: Memory<(), tags::Tags>,
    referrers: Memory<Digest, referrers::Parts>,
}

impl Lister {
    /// Nothing listed yet.
    pub fn new(tools: Tools, resolver: Arc<Resolver>) -> Self {
        Self { tools, resolver, tags: Memory::new(tags::weight), referrers: Memory::new(referrers::weight) }
    }

    /// Drops what a purge or missed changes made doubtful.
    pub fn forget(&self) {
        self.tags.forget();
        self.referrers.forget();
    }
}
