//! A whole cluster on this machine: certificates, an S3 server, an upstream, nodes, gateways, a load balancer.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use reqwest::Client;
use roadstead_gateway::meta::GrpcMeta;
use roadstead_proto::domain::registry::{RegionId, UpstreamId};
use roadstead_proto::meta::{Consistency, MetaStore as _};
use roadstead_proto::state::read::ContentQuery;
use roadstead_proto::wire::pb::admin::v1 as admin;
use tempfile::TempDir;

use crate::cluster::Caller;
use crate::load::Load;
use crate::network::{Network, Place};
use crate::process::{Process, show_logs, until};
use crate::stage::{Image, Stage};

/// How long anything of a start may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const S3_SECRET: &str = "secret-of-the-trials";

/// How many of what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) nodes: usize,
    pub(crate) gateways: usize,
}

/// Three of each.
pub(crate) const THREE: Shape = Shape { nodes: 3, gateways: 3 };

/// A node or a gateway: what it takes to start it, again and again.
#[derive(Debug)]
pub(crate) struct Member {
    /// `node1`, `gateway2`.
    pub(crate) name: String,
    /// Where others of the cluster reach it.
    pub(crate) address: SocketAddr,
    /// Where clients reach it, and where its health is; of a node, both are its health.
    pub(crate) pulls: SocketAddr,
    pub(crate) health: SocketAddr,
    place: Place,
    arguments: Vec<String>,
    logs: PathBuf,
    process: Option<Process>,
}

impl Member {
    pub(crate) fn start(&mut self, network: &Network) {
        assert!(self.process.is_none(), "{} runs", self.name);
        let mut command = self.place.command(&roadstead());
        command.args(&self.arguments).env("ROADSTEAD_SECRET_KEY", SECRET_KEY);
        if self.name.starts_with("gateway") {
            command.env("ROADSTEAD_ADMIN_TOKEN", TOKEN);
        }
        let process = Process::start(&self.name, command, &self.logs);
        network.started(&self.name, process.id());
        self.process = Some(process);
    }

    /// Ends it as a loss of power would.
    pub(crate) fn kill(&mut self) {
        self.process.take().unwrap_or_else(|| panic!("{} does not run", self.name)).kill();
    }

    /// Ends it in good order.
    pub(crate) async fn stop(&mut self) {
        self.process.take().unwrap_or_else(|| panic!("{} does not run", self.name)).stop().await;
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::runs)
    }

    /// Forgets a process that has ended by itself.
    pub(crate) fn bury(&mut self) {
        self.process = None;
    }
}

/// What seals upstreams' passwords; there are none.
const SECRET_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
/// Who pulls in the trials: an administrator, since tokens of others would have to be made first.
const TOKEN: &str = "rst_the_token_of_the_trials_which_nobody_else_has";

/// The cluster.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) stage: Stage,
    pub(crate) nodes: Vec<Member>,
    pub(crate) gateways: Vec<Member>,
    /// Where the load balancer listens.
    pub(crate) balancer: SocketAddr,
    pub(crate) client: Client,
    pub(crate) caller: Caller,
    /// Held for their end.
    _balancing: Process,
    _s3: Process,
    loads: usize,
    directory: TempDir,
}

fn program(variable: &str, name: &str) -> PathBuf {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let path = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release").join(name));
    assert!(path.is_file(), "there is no {}: build it, or set {variable}", path.display());
    path
}

fn roadstead() -> PathBuf {
    program("ROADSTEAD_BIN", "roadstead")
}

fn loadtest() -> PathBuf {
    program("ROADSTEAD_LOADTEST_BIN", "roadstead-loadtest")
}

/// Runs a command to its end, which has to be a good one.
fn run(mut command: Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}{}", said(&output.stdout), said(&output.stderr));
    said(&output.stdout)
}

/// The next port to give out. Below the range from which the kernel gives out ports of its own accord, so that none is
/// taken between here and the start of the process it is for; the beginning depends on the process, for trials side by side.
static NEXT_PORT: AtomicU16 = AtomicU16::new(0);
const FIRST_PORT: u32 = 16_000;
const PORTS: u32 = 16_000;

/// An address with a port that nobody has.
fn free(place: &Place) -> SocketAddr {
    let first = std::process::id().wrapping_mul(97);
    loop {
        let next = first.wrapping_add(NEXT_PORT.fetch_add(1, Ordering::Relaxed).into());
        let port = u16::try_from(FIRST_PORT + next % PORTS).expect("below 32,000");
        let address = SocketAddr::new(place.ip, port);
        match TcpListener::bind(address) {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
            // Where the address is in another namespace it cannot be tried, and all ports are free.
            _ => return address,
        }
    }
}

