//! Puts the roles together: a one-member node, a local directory and a gateway in this process.
//!
//! The order is part of the promise. Listeners are bound before this runs; the directory is locked before anything in it is
//! read; the key is proved against what is stored before anything new is stored; nothing is asked of any upstream.

use std::sync::Arc;

use roadstead_gateway::seal::Keyring;
use roadstead_gateway::telemetry::{Telemetry, TelemetryError};
use roadstead_gateway::{Components, Gateway};
use roadstead_node::Node;
use roadstead_proto::clock::SystemClock;
use roadstead_proto::domain::configuration::Configuration;
use roadstead_proto::domain::registry::RegionId;
use roadstead_proto::meta::{Consistency, MetaStore};
use roadstead_proto::rpc::Dialer;

use super::Plan;
use crate::directory::{AdminToken, AdminTokenError, Directory, DirectoryError, SecretKey, SecretKeyError};
use crate::directory::{admin_token, secret_key};
use crate::settings::Settings;
use crate::startup::banner::Banner;
use crate::startup::configure::{self, ConfigureError, Configured};
use crate::startup::first_start::{self, StartOver};
use crate::startup::listen::Listeners;
use crate::startup::plane::{self, BlobsError, Place};

/// Everything that runs.
pub(crate) struct Started {
    /// The metadata.
    pub(crate) node: Node,
    /// The data plane.
    pub(crate) gateway: Gateway,
    /// What is to be said.
    pub(crate) banner: Banner,
    /// Held to the end.
    pub(crate) directory: Directory,
}

/// Why it did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The data directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The metadata node.
    #[error("the metadata cannot be opened")]
    Node(#[from] roadstead_node::StartError),
    /// The metadata node stopped at once.
    #[error(transparent)]
    NodeStopped(#[from] roadstead_node::Stopped),
    /// The blobs.
    #[error(transparent)]
    Blobs(#[from] BlobsError),
    /// The configuration.
    #[error(transparent)]
    Configure(#[from] ConfigureError),
    /// The secret key.
    #[error(transparent)]
    SecretKey(#[from] SecretKeyError),
    /// The admin token.
    #[error(transparent)]
    AdminToken(#[from] AdminTokenError),
    /// Metrics.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The gateway.
    #[error("the gateway cannot start")]
    Gateway(#[from] roadstead_gateway::StartError),
}

/// Starts everything.
pub(crate) async fn start(plan: Plan, listeners: &Listeners) -> Result<Started, StartError> {
    let Plan { settings, exchange } = plan;
    let directory = Directory::open(&settings.data_dir)?.with_blobs()?;
    let telemetry = Telemetry::new()?;
    let clock = Arc::new(SystemClock);

    let node_config = roadstead_node::Config::alone(directory.node());
    let node_components = roadstead_node::Components { clock: clock.clone(), ..Default::default() };
    let meter = telemetry.meter();
    let (node, storage) = tokio::join!(
        async { Ok::<_, StartError>(Node::start(node_config, node_components).await?) },
        plane::blobs(&settings, directory.blobs(), &meter),
    );
    let (node, storage) = (node?, storage?);
    node.ready().await?;
    let meta = node.meta();

    let Secured { configuration, keyring, token, warnings } = secure(&*meta, &settings, &directory).await?;
    let anonymous_pull = listeners.pulls_at.ip().to_canonical().is_loopback();
    let place = Place {
        gateway: directory.gateway_id()?,
        region: RegionId::default_region(),
        peer_address: None,
        anonymous_pull,
        spool_dir: directory.spool(),
    };
    let regions = plane::regions(&settings, &place.region, &meter)?;
    let (registry, upstreams) = first_start::first_registry(&configuration).ok_or(ConfigureError::NoRegistry)?;
    let banner = Banner {
        listen: listeners.pulls_at,
        admin: listeners.admin_at,
        data_dir: directory.path().to_owned(),
        anonymous_pull: anonymous_pull || registry.anonymous_pull,
        token: Some((token.token, token.origin)),
        details: Vec::new(),
        warnings,
        ..Banner::of(registry, &upstreams)
    };
    let components = Components {
        meta: meta.clone(),
        leases: meta,
        store: storage.store,
        regions,
        exchange: Arc::new(exchange),
        clock,
        keyring,
        telemetry,
        dialer: Dialer::new(None),
        identity: None,
    };
    let gateway = Gateway::start(plane::config(&settings, place), components).await?;
    Ok(Started { node, gateway, banner, directory })
}

/// What the metadata holds once it is configured, and the secrets that go with it.
struct Secured {
    configuration: Configuration,
    keyring: Keyring,
    token: AdminToken,
    warnings: Vec<String>,
}

/// Finds or makes key and token, and puts the first configuration and the token in force.
async fn secure(meta: &dyn MetaStore, settings: &Settings, directory: &Directory) -> Result<Secured, StartError> {
    let stored = meta.configuration(Consistency::Linearizable).await.map_err(ConfigureError::from)?;
    let SecretKey { keyring, warning } =
        secret_key::obtain(&directory.secret_key(), settings.secret_key.as_ref(), &stored)?;
    let Configured { configuration, warnings: of_configuration } =
        configure::configure(meta, &stored, settings, &keyring, StartOver::NewDirectory).await?;
    let mut token = admin_token::obtain(&directory.admin_token(), settings.admin_token.as_ref())?;
    configure::put_admin_token(meta, &configuration, &token.token).await?;
    let mut warnings = Vec::from_iter(warning);
    warnings.extend(of_configuration);
    warnings.append(&mut token.warnings);
    Ok(Secured { configuration, keyring, token, warnings })
}
