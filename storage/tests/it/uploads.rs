//! Puts: what is written when, how much memory they take, and what they leave when they fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::memory::InMemory;
use object_store::multipart::MultipartStore as _;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use roadstead_proto::domain::entry::ObjectKey;
use roadstead_storage::blob::{BlobStore as _, Body, BodyError, BodyStream};
use roadstead_storage::error::{Kind, Rejection, StorageError};
use roadstead_storage::object::{ObjectTier, Options, UploadLog};
use roadstead_storage::testing::faulty::{FaultKind, FaultyStore, Op, When};
use roadstead_storage::testing::gate::Gate;
use roadstead_storage::testing::sample::Sample;
use roadstead_storage::testing::suite::assert_absent;

use crate::stores::{Log, MIB, cloud_options, tier_over};

const PART: usize = 1 << 20;
const LARGE: usize = 9 * PART + 5;

async fn faulty_tier() -> (Arc<FaultyStore>, ObjectTier) {
    let faulty = FaultyStore::new(Arc::new(InMemory::new()));
    let tier = tier_over(Arc::clone(&faulty) as _).await;
    (faulty, tier)
}

async fn stored(store: &FaultyStore) -> Vec<String> {
    let found: Vec<_> = store.list(Some(&Path::from("sha256"))).try_collect().await.unwrap();
    found.into_iter().map(|meta| meta.location.to_string()).collect()
}

#[tokio::test]
async fn a_body_that_ends_within_one_part_is_one_put() {
    let (faulty, tier) = faulty_tier().await;
    faulty.fail(Op::Begin, When::Always, FaultKind::Unavailable);
    for len in [0, 1, PART] {
        Sample::new(len, 1).put(&tier).await;
    }
    let sample = Sample::new(PART + 1, 1);
    assert_eq!(tier.put(&sample.key, sample.body()).await.unwrap_err().kind(), Kind::Unavailable);
}

#[tokio::test]
async fn whatever_fails_nothing_is_left() {
    let (faulty, tier) = faulty_tier().await;
    let (small, large) = (Sample::new(100, 1), Sample::new(LARGE, 2));
    for (op, path) in [(Op::Put, ".1"), (Op::Begin, ""), (Op::Part, ""), (Op::Complete, ""), (Op::Put, ".crc")] {
        for (when, kind) in [
            (When::Always, FaultKind::Unavailable),
            (When::Once, FaultKind::AnswerLost),
            (When::After(1), FaultKind::Unavailable),
        ] {
            let relevant = !(op == Op::Begin && matches!(kind, FaultKind::AnswerLost));
            faulty.fail_at(op, path, when, kind.clone());
            for sample in [&small, &large] {
                let result = tier.put(&sample.key, sample.body()).await;
                if let Err(error) = &result {
                    assert_eq!(error.kind(), Kind::Unavailable, "{op:?} {kind:?}: {error:?}");
                    assert_absent(&tier, sample).await;
                } else {
                    assert!(sample.read(&tier).await.unwrap() == sample.bytes);
                    tier.delete(&sample.key).await.unwrap();
                }
                let concerned = if sample.size() == 100 { op == Op::Put && path == ".1" } else { true };
                let strikes = relevant && concerned && (when == When::Always || when == When::Once);
                assert!(result.is_err() || !strikes, "{op:?} {kind:?} did not strike");
                assert_eq!(stored(&faulty).await, Vec::<String>::new(), "{op:?} {kind:?}");
                if when == When::Once {
                    faulty.heal();
                    faulty.fail_at(op, path, when, kind.clone());
                }
            }
            faulty.heal();
        }
    }
}

