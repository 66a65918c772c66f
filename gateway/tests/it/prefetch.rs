//! What is fetched before a client asks, and what never is.

use reqwest::Method;
use roadstead_loadtest::content::digest_of;
use roadstead_loadtest::image::{Image, Manifest};
use roadstead_loadtest::index::Index;
use roadstead_loadtest::registry::{Config, Effect, Fault, Kind};
use serde_json::{Value, json};

use crate::world::{World, blob, eventually, manifest, read};

const FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";

fn hang(after: u64) -> Fault {
    Fault::new(Effect::Hang { after }).on(Kind::BlobGet)
}

fn hold() -> Fault {
    Fault::new(Effect::Hold).on(Kind::BlobGet)
}

/// An image whose layers have these sizes, under a tag of the first upstream.
fn pushed(world: &World, repository: &str, seed: u64, layers: &[u64]) -> Image {
    let image = Image::builder(seed).layers(layers).build();
    world.upstream().push(repository, "x", &image);
    image
}

/// A client takes the manifest, and nothing else.
async fn take_manifest(world: &World, repository: &str, reference: &str) {
    assert_eq!(world.get(&manifest(repository, reference)).await.status, 200, "{repository}:{reference}");
}

/// A number among the metrics; 0 where nothing was counted.
async fn metric(world: &World, series: &str) -> u64 {
    let metrics = world.metrics().await;
    let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().unwrap())
}

/// How many blobs that were to be prefetched came to this.
async fn outcomes(world: &World, outcome: &str) -> u64 {
    metric(world, &format!("roadstead_prefetches_total{{outcome=\"{outcome}\"}}")).await
}

/// Waits until so many blobs have come to this.
async fn until(world: &World, outcome: &str, count: u64) {
    eventually(outcome, async || outcomes(world, outcome).await >= count).await;
    assert_eq!(outcomes(world, outcome).await, count, "{outcome}");
}

async fn settle_all(world: &World, image: &Image) {
    for blob in image.blobs() {
        world.settle(blob.digest()).await;
    }
}

/// What waits to be prefetched is taken in order: when an image that was pulled later is there, all before it was decided on.
async fn let_it_come_to_this(world: &World, seed: u64) {
    let image = pushed(world, &format!("marker-{seed}"), seed, &[1000]);
    take_manifest(world, &format!("marker-{seed}"), "x").await;
    settle_all(world, &image).await;
}

#[tokio::test]
async fn configuration_and_layers_arrive_without_anybody_asking() {
    let world = World::start().await.prefetching(4).await;
    let (by_tag, by_digest) = (pushed(&world, "a", 1, &[3_000_000, 10, 20_000]), pushed(&world, "b", 2, &[700]));
    take_manifest(&world, "a", "x").await;
    take_manifest(&world, "b", by_digest.digest()).await;
    settle_all(&world, &by_tag).await;
    settle_all(&world, &by_digest).await;
    world.upstream().stop().await.unwrap();
    for (repository, image) in [("a", &by_tag), ("b", &by_digest)] {
        for part in image.blobs() {
            let answer = world.get(&blob(repository, part.digest())).await;
            assert_eq!((answer.header("cache-status"), answer.digest().as_str()), ("roadstead; hit", part.digest()));
            assert_eq!(world.upstream().counters().blob_gets(part.digest()), 1);
            world.get(&blob(repository, part.digest())).await;
        }
    }
    until(&world, "fetched", 6).await;
    assert_eq!(metric(&world, "roadstead_prefetches_used_total").await, 6, "each once");
    let bytes: u64 = by_tag.blobs().chain(by_digest.blobs()).map(|part| part.size()).sum();
    assert_eq!(metric(&world, "roadstead_prefetch_bytes_total").await, bytes);
    assert_eq!(metric(&world, "roadstead_prefetches_running").await, 0);
}

