//! A gateway with upstreams, as tests see it.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use roadstead_gateway::config::{Config, Prefetch, Redirects, Timeouts};
use roadstead_gateway::seal::Keyring;
use roadstead_gateway::telemetry::Telemetry;
use roadstead_gateway::upstream::connection::Transport;
use roadstead_gateway::upstream::network::NetworkPolicy;
use roadstead_gateway::upstream::{HttpExchange, ReqwestExchange};
use roadstead_gateway::{Components, Gateway};
use roadstead_loadtest::registry::{self, Upstream};
use roadstead_proto::clock::ManualClock;
use roadstead_proto::domain::lease::GatewayId;
use roadstead_proto::domain::registry::{RegionId, RegistryId};
use roadstead_proto::domain::secret::Secret;
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::domain::upstream::{Credentials, UpstreamSettings};
use roadstead_proto::meta::MetaStore as _;
use roadstead_proto::meta::memory::InMemoryMeta;
use roadstead_proto::state::command::{Bootstrap, Command};
use roadstead_storage::blob::BlobStore;
use roadstead_storage::testing::brittle::{Breaks, BrittleStore};
use roadstead_storage::testing::faulty::FaultyStore;
use roadstead_storage::testing::signing::SigningStore;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use crate::answer::{Answer, blob, manifest, read};
use crate::hub::AsHub;
use crate::line::Line;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// How long a test waits for something that should happen at once.
const SOON: Duration = Duration::from_secs(20);

/// A gateway with upstreams. Upstream and image names are the test's; the registry is 1.
pub(crate) struct World {
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) meta: Arc<InMemoryMeta>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) folder: TempDir,
    settings: Vec<UpstreamSettings>,
    anonymous: bool,
    redirects: Option<Redirects>,
    /// What the store is.
    keeping: Keeping,
    /// Off unless a test is about it: what is asked of upstreams is then what clients ask.
    prefetch: Option<Prefetch>,
    pub(crate) mirror: Option<RegistryId>,
    transport: Transport,
    timeouts: Timeouts,
    /// Whether requests to Docker Hub go to the first upstream instead.
    as_hub: bool,
    store: Option<Arc<dyn BlobStore>>,
    min_free_bytes: u64,
    client: reqwest::Client,
    running: Option<Running>,
}

/// What the store is.
#[derive(Clone)]
pub(crate) enum Keeping {
    Directory,
    /// One that has URLs for its objects.
    Signing,
    /// A directory whose disk fails.
    Brittle(Breaks),
    /// One that bodies are uploaded to.
    Bucket(Arc<FaultyStore>),
}

struct Running {
    base: String,
    admin: String,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

impl World {
    /// One upstream, anonymous on both sides.
    pub(crate) async fn start() -> Self {
        Self::with(vec![registry::Config::default()], |_| {}).await
    }

    /// Several upstreams in order; `adjust` sees their settings.
    pub(crate) async fn with(configs: Vec<registry::Config>, adjust: impl FnOnce(&mut [UpstreamSettings])) -> Self {
        let mut world = Self::prepare(configs).await;
        adjust(&mut world.settings);
        world.bootstrapped().await
    }

    async fn prepare(configs: Vec<registry::Config>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut upstreams = Vec::new();
        for config in configs {
            upstreams.push(Upstream::start(config).await.unwrap());
        }
        let settings = upstreams
            .iter()
            .zip(["first", "second", "third"])
            .map(|(upstream, name)| UpstreamSettings::new(name, upstream.url().parse().unwrap()))
            .collect();
        let clock = Arc::new(ManualClock::at(Timestamp(1_000_000)));
        Self {
            upstreams,
            meta: Arc::new(InMemoryMeta::new(Arc::clone(&clock) as Arc<_>)),
            clock,
            folder: TempDir::new().unwrap(),
            settings,
            anonymous: true,
            redirects: None,
            keeping: Keeping::Directory,
            prefetch: None,
            mirror: Some(RegistryId(1)),
            transport: to_loopback(),
            timeouts: Timeouts::default(),
            as_hub: false,
            store: None,
            min_free_bytes: 0,
            client: client(),
            running: None,
        }
    }

    /// Upstreams that are given so long, with other settings.
    pub(crate) async fn tuned(
        configs: Vec<registry::Config>,
        timeouts: Timeouts,
        adjust: impl FnOnce(&mut [UpstreamSettings]),
    ) -> Self {
        let mut world = Self::prepare(configs).await;
        world.timeouts = timeouts;
        world.transport.idle_timeout = timeouts.answer;
        adjust(&mut world.settings);
        world.bootstrapped().await
    }

