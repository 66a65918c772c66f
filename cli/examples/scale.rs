//! How a node carries millions of cache entries: reads and writes over gRPC by mutual TLS at a fixed pace, while it stands by itself and
//! while it writes a snapshot.
//!
//! `cargo run --release -p roadstead --example scale -- --entries 1000000 [--directory DIR] [--seconds 20]`
//!
//! The node is a process of its own. Its rows are written as an installed snapshot's are (`roadstead_node::testing::fill`). Every
//! call is sent when its time has come, whether or not earlier ones were answered, and is measured from that time: a pause shows
//! in every call that it delays. Each read is of a tag chosen at random.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clap::Parser;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use roadstead_gateway::meta::GrpcMeta;
use roadstead_loadtest::measure::process::{current_resident, peak_resident, reset_peak};
use roadstead_loadtest::measure::quantiles::Latencies;
use roadstead_node::testing::fill::{self, ENTRIES_PER_IMAGE};
use roadstead_node::{Components, Config, Node, grpc};
use roadstead_proto::domain::entry::{EntryRef, Touch};
use roadstead_proto::domain::image::Reference;
use roadstead_proto::domain::registry::Registry;
use roadstead_proto::domain::secret::Secret;
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::domain::upstream::UpstreamSettings;
use roadstead_proto::meta::{Consistency, MetaStore};
use roadstead_proto::rpc::{Dialer, Identity, Role};
use roadstead_proto::state::command::{self, Bootstrap};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Parser)]
struct Arguments {
    /// Cache entries.
    #[arg(long, default_value_t = 1_000_000)]
    entries: u64,
    /// Where the node's directory is made, and left if it is named.
    #[arg(long)]
    directory: Option<PathBuf>,
    /// Length of a phase.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Reads a second.
    #[arg(long, default_value_t = 500)]
    reads: u32,
    /// Writes a second.
    #[arg(long, default_value_t = 100)]
    writes: u32,
    /// Used by this program itself: be the node.
    #[arg(long, hide = true)]
    serve: bool,
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    if arguments.serve {
        let directory = arguments.directory.ok_or("a node needs a directory")?;
        return runtime.block_on(serve(&directory));
    }
    runtime.block_on(measure(arguments))
}

// The node.

fn identity_of(directory: &Path, role: Role) -> Result<Identity, Failure> {
    let read = |name: &str| std::fs::read_to_string(directory.join(name));
    Ok(Identity {
        authority: read("authority.pem")?,
        certificate: read(&format!("{role}.pem"))?,
        key: Secret::new(read(&format!("{role}.key"))?),
    })
}

fn write_identities(directory: &Path) -> Result<(), Failure> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    std::fs::write(directory.join("authority.pem"), authority.pem())?;
    for role in [Role::Node, Role::Gateway] {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec![role.host().to_owned()])?.signed_by(&key, &authority)?;
        std::fs::write(directory.join(format!("{role}.pem")), certificate.pem())?;
        std::fs::write(directory.join(format!("{role}.key")), key.serialize_pem())?;
    }
    Ok(())
}

async fn start(directory: &Path) -> Result<Arc<Node>, Failure> {
    let node = Node::start(Config::alone(directory.join("node")), Components::default()).await?;
    node.ready().await?;
    Ok(Arc::new(node))
}

/// Serves until standard input ends. A line on it demands a snapshot, and is answered with a line when that is there.
async fn serve(directory: &Path) -> Result<(), Failure> {
    let node = start(directory).await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?);
    let stop = CancellationToken::new();
    let (served, stopped, identity) = (Arc::clone(&node), stop.clone(), identity_of(directory, Role::Node)?);
    let server = tokio::spawn(async move {
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        grpc::serve(served, incoming, Some(&identity), stopped).await
    });
    let (sender, mut lines) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            if line.is_err() || sender.blocking_send(()).is_err() {
                return;
            }
        }
    });
    while let Some(()) = lines.recv().await {
        let before = node.status().snapshot;
        let began = Instant::now();
        node.compact().await?;
        while node.status().snapshot == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        println!("{}", began.elapsed().as_millis());
    }
    stop.cancel();
    server.await??;
    Ok(())
}

// The measurement.

struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn spawn(directory: &Path) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--serve", "--directory"])
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (input, output) = (child.stdin.take().ok_or("no input")?, child.stdout.take().ok_or("no output")?);
        Ok(Self { child, input, output: BufReader::new(output) })
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }
}

/// What one phase showed.
#[derive(Default, Clone)]
struct Shown {
    latencies: Latencies,
    longest: Duration,
    failed: u64,
}

/// Makes calls at a fixed pace until `stop`; each is measured from when it was to be sent. Their times are kept by a thread: a
/// timer of the runtime is a millisecond late.
async fn pace<F>(per_second: u32, stop: CancellationToken, call: impl Fn(u64) -> F) -> Shown
where
    F: Future<Output = bool> + Send + 'static,
{
    let shown = Arc::new(Mutex::new(Shown::default()));
    let (sender, mut due_calls) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let began = Instant::now();
        for number in 0.. {
            let due = began + Duration::from_secs(1) * number / per_second;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if stop.is_cancelled() || sender.send((number, due)).is_err() {
                return;
            }
        }
    });
    let mut calls = tokio::task::JoinSet::new();
    while let Some((number, due)) = due_calls.recv().await {
        let (call, shown) = (call(u64::from(number)), Arc::clone(&shown));
        calls.spawn(async move {
            let is_answered = call.await;
            let mut shown = shown.lock().expect("nobody panics with it");
            let latency = due.elapsed();
            shown.latencies.record(latency);
            shown.longest = shown.longest.max(latency);
            shown.failed += u64::from(!is_answered);
        });
        while calls.try_join_next().is_some() {}
    }
    while calls.join_next().await.is_some() {}
    shown.lock().expect("nobody panics with it").clone()
}

