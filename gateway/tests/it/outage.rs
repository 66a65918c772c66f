//! The metadata takes no writes: pulls go on, each thing is still fetched once, and is recorded when it is back.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use roadstead_loadtest::content::digest_of;
use roadstead_loadtest::image::Image;
use roadstead_loadtest::registry::{Effect, Fault, Kind};
use roadstead_proto::clock::Clock as _;
use roadstead_proto::domain::entry::EntryRef;
use roadstead_proto::domain::image::Reference;
use roadstead_proto::domain::principal::{Role, TokenHash};
use roadstead_proto::domain::registry::{GroupId, RegionId, UpstreamId};
use roadstead_proto::meta::{Consistency, MetaStore as _};
use roadstead_proto::state::command::{Command, PutToken};
use roadstead_proto::state::read::ContentQuery;

use crate::world::{Second, World, blob, eventually, manifest, read};

const SIZE: u64 = 3_000_000;

fn hang(after: u64) -> Fault {
    Fault::new(Effect::Hang { after }).on(Kind::BlobGet)
}

/// Three gateways that know of each other.
async fn three() -> (World, [Second; 2], Image) {
    let world = World::start().await;
    let others = [world.gateway_called("second").await, world.gateway_called("third").await];
    let image = Image::builder(1).layers(&[SIZE]).build();
    world.upstream().push("a", "x", &image);
    let know = async || {
        let mut all = world.counted("roadstead_fleet_gateways", " 3").await;
        for other in &others {
            all &= other.counted("roadstead_fleet_gateways", " 3").await;
        }
        all
    };
    eventually("the gateways know of each other", know).await;
    (world, others, image)
}

fn purge(digest: &str) -> Command {
    let reference = Reference::Digest(digest.parse().unwrap());
    Command::PurgeEntry(EntryRef { upstream: UpstreamId(1), repository: "a".parse().unwrap(), reference })
}

async fn bodies(world: &World, others: &[Second], path: &str) -> Vec<reqwest::Response> {
    let mut bodies = vec![world.begin(path).await];
    for other in others {
        bodies.push(world.send(Method::GET, &other.url(path), &[]).await.unwrap());
    }
    bodies
}

#[tokio::test]
async fn a_blob_is_still_downloaded_once_and_recorded_later() {
    let (world, others, image) = three().await;
    let digest = image.layers()[0].digest();
    let path = blob("a", digest);
    world.upstream().set_faults([hang(1_000_000).times(1)]);
    world.meta.set_outage(true);
    let bodies = bodies(&world, &others, &path).await;
    world.upstream().release();
    for body in bodies {
        assert_eq!(digest_of(&read(body).await.unwrap()), digest);
    }
    assert_eq!(world.upstream().counters().blob_gets(digest), 1);
    assert_eq!(world.get(&path).await.digest(), digest);
    for other in &others {
        assert_eq!(world.get_url(&other.url(&path)).await.digest(), digest);
    }
    assert_eq!(world.upstream().counters().blob_gets(digest), 1, "it is known where it was pulled");

    world.meta.set_outage(false);
    world.settle(digest).await;
    let query = ContentQuery {
        upstreams: vec![UpstreamId(1)],
        repository: "a".parse().unwrap(),
        digest: digest.parse().unwrap(),
        region: RegionId::default_region(),
    };
    let view = world.meta.content(&query, Consistency::Local).await.unwrap();
    assert!(view.location.unwrap().key.token.is_provisional());
    assert!(view.upstreams[0].right.is_some());
    for other in &others {
        assert_eq!(world.get_url(&other.url(&path)).await.digest(), digest);
    }
    assert_eq!(world.upstream().counters().blob_gets(digest), 1);
}

#[tokio::test]
async fn one_after_the_other_the_gateways_hear_of_what_the_chosen_one_has() {
    let (world, others, image) = three().await;
    let digest = image.layers()[0].digest();
    let path = blob("a", digest);
    world.meta.set_outage(true);
    assert_eq!(world.get(&path).await.digest(), digest);
    for other in &others {
        eventually("what the chosen one has is heard of", async || {
            world.get_url(&other.url(&path)).await.digest() == digest
        })
        .await;
    }
    assert_eq!(world.upstream().counters().blob_gets(digest), 1);
}

