//! Memory over the slow tier: what is asked of the slow tier, and when.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use object_store::memory::InMemory;
use roadstead_storage::blob::BlobStore as _;
use roadstead_storage::error::{Kind, Operation};
use roadstead_storage::testing::counting::CountingStore;
use roadstead_storage::testing::faulty::{FaultKind, FaultyStore, Op, When};
use roadstead_storage::testing::gate::Gate;
use roadstead_storage::testing::sample::{Sample, collect};
use roadstead_storage::tiered::TieredStore;

use crate::stores::{MIB, tier_over, tiered};

const CHUNK: u64 = 4 * MIB;

/// What should happen without anybody's doing, or not at all: a failure, not a test that hangs.
async fn soon<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), event).await.expect("it never came")
}

struct World {
    faulty: Arc<FaultyStore>,
    counted: Arc<CountingStore>,
    store: Arc<TieredStore>,
}

impl World {
    async fn with(memory_bytes: u64, reader_bytes: u64) -> Self {
        let faulty = FaultyStore::new(Arc::new(InMemory::new()));
        let counted = CountingStore::new(Arc::new(tier_over(Arc::clone(&faulty) as _).await));
        let store = tiered(Arc::clone(&counted) as _, memory_bytes, reader_bytes);
        Self { faulty, counted, store }
    }

    async fn stored(&self, len: u64, seed: u64) -> Sample {
        let sample = Sample::new(len as usize, seed);
        sample.put(&*self.store).await;
        sample
    }

    fn reads(&self, sample: &Sample) -> usize {
        self.counted.calls(Operation::Get, &sample.key.digest)
    }

    /// Holds reads of the object itself, not of its checksums.
    fn hold_reads(&self, sample: &Sample, when: When) -> Gate {
        let (gate, open) = (Gate::default(), Gate::default());
        open.open();
        self.faulty.fail_at(Op::Get, ".crc", When::Always, FaultKind::Held(open));
        self.faulty.fail_at(Op::Get, &sample.key.digest.hex(), when, FaultKind::Held(gate.clone()));
        gate
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_readers_of_one_cold_chunk_are_one_read() {
    for len in [1000, CHUNK, 2 * CHUNK] {
        let world = World::with(64 * MIB, 64 * MIB).await;
        let sample = world.stored(len, 1).await;
        let gate = world.hold_reads(&sample, When::Always);
        let readers: Vec<_> = (0..64)
            .map(|_| {
                let (store, sample) = (Arc::clone(&world.store), sample.clone());
                tokio::spawn(async move {
                    let range = 0..sample.size().min(CHUNK);
                    collect(store.get(&sample.key, sample.size(), range).await.unwrap()).await.unwrap()
                })
            })
            .collect();
        gate.arrival().await;
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        gate.open();
        for reader in readers {
            assert!(reader.await.unwrap() == sample.bytes[..len.min(CHUNK) as usize]);
        }
        assert_eq!(world.reads(&sample), 1, "{len} bytes");
    }
}

/// Whoever comes first reads for all, and must not take the read with it.
#[tokio::test]
async fn a_first_reader_that_leaves_cancels_nothing() {
    let world = World::with(64 * MIB, 64 * MIB).await;
    let sample = world.stored(2 * CHUNK, 1).await;
    let gate = world.hold_reads(&sample, When::Always);
    let first = world.store.get(&sample.key, sample.size(), 0..1);
    tokio::select! {
        _ = first => panic!("the read is held"),
        () = gate.arrival() => {}
    }
    let (store, key, size) = (Arc::clone(&world.store), sample.key, sample.size());
    let second = tokio::spawn(async move { collect(store.get(&key, size, 0..CHUNK).await.unwrap()).await.unwrap() });
    gate.open();
    assert!(second.await.unwrap() == sample.bytes[..CHUNK as usize]);
    assert_eq!(world.reads(&sample), 1);
}

#[tokio::test]
async fn a_failed_load_goes_to_all_who_wait_and_is_not_kept() {
    let world = World::with(64 * MIB, 64 * MIB).await;
    let sample = world.stored(2 * CHUNK, 1).await;
    let gate = Gate::default();
    world.faulty.fail_at(Op::Get, ".crc", When::Once, FaultKind::Held(gate.clone()));
    world.faulty.fail(Op::Get, When::Once, FaultKind::Unavailable);
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let (store, key, size) = (Arc::clone(&world.store), sample.key, sample.size());
            tokio::spawn(async move { store.get(&key, size, 0..1).await.err().unwrap() })
        })
        .collect();
    // The object's read has failed; that of its checksums is held, so the load has not ended yet.
    gate.arrival().await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    gate.open();
    for reader in readers {
        assert_eq!(reader.await.unwrap().kind(), Kind::Unavailable);
    }
    assert_eq!(world.reads(&sample), 1);
    assert!(sample.read(&*world.store).await.unwrap() == sample.bytes);
}

