//! The real gateway, with the recorded client of the nodes, the bucket and the upstream.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use roadstead_gateway::config::{Config, Timeouts};
use roadstead_gateway::seal::Keyring;
use roadstead_gateway::telemetry::Telemetry;
use roadstead_gateway::{Components, Gateway};
use roadstead_proto::domain::lease::GatewayId;
use roadstead_proto::domain::registry::{RegionId, RegistryId};
use roadstead_proto::rpc::Dialer;
use roadstead_storage::cloud::upload_log::FileLog;
use roadstead_storage::object::{ObjectTier, Options};
use tokio_util::sync::CancellationToken;

use super::{ADMIN_PORT, GATEWAY_PORT, PEER_PORT, gateway_name, nodes_client, pause};
use crate::history::What;
use crate::net::{Listening, Network, incoming};
use crate::recording::Recording;
use crate::sabotage::Sabotage;
use crate::stage::Stage;
use crate::upstream::Exchange;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
/// Parts of an upload: small, so that layers of a run have several.
const PART_BYTES: usize = 256 * 1024;
/// Memory for checksums.
const CHECKSUM_BYTES: u64 = 1 << 20;

/// Runs a gateway until its host crashes.
pub(crate) async fn run(stage: Stage, number: u64) -> turmoil::Result {
    let name = gateway_name(number);
    let recorder = stage.history.of(&name);
    recorder.record(What::Started(stage.started(&name)));
    loop {
        // As a supervisor starts it again: without the nodes, or without the bucket, it does not start.
        if let Some(gateway) = start(&stage, &name).await {
            let spoils = stage.sabotage == Some(Sabotage::WrongBytes);
            let public = Listening::on(GATEWAY_PORT, spoils).await?;
            let admin = Listening::on(ADMIN_PORT, false).await?;
            let gateway = gateway.with_peers_through(incoming(PEER_PORT).await?);
            gateway.serve(public, admin, CancellationToken::new()).await;
            return Ok(());
        }
        pause(500).await;
    }
}

async fn start(stage: &Stage, name: &str) -> Option<Gateway> {
    let recorder = stage.history.of(name);
    let telemetry = Telemetry::new().expect("telemetry has no settings here");
    let storage = roadstead_storage::config::Config::local("unused");
    let options = Options { part_bytes: PART_BYTES, ..Options::cloud(storage.upload_bytes, CHECKSUM_BYTES) };
    let uploads = FileLog::open(&Path::new(name).join("uploads"), "bucket".to_owned()).expect("a directory of its own");
    let objects = match ObjectTier::open_cloud(Arc::clone(&stage.bucket), Arc::new(uploads), options).await {
        Ok(objects) => objects,
        Err(error) => {
            tracing::debug!(%error, "the bucket does not open");
            return None;
        }
    };
    let store = roadstead_storage::open::stack(objects, &storage, &telemetry.meter());
    let meta =
        Arc::new(Recording::new(nodes_client(stage.nodes), recorder.clone(), stage.calls.clone(), stage.sabotage));
    let components = Components {
        meta: Arc::clone(&meta) as Arc<_>,
        leases: meta,
        store,
        regions: HashMap::new(),
        exchange: Arc::new(Exchange { upstream: Arc::clone(&stage.upstream), recorder }),
        clock: Arc::new(stage.clock(name)),
        keyring: Keyring::from_hex(KEY).expect("a key"),
        telemetry,
        dialer: Dialer::through(Arc::new(Network)),
        identity: None,
    };
    let config = Config {
        gateway: GatewayId(name.to_owned()),
        region: RegionId::default_region(),
        peer_address: Some(format!("{name}:{PEER_PORT}")),
        anonymous_pull: true,
        mirror_registry: Some(RegistryId(1)),
        manifest_memory: 1 << 20,
        spool_dir: Path::new(name).join("spool"),
        min_free_bytes: 0,
        redirects: None,
        prefetch: None,
        drain_delay: Duration::ZERO,
        drain_timeout: Duration::from_secs(10),
        timeouts: Timeouts::default(),
    };
    match Gateway::start(config, components).await {
        Ok(gateway) => Some(gateway),
        Err(error) => {
            tracing::debug!(%error, "the gateway does not start");
            None
        }
    }
}
