//! One download for any number of clients, whatever they do.

use reqwest::Method;
use roadstead_loadtest::content::digest_of;
use roadstead_loadtest::image::Image;
use roadstead_loadtest::registry::{self, Effect, Fault, Kind};

use crate::world::{World, blob, manifest, read};

fn hang(after: u64) -> Fault {
    Fault::new(Effect::Hang { after }).on(Kind::BlobGet)
}

#[tokio::test]
async fn sixty_four_clients_on_a_cold_blob_are_one_download() {
    let world = World::start().await;
    let image = Image::builder(1).layers(&[3_000_000]).build();
    world.upstream().push("a", "x", &image);
    let layer = image.layers()[0].digest();
    world.upstream().set_faults([hang(1_000_000)]);

    let mut bodies = Vec::new();
    for _ in 0..64 {
        bodies.push(world.begin(&blob("a", layer)).await);
    }
    world.upstream().release();
    let joined = bodies.iter().filter(|body| body.headers()["cache-status"] == "roadstead; fwd=uri-miss; collapsed");
    assert_eq!(joined.count(), 63);
    for body in bodies {
        assert_eq!(digest_of(&read(body).await.unwrap()), layer);
    }
    let counters = world.upstream().counters();
    assert_eq!((counters.blob_gets(layer), counters.bytes_of(layer)), (1, 3_000_000));
}

#[tokio::test]
async fn bytes_stream_while_they_arrive_and_the_end_waits_for_the_verdict() {
    let world = World::start().await;
    let image = Image::builder(2).layers(&[3_000_000]).build();
    world.upstream().push("a", "x", &image);
    let layer = &image.layers()[0];
    // All but the last byte is here: what may be the end of a wrong body is held back.
    world.upstream().set_faults([hang(2_999_999)]);
    let mut response = world.begin(&blob("a", layer.digest())).await;
    let mut seen = 0;
    while seen < 3_000_000 - 64 * 1024 {
        seen += response.chunk().await.unwrap().unwrap().len();
    }
    assert_eq!(seen, 3_000_000 - 64 * 1024);
    let range = [("range", "bytes=2900000-2900009")];
    let part = world.request(Method::GET, &blob("a", layer.digest()), &range).await;
    assert!(part.body == layer.content().read(2_900_000, 10), "a range before the end does not wait for it");
    world.upstream().release();
    while let Some(piece) = response.chunk().await.unwrap() {
        seen += piece.len();
    }
    assert_eq!(seen, 3_000_000);
}

#[tokio::test]
async fn a_client_that_leaves_costs_nothing() {
    let world = World::start().await;
    let image = Image::builder(3).layers(&[6_000_000]).build();
    world.upstream().push("a", "x", &image);
    let layer = image.layers()[0].digest();
    world.upstream().set_faults([hang(2_000_000)]);
    let mut leaving = world.begin(&blob("a", layer)).await;
    leaving.chunk().await.unwrap().unwrap();
    drop(leaving);
    let joins = world.begin(&blob("a", layer)).await;
    world.upstream().release();
    assert_eq!(digest_of(&read(joins).await.unwrap()), layer);
    world.settle(layer).await;
    assert_eq!(world.get(&blob("a", layer)).await.digest(), layer);
    let counters = world.upstream().counters();
    assert_eq!((counters.blob_gets(layer), counters.bytes_of(layer)), (1, 6_000_000));
}

#[tokio::test]
async fn the_only_client_may_leave_and_the_blob_is_stored_all_the_same() {
    let world = World::start().await;
    let image = Image::builder(4).layers(&[2_000_000]).build();
    world.upstream().push("a", "x", &image);
    let layer = image.layers()[0].digest();
    world.upstream().set_faults([hang(500_000)]);
    drop(world.begin(&blob("a", layer)).await);
    world.upstream().release();
    world.settle(layer).await;
    world.upstream().stop().await.unwrap();
    assert_eq!(world.get(&blob("a", layer)).await.digest(), layer);
}