#[tokio::test]
async fn nothing_of_indexes_attestations_artifacts_and_foreign_layers() {
    let world = World::start().await.prefetching(1).await;
    let index = Index::of_platforms(1, &[("linux", "amd64"), ("linux", "arm64")], &[1000]);
    world.upstream().push("index", "x", &index);
    let image = pushed(&world, "parts", 2, &[2000]);
    let artifact = Image::artifact(3, "application/spdx+json", image.manifest(), 500);
    world.upstream().push("artifact", "x", &artifact);
    let made_of = |layer: Value| {
        let config = image.config();
        let config = json!({ "mediaType": config.media_type(), "digest": config.digest(), "size": config.size() });
        let text = json!({ "schemaVersion": 2, "config": config, "layers": [layer] }).to_string();
        Manifest::raw(image.manifest().media_type(), text)
    };
    let layer = &image.layers()[0];
    let child = |media_type: &str| json!({ "mediaType": media_type, "digest": layer.digest(), "size": layer.size() });
    world.upstream().push("parts", "attestation", &made_of(child("application/vnd.in-toto+json")));
    world.upstream().push("parts", "foreign", &made_of(child(FOREIGN)));

    for (repository, tag) in [("index", "x"), ("artifact", "x"), ("parts", "attestation"), ("parts", "foreign")] {
        take_manifest(&world, repository, tag).await;
    }
    let_it_come_to_this(&world, 1000).await;
    assert_eq!(world.upstream().counters().of(Kind::BlobGet), 2, "the marker's own");

    // Of an index, what a client asks for.
    let chosen = &index.images()[1];
    take_manifest(&world, "index", chosen.digest()).await;
    settle_all(&world, chosen).await;
    assert_eq!(world.upstream().counters().of(Kind::BlobGet), 4);
}

#[tokio::test]
async fn a_head_prefetches_nothing_and_the_first_get_behind_it_does() {
    let world = World::start().await.prefetching(1).await;
    let image = pushed(&world, "a", 1, &[1000]);
    // As docker and containerd ask.
    assert_eq!(world.head(&manifest("a", "x")).await.digest(), digest_of(b""));
    let known = [("if-none-match", format!("\"{}\"", image.digest()))];
    let known = known.each_ref().map(|(name, value)| (*name, value.as_str()));
    let unchanged = world.request(Method::GET, &manifest("a", "x"), &known).await;
    assert_eq!(unchanged.status, 304, "who has the manifest has its layers");
    let_it_come_to_this(&world, 1000).await;
    assert_eq!(world.upstream().counters().blob_gets(image.id()), 0);

    let answer = world.get(&manifest("a", image.digest())).await;
    assert_eq!(answer.header("cache-status"), "roadstead; hit");
    settle_all(&world, &image).await;
    // The next one is no news.
    take_manifest(&world, "a", "x").await;
    take_manifest(&world, "a", image.digest()).await;
    let_it_come_to_this(&world, 1001).await;
    until(&world, "fetched", 6).await;
    assert_eq!(outcomes(&world, "stored").await, 0, "nobody looked");
}

#[tokio::test]
async fn nothing_of_a_manifest_that_was_there() {
    let world = World::start().await;
    let image = pushed(&world, "a", 1, &[1000]);
    take_manifest(&world, "a", "x").await;
    world.settle(image.digest()).await;
    assert_eq!(world.upstream().counters().of(Kind::BlobGet), 0, "off is off");

    let world = world.prefetching(1).await;
    take_manifest(&world, "a", "x").await;
    let_it_come_to_this(&world, 1000).await;
    assert_eq!(world.upstream().counters().blob_gets(image.id()), 0);
}

#[tokio::test]
async fn off_is_off() {
    let mut world = World::start().await;
    pushed(&world, "a", 1, &[1000]);
    take_manifest(&world, "a", "x").await;
    world.stop().await;
    assert_eq!(world.upstream().counters().of(Kind::BlobGet), 0);
}

#[tokio::test]
async fn a_client_joins_a_running_prefetch_and_frees_its_place() {
    let world = World::start().await.prefetching(1).await;
    let image = pushed(&world, "a", 1, &[3_000_000, 1000]);
    let (first, second) = (image.layers()[0].digest(), image.layers()[1].digest());
    world.upstream().set_faults([hang(1_000_000).of(first)]);
    take_manifest(&world, "a", "x").await;
    world.upstream().wait_for(|counters| counters.blob_gets(first) == 1).await;

    let joined = world.begin(&blob("a", first)).await;
    assert_eq!(joined.headers()["cache-status"], "roadstead; fwd=uri-miss; collapsed");
    world.settle(second).await;
    world.upstream().release();
    assert_eq!(digest_of(&read(joined).await.unwrap()), first);
    let counters = world.upstream().counters();
    assert_eq!((counters.blob_gets(first), counters.bytes_of(first)), (1, 3_000_000));
    until(&world, "promoted", 1).await;
}

