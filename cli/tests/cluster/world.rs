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
use crate::parts::{Seat, certificates, gateway, node, start_balancer, start_s3, start_stage, tls};
use crate::process::{Process, show_logs, until};
use crate::stage::{Image, Stage};

/// How long anything of a start may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How many of what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) nodes: usize,
    pub(crate) gateways: usize,
    /// A region of its own for the last gateway, with a bucket, and with the last node as its learner: the only one it names.
    pub(crate) region: Option<&'static str>,
}

/// Three of each.
pub(crate) const THREE: Shape = Shape { nodes: 3, gateways: 3, region: None };

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
    pub(crate) place: Place,
    pub(crate) arguments: Vec<String>,
    pub(crate) logs: PathBuf,
    pub(crate) process: Option<Process>,
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
    has_learner: bool,
    directory: TempDir,
}

fn program(variable: &str, name: &str) -> PathBuf {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let path = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release").join(name));
    assert!(path.is_file(), "there is no {}: build it, or set {variable}", path.display());
    path
}

pub(crate) fn roadstead() -> PathBuf {
    program("ROADSTEAD_BIN", "roadstead")
}

pub(crate) fn loadtest() -> PathBuf {
    program("ROADSTEAD_LOADTEST_BIN", "roadstead-loadtest")
}

/// Runs a command to its end, which has to be a good one.
pub(crate) fn run(mut command: Command) -> String {
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
pub(crate) fn free(place: &Place) -> SocketAddr {
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
        let (s3, s3_address) = start_s3(&network, directory.path(), &logs, shape).await;
        let stage = start_stage(&network, &logs, client.clone()).await;
        let mut nodes = Vec::new();
        for number in 1..=shape.nodes {
            nodes.push(node(&network, directory.path(), number).await);
        }
        let mut gateways = Vec::new();
        for number in 1..=shape.gateways {
            let region = shape.region.filter(|_| number == shape.gateways);
            let nodes = if region.is_some() { &nodes[shape.nodes - 1..] } else { &nodes[..] };
            let seat = Seat { number, region, elsewhere: shape.region };
            gateways.push(gateway(&network, directory.path(), seat, s3_address, &stage, nodes).await);
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
            has_learner: shape.region.is_some(),
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
            let id = number.to_string();
            let mut words = vec!["add", "--id", &id, "--address", &address];
            if self.has_learner && number == self.nodes.len() {
                words.push("--learner");
            }
            self.administer(&words);
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
        self.until_recorded_in(RegionId::default_region(), image).await
    }

    /// The same of another region.
    pub(crate) async fn until_recorded_in(&self, region: RegionId, image: &Image) -> Duration {
        let (meta, repository) = (self.meta(), image.name.split(':').next().expect("a name"));
        let digests = image.blobs.iter().map(|blob| &blob.digest).chain([&image.digest]);
        let began = Instant::now();
        for digest in digests {
            let query = ContentQuery {
                upstreams: vec![UpstreamId(1)],
                repository: repository.parse().unwrap(),
                digest: digest.parse().unwrap(),
                region: region.clone(),
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