#[tokio::test]
async fn a_slow_reader_slows_nobody() {
    let world = World::start().await;
    let image = Image::builder(5).layers(&[20_000_000]).build();
    world.upstream().push("a", "x", &image);
    let layer = image.layers()[0].digest();
    let standing_still = world.begin(&blob("a", layer)).await;
    assert_eq!(world.get(&blob("a", layer)).await.digest(), layer);
    assert_eq!(digest_of(&read(standing_still).await.unwrap()), layer);
    assert_eq!(world.upstream().counters().blob_gets(layer), 1);
}

#[tokio::test]
async fn draining_finishes_what_runs() {
    let mut world = World::start().await;
    let image = Image::builder(6).layers(&[4_000_000]).build();
    world.upstream().push("a", "x", &image);
    let layer = image.layers()[0].digest().to_owned();
    world.upstream().set_faults([hang(1_000_000)]);
    let running = world.begin(&blob("a", &layer)).await;
    let stopping = world.begin_stop();
    world.until_refused().await;
    world.upstream().release();
    assert_eq!(digest_of(&read(running).await.unwrap()), layer);
    stopping.await.unwrap();
    world.start_again().await;
    world.upstream().stop().await.unwrap();
    assert_eq!(world.get(&blob("a", &layer)).await.digest(), layer, "the download was recorded before the end");
}

#[tokio::test]
async fn many_clients_that_ask_for_a_tag_at_once_are_one_question() {
    let world = World::start().await;
    let image = Image::builder(7).layers(&[10]).build();
    world.upstream().push("a", "x", &image);
    world.upstream().set_faults([Fault::new(Effect::Hold).on(Kind::ManifestGet)]);
    let path = manifest("a", "x");
    let pulls = (0..20).map(|_| world.get(&path));
    let released = async {
        world.upstream().wait_for(|counters| counters.of(Kind::ManifestGet) == 1).await;
        world.upstream().release();
    };
    let (answers, ()) = tokio::join!(futures::future::join_all(pulls), released);
    assert!(answers.iter().all(|answer| answer.digest() == image.digest()));
    assert_eq!(world.upstream().counters().of(Kind::ManifestGet), 1);
}

#[tokio::test]
async fn an_empty_blob_and_a_blob_without_a_length() {
    let world = World::start().await;
    let image = Image::builder(8).layers(&[0, 500_000]).build();
    world.upstream().push("a", "x", &image);
    assert_eq!(world.get(&blob("a", image.layers()[0].digest())).await.digest(), image.layers()[0].digest());
    world.upstream().set_faults([Fault::new(Effect::Chunked)]);
    assert_eq!(world.get(&blob("a", image.layers()[1].digest())).await.digest(), image.layers()[1].digest());
    world.settle(image.layers()[1].digest()).await;
}

#[tokio::test]
async fn an_upstream_whose_bodies_stand_still_keeps_no_other_waiting() {
    let configs = vec![registry::Config::default(), registry::Config::default()];
    let world = World::with(configs, |_| {}).await;
    let stuck: Vec<Image> = (1000..1260).map(|seed| Image::builder(seed).layers(&[100_000]).build()).collect();
    for (n, image) in stuck.iter().enumerate() {
        world.upstreams[0].push("stuck", &format!("t{n}"), image);
    }
    let well = Image::builder(77).layers(&[100_000]).build();
    world.upstreams[1].push("well", "x", &well);
    world.get(&manifest("well", "x")).await;
    world.upstreams[0].set_faults([hang(10_000)]);
    let paths: Vec<String> = stuck.iter().map(|image| blob("stuck", image.layers()[0].digest())).collect();
    let begun = futures::future::join_all(paths.iter().map(|path| world.begin(path)));
    let (_, ()) = tokio::join!(begun, async {
        world.upstreams[0].wait_for(|counters| counters.in_flight(Kind::BlobGet) == 192).await;
        let layer = well.layers()[0].digest();
        assert_eq!(world.get(&blob("well", layer)).await.digest(), layer);
        world.upstreams[0].set_faults([]);
        world.upstreams[0].release();
    });
}
