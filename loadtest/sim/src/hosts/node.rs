//! A member of the raft group: the real node behind the real gRPC server.

use std::sync::Arc;
use std::time::Duration;

use roadstead_node::testing::power::Power;
use roadstead_node::{Compaction, Components, Config, Formation, Node, Timing, grpc};
use roadstead_proto::rpc::Dialer;
use tokio_util::sync::CancellationToken;

use super::{NODE_PORT, node_name};
use crate::history::What;
use crate::net::{Network, incoming};
use crate::stage::Stage;

/// Runs a member until its host crashes.
pub(crate) async fn run(stage: Stage, id: u64) -> turmoil::Result {
    let name = node_name(id);
    let start = stage.started(&name);
    stage.history.of(&name).record(What::Started(start));
    // What of the unsynced writes survives differs from start to start; with an even seed all of it may be gone.
    let power = Power::on(stage.seed.wrapping_mul(31) + id * 7 + start);
    stage.powers.borrow_mut().insert(name.clone(), power.clone());
    let config = Config {
        data_dir: name.clone().into(),
        node_id: id,
        address: format!("{name}:{NODE_PORT}"),
        formation: Formation::Wait,
        timing: Timing { checkpoint: Duration::from_secs(2), ..Timing::default() },
        // Small enough that a run sees snapshots, and members that need one.
        compaction: Compaction::every(150, 40),
    };
    let components = Components {
        clock: Arc::new(stage.clock(&name)),
        medium: Arc::new(power),
        dialer: Dialer::through(Arc::new(Network)),
    };
    let node = Arc::new(Node::start(config, components).await?);
    let watched = Arc::downgrade(&node);
    let leaders = Arc::clone(&stage.leader);
    tokio::spawn(async move {
        while let Some(node) = watched.upgrade() {
            let status = node.status();
            if status.leader == Some(id) {
                leaders.store(id, std::sync::atomic::Ordering::Relaxed);
            }
            drop(node);
            super::pause(50).await;
        }
    });
    grpc::serve(node, incoming(NODE_PORT).await?, None, CancellationToken::new()).await?;
    Ok(())
}
