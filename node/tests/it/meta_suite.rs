//! The conformance suites of `roadstead-proto` over the member's metadata.

use std::sync::Arc;

use roadstead_node::{Components, Config, LocalMeta, Node};
use roadstead_proto::meta::suite;
use tempfile::TempDir;

async fn member() -> (Arc<LocalMeta>, (Node, TempDir)) {
    let directory = TempDir::new().expect("a temporary directory");
    let config = Config::alone(directory.path());
    let node = Node::start(config, Components::default()).await.expect("the member starts");
    node.ready().await.expect("the member is ready");
    (node.meta(), (node, directory))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_keeps_every_promise() {
    suite::run_all(member).await;
}
