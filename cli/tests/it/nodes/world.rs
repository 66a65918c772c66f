//! Nodes that serve, and clients of theirs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use roadstead_gateway::meta::GrpcMeta;
use roadstead_node::testing::cluster::{Cluster, address};
use roadstead_node::{Compaction, grpc};
use roadstead_proto::clock::SystemClock;
use roadstead_proto::rpc::Dialer;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;

use super::wire::{Through, Wire};

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A group that serves, all members of it in this process.
pub(crate) struct Nodes {
    pub(crate) cluster: Cluster,
    pub(crate) wire: Arc<Wire>,
    serving: BTreeMap<u64, (CancellationToken, JoinHandle<()>)>,
    _directory: TempDir,
}

impl Nodes {
    pub(crate) async fn start(size: u64) -> Self {
        let directory = TempDir::new().unwrap();
        let cluster = Cluster::start_with(directory.path(), size, Compaction::default(), Arc::new(SystemClock)).await;
        let mut nodes = Self { cluster, wire: Arc::default(), serving: BTreeMap::new(), _directory: directory };
        for id in 1..=size {
            nodes.serve(id).await;
        }
        nodes.cluster.leader_of(&nodes.ids()).await;
        nodes
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.serving.keys().copied().collect()
    }

    async fn serve(&mut self, id: u64) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.wire.connects(&address(id), listener.local_addr().unwrap());
        let (node, stop) = (Arc::clone(self.cluster.node(id)), CancellationToken::new());
        let served = grpc::serve(node, TcpIncoming::from(listener).with_nodelay(Some(true)), None, stop.clone());
        self.serving.insert(id, (stop, tokio::spawn(async { served.await.unwrap() })));
    }

    /// A client that knows all members.
    pub(crate) fn client(&self) -> GrpcMeta {
        self.client_of(self.ids().into_iter().map(address).collect())
    }

    /// A client that is told these names.
    pub(crate) fn client_of(&self, names: Vec<String>) -> GrpcMeta {
        GrpcMeta::new(names, Dialer::through(Arc::new(Through(Arc::clone(&self.wire)))))
    }

    /// Stops a member in an orderly way.
    pub(crate) async fn stop(&mut self, id: u64) {
        let (stop, served) = self.serving.remove(&id).unwrap();
        stop.cancel();
        tokio::time::timeout(PATIENCE, served).await.expect("its calls end").unwrap();
        self.cluster.stop(id).await;
    }

    /// Starts it again.
    pub(crate) async fn start_again(&mut self, id: u64) {
        self.cluster.start_member(id).await;
        self.serve(id).await;
    }
}