/// A visible object always has its checksums: they come first and go last.
#[tokio::test]
async fn checksums_stand_before_the_object() {
    let (faulty, tier) = faulty_tier().await;
    let sample = Sample::new(LARGE, 1);
    let gate = Gate::default();
    faulty.fail(Op::Complete, When::Once, FaultKind::Held(gate.clone()));
    let (put_tier, put_sample) = (tier.clone(), sample.clone());
    let put = tokio::spawn(async move { put_tier.put(&put_sample.key, put_sample.body()).await });
    gate.arrival().await;
    assert_eq!(stored(&faulty).await, [format!("sha256/{}.1.crc", sample.key.digest.hex())]);
    gate.open();
    put.await.unwrap().unwrap();

    let gate = Gate::default();
    faulty.fail_at(Op::Delete, ".crc", When::Once, FaultKind::Held(gate.clone()));
    let (key, deleting) = (sample.key, tier.clone());
    let delete = tokio::spawn(async move { deleting.delete(&key).await });
    gate.arrival().await;
    assert_absent_object(&tier, &sample).await;
    gate.open();
    delete.await.unwrap().unwrap();
    assert_eq!(stored(&faulty).await, Vec::<String>::new());
}

async fn assert_absent_object(tier: &ObjectTier, sample: &Sample) {
    assert_eq!(tier.stat(&sample.key).await.unwrap_err().kind(), Kind::NotFound);
}

/// The caller has left, so nobody will ever refer to what the commit makes.
#[tokio::test]
async fn a_put_dropped_while_it_commits_is_undone() {
    let (faulty, tier) = faulty_tier().await;
    for (len, op) in [(100, Op::Put), (LARGE, Op::Complete), (LARGE, Op::Put)] {
        let sample = Sample::new(len, 1);
        let gate = Gate::default();
        faulty.fail(op, When::Once, FaultKind::Held(gate.clone()));
        tokio::select! {
            _ = tier.put(&sample.key, sample.body()) => panic!("the commit is held"),
            () = gate.arrival() => {}
        }
        gate.open();
        tier.put(&sample.key, sample.broken_after(0)).await.unwrap_err();
        assert_absent(&tier, &sample).await;
        assert_eq!(stored(&faulty).await, Vec::<String>::new());
    }
}

/// Or the clean-up after the first would remove what the second has stored.
#[tokio::test]
async fn a_second_put_of_a_key_waits_until_the_first_is_cleaned_up() {
    let (faulty, tier) = faulty_tier().await;
    for (len, op) in [(100, Op::Put), (LARGE, Op::Complete)] {
        let sample = Sample::new(len, 1);
        let (gate, taken) = (Gate::default(), Arc::new(AtomicUsize::new(0)));
        faulty.fail(op, When::Once, FaultKind::Held(gate.clone()));
        tokio::select! {
            _ = tier.put(&sample.key, sample.body()) => panic!("the commit is held"),
            () = gate.arrival() => {}
        }
        let (again, key, body) = (tier.clone(), sample.key, Body::vouched(counted(&sample, &taken)));
        let second = tokio::spawn(async move { again.put(&key, body).await });
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(taken.load(Ordering::SeqCst), 0, "it has begun");
        gate.open();
        second.await.unwrap().unwrap();
        assert!(sample.read(&tier).await.unwrap() == sample.bytes);
    }
}

/// The commit is done, its verdict is on its way, and the caller leaves without looking.
#[tokio::test]
async fn a_put_dropped_after_its_commit_but_before_its_ok_is_undone() {
    let (faulty, tier) = faulty_tier().await;
    for len in [100, LARGE] {
        let sample = Sample::new(len, 1);
        let mut put = tier.put(&sample.key, Body::vouched(sample.stream()));
        // Not polled again once the object is there, so it cannot have seen the verdict.
        while tier.stat(&sample.key).await.is_err() {
            assert!(futures::poll!(&mut put).is_pending());
            tokio::task::yield_now().await;
        }
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        drop(put);
        tier.put(&sample.key, sample.broken_after(0)).await.unwrap_err();
        assert_absent(&tier, &sample).await;
        assert_eq!(stored(&faulty).await, Vec::<String>::new());
    }
}