#[tokio::test]
async fn a_client_does_not_wait_for_what_still_waits_to_be_prefetched() {
    let world = World::start().await.prefetching(1).await;
    let image = pushed(&world, "a", 1, &[3_000_000, 1000]);
    let (first, second) = (image.layers()[0].digest(), image.layers()[1].digest());
    world.upstream().set_faults([hang(1_000_000).of(first)]);
    take_manifest(&world, "a", "x").await;
    world.upstream().wait_for(|counters| counters.blob_gets(first) == 1).await;

    let answer = world.get(&blob("a", second)).await;
    assert_eq!(answer.header("cache-status"), "roadstead; fwd=uri-miss; fwd-status=200");
    assert_eq!(answer.digest(), second);
    world.settle(second).await;
    world.upstream().release();
    settle_all(&world, &image).await;
    until(&world, "stored", 1).await;
    assert!(image.blobs().all(|blob| world.upstream().counters().blob_gets(blob.digest()) == 1));
}

#[tokio::test]
async fn never_more_at_once_than_configured() {
    let world = World::start().await.prefetching(3).await;
    let image = pushed(&world, "a", 1, &[1000; 12]);
    world.upstream().set_faults([hold()]);
    take_manifest(&world, "a", "x").await;
    world.upstream().wait_for(|counters| counters.in_flight(Kind::BlobGet) == 3).await;
    world.upstream().set_faults([]);
    world.upstream().release();
    settle_all(&world, &image).await;
    assert_eq!(world.upstream().counters().peak_in_flight(Kind::BlobGet), 3);
}

#[tokio::test]
async fn none_begins_while_many_downloads_are_under_way() {
    let world = World::start().await.prefetching(4).await;
    let (busy, image) = (pushed(&world, "busy", 1, &[100; 32]), pushed(&world, "a", 2, &[1000, 2000]));
    world.upstream().set_faults([hold().in_repository("busy")]);
    let paths: Vec<_> = busy.layers().iter().map(|layer| blob("busy", layer.digest())).collect();
    let clients = futures::future::join_all(paths.iter().map(|path| world.get(path)));
    let meanwhile = async {
        world.upstream().wait_for(|counters| counters.in_flight(Kind::BlobGet) == 32).await;
        take_manifest(&world, "a", "x").await;
        // Clients are served all the same.
        let answer = world.get(&blob("a", image.layers()[1].digest())).await;
        assert_eq!(answer.header("cache-status"), "roadstead; fwd=uri-miss; fwd-status=200");
        assert_eq!(world.upstream().counters().blob_gets(image.id()), 0);
        world.upstream().release();
    };
    let (answers, ()) = tokio::join!(clients, meanwhile);
    assert!(answers.iter().all(|answer| answer.status == 200));
    settle_all(&world, &image).await;
}

#[tokio::test]
async fn what_the_queue_does_not_hold_is_let_go() {
    let world = World::start().await.prefetching(1).await;
    world.upstream().set_faults([hold()]);
    for seed in 0..10 {
        pushed(&world, &format!("a{seed}"), seed, &[10; 120]);
        take_manifest(&world, &format!("a{seed}"), "x").await;
    }
    // 10 images of 121 blobs, of which 1024 wait, one may have its place and one may be in hand.
    let let_go = outcomes(&world, "full").await;
    assert!((10 * 121 - 1026..=10 * 121 - 1024).contains(&let_go), "{let_go}");
    world.upstream().release();
}

