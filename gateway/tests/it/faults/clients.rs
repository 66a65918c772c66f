//! What clients do to a download. These lines are told here and tested beside it, by tests of the same name.

use std::time::Duration;

use futures::StreamExt as _;
use reqwest::{Method, StatusCode};
use roadstead_gateway::config::Timeouts;
use roadstead_loadtest::content::digest_of;
use roadstead_loadtest::image::Image;
use roadstead_loadtest::registry::{Effect, Fault, Kind};

use super::play::Line;
use crate::world::{World, blob, eventually, read};

const SIZE: u64 = 9_000_000;

fn line(test: &'static str, fault: &str, client: &str, kept: &str, asked: &str) -> Line {
    let [fault, client, kept, asked] = [fault, client, kept, asked].map(str::to_owned);
    Line { test, fault, client, kept, asked }
}

pub(super) fn told() -> (&'static str, Vec<Line>) {
    let lines = vec![
        line("the_only_client_leaves", "the only client leaves in the middle", "–", "yes", "1 blob GET"),
        line(
            "a_client_stands_still",
            "one client reads nothing while another pulls",
            "200, every byte, both",
            "yes",
            "1 blob GET",
        ),
        line(
            "ranges_of_a_cold_blob",
            "16 ranges of a cold blob at once",
            "206, the bytes of each, as soon as the download has them",
            "yes",
            "1 blob GET",
        ),
        line("a_head_of_a_cold_blob", "HEAD of a cold blob", "200 and its size", "nothing", "1 blob HEAD"),
        line(
            "sixty_four_clients_and_no_room",
            "no disk has room, and 64 clients pull at once",
            "200, every byte, all of them",
            "nothing",
            "1 blob GET",
        ),
        line(
            "a_client_stands_still_and_there_is_no_room",
            "no disk has room, and one of two clients reads nothing",
            "the other: 200, every byte; the one: cut after the standstill time",
            "nothing",
            "1 blob GET",
        ),
        line(
            "a_client_comes_late_and_there_is_no_room",
            "no disk has room, and a client comes when the download has moved on",
            "200, every byte",
            "nothing",
            "2 blob GET",
        ),
        line(
            "the_only_client_leaves_and_there_is_no_room",
            "no disk has room, and the only client leaves",
            "–",
            "nothing",
            "1 blob GET, given up after the standstill time",
        ),
    ];
    ("Clients", lines)
}

async fn cold(world: &World, faults: impl IntoIterator<Item = Fault>) -> String {
    let image = Image::builder(1).layers(&[SIZE]).build();
    world.upstream().push("a/b", "x", &image);
    world.upstream().set_faults(faults);
    image.layers()[0].digest().to_owned()
}

fn hang(after: u64) -> Fault {
    Fault::new(Effect::Hang { after }).on(Kind::BlobGet)
}

/// Nothing is left of a download, and the upstream was asked so often.
async fn ends_with(mut world: World, layer: &str, gets: u64, kept: bool) {
    world.stop().await;
    assert_eq!((world.upstream().counters().blob_gets(layer), world.is_recorded(layer).await), (gets, kept));
    let left: Vec<String> = world.files().into_iter().filter(|file| file.contains('#')).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn the_only_client_leaves() {
    let world = World::start().await;
    let layer = cold(&world, [hang(5_000_000)]).await;
    let mut leaving = world.begin(&blob("a/b", &layer)).await;
    leaving.chunk().await.unwrap().unwrap();
    drop(leaving);
    world.upstream().release();
    world.settle(&layer).await;
    ends_with(world, &layer, 1, true).await;
}

#[tokio::test]
async fn a_client_stands_still() {
    let world = World::start().await;
    let layer = cold(&world, []).await;
    let standing = world.begin(&blob("a/b", &layer)).await;
    assert_eq!(world.get(&blob("a/b", &layer)).await.digest(), layer);
    assert_eq!(digest_of(&read(standing).await.unwrap()), layer);
    ends_with(world, &layer, 1, true).await;
}

#[tokio::test]
async fn ranges_of_a_cold_blob() {
    let world = World::start().await;
    let layer = cold(&world, [hang(5_000_000)]).await;
    let whole = Image::builder(1).layers(&[SIZE]).build();
    let whole = whole.layers()[0].content();
    let ranges: Vec<u64> = (0..16).map(|n| n * 560_000).collect();
    let pulled = futures::stream::iter(ranges).map(|from| {
        let (world, path) = (&world, blob("a/b", &layer));
        async move {
            let range = format!("bytes={from}-{}", from + 99_999);
            (from, world.request(Method::GET, &path, &[("range", &range)]).await)
        }
    });
    let mut pulled = pulled.buffer_unordered(16);
    let mut seen = 0;
    while let Some((from, answer)) = pulled.next().await {
        assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT);
        assert!(answer.body == whole.read(from, 100_000), "{from}");
        seen += 1;
        // Those before the standstill are answered during it; the others when it is over.
        if seen == 8 {
            world.upstream().release();
        }
    }
    assert_eq!(seen, 16);
    drop(pulled);
    world.settle(&layer).await;
    ends_with(world, &layer, 1, true).await;
}

