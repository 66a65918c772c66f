//! What a byte costs on its way in and out. Prints a table; `cargo bench -p roadstead-storage --all-features`.
//!
//! With `slow [readers]` as its argument it shows instead what readers at a standstill cost in memory.

#![allow(clippy::unwrap_used, reason = "a measurement that fails has nothing to say")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use opentelemetry::metrics::{MeterProvider as _, NoopMeterProvider};
use roadstead_proto::domain::digest::Digest;
use roadstead_storage::blob::{BlobStore, Body, BodyStream, Scope};
use roadstead_storage::config::Config;
use roadstead_storage::open;
use roadstead_storage::testing::sample::Sample;

const MIB: usize = 1 << 20;

/// Bytes this process has in memory of its own, the page cache not counted.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

async fn open_at(dir: &std::path::Path, memory_bytes: u64) -> Arc<dyn BlobStore> {
    let config = Config { memory_bytes, ..Config::local(dir) };
    open(&config, &NoopMeterProvider::new().meter("bench")).await.unwrap().store
}

fn pieces(sample: &Sample) -> BodyStream {
    let bytes = sample.bytes.clone();
    let pieces = (0..bytes.len()).step_by(65_536).map(move |at| Ok(bytes.slice(at..bytes.len().min(at + 65_536))));
    futures::stream::iter(pieces).boxed()
}

async fn drain(store: &dyn BlobStore, sample: &Sample) {
    let stream = store.get(&sample.key, sample.size(), 0..sample.size()).await.unwrap();
    let came = stream.try_fold(0, |sum, item| async move { Ok(sum + item.len()) }).await.unwrap();
    assert_eq!(came as u64, sample.size());
}

fn rate(what: &str, bytes: u64, took: Duration) {
    println!("{what:<44} {:>9.0} MB/s", bytes as f64 / 1e6 / took.as_secs_f64());
}

macro_rules! timed {
    ($what:expr) => {{
        let begun = Instant::now();
        $what.await;
        begun.elapsed()
    }};
}

async fn throughput(dir: &std::path::Path) {
    let large = Sample::new(1024 * MIB, 1);
    let store = open_at(dir, 2 << 30).await;
    let put = |vouched: bool, token: u64| {
        let (store, sample) = (Arc::clone(&store), large.under(token));
        let body = if vouched { Body::vouched(pieces(&sample)) } else { Body::unchecked(pieces(&sample)) };
        async move { assert_eq!(store.put(&sample.key, body).await.unwrap().size, sample.size()) }
    };
    rate("put 1 GiB, vouched for", large.size(), timed!(put(true, 1)));
    rate("put 1 GiB, hashed", large.size(), timed!(put(false, 2)));
    rate("get 1 GiB, cold (page cache)", large.size(), timed!(drain(&*store, &large)));
    rate("get 1 GiB, from memory", large.size(), timed!(drain(&*store, &large)));
    let full = open_at(dir, 64 << 20).await;
    rate("get 1 GiB, memory full of other chunks", large.size(), timed!(drain(&*full, &large)));
    rate("the same again", large.size(), timed!(drain(&*full, &large)));
}

async fn latency(dir: &std::path::Path) {
    let store = open_at(dir, 256 << 20).await;
    for (what, len) in [("4 KiB", 4096), ("1 MiB", MIB), ("4 MiB", 4 * MIB), ("8 MiB", 8 * MIB)] {
        let samples: Vec<_> = (0..50).map(|seed| Sample::new(len, seed)).collect();
        let put = timed!(async {
            for sample in &samples {
                store.put(&sample.key, Body::vouched(pieces(sample))).await.unwrap();
            }
        });
        println!("put {what:<40} {:>9.2} ms", put.as_secs_f64() * 1e3 / 50.0);
    }
    let sample = Sample::new(4096, 1);
    drain(&*store, &sample).await;
    let warm = timed!(async {
        for _ in 0..100_000 {
            drain(&*store, &sample).await;
        }
    });
    println!("get 4 KiB from memory, whole stack {:>21.2} µs", warm.as_secs_f64() * 10.0);
    let probe = timed!(async {
        for _ in 0..50 {
            store.probe().await.unwrap();
        }
    });
    println!("probe {:>50.2} ms", probe.as_secs_f64() * 1e3 / 50.0);
}

/// A start goes over all names once.
async fn start(dir: &std::path::Path) {
    let folder = dir.join("full").join("sha256");
    std::fs::create_dir_all(&folder).unwrap();
    for number in 0..100_000_u32 {
        let key = Digest::sha256(&number.to_le_bytes());
        std::fs::File::create(folder.join(format!("{}.{number}", key.hex()))).unwrap();
    }
    let opened = timed!(async { drop(open_at(&dir.join("full"), 1 << 20).await) });
    println!("start over 100,000 objects {:>29.1} ms", opened.as_secs_f64() * 1e3);
    let store = open_at(&dir.join("full"), 1 << 20).await;
    let scope = Scope::Digest(Digest::sha256(&7_u32.to_le_bytes()));
    let found = timed!(async { assert_eq!(store.list(scope).count().await, 1) });
    println!("find one digest among them {:>29.1} ms", found.as_secs_f64() * 1e3);
}

async fn slow(dir: &std::path::Path, readers: u64) {
    let store = open_at(dir, 256 << 20).await;
    let chunk = Bytes::from(vec![7; 4 * MIB]);
    let size = 5 << 30;
    let key = Sample::new(1, 1).under(99).key;
    let body = futures::stream::iter((0..size / chunk.len() as u64).map(move |_| Ok(chunk.clone())));
    store.put(&key, Body::vouched(body.boxed())).await.unwrap();
    let before = resident();
    let mut standing = Vec::new();
    for round in 0..4 {
        for number in 0..readers {
            if round == 0 {
                let at = number * 7919 * 4099 * 1024 % size;
                standing.push((store.get(&key, size, at..size).await.unwrap(), Bytes::new()));
            }
            let (stream, item) = &mut standing[number as usize];
            *item = stream.try_next().await.unwrap().unwrap();
        }
        println!(
            "{readers} readers, {round} items on: {} MiB above the start",
            resident().saturating_sub(before) / MIB
        );
    }
    let begun = Instant::now();
    for (stream, item) in &mut standing {
        for _ in 0..4 {
            *item = stream.try_next().await.unwrap().unwrap();
        }
    }
    println!(
        "{:.2} ms per item of {} KiB",
        begun.elapsed().as_secs_f64() * 1e3 / 4.0 / readers as f64,
        standing[0].1.len() / 1024
    );
}

fn main() {
    // `cargo test --all-targets` runs benches too; there is nothing to test here.
    if std::env::args().any(|arg| arg == "--test") || !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let readers = std::env::args().skip_while(|arg| arg != "slow").nth(1).and_then(|arg| arg.parse().ok());
    if std::env::args().any(|arg| arg == "slow") {
        return runtime.block_on(slow(dir.path(), readers.unwrap_or(500)));
    }
    let digest = Instant::now();
    let bytes = vec![1; 256 * MIB];
    std::hint::black_box(Digest::sha256(&bytes));
    rate("SHA-256 alone", bytes.len() as u64, digest.elapsed());
    runtime.block_on(throughput(dir.path()));
    runtime.block_on(latency(dir.path()));
    runtime.block_on(start(dir.path()));
}
