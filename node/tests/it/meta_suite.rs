//! The conformance suites of `roadstead-proto` over the member's metadata.

use std::time::Duration;

use async_trait::async_trait;
use roadstead_node::{Components, Config, LocalMeta, Node};
use roadstead_proto::domain::configuration::Configuration;
use roadstead_proto::domain::entry::{EntryRef, TagEntry, TagKey, Usage};
use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::domain::fleet::{Fleet, Registration, Report};
use roadstead_proto::domain::image::{RepositoryName, Tag};
use roadstead_proto::domain::lease::{AcquireRequest, Acquired, Completion, FencingToken, LeaseKey, SessionId};
use roadstead_proto::domain::registry::UpstreamId;
use roadstead_proto::meta::{Consistency, Leases, MetaError, MetaStore, Watch, suite};
use roadstead_proto::state::command::{Command, Outcome, Recorded};
use roadstead_proto::state::read::{ContentQuery, ContentView, TagView};
use tempfile::TempDir;

/// A member with its directory: the suite wants the store by value.
struct Member {
    meta: std::sync::Arc<LocalMeta>,
    _node: Node,
    _directory: TempDir,
}

impl Member {
    async fn start() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let config = Config::alone(directory.path());
        let node = Node::start(config, Components::default()).await.expect("the member starts");
        node.ready().await.expect("the member is ready");
        Self { meta: node.meta(), _node: node, _directory: directory }
    }
}

#[async_trait]
impl MetaStore for Member {
    async fn configuration(&self, consistency: Consistency) -> Result<Configuration, MetaError> {
        self.meta.configuration(consistency).await
    }

    async fn tag(&self, key: &TagKey, consistency: Consistency) -> Result<TagView, MetaError> {
        self.meta.tag(key, consistency).await
    }

    async fn tag_entry(
        &self,
        upstream: UpstreamId,
        repository: &RepositoryName,
        tag: &Tag,
        consistency: Consistency,
    ) -> Result<Option<TagEntry>, MetaError> {
        self.meta.tag_entry(upstream, repository, tag, consistency).await
    }

    async fn content(&self, query: &ContentQuery, consistency: Consistency) -> Result<ContentView, MetaError> {
        self.meta.content(query, consistency).await
    }

    async fn usage(&self, entry: &EntryRef, consistency: Consistency) -> Result<Option<Usage>, MetaError> {
        self.meta.usage(entry, consistency).await
    }

    async fn propose(&self, command: Command) -> Result<Outcome, MetaError> {
        self.meta.propose(command).await
    }

    async fn watch(&self, after: Revision) -> Result<Watch, MetaError> {
        self.meta.watch(after).await
    }
}

#[async_trait]
impl Leases for Member {
    async fn open_session(&self, registration: &Registration) -> Result<SessionId, MetaError> {
        self.meta.open_session(registration).await
    }

    async fn keep_alive(&self, session: SessionId, report: &Report) -> Result<Fleet, MetaError> {
        self.meta.keep_alive(session, report).await
    }

    async fn close_session(&self, session: SessionId) -> Result<(), MetaError> {
        self.meta.close_session(session).await
    }

    async fn acquire(&self, request: AcquireRequest) -> Result<Acquired, MetaError> {
        self.meta.acquire(request).await
    }

    async fn complete(&self, completion: Completion) -> Result<Recorded, MetaError> {
        self.meta.complete(completion).await
    }

    async fn release(&self, key: &LeaseKey, token: FencingToken) -> Result<(), MetaError> {
        self.meta.release(key, token).await
    }

    async fn await_release(&self, key: &LeaseKey, token: FencingToken, patience: Duration) -> Result<bool, MetaError> {
        self.meta.await_release(key, token, patience).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_keeps_every_promise() {
    suite::run_all(Member::start).await;
}
