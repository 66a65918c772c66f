//! How a group of three over loopback, by mutual TLS, bears the loss of its leader, and how fast it writes.
//!
//! `cargo run --release -p roadstead-node --example failover [KILLS]`

#[path = "../tests/it/certificates.rs"]
mod certificates;
#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../tests/it/net.rs"]
mod net;

use std::sync::Arc;
use std::time::{Duration, Instant};

use net::{Net, others};
use roadstead_node::LocalMeta;
use roadstead_proto::domain::fleet::Registration;
use roadstead_proto::domain::lease::GatewayId;
use roadstead_proto::domain::registry::RegionId;
use roadstead_proto::meta::{Leases, MetaError};

fn quantiles(name: &str, mut samples: Vec<Duration>) {
    samples.sort();
    let at = |q: f64| samples[((samples.len() - 1) as f64 * q) as usize];
    println!(
        "{name:<40} min {:>9.1?}  p50 {:>9.1?}  p90 {:>9.1?}  p99 {:>9.1?}  max {:>9.1?}",
        at(0.0),
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    );
}

async fn write(meta: &LocalMeta, number: usize) -> Result<(), MetaError> {
    let gateway = GatewayId(format!("gateway-{}", number % 16));
    meta.open_session(&Registration::alone(gateway, RegionId::default_region())).await.map(drop)
}

async fn writes(net: &Net, at_once: usize, each: usize) {
    let meta = net.meta(net.leader(&[1, 2, 3]).await);
    let syncs = || (1..=3).map(|id| net.syncs(id)).collect::<Vec<_>>();
    let (before, began) = (syncs(), Instant::now());
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..at_once {
        let meta = Arc::clone(&meta);
        tasks.spawn(async move {
            let mut samples = Vec::new();
            for _ in 0..each {
                let began = Instant::now();
                write(&meta, number).await.expect("a write");
                samples.push(began.elapsed());
            }
            samples
        });
    }
    let samples: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    let took = began.elapsed();
    let synced: Vec<_> = before.iter().zip(syncs()).map(|(before, after)| after - before).collect();
    println!(
        "{} writes, {at_once} at once: {took:?}, {:.0} a second, fsyncs by member {synced:?}",
        samples.len(),
        samples.len() as f64 / took.as_secs_f64()
    );
    quantiles("  one write", samples);
}

#[tokio::main]
async fn main() {
    let kills = std::env::args().nth(1).and_then(|kills| kills.parse().ok()).unwrap_or(20);
    let mut net = Net::new();
    net.timing.session_check = Duration::from_secs(3600);
    net.form(3).await;
    writes(&net, 1, 200).await;
    writes(&net, 2000, 1).await;
    writes(&net, 2000, 5).await;
    let mut blackouts = Vec::new();
    for kill in 0..kills {
        let leader = net.leader(&[1, 2, 3]).await;
        write(&net.meta(leader), kill).await.expect("a write");
        // Not in step with the heartbeats.
        tokio::time::sleep(Duration::from_millis(300 + (kill as u64 * 37) % 150)).await;
        let began = Instant::now();
        net.crash(leader).await;
        let rest: Vec<_> = others(leader).into_iter().map(|id| net.meta(id)).collect();
        'accepted: loop {
            for meta in &rest {
                if write(meta, kill).await.is_ok() {
                    break 'accepted;
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        blackouts.push(began.elapsed());
        net.start(leader).await;
    }
    println!("{blackouts:?}");
    quantiles(&format!("from a kill to the next write, {kills} kills"), blackouts);
    let mut handed = Vec::new();
    for kill in 0..kills {
        let leader = net.leader(&[1, 2, 3]).await;
        let meta = net.meta(others(leader)[0]);
        let other = net.meta(others(leader)[1]);
        let writer = tokio::spawn(async move {
            let mut longest = Duration::ZERO;
            let end = Instant::now() + Duration::from_millis(500);
            while Instant::now() < end {
                let began = Instant::now();
                while write(&meta, kill).await.is_err() && write(&other, kill).await.is_err() {
                    if Instant::now() > end + Duration::from_secs(5) {
                        return longest;
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                longest = longest.max(began.elapsed());
            }
            longest
        });
        net.stop(leader).await;
        handed.push(writer.await.expect("the writer"));
        net.start(leader).await;
    }
    quantiles(&format!("no write during an orderly stop, {kills} stops"), handed);
}