#[tokio::test]
async fn a_failing_upstream_is_left_alone_and_clients_ask_it_all_the_same() {
    let world = World::start().await.prefetching(1).await;
    let image = pushed(&world, "a", 1, &[1000, 2000]);
    world.upstream().set_faults([Fault::status(503, "UNAVAILABLE").on(Kind::BlobGet)]);
    take_manifest(&world, "a", "x").await;
    until(&world, "failed", 1).await;
    until(&world, "upstream_failing", 2).await;
    assert!(image.layers().iter().all(|layer| world.upstream().counters().blob_gets(layer.digest()) == 0));

    world.upstream().set_faults([]);
    for part in image.blobs() {
        assert_eq!(world.get(&blob("a", part.digest())).await.digest(), part.digest());
    }
    world.clock.advance(std::time::Duration::from_secs(6));
    let_it_come_to_this(&world, 1000).await;
}

#[tokio::test]
async fn what_cannot_be_kept_is_not_fetched_for_nobody() {
    let world = World::start().await.prefetching(1).await;
    let (layers, image) = (world.folder.path().join("blobs/sha256"), pushed(&world, "a", 1, &[1000, 2000]));
    // A file where a directory should be.
    let _ = std::fs::remove_dir(&layers);
    std::fs::write(&layers, "").unwrap();
    take_manifest(&world, "a", "x").await;
    until(&world, "not_stored", 1).await;
    until(&world, "store_failing", 2).await;
    assert_eq!(world.upstream().counters().of(Kind::BlobGet), 1);
    let layer = image.layers()[0].digest();
    assert_eq!(world.get(&blob("a", layer)).await.digest(), layer, "clients get their bytes all the same");

    std::fs::remove_file(&layers).unwrap();
    world.clock.advance(std::time::Duration::from_secs(61));
    let_it_come_to_this(&world, 1000).await;
}

#[tokio::test]
async fn a_client_that_joins_a_prefetch_that_fails_has_an_attempt_of_its_own() {
    let world = World::start().await.prefetching(1).await;
    let image = pushed(&world, "a", 1, &[1000]);
    let layer = image.layers()[0].digest();
    world.upstream().set_faults([
        hold().of(layer).times(1),
        Fault::status(503, "UNAVAILABLE").on(Kind::BlobGet).of(layer).times(1),
    ]);
    take_manifest(&world, "a", "x").await;
    world.upstream().wait_for(|counters| counters.blob_gets(layer) == 1).await;
    let path = blob("a", layer);
    let released = async {
        until(&world, "promoted", 1).await;
        world.upstream().release();
    };
    let (answer, ()) = tokio::join!(world.get(&path), released);
    assert_eq!((answer.status.as_u16(), answer.digest().as_str()), (200, layer));
}

#[tokio::test]
async fn a_blob_of_another_size_than_its_manifest_says_is_left_to_who_asks() {
    let world = World::start().await.prefetching(1).await;
    let image = pushed(&world, "a", 1, &[3_000_000]);
    let text = String::from_utf8(image.manifest().bytes().to_vec()).unwrap().replace("3000000", "5");
    world.upstream().push("a", "lie", &Manifest::raw(image.manifest().media_type(), text));
    take_manifest(&world, "a", "lie").await;
    until(&world, "failed", 1).await;
    world.settle(image.id()).await;
    // Whoever asks gets what has the digest.
    let layer = image.layers()[0].digest();
    assert_eq!(world.get(&blob("a", layer)).await.digest(), layer);
}

#[tokio::test]
async fn what_waited_too_long_is_let_go() {
    let world = World::start().await.prefetching(1).await;
    let image = pushed(&world, "a", 1, &[1000, 2000]);
    world.upstream().set_faults([hold().of(image.id())]);
    take_manifest(&world, "a", "x").await;
    world.upstream().wait_for(|counters| counters.blob_gets(image.id()) == 1).await;
    world.clock.advance(std::time::Duration::from_secs(301));
    world.upstream().release();
    until(&world, "late", 2).await;
    assert_eq!(world.upstream().counters().of(Kind::BlobGet), 1);
}

#[tokio::test]
async fn what_the_source_has_delivered_to_another_repository_is_left_to_who_asks() {
    let world = World::start().await.prefetching(4).await;
    let image = pushed(&world, "a", 1, &[1000, 2000]);
    world.upstream().push("b", "x", &image);
    take_manifest(&world, "a", "x").await;
    settle_all(&world, &image).await;
    take_manifest(&world, "b", "x").await;
    until(&world, "stored", 3).await;
    let counters = world.upstream().counters();
    assert_eq!((counters.of(Kind::BlobGet), counters.of(Kind::BlobHead)), (3, 0));
}

