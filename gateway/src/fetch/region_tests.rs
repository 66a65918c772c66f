//! What another region's store may do to whoever waits for a copy.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::lease::FencingToken;
use roadstead_proto::domain::time::Timestamp;
use roadstead_storage::blob::{Body, Listed, Scope, SignedUrl, Stat};
use roadstead_storage::error::{Operation, Rejection};

use super::*;
use crate::telemetry::Telemetry;

const TIMES: Times = Times {
    patience: Duration::from_millis(300),
    silence: Duration::from_millis(50),
    // Longer than any test.
    away: Duration::from_secs(3600),
};
const BYTES: &[u8] = b"a layer of some length";

/// What a region's store does when it is asked.
#[derive(Debug, Clone, Copy)]
enum Mood {
    Well,
    Missing,
    Refusing,
    Hanging,
    /// It sends so many bytes and no more.
    StoppingAfter(usize),
}

#[derive(Debug)]
struct Far {
    mood: Mutex<Mood>,
    asked: AtomicUsize,
}

impl Far {
    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn becomes(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }
}

#[async_trait]
impl BlobStore for Far {
    async fn get(&self, key: &ObjectKey, _: u64, range: Range<u64>) -> Result<BlobStream, StorageError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mood = *self.mood.lock().unwrap();
        let bytes = &BYTES[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
        let send = |bytes: &[u8]| futures::stream::iter([Ok(Bytes::copy_from_slice(bytes))]);
        match mood {
            Mood::Well => Ok(send(bytes).boxed()),
            Mood::Missing => Err(StorageError::NotFound { key: *key }),
            Mood::Refusing => {
                let source = Rejection::NotStaged(*key);
                Err(StorageError::Rejected { operation: Operation::Get, source })
            }
            Mood::Hanging => std::future::pending().await,
            Mood::StoppingAfter(sent) => Ok(send(&bytes[..sent]).chain(futures::stream::pending()).boxed()),
        }
    }

    async fn stat(&self, _: &ObjectKey) -> Result<Stat, StorageError> {
        unreachable!("a copy is only read")
    }

    async fn put(&self, _: &ObjectKey, _: Body) -> Result<Stat, StorageError> {
        unreachable!("another region's store is only read")
    }

    async fn delete(&self, _: &ObjectKey) -> Result<(), StorageError> {
        unreachable!("another region's store is only read")
    }

    fn list(&self, _: Scope) -> BoxStream<'static, Result<Listed, StorageError>> {
        unreachable!("a copy is only read")
    }

    async fn presign(&self, _: &ObjectKey, _: Duration) -> Result<Option<SignedUrl>, StorageError> {
        unreachable!("a copy is only read")
    }

    async fn probe(&self) -> Result<(), StorageError> {
        unreachable!("another region's store is not probed: this one goes on without")
    }
}

fn region(name: &str) -> RegionId {
    name.parse().unwrap()
}

/// Two regions, east and north, and a copy in each.
fn two(east: Mood, north: Mood) -> (Arc<Regions>, [Arc<Far>; 2]) {
    timed(TIMES, east, north)
}

fn timed(times: Times, east: Mood, north: Mood) -> (Arc<Regions>, [Arc<Far>; 2]) {
    let far = |mood| Arc::new(Far { mood: Mutex::new(mood), asked: AtomicUsize::new(0) });
    let stores = [far(east), far(north)];
    let by_name = ["east", "north"].into_iter().zip(&stores);
    let by_name = by_name.map(|(name, store)| (region(name), Arc::clone(store) as Arc<dyn BlobStore>)).collect();
    let metrics = Metrics::new(&Telemetry::new().unwrap().meter());
    (Arc::new(Regions { times, ..Regions::new(by_name, metrics) }), stores)
}

fn copy(name: &str, token: u64) -> (RegionId, BlobLocation) {
    let key = ObjectKey { digest: Digest::sha256(BYTES), token: FencingToken(token) };
    (region(name), BlobLocation { key, size: BYTES.len() as u64, stored_at: Timestamp(0) })
}

fn copies() -> [(RegionId, BlobLocation); 2] {
    [copy("east", 1), copy("north", 2)]
}

