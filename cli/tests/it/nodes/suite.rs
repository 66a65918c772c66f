//! The conformance suites of `roadstead-proto` over the wire.

use std::sync::Arc;

use roadstead_gateway::meta::GrpcMeta;
use roadstead_proto::meta::suite;

use super::world::Nodes;

async fn client_of(size: u64) -> (Arc<GrpcMeta>, Nodes) {
    let nodes = Nodes::start(size).await;
    (Arc::new(nodes.client()), nodes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_one_node_keeps_every_promise() {
    suite::run_all(|| client_of(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_three_nodes_keeps_every_promise() {
    suite::run_all(|| client_of(3)).await;
}