#[tokio::test]
async fn a_read_asks_only_for_the_chunks_it_touches_and_only_once() {
    let world = World::with(64 * MIB, 64 * MIB).await;
    let sample = world.stored(5 * CHUNK, 1).await;
    for (range, expected) in [
        (CHUNK + 5..CHUNK + 6, 1),
        (CHUNK..2 * CHUNK, 1),
        (2 * CHUNK - 1..2 * CHUNK + 1, 2),
        (0..1, 3),
        (0..5 * CHUNK, 5),
        (0..5 * CHUNK, 5),
    ] {
        let stream = world.store.get(&sample.key, sample.size(), range.clone()).await.unwrap();
        assert!(collect(stream).await.unwrap() == sample.bytes[range.start as usize..range.end as usize]);
        assert_eq!(world.reads(&sample), expected, "{range:?}");
    }
}

#[tokio::test]
async fn a_warm_read_copies_nothing() {
    let world = World::with(64 * MIB, 64 * MIB).await;
    for len in [100, CHUNK, 3 * CHUNK] {
        let sample = world.stored(len, len).await;
        sample.read(&*world.store).await.unwrap();
        let reads = world.reads(&sample);
        let mut kept = Vec::new();
        for _ in 0..2 {
            let stream = world.store.get(&sample.key, sample.size(), 0..sample.size()).await.unwrap();
            // Kept until both are compared, or a copy could come to lie where the other one was.
            kept.push(stream.try_collect::<Vec<_>>().await.unwrap());
        }
        let places = |items: &[bytes::Bytes]| items.iter().map(|item| item.as_ptr()).collect::<Vec<_>>();
        assert_eq!(places(&kept[0]), places(&kept[1]), "both reads were handed the same bytes");
        assert_eq!(world.reads(&sample), reads);
    }
}

#[tokio::test]
async fn one_chunk_is_read_ahead_and_no_more() {
    let world = World::with(64 * MIB, 64 * MIB).await;
    let sample = world.stored(5 * CHUNK, 1).await;
    let gate = world.hold_reads(&sample, When::After(1));
    let mut stream = world.store.get(&sample.key, sample.size(), 0..sample.size()).await.unwrap();
    soon(gate.arrival()).await;
    // All of the first chunk is delivered while the second one does not come.
    for _ in 0..16 {
        stream.try_next().await.unwrap().unwrap();
    }
    assert_eq!((world.reads(&sample), gate.arrived()), (2, 0));
    gate.open();
    assert_eq!(stream.try_fold(0, |sum, item| async move { Ok(sum + item.len()) }).await.unwrap() as u64, 4 * CHUNK);
    assert_eq!(world.reads(&sample), 5);
}

#[tokio::test]
async fn a_chunk_read_ahead_is_dropped_with_its_reader() {
    let world = World::with(0, 64 * MIB).await;
    let sample = world.stored(3 * CHUNK, 1).await;
    let gate = world.hold_reads(&sample, When::After(1));
    let stream = world.store.get(&sample.key, sample.size(), 0..sample.size()).await.unwrap();
    soon(gate.arrival()).await;
    drop(stream);
    soon(gate.departure()).await;
    assert_eq!(world.store.bytes_in_memory(), 0);
}

