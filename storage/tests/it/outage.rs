//! "Not here", "no" and no answer are three answers.

use std::fs;
use std::sync::Arc;

use futures::TryStreamExt as _;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt as _};
use roadstead_storage::blob::{BlobStore, Listed, Scope};
use roadstead_storage::error::{Kind, StorageError};
use roadstead_storage::object::{ObjectTier, OpenError, Options};
use roadstead_storage::testing::faulty::{FaultKind, Op, When};
use roadstead_storage::testing::sample::Sample;
use tempfile::TempDir;

use crate::stores::{faulty_stack, options, tier_at, tier_over};

async fn kinds(store: &dyn BlobStore, sample: &Sample) -> Vec<Option<Kind>> {
    fn kind<T>(result: Result<T, StorageError>) -> Option<Kind> {
        result.err().map(|error| error.kind())
    }
    vec![
        kind(store.stat(&sample.key).await),
        kind(store.get(&sample.key, sample.size(), 0..1).await),
        kind(store.get(&sample.key, sample.size(), 0..0).await),
        kind(store.put(&sample.key, sample.body()).await),
        kind(store.delete(&sample.key).await),
        kind(store.list(Scope::All).try_collect::<Vec<Listed>>().await),
        kind(store.list(Scope::Digest(sample.key.digest)).try_collect::<Vec<Listed>>().await),
        kind(store.probe().await),
    ]
}

#[tokio::test]
async fn an_outage_is_unavailable_whatever_is_asked() {
    let (faulty, store) = faulty_stack().await;
    for len in [100, 5 << 20] {
        let sample = Sample::new(len, 1);
        sample.put(&*store).await;
        faulty.fail_everything();
        assert_eq!(kinds(&*store, &sample).await, [Some(Kind::Unavailable); 8]);
        faulty.heal();
        assert!(sample.read(&*store).await.unwrap() == sample.bytes);
    }
}

#[tokio::test]
async fn a_store_that_is_only_read_need_not_be_there_before() {
    let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let sample = Sample::new(5 << 20, 1);
    let early = ObjectTier::for_reading(Arc::clone(&objects), options());
    let error = sample.read(&early).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "it has never been opened: nothing follows for the object");
    let owner = tier_over(Arc::clone(&objects)).await;
    sample.put(&owner).await;
    assert!(sample.read(&early).await.unwrap() == sample.bytes);
    let other = Sample::new(100, 2);
    assert_eq!(other.read(&early).await.unwrap_err().kind(), Kind::NotFound);
}

#[tokio::test]
async fn memory_serves_on_while_the_store_is_away() {
    let (faulty, store) = faulty_stack().await;
    let (warm, cold) = (Sample::new(9 << 20, 1), Sample::new(9 << 20, 2));
    warm.put(&*store).await;
    cold.put(&*store).await;
    warm.read(&*store).await.unwrap();
    faulty.fail_everything();
    assert!(warm.read(&*store).await.unwrap() == warm.bytes);
    assert_eq!(cold.read(&*store).await.unwrap_err().kind(), Kind::Unavailable);
}

/// A `NotFound` would send every pull upstream.
#[tokio::test]
async fn a_directory_that_is_gone_is_an_outage_not_a_cache_without_objects() {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("store");
    let tier = tier_at(&root).await;
    let (sample, missing) = (Sample::new(5 << 20, 1), Sample::new(10, 2));
    sample.put(&tier).await;
    assert_eq!(tier.stat(&missing.key).await.unwrap_err().kind(), Kind::NotFound);

    // As an unmounted disk leaves it: the mount point is there and empty.
    let away = dir.path().join("away");
    fs::rename(&root, &away).unwrap();
    fs::create_dir(&root).unwrap();
    let error = Some(Kind::Unavailable);
    let mut found = kinds(&tier, &sample).await;
    // A put makes its own folders. What it stores is then there, and is removed again by the delete.
    assert_eq!(found.remove(3), None);
    assert_eq!(found.remove(3), None);
    assert_eq!(found, [error; 6]);
    assert_eq!(tier.delete(&sample.key).await.unwrap_err().kind(), Kind::Unavailable);

    fs::remove_dir_all(&root).unwrap();
    fs::rename(&away, &root).unwrap();
    assert!(sample.read(&tier).await.unwrap() == sample.bytes, "back as if nothing had been");
}