impl World {
    /// Starts all of it, and waits until a pull could begin.
    pub(crate) async fn start(trial: &str, shape: Shape) -> Self {
        Self::start_on(Network::new(), trial, shape).await
    }

    pub(crate) async fn start_on(network: Network, trial: &str, shape: Shape) -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
        let directory = tempfile::Builder::new().prefix(&format!("roadstead-{trial}-")).tempdir().unwrap();
        let logs = directory.path().join("logs");
        fs::create_dir(&logs).unwrap();
        let client = Client::builder().no_proxy().build().unwrap();
        let shown = Shown(logs.clone());

        certificates(directory.path(), shape);
        let (s3, s3_address) = start_s3(&network, directory.path(), &logs).await;
        let stage = start_stage(&network, &logs, client.clone()).await;
        let mut nodes = Vec::new();
        for number in 1..=shape.nodes {
            nodes.push(node(&network, directory.path(), number).await);
        }
        let mut gateways = Vec::new();
        for number in 1..=shape.gateways {
            gateways.push(gateway(&network, directory.path(), number, s3_address, &stage, &nodes).await);
        }
        let (balancing, balancer) = start_balancer(&network, directory.path(), &logs, &gateways);
        let caller = Caller::new(&directory.path().join("tls"));
        let mut world = Self {
            network,
            stage,
            nodes,
            gateways,
            balancer,
            client,
            caller,
            _balancing: balancing,
            _s3: s3,
            loads: 0,
            directory,
        };
        // From here on the world shows them itself.
        drop(shown);
        world.found().await;
        world
    }

    /// Starts the nodes, makes them one cluster, and starts the gateways.
    async fn found(&mut self) {
        for node in &mut self.nodes {
            node.start(&self.network);
        }
        let first = self.nodes[0].address.to_string();
        until("the first node answers", PATIENCE, async || self.caller.status(&first).await.is_some()).await;
        self.administer(&["init"]);
        for number in 2..=self.nodes.len() {
            let address = self.nodes[number - 1].address.to_string();
            until("a node answers", PATIENCE, async || self.caller.status(&address).await.is_some()).await;
            self.administer(&["add", "--id", &number.to_string(), "--address", &address]);
        }
        // One after the other, as the first of them makes the first configuration.
        for number in 0..self.gateways.len() {
            self.gateways[number].start(&self.network);
            self.until_ready(number).await;
        }
    }

    /// `roadstead cluster …`, asking the first node that runs.
    pub(crate) fn administer(&mut self, words: &[&str]) -> String {
        let running = self.nodes.iter_mut().position(|node| node.runs()).expect("a node runs");
        let node = self.nodes[running].address.to_string();
        let mut command = Command::new(roadstead());
        command.arg("cluster").args(words).args(["--node", &node]).args(tls(self.directory.path(), "admin"));
        run(command)
    }

    /// Waits until a gateway says that it is ready.
    pub(crate) async fn until_ready(&mut self, gateway: usize) {
        let url = format!("http://{}/readyz", self.gateways[gateway].health);
        let (gateway, client) = (&mut self.gateways[gateway], &self.client);
        until("a gateway is ready", PATIENCE, async || {
            gateway.process.as_mut().expect("it was started").must_run();
            client.get(&url).send().await.is_ok_and(|answer| answer.status() == 200)
        })
        .await;
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.directory.path().join("logs")
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Addresses of all nodes.
    pub(crate) fn node_addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.address.to_string()).collect()
    }

    /// The metadata, by a client that has seen nothing yet.
    pub(crate) fn meta(&self) -> GrpcMeta {
        self.caller.meta(self.node_addresses())
    }

    /// Which node says of itself that it leads.
    pub(crate) async fn leader(&mut self) -> Option<usize> {
        for number in 0..self.nodes.len() {
            if !self.nodes[number].runs() {
                continue;
            }
            let status = self.caller.status(&self.nodes[number].address.to_string()).await;
            let leads = status.is_some_and(|status| {
                let own = status.nodes.iter().find(|node| node.node == number as u64 + 1);
                own.is_some_and(|own| own.role == admin::NodeRole::Leader as i32)
            });
            if leads {
                return Some(number);
            }
        }
        None
    }

    /// Waits until a node leads, and says which.
    pub(crate) async fn until_led(&mut self) -> usize {
        let mut leader = None;
        until("a node leads", PATIENCE, async || {
            leader = self.leader().await;
            leader.is_some()
        })
        .await;
        leader.expect("just seen")
    }

    /// Waits until all nodes have applied the same, and answer.
    pub(crate) async fn until_level(&mut self) -> Duration {
        let (caller, addresses) = (&self.caller, self.node_addresses());
        until("all nodes are level", PATIENCE, async || {
            let mut applied = Vec::new();
            for (number, address) in (1_u64..).zip(&addresses) {
                let status = caller.status(address).await;
                let own = status.and_then(|status| status.nodes.into_iter().find(|node| node.node == number));
                applied.push(own.and_then(|own| own.applied));
            }
            // Writes go on meanwhile: a few entries between two questions are no lag.
            let (most, least) = (applied.iter().max().copied().flatten(), applied.iter().min().copied().flatten());
            matches!((most, least), (Some(most), Some(least)) if most - least < 2_000)
        })
        .await
    }

    /// Waits until the metadata knows where an image's manifest and blobs are stored, and that they may be read.
    pub(crate) async fn until_recorded(&self, image: &Image) -> Duration {
        let (meta, repository) = (self.meta(), image.name.split(':').next().expect("a name"));
        let digests = image.blobs.iter().map(|blob| &blob.digest).chain([&image.digest]);
        let began = Instant::now();
        for digest in digests {
            let query = ContentQuery {
                upstreams: vec![UpstreamId(1)],
                repository: repository.parse().unwrap(),
                digest: digest.parse().unwrap(),
                region: RegionId::default_region(),
            };
            until("it is recorded", PATIENCE, async || {
                let known = meta.content(&query, Consistency::Linearizable).await;
                known.is_ok_and(|known| known.location.is_some() && known.upstreams[0].right.is_some())
            })
            .await;
        }
        began.elapsed()
    }

    /// `roadstead-loadtest run` with these words.
    pub(crate) fn load(&mut self, words: &[&str]) -> Load {
        self.loads += 1;
        let name = format!("load{}", self.loads);
        let mut command = Command::new(loadtest());
        command.args(["run", "--json"]).args(words).env("ROADSTEAD_TOKEN", TOKEN);
        Load::new(Process::start(&name, command, &self.logs()), self.logs().join(format!("{name}.log")))
    }

    /// Pulls an image by each of so many clients at once from there, and panics if one of them fails.
    pub(crate) async fn pulled(&mut self, image: &Image, from: SocketAddr, clients: usize, patience: Duration) {
        let load = self.load(&["--clients", &clients.to_string(), &image.at(from)]);
        load.report(patience).await.without_failure(&image.name);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            show_logs(&self.logs());
        }
    }
}