    /// One upstream, which is Docker Hub by its name.
    pub(crate) async fn of_docker_hub() -> Self {
        let mut world = Self::prepare(vec![registry::Config::default()]).await;
        world.settings = vec![UpstreamSettings::new("hub", "https://docker.io".parse().unwrap())];
        world.as_hub = true;
        world.bootstrapped().await
    }

    /// The same, where pulls need a token.
    pub(crate) async fn closed() -> Self {
        let mut world = Self::prepare(vec![registry::Config::default()]).await;
        world.anonymous = false;
        world.bootstrapped().await
    }

    /// The same, where upstreams and readers are given so long.
    pub(crate) async fn with_patience(mut self, timeouts: Timeouts, idle: Duration) -> Self {
        self.timeouts = timeouts;
        self.transport.idle_timeout = idle;
        self.restart().await;
        self
    }

    /// The same over another store.
    pub(crate) async fn keeping(mut self, keeping: Keeping) -> Self {
        self.keeping = keeping;
        self.restart().await;
        self
    }

    /// The same on a disk that has no room left.
    pub(crate) async fn without_room(mut self) -> Self {
        self.min_free_bytes = u64::MAX;
        self.restart().await;
        self
    }

    /// Starts a stopped gateway again, on a disk that is well and has room.
    pub(crate) async fn start_again_in_health(&mut self) {
        self.min_free_bytes = 0;
        match &self.keeping {
            Keeping::Brittle(_) => self.keeping = Keeping::Brittle(Breaks::Nowhere),
            Keeping::Bucket(bucket) => bucket.heal(),
            Keeping::Directory | Keeping::Signing => {}
        }
        self.start_gateway().await;
    }

    /// Files of the store that are neither its marker nor its lock, and of the spool folder.
    pub(crate) fn files(&self) -> Vec<String> {
        let names = |folder: &str| {
            let entries = std::fs::read_dir(self.folder.path().join(folder)).into_iter().flatten();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
        };
        ["blobs/sha256", "blobs/sha512", "spool"].into_iter().flat_map(names).collect()
    }

    /// One upstream that is reached so.
    pub(crate) async fn reached_by(config: registry::Config, transport: impl FnOnce(&Upstream) -> Transport) -> Self {
        let mut world = Self::prepare(vec![config]).await;
        world.transport = transport(&world.upstreams[0]);
        world.bootstrapped().await
    }

    /// One upstream on this machine that is known by this name.
    pub(crate) async fn reached_by_name(name: &str, transport: Transport) -> Self {
        let mut world = Self::prepare(vec![registry::Config::default()]).await;
        let url = format!("http://{name}:{}", world.upstreams[0].addr().port());
        world.settings[0].url = url.parse().unwrap();
        world.transport = transport;
        world.bootstrapped().await
    }

    async fn bootstrapped(mut self) -> Self {
        let bootstrap = Bootstrap {
            group_path: "default".into(),
            registry_name: "default".into(),
            upstreams: self.settings.clone(),
        };
        self.meta.propose(Command::Bootstrap(bootstrap)).await.unwrap();
        self.start_gateway().await;
        self
    }

    async fn start_gateway(&mut self) {
        let telemetry = Telemetry::new().unwrap();
        let mut storage = roadstead_storage::config::Config::local(self.folder.path().join("blobs"));
        storage.min_free_bytes = self.min_free_bytes;
        let directory = async || roadstead_storage::open(&storage, &telemetry.meter()).await.unwrap().store;
        self.store = Some(match &self.keeping {
            Keeping::Directory => directory().await,
            Keeping::Signing => SigningStore::new(directory().await),
            Keeping::Brittle(breaks) => BrittleStore::new(directory().await, *breaks),
            Keeping::Bucket(bucket) => bucket.stack(&storage, &telemetry.meter()).await,
        });
        let (config, components) = self.parts("test", telemetry);
        self.running = Some(launch(config, components).await);
    }

    /// A second gateway of the same cluster.
    pub(crate) async fn second_gateway(&self) -> Second {
        self.gateway_called("second").await
    }

    /// One more gateway of the same cluster. It lives on a runtime of its own, so that it can die.
    pub(crate) async fn gateway_called(&self, name: &str) -> Second {
        let (config, components) = self.parts(name, Telemetry::new().unwrap());
        Second::start(name, config, components).await
    }

