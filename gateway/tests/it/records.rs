//! Waiting for what is done behind an answer.

use roadstead_proto::clock::Clock as _;
use roadstead_proto::domain::entry::BlobLocation;
use roadstead_proto::domain::registry::{RegionId, UpstreamId};
use roadstead_proto::meta::{Consistency, MetaStore as _};
use roadstead_proto::state::read::ContentQuery;

use crate::world::{World, eventually};

impl World {
    /// The object of a digest that counts.
    pub(crate) async fn live(&self, digest: &str) -> Option<BlobLocation> {
        let query = ContentQuery {
            upstreams: Vec::new(),
            repository: "any".parse().unwrap(),
            digest: digest.parse().unwrap(),
            region: RegionId::default_region(),
        };
        self.meta.content(&query, Consistency::Local).await.unwrap().location
    }

    /// Whether a digest is stored and recorded.
    pub(crate) async fn is_recorded(&self, digest: &str) -> bool {
        self.live(digest).await.is_some()
    }

    /// Waits until a digest is stored and recorded.
    pub(crate) async fn settle(&self, digest: &str) {
        eventually("the digest is recorded", async || self.is_recorded(digest).await).await;
    }

    /// Waits until what the first upstream said of a tag just now is recorded.
    pub(crate) async fn tag_recorded(&self, repository: &str, tag: &str) {
        self.tag_recorded_at(UpstreamId(1), repository, tag).await;
    }

    /// The same of any upstream.
    pub(crate) async fn tag_recorded_at(&self, upstream: UpstreamId, repository: &str, tag: &str) {
        let (repository, tag) = (repository.parse().unwrap(), tag.parse().unwrap());
        eventually("the tag is recorded", async || {
            let entry = self.meta.tag_entry(upstream, &repository, &tag, Consistency::Local).await.unwrap();
            entry.is_some_and(|entry| entry.checked_at == self.clock.now())
        })
        .await;
    }
}
