//! Puts a gateway together from its components; owns its listeners, its jobs and the order in which it ends.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use futures::Stream;
use futures::future::BoxFuture;
use roadstead_proto::clock::Clock;
use roadstead_proto::domain::fleet::Registration;
use roadstead_proto::domain::limits;
use roadstead_proto::domain::registry::RegionId;
use roadstead_proto::meta::{Leases, MetaError, MetaStore};
use roadstead_proto::rpc::{Dialer, Guard, Identity, listen};
use roadstead_proto::wire::pb::peer::v1::peer_server::PeerServer;
use roadstead_storage::blob::BlobStore;
use roadstead_storage::floor::Floor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::server::{Connected, TcpIncoming};
use tracing::{error, info, warn};

use crate::catalog::Catalog;
use crate::config::Config;
use crate::fetch::Tools;
use crate::fetch::blobs::Blobs;
use crate::fetch::later::Later;
use crate::fetch::peer::serve::PeerService;
use crate::fetch::prefetch::{Prefetcher, Waiting};
use crate::fetch::region::Regions;
use crate::fetch::spool::SpoolSpace;
use crate::fleet::{News, stagger};
use crate::health::{self, Health};
use crate::lease::Session;
use crate::listing::Lister;
use crate::load::Load;
use crate::meta::snapshot::Snapshots;
use crate::metrics::Metrics;
use crate::pull::Puller;
use crate::resolve::Resolver;
use crate::seal::Keyring;
use crate::server::{self, Answer, Listener, Received};
use crate::telemetry::Telemetry;
use crate::upstream::{Client, HttpExchange};
use crate::usage::UsageLog;

/// What a gateway is made of.
pub struct Components {
    /// Configuration and entries.
    pub meta: Arc<dyn MetaStore>,
    /// Single flight over the cluster.
    pub leases: Arc<dyn Leases>,
    /// Bytes.
    pub store: Arc<dyn BlobStore>,
    /// The stores of the other regions, as far as this gateway may read them.
    pub regions: HashMap<RegionId, Arc<dyn BlobStore>>,
    /// The way to upstreams.
    pub exchange: Arc<dyn HttpExchange>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Opens upstream passwords.
    pub keyring: Keyring,
    /// Where everything is counted.
    pub telemetry: Telemetry,
    /// The way to other gateways.
    pub dialer: Dialer,
    /// What this gateway proves itself with to other gateways; without, everybody who reaches it may follow its downloads.
    pub identity: Option<Identity>,
}