#[tokio::test]
async fn a_bucket_emptied_behind_our_back_is_an_outage() {
    let bucket = Arc::new(InMemory::new());
    let tier = tier_over(Arc::clone(&bucket) as _).await;
    let sample = Sample::new(10, 1);
    assert_eq!(tier.stat(&sample.key).await.unwrap_err().kind(), Kind::NotFound);
    bucket.delete(&"roadstead-store".into()).await.unwrap();
    assert_eq!(tier.stat(&sample.key).await.unwrap_err().kind(), Kind::Unavailable);
}

#[tokio::test]
async fn a_refusal_is_not_an_outage_and_not_a_miss() {
    let (faulty, store) = faulty_stack().await;
    let sample = Sample::new(100, 1);
    sample.put(&*store).await;
    for op in [Op::Head, Op::Get, Op::Put, Op::Delete] {
        faulty.fail(op, When::Always, FaultKind::Refused);
    }
    let error = store.get(&sample.key, 100, 0..1).await.err().unwrap();
    assert_eq!((error.kind(), error.is_miss()), (Kind::Rejected, false));
    assert_eq!(store.stat(&sample.key).await.unwrap_err().kind(), Kind::Rejected);
    assert_eq!(store.put(&sample.key, sample.body()).await.unwrap_err().kind(), Kind::Rejected);
    assert_eq!(store.probe().await.unwrap_err().kind(), Kind::Rejected);
}

#[tokio::test]
async fn probe_needs_both_reading_and_writing() {
    let (faulty, store) = faulty_stack().await;
    for op in [Op::Head, Op::Put] {
        faulty.fail(op, When::Always, FaultKind::Unavailable);
        assert_eq!(store.probe().await.unwrap_err().kind(), Kind::Unavailable, "{op:?}");
        faulty.heal();
        store.probe().await.unwrap();
    }
}

#[tokio::test]
async fn a_layout_of_another_release_is_not_opened() {
    for marker in ["roadstead-store 2\n", "", "something of yours"] {
        let bucket = Arc::new(InMemory::new());
        bucket.put(&"roadstead-store".into(), marker.into()).await.unwrap();
        let error = ObjectTier::open_store(Arc::clone(&bucket) as _, options()).await.unwrap_err();
        assert!(matches!(&error, OpenError::Layout { found } if found == marker), "{error:?}");
        let objects: Vec<_> = bucket.list(None).try_collect().await.unwrap();
        assert_eq!(objects.len(), 1, "nothing was written into it");
    }
}

#[tokio::test]
async fn a_disk_without_room_takes_nothing_more_and_is_read_on() {
    let folder = TempDir::new().unwrap();
    let (kept, refused) = (Sample::new(2 << 20, 1), Sample::new(2 << 20, 2));
    {
        let store = tier_at(folder.path()).await;
        kept.put(&store).await;
    }
    let full = Options { min_free_bytes: u64::MAX, ..options() };
    let store = ObjectTier::open_local(folder.path(), full).await.unwrap();
    assert!(kept.read(&store).await.unwrap() == kept.bytes);
    for (what, error) in [
        ("put", store.put(&refused.key, refused.body()).await.unwrap_err()),
        ("stage", store.stage(&refused.key).await.unwrap_err()),
    ] {
        assert_eq!(error.kind(), Kind::Rejected, "{what}");
        let said = std::error::Error::source(&error).and_then(|cause| cause.source()).unwrap().to_string();
        assert!(said.contains("min_free_space"), "{what}: {said}");
    }
    store.probe().await.expect("it is ready: what is stored can be read");
    let listed: Vec<Listed> = store.list(Scope::Digest(refused.key.digest)).try_collect().await.unwrap();
    assert!(listed.is_empty(), "nothing of it is left: {listed:?}");
}
