//! What is stored is not what was stored: never bytes.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use roadstead_proto::domain::entry::ObjectKey;
use roadstead_storage::blob::{BlobStore, ITEM_MAX_BYTES};
use roadstead_storage::config::Config;
use roadstead_storage::error::{Damage, Kind, StorageError};
use roadstead_storage::open;
use roadstead_storage::testing::faulty::{FaultKind, Op, When};
use roadstead_storage::testing::sample::{Sample, collect};
use tempfile::TempDir;

use crate::stores::{MIB, faulty_stack, meter, tier_at};

const LARGE: usize = 9 * MIB as usize + 5;
const SMALL: usize = 3 * MIB as usize;

/// Spelled here a second time on purpose: the layout is persisted.
pub(crate) fn file(dir: &Path, key: &ObjectKey) -> PathBuf {
    dir.join(key.digest.algorithm().name()).join(format!("{}.{}", key.digest.hex(), key.token))
}

fn checksums_file(dir: &Path, key: &ObjectKey) -> PathBuf {
    file(dir, key).with_added_extension("crc")
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn resize(path: &Path, len: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

/// Reads `sample` as far as it goes: the error at its end, after nothing but right bytes.
async fn damage(store: &dyn BlobStore, sample: &Sample) -> StorageError {
    let mut stream = match store.get(&sample.key, sample.size(), 0..sample.size()).await {
        Ok(stream) => stream,
        Err(error) => return error,
    };
    let mut rest = sample.bytes.clone();
    loop {
        match stream.next().await.expect("a damaged object does not end cleanly") {
            Ok(item) => assert!(rest.split_to(item.len()) == item, "wrong bytes were handed out"),
            Err(error) => return error,
        }
    }
}

/// The object tier alone, and the whole stack, over one directory.
async fn stores(dir: &Path) -> [Arc<dyn BlobStore>; 2] {
    [Arc::new(tier_at(dir).await), open(&Config::local(dir), &meter()).await.unwrap().store]
}

async fn put(dir: &Path, len: usize, seed: u64) -> Sample {
    let sample = Sample::new(len, seed);
    sample.put(&tier_at(dir).await).await;
    sample
}

#[tokio::test]
async fn a_flipped_bit_is_corrupt_wherever_it_is() {
    let dir = TempDir::new().unwrap();
    for (len, places) in
        [(SMALL, vec![0, SMALL / 2, SMALL - 1]), (LARGE, vec![0, ITEM_MAX_BYTES, LARGE / 2, LARGE - 1])]
    {
        for (seed, place) in places.into_iter().enumerate() {
            let sample = put(dir.path(), len, seed as u64).await;
            flip(&file(dir.path(), &sample.key), place);
            for store in stores(dir.path()).await {
                let error = damage(&*store, &sample).await;
                assert_eq!(error.kind(), Kind::Corrupt, "byte {place} of {len}: {error:?}");
                assert!(error.is_miss());
            }
        }
    }
}

#[tokio::test]
async fn the_rest_of_a_damaged_large_object_still_reads_block_by_block() {
    let dir = TempDir::new().unwrap();
    let sample = put(dir.path(), LARGE, 1).await;
    flip(&file(dir.path(), &sample.key), ITEM_MAX_BYTES);
    let tier = tier_at(dir.path()).await;
    let block = ITEM_MAX_BYTES as u64;
    let get = |range| tier.get(&sample.key, sample.size(), range);
    assert!(collect(get(0..block).await.unwrap()).await.unwrap() == sample.bytes[..ITEM_MAX_BYTES]);
    assert!(collect(get(2 * block..sample.size()).await.unwrap()).await.unwrap() == sample.bytes[2 * ITEM_MAX_BYTES..]);
    let error = get(2 * block - 1..2 * block).await.err().unwrap();
    assert!(matches!(error, StorageError::Corrupt { source: Damage::Block { at }, .. } if at == block), "{error:?}");
}

/// Parts of a small object are checked like its whole, also once its checksums are in memory.
#[tokio::test]
async fn a_small_object_read_in_parts_is_checked_each_time() {
    let dir = TempDir::new().unwrap();
    let sample = put(dir.path(), SMALL, 1).await;
    let tier = tier_at(dir.path()).await;
    let end = sample.size();
    for round in 0..2 {
        let stream = tier.get(&sample.key, end, end - 5..end).await.unwrap();
        assert!(collect(stream).await.unwrap() == sample.bytes[SMALL - 5..], "round {round}");
    }
    flip(&file(dir.path(), &sample.key), SMALL - 1);
    let error = tier.get(&sample.key, end, end - 5..end).await.err().unwrap();
    assert!(matches!(error, StorageError::Corrupt { source: Damage::Block { .. }, .. }), "{error:?}");
    let error = tier.get(&sample.key, end, 0..end).await.err().unwrap();
    assert!(matches!(error, StorageError::Corrupt { source: Damage::Digest(_), .. }), "{error:?}");
}

#[tokio::test]
async fn another_length_is_corrupt() {
    let dir = TempDir::new().unwrap();
    for (seed, len) in [SMALL, LARGE].into_iter().enumerate() {
        let sample = put(dir.path(), len, seed as u64).await;
        for wrong in [0, 1, ITEM_MAX_BYTES as u64, sample.size() - 1, sample.size() + 1, 2 * sample.size()] {
            resize(&file(dir.path(), &sample.key), wrong);
            for store in stores(dir.path()).await {
                let error = damage(&*store, &sample).await;
                assert_eq!(error.kind(), Kind::Corrupt, "{wrong} bytes instead of {len}: {error:?}");
                let last = store.get(&sample.key, sample.size(), sample.size() - 1..sample.size()).await;
                assert_eq!(last.err().map(|error| error.kind()), Some(Kind::Corrupt), "the last of {wrong} bytes");
            }
        }
    }
}

#[tokio::test]
async fn a_file_that_shrinks_while_it_is_read_is_corrupt() {
    let dir = TempDir::new().unwrap();
    let sample = put(dir.path(), LARGE, 1).await;
    let tier = tier_at(dir.path()).await;
    let mut stream = tier.get(&sample.key, sample.size(), 0..sample.size()).await.unwrap();
    assert!(stream.try_next().await.unwrap().unwrap() == sample.bytes[..ITEM_MAX_BYTES]);
    resize(&file(dir.path(), &sample.key), 2 * MIB + 100);
    let error = stream.try_collect::<Vec<Bytes>>().await.unwrap_err();
    assert!(matches!(error, StorageError::Corrupt { source: Damage::Size { .. }, .. }), "{error:?}");
}

#[tokio::test]
async fn without_usable_checksums_a_large_object_is_corrupt() {
    let dir = TempDir::new().unwrap();
    let [missing, damaged, swapped, other] = [1, 2, 3, 4].map(|seed| Sample::new(LARGE + seed as usize % 2, seed));
    for sample in [&missing, &damaged, &swapped, &other] {
        sample.put(&tier_at(dir.path()).await).await;
    }
    fs::remove_file(checksums_file(dir.path(), &missing.key)).unwrap();
    flip(&checksums_file(dir.path(), &damaged.key), 30);
    fs::copy(checksums_file(dir.path(), &other.key), checksums_file(dir.path(), &swapped.key)).unwrap();
    for store in stores(dir.path()).await {
        let error = damage(&*store, &missing).await;
        assert!(matches!(error, StorageError::Corrupt { source: Damage::ChecksumsMissing, .. }), "{error:?}");
        for sample in [&damaged, &swapped] {
            let error = damage(&*store, sample).await;
            assert!(matches!(error, StorageError::Corrupt { source: Damage::Checksums(_), .. }), "{error:?}");
        }
        assert!(other.read(&*store).await.unwrap() == other.bytes);
    }
}

/// Same size, so the format fits and only the sums speak.
#[tokio::test]
async fn checksums_of_another_object_do_not_pass() {
    let dir = TempDir::new().unwrap();
    let (sample, other) = (put(dir.path(), LARGE, 1).await, put(dir.path(), LARGE, 2).await);
    fs::copy(checksums_file(dir.path(), &other.key), checksums_file(dir.path(), &sample.key)).unwrap();
    for store in stores(dir.path()).await {
        let error = damage(&*store, &sample).await;
        assert!(matches!(error, StorageError::Corrupt { source: Damage::Block { at: 0 }, .. }), "{error:?}");
    }
}

#[tokio::test]
async fn what_the_wire_spoils_is_not_kept() {
    for (len, at) in [(SMALL, 0), (SMALL, SMALL - 1), (LARGE, 0), (LARGE, MIB as usize)] {
        for (kind, expected) in [
            (FaultKind::WrongByte(at), Kind::Corrupt),
            (FaultKind::Short(at), Kind::Corrupt),
            (FaultKind::Reset(at), Kind::Unavailable),
        ] {
            let (faulty, store) = faulty_stack().await;
            let sample = Sample::new(len, 1);
            sample.put(&*store).await;
            faulty.fail_at(Op::Get, &format!("{}.1", sample.key.digest.hex()), When::Once, kind.clone());
            let error = damage(&*store, &sample).await;
            assert_eq!(error.kind(), expected, "{kind:?} in {len} bytes: {error:?}");
            faulty.heal();
            assert!(sample.read(&*store).await.unwrap() == sample.bytes, "{kind:?} was remembered");
        }
    }
}