#[tokio::test]
async fn a_head_of_a_cold_blob() {
    let world = World::start().await;
    let layer = cold(&world, []).await;
    let head = world.head(&blob("a/b", &layer)).await;
    assert_eq!((head.status, head.header("content-length")), (StatusCode::OK, "9000000"));
    let counters = world.upstream().counters();
    assert_eq!((counters.of(Kind::BlobHead), counters.bytes_of(&layer)), (1, 0));
    ends_with(world, &layer, 0, false).await;
}

#[tokio::test]
async fn sixty_four_clients_and_no_room() {
    let world = World::start().await.without_room().await;
    let layer = cold(&world, [hang(1_000_000)]).await;
    let mut bodies = Vec::new();
    for _ in 0..64 {
        bodies.push(world.begin(&blob("a/b", &layer)).await);
    }
    world.upstream().release();
    let digests = futures::future::join_all(bodies.into_iter().map(async |body| digest_of(&read(body).await.unwrap())));
    assert!(digests.await.iter().all(|digest| *digest == layer));
    ends_with(world, &layer, 1, false).await;
}

/// Longer than a busy machine lets a client that reads stand still.
const STANDSTILL: Duration = Duration::from_secs(2);

async fn without_room_and_patience() -> World {
    let timeouts = Timeouts { standstill: STANDSTILL, ..Timeouts::default() };
    World::start().await.with_patience(timeouts, Duration::from_secs(20)).await.without_room().await
}

#[tokio::test]
async fn a_client_stands_still_and_there_is_no_room() {
    let world = without_room_and_patience().await;
    let image = Image::builder(2).layers(&[60_000_000]).build();
    world.upstream().push("a/b", "x", &image);
    let layer = image.layers()[0].digest().to_owned();
    world.upstream().set_faults([hang(1_000_000)]);
    let standing = world.begin(&blob("a/b", &layer)).await;
    let reading = world.begin(&blob("a/b", &layer)).await;
    world.upstream().release();
    assert_eq!(digest_of(&read(reading).await.unwrap()), layer);
    assert!(read(standing).await.is_err(), "what it did not take in time is gone");
    ends_with(world, &layer, 1, false).await;
}

#[tokio::test]
async fn a_client_comes_late_and_there_is_no_room() {
    let world = World::start().await.without_room().await;
    let layer = cold(&world, [hang(8_500_000).times(1)]).await;
    let mut first = world.begin(&blob("a/b", &layer)).await;
    let mut came = Vec::new();
    while came.len() < 8_000_000 {
        came.extend_from_slice(&first.chunk().await.unwrap().unwrap());
    }
    assert_eq!(world.get(&blob("a/b", &layer)).await.digest(), layer, "the late one has a download of its own");
    world.upstream().release();
    came.extend(read(first).await.unwrap());
    assert_eq!(digest_of(&came), layer);
    ends_with(world, &layer, 2, false).await;
}

#[tokio::test]
async fn the_only_client_leaves_and_there_is_no_room() {
    let world = without_room_and_patience().await;
    let layer = cold(&world, [hang(5_000_000)]).await;
    let mut leaving = world.begin(&blob("a/b", &layer)).await;
    leaving.chunk().await.unwrap().unwrap();
    drop(leaving);
    world.upstream().release();
    eventually("the download is given up", async || {
        world.metrics().await.contains("roadstead_fills_total{outcome=\"spool\"")
    })
    .await;
    ends_with(world, &layer, 1, false).await;
}
