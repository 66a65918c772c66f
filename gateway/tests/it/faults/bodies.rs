//! Bodies that break, lie or stop. The full set of faults is to come; these hold the fill protocol.

use roadstead_loadtest::image::Image;
use roadstead_loadtest::registry::{self, Effect, Fault, Kind, Redirect};

use crate::world::{World, blob, manifest, read};

#[tokio::test]
async fn a_wrong_body_never_ends_cleanly_and_is_not_stored() {
    let world = World::start().await;
    let image = Image::builder(1).layers(&[1_000_000, 1_000]).build();
    world.upstream().push("a", "x", &image);
    for layer in image.layers() {
        world.upstream().set_faults([Fault::new(Effect::Corrupt { at: 500 }).on(Kind::BlobGet)]);
        // A small body may be known to be wrong before the headers leave: then it is an error from the start.
        let response = world.begin(&blob("a", layer.digest())).await;
        let wrong = response.status().is_success() && read(response).await.is_ok();
        assert!(!wrong, "a body of {} bytes ended cleanly", layer.size());
        world.upstream().set_faults([]);
        assert_eq!(world.get(&blob("a", layer.digest())).await.digest(), layer.digest(), "nothing wrong was stored");
    }
    assert!(world.metrics().await.contains("outcome=\"corrupt\""));
}

#[tokio::test]
async fn a_large_body_is_in_one_file_from_its_first_batch_on() {
    let world = World::start().await;
    let image = Image::builder(20).layers(&[9_000_000]).build();
    world.upstream().push("a", "x", &image);
    let layer = image.layers()[0].digest();
    let hex = layer.trim_start_matches("sha256:");
    world.upstream().set_faults([Fault::new(Effect::Hang { after: 8_000_000 }).on(Kind::BlobGet)]);
    let body = world.begin(&blob("a", layer)).await;
    // What the file has by now is readable: the client gets it, and there is no second file.
    let mut begun = world.send(reqwest::Method::GET, &world.url(&blob("a", layer)), &[]).await.unwrap();
    let mut came = 0;
    while came < 7_000_000 {
        came += begun.chunk().await.unwrap().unwrap().len();
    }
    let under_way = world.files();
    assert_eq!(under_way.len(), 1, "{under_way:?}");
    assert!(under_way[0].starts_with(hex) && under_way[0].ends_with("#0"), "{under_way:?}");
    world.upstream().release();
    assert_eq!(roadstead_loadtest::content::digest_of(&read(body).await.unwrap()), layer);
    world.settle(layer).await;
    let mut stored = world.files();
    stored.sort();
    assert_eq!(stored.len(), 2, "the object and its checksums: {stored:?}");
    assert!(stored[1] == format!("{}.crc", stored[0]), "{stored:?}");
    let counters = world.upstream().counters();
    assert_eq!((counters.blob_gets(layer), world.get(&blob("a", layer)).await.digest().as_str()), (1, layer));
}

#[tokio::test]
async fn a_large_body_that_fails_leaves_no_file() {
    let late = Fault::new(Effect::Truncate { after: 7_000_000 }).on(Kind::BlobGet).times(1);
    let corrupt = Fault::new(Effect::Corrupt { at: 6_000_000 }).on(Kind::BlobGet);
    for (seed, faults) in
        [(21, vec![corrupt]), (22, vec![late, Fault::status(404, "BLOB_UNKNOWN").on(Kind::BlobGet).skip(1)])]
    {
        let mut world = World::start().await;
        let image = Image::builder(seed).layers(&[9_000_000]).build();
        world.upstream().push("a", "x", &image);
        world.upstream().set_faults(faults.clone());
        let response = world.begin(&blob("a", image.layers()[0].digest())).await;
        assert!(read(response).await.is_err(), "{faults:?}");
        // The drain waits for the download's own end.
        world.stop().await;
        assert!(world.files().is_empty(), "{faults:?}: {:?}", world.files());
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_continued_where_it_broke() {
    let world = World::start().await;
    let image = Image::builder(2).layers(&[8_000_000]).build();
    world.upstream().push("a", "x", &image);
    let layer = image.layers()[0].digest();
    let faults = [3_000_000, 1_000_000, 1].map(|after| Fault::new(Effect::Truncate { after }).on(Kind::BlobGet));
    let faults = faults.into_iter().zip(0..).map(|(fault, skip)| fault.skip(skip).times(1));
    world.upstream().set_faults(faults);
    assert_eq!(world.get(&blob("a", layer)).await.digest(), layer);
    let counters = world.upstream().counters();
    assert_eq!(counters.blob_gets(layer), 4);
    assert_eq!(counters.bytes_of(layer), 8_000_000, "what was received is not received again");
}

#[tokio::test]
async fn an_upstream_that_ignores_ranges_is_continued_too() {
    let world = World::start().await;
    let image = Image::builder(3).layers(&[2_000_000]).build();
    world.upstream().push("a", "x", &image);
    let layer = image.layers()[0].digest();
    let broken = Fault::new(Effect::Truncate { after: 900_000 }).on(Kind::BlobGet).times(1);
    world.upstream().set_faults([broken, Fault::new(Effect::IgnoreRange)]);
    assert_eq!(world.get(&blob("a", layer)).await.digest(), layer);
}

#[tokio::test]
async fn an_upstream_that_is_down_is_not_a_missing_image() {
    let world = World::start().await;
    let image = Image::builder(4).layers(&[1_000]).build();
    world.upstream().push("a", "x", &image);
    world.upstream().stop().await.unwrap();
    for path in [manifest("a", "x"), manifest("a", image.digest()), blob("a", image.layers()[0].digest())] {
        let answer = world.get(&path).await;
        assert_eq!(answer.status.as_u16(), 502, "{path}");
        assert!(!answer.header("retry-after").is_empty());
        assert!(!answer.message().contains("127.0.0.1"), "{}", answer.message());
    }
    world.upstream().resume().await.unwrap();
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), image.digest());
}