    /// One whose way to the leases is the test's.
    pub(crate) async fn gateway_over(&self, line: &Arc<Line>, name: &str) -> Second {
        let (config, mut components) = self.parts(name, Telemetry::new().unwrap());
        components.leases = Arc::clone(line) as Arc<_>;
        Second::start(name, config, components).await
    }

    /// One that others do not get through to: at the address that it gives nobody listens.
    pub(crate) async fn gateway_cut_off(&self, name: &str) -> Second {
        let (mut config, components) = self.parts(name, Telemetry::new().unwrap());
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        config.peer_address = Some(nobody.to_string());
        Second::start(name, config, components).await
    }

    /// One in another region, with a bucket of its own, which reads this region's through `reading`.
    pub(crate) async fn gateway_in(
        &self,
        region: &str,
        reading: impl FnOnce(Arc<dyn BlobStore>) -> Arc<dyn BlobStore>,
    ) -> Second {
        let telemetry = Telemetry::new().unwrap();
        let storage = roadstead_storage::config::Config::local(self.folder.path().join(region));
        let store = roadstead_storage::open(&storage, &telemetry.meter()).await.unwrap().store;
        let (mut config, mut components) = self.parts(region, telemetry);
        let here = reading(std::mem::replace(&mut components.store, store));
        components.regions = HashMap::from([(std::mem::replace(&mut config.region, region.parse().unwrap()), here)]);
        Second::start(region, config, components).await
    }

    /// What a gateway of this cluster is made of.
    pub(crate) fn parts(&self, name: &str, telemetry: Telemetry) -> (Config, Components) {
        let store = Arc::clone(self.store.as_ref().unwrap());
        let exchange = ReqwestExchange::new(&self.transport).unwrap();
        let exchange: Arc<dyn HttpExchange> =
            if self.as_hub { Arc::new(AsHub(exchange, self.upstream().addr())) } else { Arc::new(exchange) };
        let components = Components {
            meta: Arc::clone(&self.meta) as Arc<_>,
            leases: Arc::clone(&self.meta) as Arc<_>,
            store,
            regions: HashMap::new(),
            exchange,
            clock: Arc::clone(&self.clock) as Arc<_>,
            keyring: Keyring::from_hex(KEY).unwrap(),
            telemetry,
            dialer: roadstead_proto::rpc::Dialer::new(None),
            identity: None,
        };
        let config = Config {
            gateway: GatewayId(name.into()),
            region: RegionId::default_region(),
            peer_address: None, // `launch` finds one
            anonymous_pull: self.anonymous,
            mirror_registry: self.mirror,
            manifest_memory: 1 << 20,
            spool_dir: self.folder.path().join("spool"),
            min_free_bytes: self.min_free_bytes,
            redirects: self.redirects.clone(),
            prefetch: self.prefetch,
            drain_delay: Duration::ZERO,
            drain_timeout: SOON,
            timeouts: self.timeouts,
        };
        (config, components)
    }

    /// Drains the gateway: what it is doing is done, and recorded, when this returns.
    pub(crate) async fn stop(&mut self) {
        // Idle connections of ours would only be waited for.
        self.client = client();
        self.store = None;
        let running = self.running.take().unwrap();
        running.stop.cancel();
        tokio::time::timeout(SOON, running.served).await.expect("the gateway drains").unwrap();
    }

    /// Stops and starts the gateway; memory is gone, metadata and storage stay.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start_gateway().await;
    }

    /// The same by other rules, over a store that has URLs for its objects.
    pub(crate) async fn redirecting(mut self, redirects: Option<Redirects>) -> Self {
        (self.redirects, self.keeping) = (redirects, Keeping::Signing);
        self.restart().await;
        self
    }

    /// The same, where so many blobs are fetched ahead of clients at a time.
    pub(crate) async fn prefetching(mut self, at_once: usize) -> Self {
        self.prefetch = NonZeroUsize::new(at_once).map(|at_once| Prefetch { at_once });
        self.restart().await;
        self
    }

    /// The same over a store that has none.
    pub(crate) async fn unsigned(mut self) -> Self {
        self.keeping = Keeping::Directory;
        self.restart().await;
        self
    }

    /// Starts a stopped gateway again.
    pub(crate) async fn start_again(&mut self) {
        self.start_gateway().await;
    }

    /// Begins to drain; the handle ends with the gateway.
    pub(crate) fn begin_stop(&mut self) -> JoinHandle<()> {
        let running = self.running.as_mut().unwrap();
        running.stop.cancel();
        std::mem::replace(&mut running.served, tokio::spawn(async {}))
    }