#[tokio::test]
async fn only_the_upstream_that_the_manifest_is_from_is_asked() {
    let world = World::with(vec![Config::default(), Config::default()], |_| {}).await.prefetching(4).await;
    let image = Image::builder(1).layers(&[1000]).build();
    world.upstreams[1].push("a", "x", &image);
    take_manifest(&world, "a", "x").await;
    settle_all(&world, &image).await;
    let counters = world.upstream().counters();
    assert_eq!((counters.of(Kind::BlobGet), counters.of(Kind::BlobHead)), (0, 0));
}

#[tokio::test]
async fn draining_finishes_what_is_wanted() {
    let mut world = World::start().await.prefetching(1).await;
    let image = pushed(&world, "a", 1, &[1000, 2000]);
    let first = image.layers()[0].digest().to_owned();
    world.upstream().set_faults([Fault::new(Effect::Hang { after: 500 }).on(Kind::BlobGet).of(&first)]);
    take_manifest(&world, "a", "x").await;
    world.upstream().wait_for(|counters| counters.blob_gets(&first) == 1).await;
    let wanted = world.begin(&blob("a", &first)).await;
    // Its place is free, and the next one takes it: nobody wants that.
    world.upstream().wait_for(|counters| counters.of(Kind::BlobGet) == 3).await;
    let stopping = world.begin_stop();
    world.until_refused().await;
    world.upstream().release();
    assert_eq!(digest_of(&read(wanted).await.unwrap()), first);
    stopping.await.unwrap();
    world.start_again().await;
    world.upstream().stop().await.unwrap();
    assert_eq!(world.get(&blob("a", &first)).await.digest(), first);
}

#[tokio::test]
async fn without_room_not_a_byte_is_fetched_for_nobody() {
    let world = World::start().await.without_room().await.prefetching(4).await;
    let image = pushed(&world, "a", 1, &[9_000_000]);
    let layer = image.layers()[0].digest();
    // Not a byte of it comes before somebody asks.
    world.upstream().set_faults([Fault::new(Effect::Hang { after: 0 }).on(Kind::BlobGet).of(layer).times(1)]);
    take_manifest(&world, "a", "x").await;
    until(&world, "failed", 1).await;
    world.upstream().release();
    assert_eq!(world.get(&blob("a", layer)).await.digest(), layer);
    assert_eq!(world.upstream().counters().bytes_of(layer), 9_000_000, "one download's worth");
}

#[tokio::test]
async fn a_drain_does_not_wait_for_what_nobody_wants() {
    let mut world = World::start().await.prefetching(4).await;
    let image = pushed(&world, "a", 1, &[9_000_000]);
    let layer = image.layers()[0].digest();
    world.upstream().set_faults([Fault::new(Effect::Hang { after: 5_000_000 }).on(Kind::BlobGet).of(layer)]);
    take_manifest(&world, "a", "x").await;
    world.upstream().wait_for(|counters| counters.blob_gets(layer) == 1).await;
    // It would stand still for longer than this test waits for the end of a drain.
    world.stop().await;
    // A put that was given up clears its file behind it.
    let nothing_left = async || !world.files().iter().any(|file| file.contains('#'));
    eventually("no file is left", nothing_left).await;
}

#[tokio::test]
async fn whether_an_upstream_is_well_again_is_for_a_client_to_find_out() {
    let world = World::start().await.prefetching(4).await;
    for seed in 10..20 {
        pushed(&world, "broken", seed, &[1000]);
        let other = Image::builder(seed).layers(&[1000]).build();
        world.upstream().set_faults([Fault::status(500, "UNKNOWN").on(Kind::BlobGet)]);
        world.get(&blob("broken", other.layers()[0].digest())).await;
    }
    // The pause after the faults is over, and one request may find out.
    world.upstream().set_faults([]);
    world.clock.advance(std::time::Duration::from_secs(600));
    let image = pushed(&world, "a", 1, &[2000]);
    take_manifest(&world, "a", "x").await;
    until(&world, "upstream_failing", 2).await;
    assert_eq!(world.get(&blob("a", image.layers()[0].digest())).await.digest(), image.layers()[0].digest());
}
