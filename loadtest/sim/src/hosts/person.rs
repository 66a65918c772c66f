//! Somebody who changes the configuration, and reads it at the end.

use std::sync::Arc;
use std::time::Duration;

use roadstead_gateway::meta::GrpcMeta;
use roadstead_proto::domain::principal::{Role, TokenHash};
use roadstead_proto::domain::registry::GroupId;
use roadstead_proto::domain::upstream::UpstreamSettings;
use roadstead_proto::meta::{Consistency, MetaStore};
use roadstead_proto::rpc::{Dialer, Role as Peer};
use roadstead_proto::state::command::{Bootstrap, Command, PutToken};
use roadstead_proto::wire::pb::admin::v1::admin_client::AdminClient;
use roadstead_proto::wire::pb::admin::v1::{AddNodeRequest, InitRequest};

use super::{NODE_PORT, node_name, nodes_client, pause};
use crate::history::{Recorder, What};
use crate::net::Network;
use crate::stage::Stage;

/// The address of the upstream. Nothing resolves it: requests end in the transport seam.
const UPSTREAM: &str = "https://upstream.example";
/// Tries until the first configuration stands, and until the last one is read.
const TRIES: u64 = 120;

/// Founds the group, and makes the first configuration.
pub(crate) async fn found(stage: Stage) -> turmoil::Result {
    let address = |id| format!("{}:{NODE_PORT}", node_name(id));
    let first = Dialer::through(Arc::new(Network)).channel(&address(1), Peer::Node)?;
    let mut admin = AdminClient::new(first);
    while admin.init(InitRequest {}).await.is_err() {
        pause(200).await;
    }
    for node in 2..=stage.nodes {
        let new = AddNodeRequest { node, address: address(node), voter: true };
        while admin.add_node(new.clone()).await.is_err() {
            pause(200).await;
        }
    }
    bootstrap(stage).await
}

async fn bootstrap(stage: Stage) -> turmoil::Result {
    let meta = nodes_client(stage.nodes);
    let bootstrap = Bootstrap {
        group_path: "default".into(),
        registry_name: "default".into(),
        upstreams: vec![UpstreamSettings::new("upstream", UPSTREAM.parse().expect("a url"))],
    };
    for _ in 0..TRIES {
        if meta.propose(Command::Bootstrap(bootstrap.clone())).await.is_ok() {
            return Ok(());
        }
        pause(500).await;
    }
    Err("the first configuration was never acknowledged".into())
}

/// Replaces tokens under a few names, one change after the other, until `until`.
pub(crate) async fn change(stage: Stage, number: u64, until: Duration) -> turmoil::Result {
    let recorder = stage.history.of(format!("person-{number}"));
    let meta = nodes_client(stage.nodes);
    let draw = stage.draw(recorder.host());
    let mut value = 0;
    while turmoil::sim_elapsed().unwrap_or_default() < until {
        value += 1;
        let name = format!("token-{number}-{}", value % 5);
        put(&meta, &recorder, name, value).await;
        tokio::time::sleep(draw.millis(50, 400)).await;
    }
    Ok(())
}

async fn put(meta: &Arc<GrpcMeta>, recorder: &Recorder, name: String, value: u64) {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&value.to_be_bytes());
    let put =
        PutToken { name: name.clone(), hash: TokenHash(hash), group: GroupId(1), role: Role::Reader, expires_at: None };
    recorder.record(What::Proposed { name: name.clone(), value });
    recorder.record(match meta.propose(Command::PutToken(put)).await {
        Ok(_) => What::Acknowledged { name, value },
        Err(error) => What::Unacknowledged { name, value, why: error.to_string() },
    });
}

/// Reads the configuration at the end, when everything is well again.
pub(crate) async fn read(stage: Stage) -> turmoil::Result {
    let recorder = stage.history.of("auditor");
    let meta = nodes_client(stage.nodes);
    for _ in 0..TRIES {
        if let Ok(configuration) = meta.configuration(Consistency::Linearizable).await {
            let value = |hash: &TokenHash| u64::from_be_bytes(hash.0[..8].try_into().expect("eight bytes"));
            let values = configuration.tokens.iter().map(|token| (token.name.clone(), value(&token.hash))).collect();
            recorder.record(What::FinalConfiguration { values });
            return Ok(());
        }
        pause(500).await;
    }
    recorder.record(What::Unfinished("the configuration could not be read at the end".to_owned()));
    Ok(())
}
