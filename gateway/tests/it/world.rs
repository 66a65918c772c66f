//! A gateway with upstreams, as tests see it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::HeaderMap;
use reqwest::{Method, StatusCode};
use roadstead_gateway::config::{Config, Redirects, Timeouts};
use roadstead_gateway::seal::Keyring;
use roadstead_gateway::telemetry::Telemetry;
use roadstead_gateway::upstream::ReqwestExchange;
use roadstead_gateway::upstream::connection::Transport;
use roadstead_gateway::{Components, Gateway};
use roadstead_loadtest::content::digest_of;
use roadstead_loadtest::registry::{self, Upstream};
use roadstead_proto::clock::{Clock as _, ManualClock};
use roadstead_proto::domain::lease::GatewayId;
use roadstead_proto::domain::registry::{RegionId, RegistryId, UpstreamId};
use roadstead_proto::domain::secret::Secret;
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::domain::upstream::{Credentials, UpstreamSettings};
use roadstead_proto::meta::memory::InMemoryMeta;
use roadstead_proto::meta::{Consistency, MetaStore as _};
use roadstead_proto::state::command::{Bootstrap, Command};
use roadstead_proto::state::read::ContentQuery;
use roadstead_storage::blob::BlobStore;
use roadstead_storage::testing::brittle::{Breaks, BrittleStore};
use roadstead_storage::testing::faulty::FaultyStore;
use roadstead_storage::testing::signing::SigningStore;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

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
    pub(crate) mirror: Option<RegistryId>,
    transport: Transport,
    timeouts: Timeouts,
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

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    pub(crate) fn digest(&self) -> String {
        digest_of(&self.body)
    }

    /// The code of an OCI error body.
    pub(crate) fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).expect("an OCI error body");
        body["errors"][0]["code"].as_str().unwrap().to_owned()
    }

    pub(crate) fn message(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).expect("an OCI error body");
        body["errors"][0]["message"].as_str().unwrap().to_owned()
    }
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
            mirror: Some(RegistryId(1)),
            transport: Transport::default(),
            timeouts: Timeouts::default(),
            min_free_bytes: 0,
            client: client(),
            running: None,
        }
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

    /// Whether a digest is stored and recorded.
    pub(crate) async fn is_recorded(&self, digest: &str) -> bool {
        let query = ContentQuery {
            upstreams: Vec::new(),
            repository: "any".parse().unwrap(),
            digest: digest.parse().unwrap(),
            region: RegionId::default_region(),
        };
        self.meta.content(&query, Consistency::Local).await.unwrap().location.is_some()
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
        let store: Arc<dyn BlobStore> = match &self.keeping {
            Keeping::Directory => directory().await,
            Keeping::Signing => SigningStore::new(directory().await),
            Keeping::Brittle(breaks) => BrittleStore::new(directory().await, *breaks),
            Keeping::Bucket(bucket) => bucket.stack(&storage, &telemetry.meter()).await,
        };
        let components = Components {
            meta: Arc::clone(&self.meta) as Arc<_>,
            leases: Arc::clone(&self.meta) as Arc<_>,
            store,
            exchange: Arc::new(ReqwestExchange::new(&self.transport).unwrap()),
            clock: Arc::clone(&self.clock) as Arc<_>,
            keyring: Keyring::from_hex(KEY).unwrap(),
            telemetry,
        };
        let config = Config {
            gateway: GatewayId("test".into()),
            region: RegionId::default_region(),
            anonymous_pull: self.anonymous,
            mirror_registry: self.mirror,
            manifest_memory: 1 << 20,
            spool_dir: self.folder.path().join("spool"),
            min_free_bytes: self.min_free_bytes,
            redirects: self.redirects.clone(),
            drain_timeout: SOON,
            timeouts: self.timeouts,
        };
        let gateway = Gateway::start(config, components).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let admin = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let admin_base = format!("http://{}", admin.local_addr().unwrap());
        let stop = CancellationToken::new();
        let served = tokio::spawn(gateway.serve(listener, admin, stop.clone()));
        self.running = Some(Running { base, admin: admin_base, stop, served });
    }

    /// Drains the gateway: what it is doing is done, and recorded, when this returns.
    pub(crate) async fn stop(&mut self) {
        // Idle connections of ours would only be waited for.
        self.client = client();
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

    pub(crate) async fn request(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.request_url(method, &self.url(path), headers).await
    }

    /// The same for a whole URL.
    pub(crate) async fn request_url(&self, method: Method, url: &str, headers: &[(&str, &str)]) -> Answer {
        let response = self.send(method, url, headers).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, body: response.bytes().await.unwrap() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, &[]).await
    }

    pub(crate) async fn head(&self, path: &str) -> Answer {
        self.request(Method::HEAD, path, &[]).await
    }

    /// A pull that answers its headers and has its body still to come.
    pub(crate) async fn begin(&self, path: &str) -> reqwest::Response {
        self.send(Method::GET, &self.url(path), &[]).await.unwrap()
    }

    /// Waits until a digest is stored and recorded.
    pub(crate) async fn settle(&self, digest: &str) {
        eventually("the digest is recorded", async || self.is_recorded(digest).await).await;
    }

    /// Waits until what the first upstream said of a tag just now is recorded.
    pub(crate) async fn tag_recorded(&self, repository: &str, tag: &str) {
        let (repository, tag) = (repository.parse().unwrap(), tag.parse().unwrap());
        eventually("the tag is recorded", async || {
            let entry = self.meta.tag_entry(UpstreamId(1), &repository, &tag, Consistency::Local).await.unwrap();
            entry.is_some_and(|entry| entry.checked_at == self.clock.now())
        })
        .await;
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

/// Reads a body to its end; an error is what a client sees when the connection is aborted.
pub(crate) async fn read(response: reqwest::Response) -> reqwest::Result<Vec<u8>> {
    let mut body = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(piece) = stream.next().await {
        body.extend_from_slice(&piece?);
    }
    Ok(body)
}

pub(crate) fn manifest(name: &str, reference: &str) -> String {
    format!("{name}/manifests/{reference}")
}

pub(crate) fn blob(name: &str, digest: &str) -> String {
    format!("{name}/blobs/{digest}")
}