/// All that comes, and whether it came to its end.
async fn taken(copy: Copy) -> (Vec<u8>, bool) {
    let (mut all, mut bytes) = (Vec::new(), copy.bytes);
    while let Some(piece) = bytes.next().await {
        match piece {
            Ok(piece) => all.extend_from_slice(&piece),
            Err(_) => return (all, false),
        }
    }
    (all, true)
}

#[tokio::test]
async fn the_first_that_has_it_is_read_from_where_the_rest_begins() {
    let (regions, [east, north]) = two(Mood::Well, Mood::Well);
    let opened = regions.open(&copies(), 8).await.unwrap();
    assert_eq!(taken(opened).await, (BYTES[8..].to_vec(), true));
    assert_eq!((east.asked(), north.asked()), (1, 0));
    assert_eq!(regions.read(&copies()).await.as_deref(), Some(BYTES));
}

#[tokio::test]
async fn a_region_that_this_gateway_cannot_read_is_passed_over() {
    let (regions, _) = two(Mood::Well, Mood::Well);
    assert!(regions.open(&[copy("south", 3)], 0).await.is_none());
    assert!(!regions.may_have(&[copy("south", 3)]));
    assert!(regions.may_have(&[copy("south", 3), copy("east", 1)]));
}

#[tokio::test]
async fn a_copy_that_is_missing_says_nothing_of_its_region() {
    let (regions, [east, north]) = two(Mood::Missing, Mood::Well);
    let opened = regions.open(&copies(), 0).await.unwrap();
    assert_eq!(opened.location, copies()[1].1);
    east.becomes(Mood::Well);
    assert_eq!(regions.open(&copies(), 0).await.unwrap().location, copies()[1].1, "that copy is not asked for again");
    assert_eq!((east.asked(), north.asked()), (1, 2));
    assert_eq!(regions.open(&[copy("east", 9)], 0).await.unwrap().location, copy("east", 9).1);
}

#[tokio::test]
async fn a_region_that_hangs_costs_one_reader_a_moment_and_the_next_ones_nothing() {
    let (regions, [east, _]) = two(Mood::Hanging, Mood::Well);
    let began = Instant::now();
    assert!(regions.open(&[copy("east", 1)], 0).await.is_none());
    assert!(began.elapsed() >= TIMES.patience);
    assert!(!regions.may_have(&[copy("east", 1)]));
    east.becomes(Mood::Well);
    for _ in 0..3 {
        assert_eq!(regions.open(&copies(), 0).await.unwrap().location, copies()[1].1);
    }
    assert_eq!(east.asked(), 1);
}

#[tokio::test]
async fn a_region_is_asked_again_after_a_while() {
    let (regions, [east, _]) = timed(Times { away: Duration::ZERO, ..TIMES }, Mood::Hanging, Mood::Well);
    assert!(regions.open(&[copy("east", 1)], 0).await.is_none());
    east.becomes(Mood::Well);
    assert_eq!(regions.open(&copies(), 0).await.unwrap().location, copies()[0].1);
}

#[tokio::test]
async fn a_region_that_refuses_is_away_too() {
    let (regions, [east, _]) = two(Mood::Refusing, Mood::Well);
    for _ in 0..3 {
        assert_eq!(regions.open(&copies(), 0).await.unwrap().location, copies()[1].1);
    }
    assert_eq!(east.asked(), 1);
}

#[tokio::test]
async fn however_many_hang_they_share_one_patience() {
    let (regions, _) = two(Mood::Hanging, Mood::Hanging);
    let began = Instant::now();
    assert!(regions.open(&copies(), 0).await.is_none());
    assert!(began.elapsed() < TIMES.patience * 2, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_copy_that_stands_still_breaks_off_with_what_came() {
    let (regions, [east, _]) = two(Mood::StoppingAfter(5), Mood::Hanging);
    let opened = regions.open(&[copy("east", 1)], 0).await.unwrap();
    assert_eq!(taken(opened).await, (BYTES[..5].to_vec(), false));
    assert!(regions.open(&[copy("east", 1)], 5).await.is_none(), "the region is left alone");
    assert_eq!(east.asked(), 1);
    assert!(regions.read(&copies()).await.is_none());
}