#[tokio::test]
async fn statuses_keep_their_kind() {
    let world = World::start().await;
    for (fault, status) in [
        (Fault::status(429, "TOOMANYREQUESTS"), 429),
        (Fault::status(500, "UNKNOWN"), 502),
        (Fault::bare_status(503, "later"), 502),
        (Fault::bare_status(403, "Your Authorization Token has expired"), 502),
        (Fault::status(403, "DENIED"), 404),
    ] {
        world.upstream().set_faults([fault.clone()]);
        world.clock.advance(std::time::Duration::from_secs(60));
        assert_eq!(world.get(&manifest("a", "x")).await.status.as_u16(), status, "{fault:?}");
    }
}

#[tokio::test]
async fn the_metadata_may_be_away() {
    let world = World::start().await;
    let image = Image::builder(5).layers(&[100_000]).build();
    world.upstream().push("a", "warm", &image);
    world.get(&manifest("a", "warm")).await;
    world.get(&blob("a", image.layers()[0].digest())).await;
    world.settle(image.layers()[0].digest()).await;
    let cold = Image::builder(6).layers(&[100_000]).build();
    world.upstream().push("a", "cold", &cold);
    world.meta.set_outage(true);
    assert_eq!(world.get(&manifest("a", "warm")).await.digest(), image.digest());
    assert_eq!(world.get(&manifest("a", "cold")).await.digest(), cold.digest());
    let layer = cold.layers()[0].digest();
    assert_eq!(world.get(&blob("a", layer)).await.digest(), layer, "a cold pull goes through, unrecorded");
    world.meta.set_outage(false);
    assert_eq!(world.get(&blob("a", layer)).await.digest(), layer);
    world.settle(layer).await;
}

#[tokio::test]
async fn a_manifest_that_is_not_what_its_header_says_is_refused() {
    let world = World::start().await;
    let image = Image::builder(7).layers(&[10]).build();
    world.upstream().push("a", "x", &image);
    world.upstream().set_faults([Fault::new(Effect::Corrupt { at: 10 }).on(Kind::ManifestGet)]);
    for reference in ["x", image.digest()] {
        assert_eq!(world.get(&manifest("a", reference)).await.status.as_u16(), 502, "{reference}");
    }
    world.upstream().set_faults([]);
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), image.digest());
}

#[tokio::test]
async fn a_dropped_connection_is_tried_once_more() {
    let world = World::start().await;
    let image = Image::builder(8).layers(&[10_000]).build();
    world.upstream().push("a", "x", &image);
    world.upstream().set_faults([Fault::new(Effect::Disconnect).on(Kind::BlobGet).times(1)]);
    let layer = image.layers()[0].digest();
    assert_eq!(world.get(&blob("a", layer)).await.digest(), layer);
}

#[tokio::test]
async fn what_the_redirect_target_answers_is_not_the_registrys_word() {
    for status in [401, 403, 404] {
        let redirecting = registry::Config { redirect: Some(Redirect::default()), ..registry::Config::default() };
        let world = World::with(vec![redirecting], |_| {}).await;
        let image = Image::builder(9).layers(&[10_000]).build();
        world.upstream().push("a", "x", &image);
        let layer = image.layers()[0].digest();
        world.upstream().set_faults([Fault::bare_status(status, "expired").on(Kind::CdnGet).times(1)]);
        assert_eq!(world.get(&blob("a", layer)).await.digest(), layer, "an expired link is resolved anew: {status}");
        let other = Image::builder(10).layers(&[10_000]).build();
        world.upstream().push("a", "y", &other);
        world.upstream().set_faults([Fault::bare_status(status, "broken").on(Kind::CdnGet)]);
        let layer = other.layers()[0].digest();
        assert_eq!(world.get(&blob("a", layer)).await.status.as_u16(), 502, "a fault, not an absent blob: {status}");
        world.upstream().set_faults([]);
        assert_eq!(world.get(&blob("a", layer)).await.digest(), layer, "and nothing of it is remembered: {status}");
    }
}
