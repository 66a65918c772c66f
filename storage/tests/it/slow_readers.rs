//! Memory is bounded by configuration, however many readers stand still, and they stop nobody.

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt as _;
use roadstead_storage::blob::{BlobStore as _, BlobStream, ITEM_MAX_BYTES};
use roadstead_storage::testing::sample::{Sample, collect};
use roadstead_storage::tiered::TieredStore;
use tempfile::TempDir;

use crate::stores::{MIB, tier_at, tiered};

const CHUNK: u64 = 4 * MIB;
const MEMORY: u64 = 16 * MIB;
const READERS: u64 = 32 * MIB;
const BLOB: u64 = 24 * CHUNK;
/// What each reader wants: more than a block, so that it has to go on.
const RANGE: u64 = 320 * 1024;

/// A reader that has taken one item and does not ask for the next.
struct Standing {
    at: u64,
    item: Bytes,
    stream: BlobStream,
}

async fn world() -> (TempDir, Arc<TieredStore>, Sample) {
    let dir = TempDir::new().unwrap();
    let store = tiered(Arc::new(tier_at(dir.path()).await), MEMORY, READERS);
    let sample = Sample::new(BLOB as usize, 1);
    sample.put(&*store).await;
    (dir, store, sample)
}

/// Readers everywhere in the blob, each with one item in its hands.
async fn standing(store: &TieredStore, sample: &Sample, count: u64) -> Vec<Standing> {
    let mut readers = Vec::new();
    for number in 0..count {
        let at = number * 7919 * 4099 % BLOB;
        let mut stream = store.get(&sample.key, BLOB, at..BLOB.min(at + RANGE)).await.unwrap();
        let item = stream.try_next().await.unwrap().unwrap();
        readers.push(Standing { at, item, stream });
        assert!(store.bytes_in_memory() <= MEMORY + READERS, "{number} readers: {}", store.bytes_in_memory());
    }
    readers
}

/// What items in hands keep alive, found without asking the store: a block each, or a copy.
fn pinned(readers: &[Standing]) -> (u64, u64) {
    let (blocks, copies): (Vec<u64>, _) =
        readers.iter().map(|reader| reader.item.len() as u64).partition(|len| *len > 32 * 1024);
    (blocks.len() as u64 * ITEM_MAX_BYTES as u64, copies.iter().sum())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_readers_at_a_standstill_stay_within_the_configured_memory() {
    let (_dir, store, sample) = world().await;
    let readers = standing(&store, &sample, 500).await;
    let (blocks, copies) = pinned(&readers);
    assert!(blocks <= READERS && copies <= 500 * 32 * 1024, "{blocks} bytes of blocks, {copies} of copies");
    // Every one of them goes on where it stopped, and nothing stays taken.
    for Standing { at, item, stream } in readers {
        let rest = collect(stream).await.unwrap();
        let (from, to) = (at as usize, BLOB.min(at + RANGE) as usize);
        assert!([&*item, &*rest].concat() == sample.bytes[from..to], "reader at {at}");
    }
    assert!(store.bytes_in_memory() <= MEMORY);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_at_a_standstill_stop_nobody() {
    let (_dir, store, sample) = world().await;
    let standing = standing(&store, &sample, 500).await;
    let other = Sample::new(3 * CHUNK as usize, 2);
    other.put(&*store).await;
    assert!(other.read(&*store).await.unwrap() == other.bytes, "cold");
    assert!(other.read(&*store).await.unwrap() == other.bytes, "again");
    drop(standing);
    assert!(store.bytes_in_memory() <= MEMORY);
}

/// Items outlive their stream and are still counted.
#[tokio::test]
async fn what_consumers_keep_is_counted_until_they_drop_it() {
    let (_dir, store, sample) = world().await;
    let items: Vec<Bytes> = {
        let stream = store.get(&sample.key, BLOB, 0..CHUNK).await.unwrap();
        stream.try_collect().await.unwrap()
    };
    let kept = store.bytes_in_memory();
    assert!(kept >= 2 * CHUNK, "once in memory, once in hands: {kept}");
    drop(items);
    assert_eq!(store.bytes_in_memory(), kept - CHUNK);
}
