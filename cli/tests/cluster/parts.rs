//! The processes of a cluster, and what each is started with: certificates, an S3 server, an upstream, nodes, gateways, a load
//! balancer.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use reqwest::Client;

use crate::network::Network;
use crate::process::{Process, until};
use crate::stage::Stage;
use crate::world::{Member, PATIENCE, Shape, free, loadtest, roadstead, run};

const S3_SECRET: &str = "secret-of-the-trials";
/// The bucket of the region without a name; that of another has the region's name behind it.
const BUCKET: &str = "trials";

pub(crate) fn tls(directory: &Path, name: &str) -> [String; 6] {
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
pub(crate) fn certificates(directory: &Path, shape: Shape) {
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

pub(crate) async fn start_s3(network: &Network, directory: &Path, logs: &Path, shape: Shape) -> (Process, SocketAddr) {
    let place = network.place("s3");
    let address = free(&place);
    for bucket in [BUCKET.to_owned()].into_iter().chain(shape.region.map(|region| format!("{BUCKET}-{region}"))) {
        fs::create_dir_all(directory.join("s3").join(bucket)).unwrap();
    }
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

pub(crate) async fn start_stage(network: &Network, logs: &Path, client: Client) -> Stage {
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

pub(crate) async fn node(network: &Network, directory: &Path, number: usize) -> Member {
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

/// Which gateway it is, and where.
pub(crate) struct Seat {
    pub(crate) number: usize,
    /// A region of its own; none is the one that has no name.
    pub(crate) region: Option<&'static str>,
    /// The other region there is, if any.
    pub(crate) elsewhere: Option<&'static str>,
}

pub(crate) async fn gateway(
    network: &Network,
    directory: &Path,
    seat: Seat,
    s3: SocketAddr,
    stage: &Stage,
    nodes: &[Member],
) -> Member {
    let Seat { number, region, elsewhere } = seat;
    let name = format!("gateway{number}");
    let place = network.place(&name);
    let (pulls, health, peers) = (free(&place), free(&place), free(&place));
    let address = network.reachable(&name, peers).await;
    let folder = directory.join(&name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("s3.secret"), S3_SECRET).unwrap();
    let secret = folder.join("s3.secret");
    let bucket = |table: &str, bucket: &str| {
        format!(
            "[{table}]\nbucket = \"{bucket}\"\nendpoint = \"http://{s3}\"\nallow_http = true\naccess_key_id = \"AKID\"\n\
             secret_access_key_file = \"{}\"\n\n",
            secret.display()
        )
    };
    let of = |region: Option<&str>| region.map_or_else(|| BUCKET.to_owned(), |region| format!("{BUCKET}-{region}"));
    let mut settings = format!(
        "allow_upstream_networks = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n[[upstream]]\nname = \"stage\"\nurl = \"http://{}\"\n\n",
        stage.address
    );
    settings += &bucket("storage.s3", &of(region));
    // The others' buckets, for reading.
    match (region, elsewhere) {
        (Some(_), _) => settings += &bucket("storage.regions.default.s3", &of(None)),
        (None, Some(other)) => settings += &bucket(&format!("storage.regions.{other}.s3"), &of(Some(other))),
        (None, None) => {}
    }
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
    arguments.extend(region.into_iter().flat_map(|region| ["--region".to_owned(), region.to_owned()]));
    arguments.extend(nodes.iter().flat_map(|node| ["--node".to_owned(), node.address.to_string()]));
    arguments.extend(tls(directory, &name));
    let logs = directory.join("logs");
    Member { name, address, pulls, health, place, arguments, logs, process: None }
}

/// HAProxy before all gateways: who does not answer is asked no more, and what a gateway never began to answer is asked of
/// another one.
pub(crate) fn start_balancer(
    network: &Network,
    directory: &Path,
    logs: &Path,
    gateways: &[Member],
) -> (Process, SocketAddr) {
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