struct Load {
    meta: GrpcMeta,
    registry: Registry,
    images: u64,
    reads: u32,
    writes: u32,
}

/// A number as good as random.
fn scatter(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb)
}

impl Load {
    async fn run(&self, salt: u64, stop: CancellationToken) -> (Shown, Shown) {
        let tag = |number: u64| fill::tag_of(&self.registry, scatter(number + (salt << 40)) % self.images);
        let reads = pace(self.reads, stop.clone(), |number| {
            let (meta, key) = (self.meta.clone(), tag(number));
            async move { meta.tag(&key, Consistency::Local).await.is_ok_and(|view| view.entry.is_some()) }
        });
        let writes = pace(self.writes, stop.clone(), |number| {
            let (meta, key) = (self.meta.clone(), tag(number));
            async move {
                let upstream = roadstead_proto::domain::registry::UpstreamId(1);
                let entry = EntryRef { upstream, repository: key.repository, reference: Reference::Tag(key.tag) };
                let touch = Touch { entry, downloads: 1, downloaded_at: Timestamp(1) };
                meta.propose(command::Command::RecordUsage(vec![touch])).await.is_ok()
            }
        });
        tokio::join!(reads, writes)
    }

    async fn run_for(&self, salt: u64, length: Duration) -> (Shown, Shown) {
        let stop = CancellationToken::new();
        let timer = async {
            tokio::time::sleep(length).await;
            stop.cancel();
        };
        tokio::join!(self.run(salt, stop.clone()), timer).0
    }
}

fn print_row(phase: &str, what: &str, shown: &Shown) {
    let q = shown.latencies.quantiles();
    println!(
        "{phase:<22} {what:<7} {:>7} {:>6} {:>9.2} {:>9.2} {:>9.2} {:>9.2}",
        shown.latencies.count(),
        shown.failed,
        q.p50,
        q.p99,
        q.p999,
        shown.longest.as_secs_f64() * 1000.0
    );
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

async fn measure(arguments: Arguments) -> Result<(), Failure> {
    let kept = arguments.directory.clone();
    let directory = kept.clone().unwrap_or_else(|| std::env::temp_dir().join("roadstead-scale"));
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    std::fs::create_dir_all(&directory)?;
    write_identities(&directory)?;

    let node = start(&directory).await?;
    let upstream = UpstreamSettings::new("hub", "https://registry.example".parse()?);
    let bootstrap =
        Bootstrap { group_path: "default".into(), registry_name: "default".into(), upstreams: vec![upstream] };
    node.meta().propose(command::Command::Bootstrap(bootstrap)).await?;
    let configuration = node.meta().configuration(Consistency::Local).await?;
    let registry = configuration.registries.first().ok_or("no registry")?.clone();
    Arc::into_inner(node).ok_or("the node is in use")?.shutdown().await?;
    let began = Instant::now();
    let (path, entries) = (directory.join("node"), arguments.entries);
    let rows = tokio::task::spawn_blocking(move || fill::fill(&path, entries)).await??;
    let size = |name: &str| {
        // What it takes on the disk: databases grow ahead of what they hold.
        let file = std::fs::metadata(directory.join("node").join(name));
        file.map_or(0, |file| std::os::unix::fs::MetadataExt::blocks(&file) * 512)
    };
    println!(
        "{} entries, {rows} rows, written in {:.1?}; state {}",
        entries,
        began.elapsed(),
        mebibytes(size("state.redb"))
    );

    let mut process = Process::spawn(&directory)?;
    let began = Instant::now();
    let address: SocketAddr = process.line()?.parse()?;
    println!("the node serves after {:.1?}", began.elapsed());
    let pid = [process.child.id()];
    let dialer = Dialer::new(Some(identity_of(&directory, Role::Gateway)?));
    let load = Load {
        meta: GrpcMeta::new(vec![address.to_string()], dialer),
        registry,
        images: entries / ENTRIES_PER_IMAGE,
        reads: arguments.reads,
        writes: arguments.writes,
    };
    load.run_for(1, Duration::from_secs(3)).await;
    reset_peak(&pid)?;

    println!(
        "{:<22} {:<7} {:>7} {:>6} {:>9} {:>9} {:>9} {:>9}  (ms)",
        "", "", "calls", "failed", "p50", "p99", "p99.9", "longest"
    );
    let phase = Duration::from_secs(arguments.seconds);
    let (reads, writes) = load.run_for(2, phase).await;
    print_row("without a snapshot", "reads", &reads);
    print_row("without a snapshot", "writes", &writes);

    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let snapshot = tokio::task::spawn_blocking(move || -> Result<(Process, String), Failure> {
        writeln!(process.input)?;
        let took = process.line()?;
        stopping.cancel();
        Ok((process, took))
    });
    let ((reads, writes), snapshot) = tokio::join!(load.run(3, stop), snapshot);
    let (mut process, took) = snapshot??;
    print_row("during a snapshot", "reads", &reads);
    print_row("during a snapshot", "writes", &writes);
    let (reads, writes) = load.run_for(4, phase).await;
    print_row("after it", "reads", &reads);
    print_row("after it", "writes", &writes);

    println!("snapshot {} in {took} ms", mebibytes(size("snapshot")));
    println!(
        "memory of the node: {} at most, {} now",
        mebibytes(peak_resident(&pid)?),
        mebibytes(current_resident(&pid)?)
    );
    println!("on disk: state {}, log {}", mebibytes(size("state.redb")), mebibytes(size("log.redb")));
    drop(process.input);
    process.child.wait()?;
    if kept.is_none() {
        std::fs::remove_dir_all(&directory)?;
    }
    Ok(())
}