#[tokio::test]
async fn a_tag_is_recorded_later_as_of_when_it_was_said() {
    let (world, _others, image) = three().await;
    world.meta.set_outage(true);
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), image.digest());
    let said = world.clock.now();
    world.clock.advance(Duration::from_secs(600));
    world.meta.set_outage(false);
    let recorded = async || {
        let (repository, tag) = ("a".parse().unwrap(), "x".parse().unwrap());
        world.meta.tag_entry(UpstreamId(1), &repository, &tag, Consistency::Local).await.unwrap()
    };
    eventually("the tag is recorded", async || recorded().await.is_some()).await;
    assert_eq!(recorded().await.unwrap().checked_at, said);
    world.settle(image.digest()).await;
    assert_eq!(world.upstream().counters().of(Kind::ManifestGet), 1);
}

#[tokio::test]
async fn a_leader_that_loses_the_nodes_finishes_for_its_followers() {
    let (world, others, image) = three().await;
    let digest = image.layers()[0].digest();
    let path = blob("a", digest);
    world.upstream().set_faults([hang(1_000_000).times(1)]);
    let bodies = bodies(&world, &others, &path).await;
    world.meta.set_outage(true);
    world.upstream().release();
    for body in bodies {
        assert_eq!(digest_of(&read(body).await.unwrap()), digest);
    }
    world.meta.set_outage(false);
    world.settle(digest).await;
    assert_eq!(world.upstream().counters().blob_gets(digest), 1);
}

#[tokio::test]
async fn the_chosen_one_may_be_gone() {
    let (world, [second, third], image) = three().await;
    world.meta.set_outage(true);
    second.die();
    third.die();
    for layer in image.blobs() {
        assert_eq!(world.get(&blob("a", layer.digest())).await.digest(), layer.digest());
    }
}

#[tokio::test]
async fn results_that_wait_count_as_unrecorded_until_they_are_recorded() {
    let world = World::start().await;
    let image = Image::builder(3).layers(&[SIZE, 1_000]).build();
    world.upstream().push("a", "x", &image);
    world.meta.set_outage(true);
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), image.digest());
    for layer in image.layers() {
        assert_eq!(world.get(&blob("a", layer.digest())).await.digest(), layer.digest());
    }
    let wait = async || {
        let metrics = world.metrics().await;
        let says = |line| metrics.lines().any(|there| there == line);
        says("roadstead_fills_running 0") && says("roadstead_unrecorded 3")
    };
    eventually("the manifest and two layers wait", wait).await;
    world.meta.set_outage(false);
    for digest in image.layers().iter().map(|layer| layer.digest()).chain([image.digest()]) {
        world.settle(digest).await;
    }
    eventually("nothing waits", async || world.counted("roadstead_unrecorded", " 0").await).await;
}

#[tokio::test]
async fn what_waits_to_be_recorded_is_dropped_where_it_was_purged_meanwhile() {
    let (world, _others, image) = three().await;
    let digest = image.layers()[0].digest();
    world.meta.set_outage(true);
    assert_eq!(world.get(&blob("a", digest)).await.digest(), digest);
    world.meta.set_outage(false);
    // Before the gateway finds out that the metadata is back: it looks four times a second.
    world.meta.propose(purge(digest)).await.unwrap();
    let marker = image.config().digest();
    assert_eq!(world.get(&blob("a", marker)).await.digest(), marker);
    world.settle(marker).await;
    eventually("the object is discarded", async || world.files().iter().all(|file| !file.contains(&digest[7..]))).await;
    assert!(!world.is_recorded(digest).await);
}