/// A body that counts what was taken from it.
fn counted(sample: &Sample, taken: &Arc<AtomicUsize>) -> BodyStream {
    let (bytes, taken) = (sample.bytes.clone(), Arc::clone(taken));
    let pieces = (0..bytes.len()).step_by(65_536).map(move |at| {
        let piece: Bytes = bytes.slice(at..bytes.len().min(at + 65_536));
        taken.fetch_add(piece.len(), Ordering::SeqCst);
        Ok(piece)
    });
    futures::stream::iter(pieces).boxed()
}

#[tokio::test]
async fn a_slow_store_slows_the_body_down() {
    let (faulty, tier) = faulty_tier().await;
    let sample = Sample::new(LARGE, 1);
    let (gate, taken) = (Gate::default(), Arc::new(AtomicUsize::new(0)));
    faulty.fail(Op::Part, When::Always, FaultKind::Held(gate.clone()));
    let body = Body::vouched(counted(&sample, &taken));
    let key = sample.key;
    let putting = tier.clone();
    let put = tokio::spawn(async move { putting.put(&key, body).await });
    gate.arrival().await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    // One part on its way, one built, and the piece that did not fit any more.
    assert!(taken.load(Ordering::SeqCst) <= 2 * PART + 65_536, "{taken:?}");
    gate.open();
    put.await.unwrap().unwrap();
    assert!(sample.read(&tier).await.unwrap() == sample.bytes);
}