#[tokio::test]
async fn a_range_within_one_chunk_reads_nothing_ahead() {
    let world = World::with(64 * MIB, 64 * MIB).await;
    let sample = world.stored(3 * CHUNK, 1).await;
    let stream = world.store.get(&sample.key, sample.size(), 0..CHUNK).await.unwrap();
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    collect(stream).await.unwrap();
    assert_eq!(world.reads(&sample), 1);
}

#[tokio::test]
async fn without_memory_a_sequential_read_still_reads_each_chunk_once() {
    let world = World::with(0, 64 * MIB).await;
    let sample = world.stored(4 * CHUNK + 1, 1).await;
    for round in 1..=2 {
        assert!(sample.read(&*world.store).await.unwrap() == sample.bytes);
        assert_eq!(world.reads(&sample), 5 * round);
    }
    assert_eq!(world.store.bytes_in_memory(), 0);
}

/// A reader nobody keeps a chunk for reads what it hands out, not sixteen times as much.
#[tokio::test]
async fn without_memory_for_a_chunk_only_blocks_are_read() {
    // Six MiB for holds and as much for hands: with one chunk held, the next reader finds no hold.
    let world = World::with(0, 16 * MIB).await;
    let (first, second) = (world.stored(3 * CHUNK, 1).await, world.stored(3 * CHUNK, 2).await);
    let mut holder = world.store.get(&first.key, first.size(), 0..CHUNK).await.unwrap();
    holder.try_next().await.unwrap().unwrap();
    assert!(second.read(&*world.store).await.unwrap() == second.bytes);
    assert_eq!(world.counted.asked(&second.key.digest), second.size());
    assert_eq!(world.reads(&second) as u64, second.size().div_ceil(256 * 1024));
    assert_eq!(
        holder.try_fold(0, |sum, item| async move { Ok(sum + item.len()) }).await.unwrap(),
        (CHUNK - 256 * 1024) as usize
    );
    assert_eq!(world.reads(&first), 1);
}

#[tokio::test]
async fn memory_stays_below_its_ceiling() {
    let world = World::with(16 * MIB, 32 * MIB).await;
    for seed in 0..12 {
        let sample = world.stored(2 * CHUNK, seed).await;
        let mut stream = world.store.get(&sample.key, sample.size(), 0..sample.size()).await.unwrap();
        while stream.next().await.is_some() {
            assert!(world.store.bytes_in_memory() <= 48 * MIB);
        }
        drop(stream);
        assert!(world.store.bytes_in_memory() <= 16 * MIB);
    }
}

/// What everybody pulls is not pushed out by one pass over something large. (moka counts uses only once
/// it is half full, so what is hot must be more than half.)
#[tokio::test]
async fn one_pass_over_a_large_blob_keeps_what_is_in_use() {
    let world = World::with(16 * MIB + 65_536, 64 * MIB).await;
    let hot = world.stored(3 * CHUNK, 1).await;
    for _ in 0..20 {
        hot.read(&*world.store).await.unwrap();
    }
    let large = world.stored(10 * CHUNK, 2).await;
    large.read(&*world.store).await.unwrap();
    let before = world.reads(&hot);
    hot.read(&*world.store).await.unwrap();
    assert_eq!(world.reads(&hot), before);
}

#[tokio::test]
async fn delete_forgets_also_what_the_store_no_longer_has() {
    let world = World::with(64 * MIB, 64 * MIB).await;
    let sample = world.stored(2 * CHUNK, 1).await;
    sample.read(&*world.store).await.unwrap();
    world.counted.delete(&sample.key).await.unwrap();
    assert!(sample.read(&*world.store).await.is_ok(), "memory does not know");
    world.store.delete(&sample.key).await.unwrap();
    assert_eq!(sample.read(&*world.store).await.unwrap_err().kind(), Kind::NotFound);
}
