//! The puller against the synthetic upstream: what it asks for, and what it takes for a failure.

use std::sync::Arc;

use roadstead_loadtest::image::{Form, Image};
use roadstead_loadtest::index::Index;
use roadstead_loadtest::puller::{self, ImageName, Journal, Options, PullError, Session};
use roadstead_loadtest::registry::{Auth, Config, Credentials, Effect, Fault, Kind};

use crate::world::{REPOSITORY, World, client};

struct Puller {
    session: Session,
    journal: Arc<Journal>,
}

impl Puller {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Options)) -> Self {
        // Installs the provider of TLS.
        client();
        let platform = "linux/arm64".parse().unwrap();
        let mut options = Options { platform, parallel: 3, verify: true, token: None, rate: None };
        change(&mut options);
        let journal = Arc::new(Journal::default());
        Self { session: Session::new(options, Arc::clone(&journal)).unwrap(), journal }
    }

    async fn pull(&self, world: &World, tag: &str) -> Result<(), PullError> {
        let name: ImageName = format!("{}/{REPOSITORY}:{tag}", world.upstream.url()).parse().unwrap();
        self.session.pull(&name).await
    }

    fn count(&self, kind: puller::Kind) -> u64 {
        self.journal.so_far().records.get(&kind).map_or(0, |record| record.total.count())
    }
}

#[tokio::test]
async fn every_part_of_an_image_is_asked_for_once() {
    let (world, puller) = (World::start().await, Puller::new());
    puller.pull(&world, "1").await.unwrap();
    let counters = world.upstream.counters();
    assert_eq!((counters.of(Kind::ManifestHead), counters.of(Kind::ManifestGet)), (1, 1));
    assert_eq!(counters.of_key(Kind::ManifestGet, &format!("{REPOSITORY}@{}", world.image.digest())), 1);
    assert!(world.image.blobs().all(|blob| counters.blob_gets(blob.digest()) == 1));
    use puller::Kind::{Config, Layer, Manifest, Pull, Resolve};
    assert_eq!([Resolve, Manifest, Config, Layer, Pull].map(|kind| puller.count(kind)), [1, 1, 1, 2, 1]);
    assert_eq!(puller.journal.bytes(), counters.bytes());
}

#[tokio::test]
async fn of_an_index_one_platform_is_pulled() {
    let (world, puller) = (World::start().await, Puller::new());
    let index = Index::of_platforms(3, &[("linux", "amd64"), ("linux", "arm64")], &[10]);
    world.upstream.push(REPOSITORY, "multi", &index);
    puller.pull(&world, "multi").await.unwrap();
    let gets = |image: &Image| world.upstream.counters().blob_gets(image.id());
    assert_eq!((gets(&index.images()[0]), gets(&index.images()[1])), (0, 1));
    assert_eq!(puller.count(puller::Kind::Manifest), 2);
}

#[tokio::test]
async fn an_index_without_the_platform_is_a_failure() {
    let (world, puller) = (World::start().await, Puller::new());
    world.upstream.push(REPOSITORY, "other", &Index::of_platforms(3, &[("plan9", "mips")], &[10]));
    assert!(matches!(puller.pull(&world, "other").await, Err(PullError::Manifest(_))));
    assert_eq!(puller.journal.so_far().failures.values().sum::<u64>(), 1);
}

#[tokio::test]
async fn what_breaks_off_is_continued_by_range() {
    let (world, puller) = (World::start().await, Puller::new());
    let fault = || Fault::new(Effect::Reset { after: 40_000 }).on(Kind::BlobGet).of(world.layer().digest()).times(1);
    world.upstream.set_faults([fault()]);
    puller.pull(&world, "1").await.unwrap();
    assert_eq!(world.upstream.counters().ranged(), 1);
    assert_eq!(puller.journal.so_far().resumed, 1);
    // Whoever ignores the range sends what has come before once more.
    world.upstream.set_faults([fault(), Fault::new(Effect::IgnoreRange).on(Kind::BlobGet)]);
    puller.pull(&world, "1").await.unwrap();
    assert_eq!(puller.journal.so_far().resumed, 2);
}

#[tokio::test]
async fn what_never_ends_is_given_up() {
    let (world, puller) = (World::start().await, Puller::new());
    world.upstream.set_faults([Fault::new(Effect::Disconnect).on(Kind::BlobGet)]);
    assert!(matches!(puller.pull(&world, "1").await, Err(PullError::Broken { offset: 0, attempts: 5, .. })));
}

#[tokio::test]
async fn other_bytes_are_a_failure_unless_nobody_looks() {
    let world = World::start().await;
    world.upstream.set_faults([Fault::new(Effect::Corrupt { at: 3 }).of(world.layer().digest())]);
    let checked = Puller::new().pull(&world, "1").await;
    assert!(matches!(&checked, Err(PullError::WrongDigest { expected, .. }) if expected == world.layer().digest()));
    Puller::with(|options| options.verify = false).pull(&world, "1").await.unwrap();
}

#[tokio::test]
async fn a_token_is_presented_as_a_password() {
    let auth = Auth::Basic(Credentials::new("loadtest", "rst_secret"));
    let world = World::with(Config { auth, ..Config::default() }).await;
    let refused = Puller::new().pull(&world, "1").await;
    assert!(matches!(refused, Err(PullError::Refused { what: puller::Kind::Resolve, status }) if status == 401));
    Puller::with(|options| options.token = Some("rst_secret".into())).pull(&world, "1").await.unwrap();
}

#[tokio::test]
async fn images_of_the_other_family_are_pulled_too() {
    let (world, puller) = (World::start().await, Puller::new());
    world.upstream.push(REPOSITORY, "docker", &Image::builder(9).form(Form::Docker).build());
    world.upstream.set_faults([Fault::new(Effect::StrictAccept)]);
    puller.pull(&world, "docker").await.unwrap();
}