#[tokio::test]
async fn all_uploads_share_one_budget() {
    let faulty = FaultyStore::new(Arc::new(InMemory::new()));
    let options = Options { upload_bytes: 2 * PART as u64, ..Options::local(0, MIB) };
    let tier = ObjectTier::open_store(Arc::clone(&faulty) as _, options).await.unwrap();
    let (gate, taken) = (Gate::default(), Arc::new(AtomicUsize::new(0)));
    faulty.fail(Op::Part, When::Always, FaultKind::Held(gate.clone()));
    let puts: Vec<_> = (0..16_u64)
        .map(|seed| {
            let (tier, sample) = (tier.clone(), Sample::new(3 * PART, seed));
            let body = Body::vouched(counted(&sample, &taken));
            tokio::spawn(async move { tier.put(&sample.key, body).await })
        })
        .collect();
    gate.arrival().await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    // Two parts, and the piece in each put's hand.
    assert!(taken.load(Ordering::SeqCst) <= 2 * PART + 16 * 65_536, "{taken:?}");
    gate.open();
    for put in puts {
        put.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_body_without_end_is_refused() {
    let options = Options { object_bytes: 3 * MIB, ..Options::local(8 * MIB, MIB) };
    let tier = ObjectTier::open_store(Arc::new(InMemory::new()), options).await.unwrap();
    let sample = Sample::new(3 << 20, 1);
    sample.put(&tier).await;
    let endless = futures::stream::repeat_with(|| Ok(Bytes::from_static(&[0; 1000])));
    let other = Sample::new(0, 2);
    let error = tier.put(&other.key, Body::vouched(endless.boxed())).await.unwrap_err();
    assert!(matches!(error, StorageError::Rejected { source: Rejection::TooLarge { .. }, .. }), "{error:?}");
    assert_absent(&tier, &other).await;
}

/// The test's body is wrong and vouched for: the one way a wrong body gets in. It is never handed out whole as right.
#[tokio::test]
async fn a_small_body_that_was_vouched_for_wrongly_is_caught_when_it_is_read() {
    let (_, tier) = faulty_tier().await;
    let (sample, other) = (Sample::new(1000, 1), Sample::new(1000, 2));
    tier.put(&sample.key, Body::vouched(other.stream())).await.unwrap();
    assert_eq!(sample.read(&tier).await.unwrap_err().kind(), Kind::Corrupt);
}

#[tokio::test]
async fn an_upload_id_is_logged_before_the_first_part() {
    let (store, log) = (Arc::new(InMemory::new()), Arc::new(Log::default()));
    let tier = ObjectTier::open_cloud(Arc::clone(&store), Arc::clone(&log) as _, cloud_options()).await.unwrap();
    Sample::new(100, 1).put(&tier).await;
    assert!(log.began.lock().unwrap().is_empty(), "one put has no upload id");

    let sample = Sample::new(3 * (5 << 20) + 1, 2);
    let gate = Gate::default();
    let (part, held) = (Sample { bytes: sample.bytes.slice(..PART), ..sample.clone() }, gate.clone());
    let first = part.stream().chain(futures::stream::once(async move {
        held.pass().await;
        Ok(Bytes::new())
    }));
    let rest = Sample { bytes: sample.bytes.slice(PART..), ..sample.clone() };
    let body = Body::vouched(first.chain(rest.stream()).boxed());
    let (key, putting) = (sample.key, tier.clone());
    let put = tokio::spawn(async move { putting.put(&key, body).await });
    gate.arrival().await;
    assert!(log.began.lock().unwrap().is_empty());
    gate.open();
    put.await.unwrap().unwrap();
    assert_eq!(log.began.lock().unwrap().len(), 1);
    assert!(sample.read(&tier).await.unwrap() == sample.bytes);
}

#[tokio::test]
async fn a_broken_put_aborts_its_upload_by_its_id() {
    let (store, log) = (Arc::new(InMemory::new()), Arc::new(Log::default()));
    let tier = ObjectTier::open_cloud(Arc::clone(&store), Arc::clone(&log) as _, cloud_options()).await.unwrap();
    let sample = Sample::new(3 * (5 << 20), 1);
    tier.put(&sample.key, sample.broken_after(11 << 20)).await.unwrap_err();
    let (key, id) = log.began.lock().unwrap().pop().unwrap();
    assert_eq!(key, sample.key);
    let path = Path::from(format!("sha256/{}.1", key.digest.hex()));
    assert!(store.put_part(&path, &id, 0, "late".into()).await.is_err(), "the upload is still there");
}

#[tokio::test]
async fn a_failed_put_aborts_its_upload_by_its_id() {
    for (op, when) in
        [(Op::Part, When::Always), (Op::Part, When::After(2)), (Op::Complete, When::Always), (Op::Put, When::Always)]
    {
        let (store, log) = (Arc::new(InMemory::new()), Arc::new(Log::default()));
        let faulty = FaultyStore::cloud(Arc::clone(&store));
        let tier = ObjectTier::open_cloud(Arc::clone(&faulty), Arc::clone(&log) as _, cloud_options()).await.unwrap();
        let sample = Sample::new(16 << 20, 1);
        faulty.fail(op, when, FaultKind::Unavailable);
        assert_eq!(tier.put(&sample.key, sample.body()).await.unwrap_err().kind(), Kind::Unavailable);
        let (key, id) = log.began.lock().unwrap().pop().unwrap();
        let path = Path::from(format!("sha256/{}.1", key.digest.hex()));
        assert!(
            store.put_part(&path, &id, 0, "late".into()).await.is_err(),
            "{op:?} {when:?}: the upload is still there"
        );
        assert_eq!(stored(&faulty).await, Vec::<String>::new());
    }
}

/// Nothing else would: a cloud store keeps the parts of an upload whose handle is merely dropped.
#[tokio::test]
async fn a_dropped_put_aborts_its_upload_by_its_id() {
    let (store, log) = (Arc::new(InMemory::new()), Arc::new(Log::default()));
    let tier = ObjectTier::open_cloud(Arc::clone(&store), Arc::clone(&log) as _, cloud_options()).await.unwrap();
    let sample = Sample::new(11 << 20, 1);
    let gate = Gate::default();
    let arriving = gate.clone();
    let end = futures::stream::once(async move { arriving.pass().await }).filter_map(|()| async { None });
    let put = tier.put(&sample.key, Body::vouched(sample.stream().chain(end).boxed()));
    tokio::select! {
        _ = put => panic!("the body has not ended"),
        () = gate.arrival() => {}
    }
    tier.put(&sample.key, sample.broken_after(0)).await.unwrap_err();
    let (key, id) = log.began.lock().unwrap().pop().unwrap();
    let path = Path::from(format!("sha256/{}.1", key.digest.hex()));
    assert!(store.put_part(&path, &id, 0, "late".into()).await.is_err(), "the upload is still there");
}

/// Completed or aborted: only what may still be there stays in the log.
#[tokio::test]
async fn the_log_hears_of_the_end_of_an_upload_and_only_of_that() {
    let (store, log) = (Arc::new(InMemory::new()), Arc::new(Log::default()));
    let faulty = FaultyStore::cloud(store);
    let tier = ObjectTier::open_cloud(Arc::clone(&faulty), Arc::clone(&log) as _, cloud_options()).await.unwrap();
    let sample = Sample::new(6 << 20, 1);
    sample.put(&tier).await;
    assert!(log.left().await.unwrap().is_empty(), "completed");
    tier.put(&sample.key, sample.broken_after(6 << 20)).await.unwrap_err();
    assert!(log.left().await.unwrap().is_empty(), "aborted");
    faulty.fail(Op::Part, When::Always, FaultKind::Unavailable);
    faulty.fail(Op::Abort, When::Always, FaultKind::Unavailable);
    tier.put(&sample.key, sample.body()).await.unwrap_err();
    assert_eq!(log.left().await.unwrap().len(), 1, "the store did not answer");
}

/// What a killed process leaves, its successor aborts; what it cannot abort, the next one does.
#[tokio::test]
async fn a_start_aborts_the_uploads_that_an_earlier_process_left() {
    let (store, log) = (Arc::new(InMemory::new()), Arc::new(Log::default()));
    let left = Sample::new(1, 1).key;
    let path = Path::from(format!("sha256/{}.1", left.digest.hex()));
    let id = store.create_multipart(&path).await.unwrap();
    store.put_part(&path, &id, 0, "a part".into()).await.unwrap();
    log.began(&left, &id).await.unwrap();

    let faulty = FaultyStore::cloud(Arc::clone(&store));
    faulty.fail(Op::Abort, When::Always, FaultKind::Unavailable);
    ObjectTier::open_cloud(Arc::clone(&faulty), Arc::clone(&log) as _, cloud_options()).await.unwrap();
    assert_eq!(log.left().await.unwrap().len(), 1, "nothing was aborted");
    faulty.heal();
    ObjectTier::open_cloud(faulty, Arc::clone(&log) as _, cloud_options()).await.unwrap();
    assert_eq!(log.left().await.unwrap(), []);
    assert!(store.put_part(&path, &id, 1, "late".into()).await.is_err(), "the upload is still there");
}

#[derive(Debug)]
struct Refusing;

#[async_trait]
impl UploadLog for Refusing {
    async fn began(&self, _: &ObjectKey, _: &str) -> Result<(), BodyError> {
        Err("the lease is lost".into())
    }

    async fn ended(&self, _: &ObjectKey, _: &str) {}

    async fn left(&self) -> Result<Vec<(ObjectKey, String)>, BodyError> {
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn an_upload_that_cannot_be_logged_does_not_begin() {
    let store = Arc::new(InMemory::new());
    let tier = ObjectTier::open_cloud(Arc::clone(&store), Arc::new(Refusing), cloud_options()).await.unwrap();
    let sample = Sample::new(6 << 20, 1);
    let error = tier.put(&sample.key, sample.body()).await.unwrap_err();
    assert!(
        matches!(&error, StorageError::Aborted { source, .. } if source.to_string() == "the lease is lost"),
        "{error:?}"
    );
    assert_absent(&tier, &sample).await;
    assert!(store.head(&format!("sha256/{}.1.crc", sample.key.digest.hex()).into()).await.is_err());
}
