//! Two regions with a bucket each over one metadata store: what one has, the other copies before it asks an upstream.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use roadstead_loadtest::image::Image;
use roadstead_loadtest::registry::{Fault, Kind};
use roadstead_proto::domain::entry::ObjectKey;
use roadstead_proto::domain::registry::UpstreamId;
use roadstead_proto::meta::{Consistency, MetaStore as _};
use roadstead_proto::state::read::{ContentQuery, ContentView};
use roadstead_storage::blob::{BlobStore, BlobStream, Body, Listed, Scope, SignedUrl, Stat};
use roadstead_storage::error::StorageError;

use crate::world::{Second, World, blob, eventually, manifest};

/// What the way to the other region does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Well,
    /// The objects are gone.
    Missing,
    Hanging,
    /// Bodies break off after so many items.
    BreakingAfter(usize),
}

/// Another region's store, read from afar.
struct Far {
    store: Arc<dyn BlobStore>,
    mood: Mutex<Mood>,
    asked: AtomicUsize,
}

impl Far {
    fn becomes(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for Far {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Far")
    }
}

#[async_trait]
impl BlobStore for Far {
    async fn get(&self, key: &ObjectKey, size: u64, range: Range<u64>) -> Result<BlobStream, StorageError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Well => self.store.get(key, size, range).await,
            Mood::Missing => Err(StorageError::NotFound { key: *key }),
            Mood::Hanging => std::future::pending().await,
            Mood::BreakingAfter(items) => {
                let broken = futures::stream::iter([Err(StorageError::NotFound { key: *key })]);
                Ok(self.store.get(key, size, range).await?.take(items).chain(broken).boxed())
            }
        }
    }

    async fn stat(&self, _: &ObjectKey) -> Result<Stat, StorageError> {
        panic!("a copy is only read")
    }

    async fn put(&self, _: &ObjectKey, _: Body) -> Result<Stat, StorageError> {
        panic!("another region's bucket is never written")
    }

    async fn delete(&self, _: &ObjectKey) -> Result<(), StorageError> {
        panic!("another region's bucket is never written")
    }

    fn list(&self, _: Scope) -> BoxStream<'static, Result<Listed, StorageError>> {
        panic!("a copy is only read")
    }

    async fn presign(&self, _: &ObjectKey, _: Duration) -> Result<Option<SignedUrl>, StorageError> {
        panic!("clients are sent to their own region's bucket only")
    }

    async fn probe(&self) -> Result<(), StorageError> {
        panic!("readiness is that of the own region")
    }
}

/// A gateway in the region "west", and its way to the world's own region.
async fn west(world: &World) -> (Second, Arc<Far>) {
    let mut far = None;
    let gateway = world.gateway_in("west", |store| {
        let way = Arc::new(Far { store, mood: Mutex::new(Mood::Well), asked: AtomicUsize::new(0) });
        far = Some(Arc::clone(&way));
        way
    });
    let gateway = gateway.await;
    (gateway, far.unwrap())
}

fn image(seed: u64) -> Image {
    Image::builder(seed).layers(&[1_500_000, 40_000]).build()
}

/// The manifest and every blob of an image, through the world's own gateway, recorded.
async fn pulled(world: &World, repository: &str, image: &Image) {
    world.upstream().push(repository, "x", image);
    assert_eq!(world.get(&manifest(repository, "x")).await.digest(), image.digest());
    world.tag_recorded(repository, "x").await;
    for layer in image.layers() {
        assert_eq!(world.get(&blob(repository, layer.digest())).await.digest(), layer.digest());
        world.settle(layer.digest()).await;
    }
}

async fn content(world: &World, region: &str, repository: &str, digest: &str) -> ContentView {
    let query = ContentQuery {
        upstreams: vec![UpstreamId(1)],
        repository: repository.parse().unwrap(),
        digest: digest.parse().unwrap(),
        region: region.parse().unwrap(),
    };
    world.meta.content(&query, Consistency::Local).await.unwrap()
}

async fn lies_in(world: &World, region: &str, digest: &str) {
    let recorded = async || content(world, region, "a", digest).await.location.is_some();
    eventually("it is this region's own", recorded).await;
}

#[tokio::test]
async fn what_one_region_has_the_other_copies_and_no_upstream_is_asked() {
    let world = World::start().await;
    let image = image(1);
    pulled(&world, "a", &image).await;
    let asked = world.upstream().counters().total();
    let (gateway, far) = west(&world).await;
    let by_tag = world.get_url(&gateway.url(&manifest("a", "x"))).await;
    assert_eq!((by_tag.digest().as_str(), by_tag.header("cache-status")), (image.digest(), "roadstead; hit"));
    let before = content(&world, "west", "a", image.layers()[0].digest()).await;
    for layer in image.layers() {
        let copied = world.get_url(&gateway.url(&blob("a", layer.digest()))).await;
        let expected = (layer.digest(), "roadstead; hit; detail=region");
        assert_eq!((copied.digest().as_str(), copied.header("cache-status")), expected);
    }
    assert_eq!(world.upstream().counters().total(), asked, "the upstream was not asked");
    assert!(gateway.counted("roadstead_region_bytes", "region=\"default\"").await);
    assert!(!gateway.counted("roadstead_upstream_bytes", "").await, "and has sent nothing");

    // They are copies of this region's own now, by the rights that were there.
    for digest in image.layers().iter().map(|layer| layer.digest()).chain([image.digest()]) {
        lies_in(&world, "west", digest).await;
    }
    let after = content(&world, "west", "a", image.layers()[0].digest()).await;
    assert_eq!(after.upstreams, before.upstreams, "a copy is no delivery: the right stays as it was");
    gateway.stop().await;
    let (gateway, alone) = west(&world).await;
    alone.becomes(Mood::Hanging);
    world.upstream().set_faults([Fault::status(500, "UNKNOWN")]);
    assert_eq!(world.get_url(&gateway.url(&manifest("a", "x"))).await.digest(), image.digest());
    for layer in image.layers() {
        assert_eq!(world.get_url(&gateway.url(&blob("a", layer.digest()))).await.digest(), layer.digest());
    }
    assert_eq!((alone.asked(), world.upstream().counters().total()), (0, asked));
    assert!(far.asked() >= 3);
}