/// A gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The metadata gave no configuration.
    #[error("the configuration could not be loaded: {0}")]
    Metadata(#[from] MetaError),
    /// The folder for spools is not usable.
    #[error("the spool folder {path} cannot be created: {source}")]
    Spool {
        /// The folder.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Serves other gateways on the connections it was made with.
type ServePeers = Box<
    dyn FnOnce(
            tonic::transport::server::Router,
            CancellationToken,
        ) -> BoxFuture<'static, Result<(), tonic::transport::Error>>
        + Send,
>;

/// A gateway that is ready to serve.
pub struct Gateway {
    config: Config,
    puller: Arc<Puller>,
    health: Arc<Health>,
    meta: Arc<dyn MetaStore>,
    session: Arc<Session>,
    news: Arc<News>,
    catalog: Arc<Catalog>,
    /// What waits to be prefetched, where anything is.
    prefetches: Option<Waiting>,
    tools: Tools,
    identity: Option<Identity>,
    /// Where other gateways follow downloads.
    peers: Option<ServePeers>,
    tasks: TaskTracker,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Pulls past everything else: a router would cost as much as a pull from memory does, and the path of a pull is parsed in
/// its own way anyhow. What is neither gets the answer of a registry, which clients understand.
#[derive(Clone)]
struct Public {
    puller: Arc<Puller>,
    probes: Router,
}

impl Answer for Public {
    async fn answer(&self, request: Received) -> Response {
        match request.head.uri.path() {
            "/livez" | "/readyz" => self.probes.answer(request).await,
            _ => self.puller.serve(&request.head, &request.id).await,
        }
    }
}

/// How long the streams to other gateways may take to close.
const PEERS_PATIENCE: Duration = Duration::from_secs(1);

/// For names that nobody else may have. Without randomness the process could not have started: its secrets need it.
fn random_number() -> u64 {
    let mut bytes = [0; 8];
    let _ = getrandom::fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

impl Gateway {
    /// Loads the configuration; asks no upstream.
    pub async fn start(config: Config, components: Components) -> Result<Self, StartError> {
        std::fs::create_dir_all(&config.spool_dir)
            .map_err(|source| StartError::Spool { path: config.spool_dir.clone(), source })?;
        let Components { meta, leases, store, regions, exchange, clock, keyring, telemetry, dialer, identity } =
            components;
        let metrics = Metrics::new(&telemetry.meter());
        let snapshots = Arc::new(Snapshots::load(Arc::clone(&meta), Arc::new(keyring), Arc::clone(&clock)).await?);
        let catalog = Arc::new(Catalog::new(Arc::clone(&meta), config.region.clone()));
        let registration = Registration {
            gateway: config.gateway.clone(),
            region: config.region.clone(),
            address: config.peer_address.clone().unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let session = Arc::new(Session::new(leases, registration));
        let tasks = TaskTracker::new();
        let later = Arc::new(Later::default());
        let stagger = stagger(&config.gateway);
        let client = Arc::new(Client::new(exchange, Arc::clone(&clock), metrics.clone(), config.timeouts, stagger));
        let health = Arc::new(Health::new(Arc::clone(&store), Arc::clone(&session), telemetry));
        let news = Arc::new(News {
            client: Arc::clone(&client),
            metrics: metrics.clone(),
            clock: Arc::clone(&clock),
            draining: health.draining().clone(),
        });
        let tools = Tools {
            client,
            store: Arc::clone(&store),
            regions: Arc::new(Regions::new(regions, metrics.clone())),
            catalog: Arc::clone(&catalog),
            session: Arc::clone(&session),
            timeouts: config.timeouts,
            dialer,
            snapshots: Arc::clone(&snapshots),
            later,
            random: random_number,
            clock: Arc::clone(&clock),
            metrics: metrics.clone(),
            tasks: tasks.clone(),
        };
        let space = SpoolSpace::new(config.spool_dir.clone(), Floor(config.min_free_bytes), limits::SPOOL_MEMORY_TOTAL);
        let resolver = Arc::new(Resolver::new(tools.clone(), config.manifest_memory));
        let blobs = Arc::new(Blobs::new(tools.clone(), Arc::clone(&meta), space));
        let (prefetcher, prefetches) =
            config.prefetch.map(|settings| Prefetcher::new(Arc::clone(&blobs), settings)).unzip();
        let puller = Arc::new(Puller {
            snapshots,
            lister: Arc::new(Lister::new(tools.clone(), Arc::clone(&resolver))),
            resolver,
            blobs,
            prefetcher,
            usage: Arc::new(UsageLog::new(Arc::clone(&clock))),
            metrics,
            clock,
            anonymous_pull: config.anonymous_pull,
            redirects: config.redirects.clone(),
            mirror_registry: config.mirror_registry,
        });
        let peers = None;
        Ok(Self { config, puller, health, meta, session, news, catalog, prefetches, tools, identity, peers, tasks })
    }

    /// The same, followed by other gateways on this listener.
    #[must_use]
    pub fn with_peers(self, listener: TcpListener) -> Self {
        self.with_peers_through(TcpIncoming::from(listener).with_nodelay(Some(true)))
    }

    /// The same over connections of any kind. Who calls can be checked on TCP only.
    #[must_use]
    pub fn with_peers_through<C>(mut self, incoming: impl Stream<Item = io::Result<C>> + Send + 'static) -> Self
    where
        C: AsyncRead + AsyncWrite + Connected<ConnectInfo: Clone + Send + Sync> + Unpin + Send + 'static,
    {
        self.peers = Some(Box::new(move |router, stop| {
            Box::pin(router.serve_with_incoming_shutdown(incoming, stop.cancelled_owned()))
        }));
        self
    }

    /// Serves other gateways until `stop`. It ends last of all that is served: whoever takes a download over is told on it.
    fn serve_peers(&mut self, stop: CancellationToken) -> Option<JoinHandle<()>> {
        let serve = self.peers.take()?;
        let service = PeerService::new(Arc::clone(&self.puller.blobs), Guard::of(self.identity.as_ref()));
        let server = listen::server(self.identity.as_ref());
        Some(tokio::spawn(async move {
            let served = match server {
                Ok(mut server) => serve(server.add_service(PeerServer::new(service)), stop).await,
                Err(error) => Err(error),
            };
            if let Err(error) = served {
                error!(%error, "other gateways are not served");
            }
        }))
    }

    /// What the public listener serves.
    fn public(&self) -> Public {
        Public { puller: Arc::clone(&self.puller), probes: health::probes(Arc::clone(&self.health)) }
    }

    /// Serves both listeners until `stop`; then drains: not ready, a moment later no new connections, running streams and
    /// downloads to their end within the drain timeout, and last the session.
    pub async fn serve(mut self, listener: impl Listener, admin: impl Listener, stop: CancellationToken) {
        let jobs_stop = CancellationToken::new();
        let jobs = self.start_jobs(&jobs_stop);
        if let Some(prefetches) = self.prefetches.take() {
            // It ends first: what nobody has asked for is not begun during a drain.
            jobs.spawn(prefetches.run(stop.clone()));
        }
        let peers_stop = CancellationToken::new();
        let peers = self.serve_peers(peers_stop.clone());
        let admin_stop = CancellationToken::new();
        let admin_router = health::admin(Arc::clone(&self.health));
        let admin = tokio::spawn(server::serve(
            admin,
            admin_router,
            Load::default(),
            admin_stop.clone(),
            limits::REQUEST_HEAD_TIMEOUT,
        ));
        let until = self.config.drain_timeout;
        let closed = CancellationToken::new();
        let load = self.puller.metrics.load().clone();
        let drain = async {
            stop.cancelled().await;
            info!(delay = ?self.config.drain_delay, timeout = ?until, "draining");
            self.health.drain();
            tokio::time::sleep(self.config.drain_delay).await;
            closed.cancel();
            self.puller.blobs.drain();
            Instant::now() + until
        };
        let ((), deadline) = tokio::join!(server::serve(listener, self.public(), load, closed.clone(), until), drain);
        self.tasks.close();
        if tokio::time::timeout_at(deadline, self.tasks.wait()).await.is_err() {
            warn!("downloads are still running at the end of the drain: they are given up");
        }
        peers_stop.cancel();
        if let Some(peers) = peers
            && tokio::time::timeout_at(deadline.max(Instant::now() + PEERS_PATIENCE), peers).await.is_err()
        {
            warn!("other gateways still follow downloads of this one at the end of the drain");
        }
        jobs_stop.cancel();
        jobs.close();
        jobs.wait().await;
        admin_stop.cancel();
        if admin.await.is_err() {
            warn!("the admin listener ended badly");
        }
    }

    fn start_jobs(&self, stop: &CancellationToken) -> TaskTracker {
        let jobs = TaskTracker::new();
        jobs.spawn(Arc::clone(&self.session).keep_alive(Arc::clone(&self.news), stop.clone()));
        jobs.spawn(Arc::clone(&self.puller.usage).run(Arc::clone(&self.meta), stop.clone()));
        jobs.spawn(self.tools.clone().record_what_waits(stop.clone()));
        let (catalog, lister) = (Arc::clone(&self.catalog), Arc::clone(&self.puller.lister));
        let forget = move || {
            catalog.forget();
            lister.forget();
        };
        jobs.spawn(Arc::clone(&self.puller.snapshots).follow(forget, stop.clone()));
        jobs
    }
}
