//! What runs on the hosts.
//!
//! | file | what it holds |
//! |---|---|
//! | [`node`] | a member of the raft group: the real node behind the real gRPC server |
//! | [`gateway`] | the real gateway, with the recorded client of the nodes, the bucket and the upstream |
//! | [`puller`] | clients that pull images through the gateways |
//! | [`person`] | somebody who changes the configuration, and reads it at the end |
//! | [`watcher`] | somebody who only listens |

pub(crate) mod gateway;
pub(crate) mod node;
pub(crate) mod person;
pub(crate) mod puller;
pub(crate) mod watcher;

use std::sync::Arc;
use std::time::Duration;

use roadstead_gateway::meta::GrpcMeta;
use roadstead_proto::rpc::Dialer;

use crate::net::Network;

/// Where nodes listen.
pub(crate) const NODE_PORT: u16 = 7000;
/// Where gateways listen to clients.
pub(crate) const GATEWAY_PORT: u16 = 80;
/// Where gateways listen to Prometheus.
pub(crate) const ADMIN_PORT: u16 = 81;
/// Where gateways listen to one another.
pub(crate) const PEER_PORT: u16 = 7001;

/// The name of a node's host.
pub(crate) fn node_name(id: u64) -> String {
    format!("node-{id}")
}

/// The name of a gateway's host.
pub(crate) fn gateway_name(number: u64) -> String {
    format!("gateway-{number}")
}

/// The real client of all nodes, over the simulated network.
pub(crate) fn nodes_client(nodes: u64) -> Arc<GrpcMeta> {
    let addresses = (1..=nodes).map(|id| format!("{}:{NODE_PORT}", node_name(id))).collect();
    Arc::new(GrpcMeta::new(addresses, Dialer::through(Arc::new(Network))))
}

/// Waits a moment before something is tried again.
pub(crate) async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}
