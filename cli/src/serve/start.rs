//! Puts the roles together: a one-member node, a local directory and a gateway in this process.
//!
//! The order is part of the promise. Listeners are bound before this runs; the directory is locked before anything in it is
//! read; the key is proved against what is stored before anything new is stored; nothing is asked of any upstream.

use std::sync::Arc;

use roadstead_gateway::seal::{Keyring, SealError};
use roadstead_gateway::telemetry::{Telemetry, TelemetryError};
use roadstead_gateway::{Components, Gateway};
use roadstead_node::Node;
use roadstead_proto::clock::SystemClock;
use roadstead_proto::domain::configuration::Configuration;
use roadstead_proto::domain::principal::{Role, TokenHash};
use roadstead_proto::domain::registry::RegionId;
use roadstead_proto::domain::secret::Secret;
use roadstead_proto::meta::{Consistency, MetaError, MetaStore};
use roadstead_proto::state::command::{Command, PutToken};
use roadstead_storage::cloud::capabilities::Answer;
use roadstead_storage::config::Backend;
use roadstead_storage::open::Opened;

use super::Plan;
use super::admin_token::{self, AdminToken, AdminTokenError};
use super::banner::Banner;
use super::directory::{Directory, DirectoryError};
use super::first_start;
use super::listen::Listeners;
use super::secret_key::{self, SecretKey, SecretKeyError};
use super::settings::Settings;