#[tokio::test]
async fn a_copy_is_for_those_who_have_the_right() {
    let world = World::start().await;
    let image = image(2);
    pulled(&world, "a", &image).await;
    let (gateway, far) = west(&world).await;
    let layer = image.layers()[0].digest();
    let stolen = world.get_url(&gateway.url(&blob("b", layer))).await;
    assert_eq!((stolen.status.as_u16(), far.asked()), (404, 0), "another repository asks the upstream itself");
    assert!(content(&world, "west", "b", layer).await.location.is_none());
}

#[tokio::test]
async fn an_upstream_that_is_down_hides_no_copy() {
    let world = World::start().await;
    let image = image(3);
    pulled(&world, "a", &image).await;
    let (gateway, _) = west(&world).await;
    world.upstream().set_faults([Fault::status(500, "UNKNOWN")]);
    for other in Image::builder(33).layers(&[10, 11, 12, 13, 14, 15]).build().layers() {
        let failed = world.get_url(&gateway.url(&blob("a", other.digest()))).await;
        assert!(failed.status.is_server_error());
    }
    assert!(gateway.counted("roadstead_upstream_breaker", "circuit=\"blobs\"").await, "it is left alone");
    for layer in image.layers() {
        assert_eq!(world.get_url(&gateway.url(&blob("a", layer.digest()))).await.digest(), layer.digest());
    }
    world.clock.advance(Duration::from_secs(24 * 3600));
    let stale = world.get_url(&gateway.url(&manifest("a", "x"))).await;
    assert_eq!((stale.status.as_u16(), stale.digest().as_str()), (200, image.digest()));
}

#[tokio::test]
async fn a_region_that_hangs_costs_one_pull_a_moment_and_the_next_one_none() {
    let world = World::start().await;
    let image = image(4);
    pulled(&world, "a", &image).await;
    let (gateway, far) = west(&world).await;
    far.becomes(Mood::Hanging);
    let began = Instant::now();
    for layer in image.layers() {
        let answer = world.get_url(&gateway.url(&blob("a", layer.digest()))).await;
        assert_eq!(
            (answer.digest().as_str(), answer.header("cache-status")),
            (layer.digest(), "roadstead; fwd=uri-miss; fwd-status=200")
        );
    }
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    assert_eq!(far.asked(), 1, "only the first one waits");
    assert_eq!(world.upstream().counters().of(Kind::BlobGet), 4);
    assert!(gateway.counted("roadstead_region_copies_total", "outcome=\"away\"").await);
}

#[tokio::test]
async fn a_copy_that_is_missing_or_breaks_off_costs_no_pull() {
    for (mood, ranged) in [(Mood::Missing, 0), (Mood::BreakingAfter(2), 1)] {
        let world = World::start().await;
        let image = image(5);
        pulled(&world, "a", &image).await;
        let (gateway, far) = west(&world).await;
        far.becomes(mood);
        let layer = image.layers()[0].digest();
        assert_eq!(world.get_url(&gateway.url(&blob("a", layer))).await.digest(), layer, "{mood:?}");
        let counters = world.upstream().counters();
        assert_eq!((counters.blob_gets(layer), counters.ranged()), (2, ranged), "{mood:?}: the rest, and no more");
        lies_in(&world, "west", layer).await;
        far.becomes(Mood::Well);
        let other = image.layers()[1].digest();
        assert_eq!(world.get_url(&gateway.url(&blob("a", other))).await.digest(), other);
        assert_eq!(world.upstream().counters().blob_gets(other), 1, "the region is there all the same");
    }
}

#[tokio::test]
async fn each_region_goes_on_alone() {
    let world = World::start().await;
    let (gateway, far) = west(&world).await;
    far.becomes(Mood::Hanging);
    let image = image(6);
    world.upstream().push("a", "x", &image);
    assert_eq!(world.get_url(&gateway.url(&manifest("a", "x"))).await.digest(), image.digest());
    for layer in image.layers() {
        assert_eq!(world.get_url(&gateway.url(&blob("a", layer.digest()))).await.digest(), layer.digest());
        lies_in(&world, "west", layer.digest()).await;
    }
    assert_eq!(far.asked(), 0, "there is nothing to copy");
    // The other one has no way to this one, and asks the upstream.
    assert_eq!(world.get(&blob("a", image.layers()[0].digest())).await.digest(), image.layers()[0].digest());
    assert_eq!(world.upstream().counters().blob_gets(image.layers()[0].digest()), 2);
}