#[tokio::test]
async fn what_was_healed_meanwhile_is_what_counts_afterwards() {
    let is_gone = |path: &Path| std::fs::remove_file(path).unwrap();
    let is_damaged = |path: &Path| {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[10] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    for (harm, harms) in [("gone", &is_gone as &dyn Fn(&Path)), ("damaged", &is_damaged)] {
        let mut world = World::start().await;
        let image = Image::builder(2).layers(&[SIZE]).build();
        world.upstream().push("a", "x", &image);
        let digest = image.layers()[0].digest();
        let path = blob("a", digest);
        assert_eq!(world.get(&path).await.digest(), digest);
        world.settle(digest).await;
        let harmed = world.live(digest).await.unwrap();
        world.stop().await;
        let file = world.files().into_iter().find(|file| file.starts_with(&digest[7..]) && !file.ends_with(".crc"));
        harms(&world.folder.path().join("blobs/sha256").join(file.unwrap()));
        world.start_again().await;
        // It knows of the object by now, and has not looked at it.
        assert_eq!(world.head(&path).await.status.as_u16(), 200);

        world.meta.set_outage(true);
        assert_eq!(world.get(&path).await.digest(), digest, "{harm}");
        assert_eq!(world.upstream().counters().blob_gets(digest), 2, "{harm}");
        world.meta.set_outage(false);
        let is_another = async || world.live(digest).await.is_some_and(|live| live.key != harmed.key);
        eventually("the new object counts", is_another).await;
        world.restart().await;
        world.upstream().stop().await.unwrap();
        assert_eq!(world.get(&path).await.digest(), digest, "{harm}, and healed");
    }
}

#[tokio::test]
async fn what_was_purged_before_is_recorded_when_it_comes_without_metadata() {
    let world = World::start().await;
    let image = Image::builder(1).layers(&[SIZE]).build();
    world.upstream().push("a", "x", &image);
    let (digest, marker) = (image.layers()[0].digest(), image.config().digest());
    assert_eq!(world.get(&blob("a", marker)).await.digest(), marker);
    world.settle(marker).await;
    for purged in [digest, marker] {
        world.meta.propose(purge(purged)).await.unwrap();
    }
    // Purges are heard of in order.
    let asked = world.upstream().counters().total();
    eventually("the purges are heard of", async || {
        world.get(&blob("a", marker)).await;
        world.upstream().counters().total() > asked
    })
    .await;
    world.meta.set_outage(true);
    assert_eq!(world.get(&blob("a", digest)).await.digest(), digest);
    world.meta.set_outage(false);
    world.settle(digest).await;
}

#[tokio::test]
async fn a_gateway_without_metadata_stays_in_the_load_balancer_and_says_so() {
    let world = World::start().await;
    let probe =
        async || String::from_utf8(world.get_url(&format!("{}/readyz", world.base())).await.body.to_vec()).unwrap();
    assert_eq!(probe().await, "ready\n");
    world.meta.set_outage(true);
    eventually("it is said", async || probe().await.contains("the metadata takes no writes")).await;
    assert_eq!(world.get_url(&format!("{}/readyz", world.base())).await.status.as_u16(), 200);
    world.meta.set_outage(false);
    eventually("it is over", async || probe().await == "ready\n").await;
}

#[tokio::test]
async fn tokens_are_honoured_for_an_hour_without_metadata() {
    let world = World::closed().await;
    world.meta.propose(token("rst_ci")).await.unwrap();
    let headers = [("authorization", "Bearer rst_ci")];
    let status = async || {
        let answer = world.request(Method::GET, &manifest("a", "x"), &headers).await;
        (answer.status.as_u16(), answer.message())
    };
    eventually("the token is known", async || status().await.0 == 404).await;
    world.meta.set_outage(true);
    world.clock.advance(Duration::from_secs(3500));
    assert_eq!(status().await.0, 404, "the image is not there, and the token is good");
    world.clock.advance(Duration::from_secs(200));
    let (code, message) = status().await;
    assert_eq!(code, 503, "{message}");
    assert!(message.contains("cut off from the metadata nodes"), "{message}");
}

fn token(text: &str) -> Command {
    Command::PutToken(PutToken {
        name: "ci".into(),
        hash: TokenHash::of(text),
        group: GroupId(1),
        role: Role::Reader,
        expires_at: None,
    })
}