/// Name of the token that `serve` itself keeps.
const ADMIN_TOKEN_NAME: &str = "admin";

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
    #[error("the stored blobs cannot be opened")]
    Storage(#[from] roadstead_storage::open::OpenError),
    /// Clients would be sent to where they get nothing.
    #[error(
        "[storage.redirect] sends clients to the object store, and a URL that was signed for it did not work from here; set \
         mode = \"never\", or give credentials that may sign"
    )]
    NoSignedUrls,
    /// The metadata gave no answer, or refused.
    #[error("the configuration cannot be read or written")]
    Metadata(#[from] MetaError),
    /// The metadata holds no registry although one was just created, or a group of another number.
    #[error("the metadata holds no registry; start with an empty --data-dir, or restore this one from a copy")]
    NoRegistry,
    /// The secret key.
    #[error(transparent)]
    SecretKey(#[from] SecretKeyError),
    /// A password could not be sealed.
    #[error("an upstream's password cannot be sealed")]
    Seal(#[from] SealError),
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
    let directory = Directory::open(&settings.data_dir)?;
    let telemetry = Telemetry::new()?;
    let clock = Arc::new(SystemClock);

    let node_config = roadstead_node::Config::alone(directory.node());
    let node_components = roadstead_node::Components { clock: clock.clone(), ..Default::default() };
    let mut storage_config = roadstead_storage::config::Config {
        memory_bytes: settings.blob_memory,
        min_free_bytes: settings.min_free_space,
        ..roadstead_storage::config::Config::local(directory.blobs())
    };
    if let Some(bucket) = &settings.storage.bucket {
        storage_config.backend = Backend::Cloud(Box::new(bucket.clone()));
    }
    let meter = telemetry.meter();
    let (node, storage) = tokio::join!(
        async { Ok::<_, StartError>(Node::start(node_config, node_components).await?) },
        roadstead_storage::open(&storage_config, &meter),
    );
    let (node, storage) = (node?, storage?);
    if settings.storage.redirects.is_some() && signs_no_urls(&storage) {
        return Err(StartError::NoSignedUrls);
    }
    node.ready().await?;
    let meta = node.meta();

    let configured = configure(&*meta, &settings, &directory).await?;
    let anonymous_pull = listeners.pulls_at.ip().to_canonical().is_loopback();
    let config = roadstead_gateway::config::Config {
        gateway: directory.gateway_id()?,
        region: RegionId::default_region(),
        peer_address: None,
        anonymous_pull,
        mirror_registry: settings.mirror_registry,
        manifest_memory: settings.manifest_memory,
        redirects: settings.storage.redirects.clone(),
        prefetch: settings.prefetch,
        spool_dir: directory.spool(),
        min_free_bytes: settings.min_free_space,
        drain_timeout: settings.drain_timeout,
        timeouts: roadstead_gateway::config::Timeouts::default(),
    };
    let banner = banner(&configured, &directory, listeners, anonymous_pull)?;
    let components = Components {
        meta: meta.clone(),
        leases: meta,
        store: storage.store,
        exchange: Arc::new(exchange),
        clock,
        keyring: configured.keyring,
        telemetry,
        dialer: roadstead_proto::rpc::Dialer::new(None),
        identity: None,
    };
    let gateway = Gateway::start(config, components).await?;
    Ok(Started { node, gateway, banner, directory })
}

/// A client that is sent to such a store gets nothing.
fn signs_no_urls(storage: &Opened) -> bool {
    storage.capabilities.is_some_and(|capabilities| capabilities.signed_urls != Answer::Yes)
}

/// What the metadata holds once it is configured, and the secrets that go with it.
struct Configured {
    configuration: Configuration,
    keyring: Keyring,
    token: AdminToken,
    warnings: Vec<String>,
}

/// Makes the first configuration where there is none, and compares where there is one; then puts the admin token in force.
async fn configure(meta: &dyn MetaStore, settings: &Settings, directory: &Directory) -> Result<Configured, StartError> {
    let stored = meta.configuration(Consistency::Linearizable).await?;
    let SecretKey { keyring, warning } =
        secret_key::obtain(&directory.secret_key(), settings.secret_key.as_ref(), &stored)?;
    let mut warnings = Vec::from_iter(warning);
    match first_start::first_registry(&stored) {
        None => drop(meta.propose(Command::Bootstrap(first_start::bootstrap(settings, &keyring)?)).await?),
        Some((_, upstreams)) if settings.upstreams_named => {
            warnings.extend(first_start::difference(&settings.upstreams, &upstreams, &keyring));
        }
        Some(_) => {}
    }
    let configuration = meta.configuration(Consistency::Linearizable).await?;
    let (registry, _) = first_start::first_registry(&configuration).ok_or(StartError::NoRegistry)?;
    let group = registry.group;
    let mirror = settings.mirror_registry.filter(|id| configuration.registries.iter().all(|known| known.id != *id));
    warnings.extend(mirror.map(|id| {
        format!("mirror_registry is {id}, and there is no such registry: names without a prefix will not be found")
    }));

    let token = admin_token::obtain(&directory.admin_token(), settings.admin_token.as_ref())?;
    warnings.extend(token.warnings.iter().cloned());
    let put = PutToken {
        name: ADMIN_TOKEN_NAME.to_owned(),
        hash: hash(&token.token),
        group,
        role: Role::Admin,
        expires_at: None,
    };
    meta.propose(Command::PutToken(put)).await?;
    Ok(Configured { configuration, keyring, token, warnings })
}

fn hash(token: &Secret) -> TokenHash {
    TokenHash::of(token.expose())
}

fn banner(
    configured: &Configured,
    directory: &Directory,
    listeners: &Listeners,
    anonymous_pull: bool,
) -> Result<Banner, StartError> {
    let (registry, upstreams) = first_start::first_registry(&configured.configuration).ok_or(StartError::NoRegistry)?;
    Ok(Banner {
        listen: listeners.pulls_at,
        admin: listeners.admin_at,
        data_dir: directory.path().to_owned(),
        registry: registry.id,
        has_docker_hub: upstreams.iter().any(|upstream| upstream.settings.url.is_docker_hub()),
        upstreams: upstreams
            .iter()
            .map(|upstream| (upstream.settings.name.clone(), upstream.settings.url.to_string()))
            .collect(),
        anonymous_pull: anonymous_pull || registry.anonymous_pull,
        token: configured.token.token.clone(),
        token_origin: configured.token.origin.clone(),
        warnings: configured.warnings.clone(),
    })
}