    /// Waits until the gateway takes no new connections.
    pub(crate) async fn until_refused(&self) {
        let address = self.base().trim_start_matches("http://").to_owned();
        let refused = async || tokio::net::TcpStream::connect(&address).await.is_err();
        eventually("the listener closes", refused).await;
    }

    pub(crate) fn upstream(&self) -> &Upstream {
        &self.upstreams[0]
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/v2/virtual_registries/container/1/{path}", self.running.as_ref().unwrap().base)
    }

    pub(crate) fn base(&self) -> String {
        self.running.as_ref().unwrap().base.clone()
    }

    pub(crate) async fn metrics(&self) -> String {
        let url = format!("{}/metrics", self.running.as_ref().unwrap().admin);
        self.client.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// Whether something was counted: a metric's name, and what stands in its labels.
    pub(crate) async fn counted(&self, name: &str, label: &str) -> bool {
        self.metrics().await.lines().any(|line| line.starts_with(name) && line.contains(label))
    }

    /// Sends a request to a whole URL.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
    ) -> reqwest::Result<reqwest::Response> {
        let mut request = self.client.request(method, url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await
    }

    /// The credentials of an upstream, sealed as the gateway opens them.
    pub(crate) fn credentials(username: &str, password: &str) -> Credentials {
        let (keyring, password) = (Keyring::from_hex(KEY).unwrap(), Secret::new(password));
        Credentials {
            username: username.into(),
            id: keyring.credential_id(username, &password),
            password: keyring.seal(&password).unwrap(),
        }
    }
}

async fn launch(mut config: Config, components: Components) -> Running {
    let [listener, admin, peers] =
        [(); 3].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).map(|listener| {
            listener.set_nonblocking(true).unwrap();
            TcpListener::from_std(listener).unwrap()
        });
    config.peer_address.get_or_insert(peers.local_addr().unwrap().to_string());
    let gateway = Gateway::start(config, components).await.unwrap().with_peers(peers);
    let base = format!("http://{}", listener.local_addr().unwrap());
    let admin_base = format!("http://{}", admin.local_addr().unwrap());
    let stop = CancellationToken::new();
    let served = tokio::spawn(gateway.serve(listener, admin, stop.clone()));
    Running { base, admin: admin_base, stop, served }
}

/// A gateway beside the world's own.
pub(crate) struct Second {
    name: String,
    running: Running,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Second {
    pub(crate) async fn start(name: &str, config: Config, components: Components) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (started, running) = tokio::sync::oneshot::channel();
        runtime.spawn(async move { started.send(launch(config, components).await).ok().unwrap() });
        Self { name: name.to_owned(), running: running.await.unwrap(), runtime: Some(runtime) }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/v2/virtual_registries/container/1/{path}", self.running.base)
    }

    pub(crate) fn base(&self) -> &str {
        &self.running.base
    }

    /// It is gone at once, with everything that it did; the cluster has not noticed.
    pub(crate) fn die(mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }

    /// The same, and the cluster has noticed.
    pub(crate) async fn die_and_be_missed(self, world: &World) {
        let name = self.name.clone();
        self.die();
        world.meta.lose(&name).await.unwrap();
    }

    /// Whether something was counted: a metric's name, and what stands in its line.
    pub(crate) async fn counted(&self, name: &str, part: &str) -> bool {
        let url = format!("{}/metrics", self.running.admin);
        let metrics = client().get(url).send().await.unwrap().text().await.unwrap();
        metrics.lines().any(|line| line.starts_with(name) && line.contains(part))
    }

    /// Begins to drain.
    pub(crate) fn begin_stop(&self) {
        self.running.stop.cancel();
    }

    /// Drains it: what it is doing is done, and recorded, when this returns.
    pub(crate) async fn stop(mut self) {
        self.begin_stop();
        self.ended().await;
    }

    /// Returns once it has ended.
    pub(crate) async fn ended(&mut self) {
        tokio::time::timeout(SOON, &mut self.running.served).await.expect("it ends").unwrap();
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What a gateway needs to reach upstreams on this machine.
pub(crate) fn to_loopback() -> Transport {
    let loopback = ["127.0.0.0/8", "::1/128"].map(|network| network.parse().unwrap());
    Transport { network: NetworkPolicy::opening(loopback.into()), ..Transport::default() }
}

/// Takes answers as they are: what redirects lead to is the test's to ask.
fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

/// Asks until it is so; each time others have had their turn.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(SOON, async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    });
    assert!(waited.await.is_ok(), "{what}");
}
