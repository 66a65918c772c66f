//! How long this member takes: from start to the first accepted write, for a write, for a read.
//!
//! `cargo run --release -p roadstead-node --example latency [DIRECTORY]`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use roadstead_node::{Components, Config, LocalMeta, Node};
use roadstead_proto::domain::fleet::Registration;
use roadstead_proto::domain::lease::GatewayId;
use roadstead_proto::domain::registry::RegionId;
use roadstead_proto::meta::{Consistency, Leases, MetaStore};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn quantiles(name: &str, mut samples: Vec<Duration>) {
    samples.sort();
    let at = |q: f64| samples[((samples.len() - 1) as f64 * q) as usize];
    println!("{name:<44} p50 {:>9.1?}  p99 {:>9.1?}  max {:>9.1?}", at(0.5), at(0.99), at(1.0));
}

async fn write(meta: &LocalMeta, number: usize) -> Result<(), Failure> {
    let gateway = GatewayId(format!("gateway-{number}"));
    meta.open_session(&Registration::alone(gateway, RegionId::default_region())).await?;
    Ok(())
}

async fn start(directory: &PathBuf, how: &str) -> Result<Node, Failure> {
    let began = Instant::now();
    let node = Node::start(Config::alone(directory), Components::default()).await?;
    let started = began.elapsed();
    node.ready().await?;
    let ready = began.elapsed();
    write(&node.meta(), 0).await?;
    println!("{how:<44} started {started:>9.1?}  ready {ready:>9.1?}  first write {:>9.1?}", began.elapsed());
    Ok(node)
}

async fn writes(meta: &Arc<LocalMeta>) -> Result<(), Failure> {
    let mut samples = Vec::new();
    for number in 0..500 {
        let began = Instant::now();
        write(meta, number % 4).await?;
        samples.push(began.elapsed());
    }
    quantiles("one write after the other", samples);
    for at_once in [16, 256] {
        let began = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        let each = 4096 / at_once;
        for number in 0..at_once {
            let meta = Arc::clone(meta);
            tasks.spawn(async move {
                let mut samples = Vec::new();
                for _ in 0..each {
                    let began = Instant::now();
                    write(&meta, number % 4).await?;
                    samples.push(began.elapsed());
                }
                Ok::<_, Failure>(samples)
            });
        }
        let mut samples = Vec::new();
        while let Some(task) = tasks.join_next().await {
            samples.extend(task??);
        }
        let rate = samples.len() as f64 / began.elapsed().as_secs_f64();
        quantiles(&format!("{at_once} writers at once ({rate:.0} writes/s)"), samples);
    }
    Ok(())
}

async fn reads(meta: &Arc<LocalMeta>) -> Result<(), Failure> {
    for consistency in [Consistency::Local, Consistency::Linearizable] {
        let mut samples = Vec::new();
        for _ in 0..2000 {
            let began = Instant::now();
            meta.configuration(consistency).await?;
            samples.push(began.elapsed());
        }
        quantiles(&format!("configuration, {consistency:?}"), samples);
    }
    let mut samples = Vec::new();
    for _ in 0..2000 {
        let began = Instant::now();
        let meta = Arc::clone(meta);
        let handle = tokio::runtime::Handle::current();
        let read = move || handle.block_on(meta.configuration(Consistency::Local));
        tokio::task::spawn_blocking(read).await??;
        samples.push(began.elapsed());
    }
    quantiles("configuration, Local, on the blocking pool", samples);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let directory =
        std::env::args().nth(1).map_or_else(|| std::env::temp_dir().join("roadstead-latency"), PathBuf::from);
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    let node = start(&directory, "an empty directory").await?;
    node.shutdown().await?;
    for _ in 0..3 {
        let node = start(&directory, "after a shutdown").await?;
        node.shutdown().await?;
    }
    let node = start(&directory, "after a shutdown").await?;
    let meta = node.meta();
    writes(&meta).await?;
    reads(&meta).await?;
    println!("{:?}", node.status());
    drop(meta);
    let began = Instant::now();
    node.shutdown().await?;
    println!("{:<44} {:>9.1?}", "shutdown", began.elapsed());
    let node = start(&directory, "after that").await?;
    node.shutdown().await?;
    Ok(())
}
