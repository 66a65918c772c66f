//! Puts a gateway of a cluster together.
//!
//! The order is part of the promise: listeners are bound, the directory is locked and blobs are opened before any node is
//! asked; until the cluster has answered, both listeners say that this gateway is not ready.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use roadstead_gateway::load::Load;
use roadstead_gateway::meta::GrpcMeta;
use roadstead_gateway::telemetry::{Telemetry, TelemetryError};
use roadstead_gateway::{Components, Gateway, server};
use roadstead_proto::clock::SystemClock;
use roadstead_proto::domain::secret::Secret;
use roadstead_proto::rpc::Dialer;
use tokio_util::sync::CancellationToken;

use super::Plan;
use super::cluster::{self, Brought, JoinError};
use super::secrets::{self, SharedKey, SharedKeyError};
use super::settings::Place;
use crate::directory::{AdminTokenError, Directory, DirectoryError, Origin};
use crate::startup::banner::Banner;
use crate::startup::configure::{ConfigureError, Configured};
use crate::startup::first_start;
use crate::startup::listen::{self, ListenError, Listeners};
use crate::startup::plane::{self, BlobsError};
use crate::startup::probes::{NotYet, Shared};
use crate::written::HostPort;

/// How long a question may go on that was asked while nothing was ready.
const LAST_QUESTION: Duration = Duration::from_secs(1);

/// Everything that runs.
pub(crate) struct Started {
    pub(crate) gateway: Gateway,
    pub(crate) pulls: Shared,
    pub(crate) admin: Shared,
    pub(crate) banner: Banner,
    /// Held to the end.
    pub(crate) directory: Directory,
}

/// Why it did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// An address.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The data directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The blobs.
    #[error(transparent)]
    Blobs(#[from] BlobsError),
    /// The secret key.
    #[error(transparent)]
    SharedKey(#[from] SharedKeyError),
    /// The admin token.
    #[error(transparent)]
    AdminToken(#[from] AdminTokenError),
    /// The cluster.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// Metrics.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The gateway.
    #[error("the gateway cannot start")]
    Gateway(#[from] roadstead_gateway::StartError),
}

/// Starts everything; `None` where `stop` comes before the cluster has answered.
pub(crate) async fn start(plan: Plan, stop: &CancellationToken) -> Result<Option<Started>, StartError> {
    let Plan { settings, place, exchange } = plan;
    let Listeners { pulls, pulls_at, admin, admin_at } = Listeners::bind(&settings).await?;
    let (peers, peers_at) = listen::bind(place.peer_listen, "--peer-listen").await?;
    let directory = Directory::open(&settings.data_dir)?;
    let gateway_id = match &place.gateway {
        Some(given) => given.clone(),
        None => directory.gateway_id()?,
    };
    let key = secrets::key(settings.secret_key.as_ref(), place.secret_key_file.as_deref(), directory.secret_key())?;
    let token = secrets::admin_token(settings.admin_token.as_ref(), place.admin_token_file.as_deref())?;
    let telemetry = Telemetry::new()?;
    // Without a bucket there is a shared directory: the settings were checked for it.
    let blobs = place.shared_directory.clone().unwrap_or_else(|| directory.blobs());
    let storage = plane::blobs(&settings, blobs, &telemetry.meter()).await?;
    let regions = plane::regions(&settings, &place.region, &telemetry.meter())?;

    let dialer = Dialer::new(place.identity.clone());
    let nodes = place.nodes.iter().map(ToString::to_string).collect();
    let meta = Arc::new(GrpcMeta::new(nodes, dialer.clone()));
    let brought = Brought {
        settings: &settings,
        keyring: &key.keyring,
        key_origin: &key.origin,
        token: token.as_ref().map(|(token, _)| token),
    };
    let (pulls, admin) = (Shared::from(pulls), Shared::from(admin));
    let waiting = Waiting::serve([pulls.clone(), admin.clone()]);
    let joined = cluster::join(&*meta, &brought, stop).await;
    waiting.end().await;
    let Some(configured) = joined? else { return Ok(None) };

    let anonymous_pull = pulls_at.ip().to_canonical().is_loopback();
    let peer_address = place.peer_address.clone().unwrap_or_else(|| peers_at.into());
    let at = At { pulls: pulls_at, admin: admin_at, peers: peer_address.clone() };
    let SharedKey { keyring, warning, .. } = key;
    let mut banner = banner(&directory, &place, configured, token, &at)?;
    banner.details.insert(0, ("Gateway", format!("{} in region {}", gateway_id.0, place.region)));
    banner.anonymous_pull |= anonymous_pull;
    banner.warnings.extend(warning);
    let of_gateway = plane::Place {
        gateway: gateway_id,
        region: place.region.clone(),
        peer_address: Some(peer_address.to_string()),
        anonymous_pull,
        spool_dir: directory.spool(),
    };
    let components = Components {
        meta: meta.clone(),
        leases: meta,
        store: storage.store,
        regions,
        exchange: Arc::new(exchange),
        clock: Arc::new(SystemClock),
        keyring,
        telemetry,
        dialer,
        identity: place.identity,
    };
    let gateway = Gateway::start(plane::config(&settings, of_gateway), components).await?.with_peers(peers);
    Ok(Some(Started { gateway, pulls, admin, banner, directory }))
}

/// Where it is reached.
struct At {
    pulls: SocketAddr,
    admin: SocketAddr,
    peers: HostPort,
}

fn banner(
    directory: &Directory,
    place: &Place,
    configured: Configured,
    token: Option<(Secret, Origin)>,
    at: &At,
) -> Result<Banner, StartError> {
    let Configured { configuration, warnings } = configured;
    let (registry, upstreams) =
        first_start::first_registry(&configuration).ok_or(ConfigureError::NoRegistry).map_err(JoinError::from)?;
    let nodes: Vec<String> = place.nodes.iter().map(ToString::to_string).collect();
    Ok(Banner {
        listen: at.pulls,
        admin: at.admin,
        data_dir: directory.path().to_owned(),
        token,
        details: vec![("Nodes", nodes.join(", ")), ("Peers", at.peers.to_string())],
        warnings,
        ..Banner::of(registry, &upstreams)
    })
}

/// Says on both listeners that nothing is ready.
struct Waiting {
    stop: CancellationToken,
    servers: Vec<tokio::task::JoinHandle<()>>,
}

impl Waiting {
    fn serve(listeners: [Shared; 2]) -> Self {
        const WHY: NotYet = NotYet("no node has answered yet");
        let stop = CancellationToken::new();
        let serve = |listener| tokio::spawn(server::serve(listener, WHY, Load::default(), stop.clone(), LAST_QUESTION));
        Self { servers: listeners.into_iter().map(serve).collect(), stop }
    }

    /// From here on the listeners are somebody else's.
    async fn end(self) {
        self.stop.cancel();
        for server in self.servers {
            // A task that panicked has let go of its listener, too.
            let _ = server.await;
        }
    }
}