/// Shows the logs of a start that fails.
struct Shown(PathBuf);

impl Drop for Shown {
    fn drop(&mut self) {
        if std::thread::panicking() {
            show_logs(&self.0);
        }
    }
}

fn tls(directory: &Path, name: &str) -> [String; 6] {
    let file = |name: &str| directory.join("tls").join(name).display().to_string();
    let flag = |name: &str| name.to_owned();
    [
        flag("--tls-ca"),
        file("ca.pem"),
        flag("--tls-cert"),
        file(&format!("{name}.pem")),
        flag("--tls-key"),
        file(&format!("{name}.key")),
    ]
}

/// An authority, and a certificate for everybody, as an operator makes them.
fn certificates(directory: &Path, shape: Shape) {
    let folder = directory.join("tls").display().to_string();
    let make = |words: &[&str]| {
        let mut command = Command::new(roadstead());
        command.arg("tls").args(words).args(["--dir", &folder]);
        run(command);
    };
    make(&["init"]);
    make(&["issue", "--role", "admin"]);
    // The trial's own client is a gateway to the nodes.
    make(&["issue", "--role", "gateway", "--name", "trial"]);
    for (role, count) in [("node", shape.nodes), ("gateway", shape.gateways)] {
        for number in 1..=count {
            make(&["issue", "--role", role, "--name", &format!("{role}{number}")]);
        }
    }
}

async fn start_s3(network: &Network, directory: &Path, logs: &Path) -> (Process, SocketAddr) {
    let place = network.place("s3");
    let address = free(&place);
    fs::create_dir_all(directory.join("s3/trials")).unwrap();
    let mut command = place.command(Path::new("s3s-fs"));
    command.args(["--host", &address.ip().to_string(), "--port", &address.port().to_string()]);
    command.args(["--access-key", "AKID", "--secret-key", S3_SECRET]).arg(directory.join("s3"));
    let mut process = Process::start("s3", command, logs);
    let client = Client::builder().no_proxy().build().unwrap();
    until("the S3 server answers", PATIENCE, async || {
        process.must_run();
        client.get(format!("http://{address}/")).send().await.is_ok()
    })
    .await;
    network.started("s3", process.id());
    (process, network.reachable("s3", address).await)
}

async fn start_stage(network: &Network, logs: &Path, client: Client) -> Stage {
    let place = network.place("upstream");
    let (address, control) = (free(&place), free(&place));
    let mut command = place.command(&loadtest());
    command.args(["upstream", "--listen", &address.to_string(), "--stage-listen", &control.to_string()]);
    command.args(["--cdn-listen", &SocketAddr::new(place.ip, 0).to_string()]);
    let process = Process::start("upstream", command, logs);
    network.started("upstream", process.id());
    let mut stage = Stage::new(process, address, control, client);
    until("the upstream answers", PATIENCE, async || stage.is_ready().await).await;
    stage
}

async fn node(network: &Network, directory: &Path, number: usize) -> Member {
    let name = format!("node{number}");
    let place = network.place(&name);
    let (listen, health) = (free(&place), free(&place));
    let address = network.reachable(&name, listen).await;
    let data = directory.join(&name);
    let mut arguments: Vec<String> = [
        "node",
        "--node-id",
        &number.to_string(),
        "--listen",
        &listen.to_string(),
        "--address",
        &address.to_string(),
        "--admin-listen",
        &health.to_string(),
        "--data-dir",
        &data.display().to_string(),
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.extend(tls(directory, &name));
    let logs = directory.join("logs");
    Member { name, address, pulls: health, health, place, arguments, logs, process: None }
}

async fn gateway(
    network: &Network,
    directory: &Path,
    number: usize,
    s3: SocketAddr,
    stage: &Stage,
    nodes: &[Member],
) -> Member {
    let name = format!("gateway{number}");
    let place = network.place(&name);
    let (pulls, health, peers) = (free(&place), free(&place), free(&place));
    let address = network.reachable(&name, peers).await;
    let folder = directory.join(&name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("s3.secret"), S3_SECRET).unwrap();
    let settings = format!(
        "allow_upstream_networks = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n[[upstream]]\nname = \"stage\"\nurl = \"http://{}\"\n\n\
         [storage.s3]\nbucket = \"trials\"\nendpoint = \"http://{s3}\"\nallow_http = true\naccess_key_id = \"AKID\"\n\
         secret_access_key_file = \"{}\"\n",
        stage.address,
        folder.join("s3.secret").display(),
    );
    let file = folder.join("gateway.toml");
    fs::write(&file, settings).unwrap();
    let mut arguments: Vec<String> = [
        "gateway",
        "--config",
        &file.display().to_string(),
        "--listen",
        &pulls.to_string(),
        "--admin-listen",
        &health.to_string(),
        "--gateway-id",
        &name,
        "--peer-listen",
        &peers.to_string(),
        "--peer-address",
        &address.to_string(),
        "--data-dir",
        &folder.join("data").display().to_string(),
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.extend(nodes.iter().flat_map(|node| ["--node".to_owned(), node.address.to_string()]));
    arguments.extend(tls(directory, &name));
    let logs = directory.join("logs");
    Member { name, address, pulls, health, place, arguments, logs, process: None }
}

/// HAProxy before all gateways: who does not answer is asked no more, and what a gateway never began to answer is asked of
/// another one.
fn start_balancer(network: &Network, directory: &Path, logs: &Path, gateways: &[Member]) -> (Process, SocketAddr) {
    let place = network.place("balancer");
    let address = free(&place);
    let servers: Vec<String> = gateways
        .iter()
        .map(|gateway| {
            let Member { name, pulls, health, .. } = gateway;
            format!("    server {name} {pulls} check addr {} port {}\n", health.ip(), health.port())
        })
        .collect();
    let settings = format!(
        "global\n    maxconn 8000\n\ndefaults\n    mode http\n    timeout connect 1s\n    timeout client 5m\n    \
         timeout server 5m\n    retries 3\n    option redispatch 1\n    retry-on conn-failure empty-response\n    \
         timeout check 2s\n\n\
         frontend pulls\n    bind {address}\n    default_backend gateways\n\n\
         backend gateways\n    balance roundrobin\n    option httpchk GET /readyz\n    \
         default-server inter 500ms fall 3 rise 1\n{}",
        servers.concat()
    );
    let file = directory.join("haproxy.cfg");
    fs::write(&file, settings).unwrap();
    let mut command = place.command(Path::new("haproxy"));
    command.args(["-db", "-f"]).arg(file);
    (Process::start("balancer", command, logs), address)
}
