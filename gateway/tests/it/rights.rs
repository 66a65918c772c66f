//! Whose blob is it: stored bytes and running downloads are for those who earned the right to them.

use roadstead_loadtest::image::{Image, Manifest};
use roadstead_loadtest::registry::{self, Effect, Fault, Kind};
use roadstead_proto::domain::entry::EntryRef;
use roadstead_proto::domain::image::Reference;
use roadstead_proto::domain::registry::UpstreamId;
use roadstead_proto::domain::upstream::UpstreamSettings;
use roadstead_proto::meta::{Consistency, MetaStore as _};
use roadstead_proto::state::command::Command;

use crate::world::{World, blob, eventually, manifest, read};

fn image(seed: u64) -> Image {
    Image::builder(seed).layers(&[500_000]).build()
}

#[tokio::test]
async fn a_manifest_that_names_anothers_layer_gives_no_right_to_it() {
    // The second upstream is hostile: it serves a manifest that names a layer which only the first one has.
    let world = World::with(vec![registry::Config::default(), registry::Config::default()], |_| {}).await;
    let secret = image(1);
    world.upstreams[0].push("tenant/secret", "x", &secret);
    let layer = secret.layers()[0].digest();
    world.upstreams[1].push(
        "hostile/copy",
        "x",
        &Manifest::raw(secret.manifest().media_type(), secret.manifest().bytes().clone()),
    );

    // Stored.
    world.get(&manifest("tenant/secret", "x")).await;
    assert_eq!(world.get(&blob("tenant/secret", layer)).await.digest(), layer);
    world.settle(layer).await;
    assert_eq!(world.get(&manifest("hostile/copy", "x")).await.status.as_u16(), 200, "the manifest itself is its own");
    let stolen = world.get(&blob("hostile/copy", layer)).await;
    assert_eq!((stolen.status.as_u16(), stolen.code().as_str()), (404, "BLOB_UNKNOWN"));
}

#[tokio::test]
async fn a_running_download_is_no_more_open_than_a_stored_blob() {
    let world = World::start().await;
    let secret = image(2);
    world.upstream().push("tenant/secret", "x", &secret);
    let layer = secret.layers()[0].digest();
    world.upstream().set_faults([Fault::new(Effect::Hang { after: 100_000 }).on(Kind::BlobGet)]);
    let running = world.begin(&blob("tenant/secret", layer)).await;
    assert_eq!(world.get(&blob("other/repository", layer)).await.status.as_u16(), 404, "not in that repository");
    world.upstream().push("shares/it", "x", &secret);
    let joins = world.begin(&blob("shares/it", layer)).await;
    world.upstream().release();
    assert_eq!(read(running).await.unwrap(), read(joins).await.unwrap());
    assert_eq!(world.upstream().counters().blob_gets(layer), 1, "who has it too joins the download");
    // It keeps what it was given: its image is as good as pulled.
    let mut world = world;
    world.restart().await;
    world.upstream().stop().await.unwrap();
    assert_eq!(world.get(&blob("shares/it", layer)).await.digest(), layer);
    assert!(!world.get(&blob("other/repository", layer)).await.status.is_success());
}

#[tokio::test]
async fn stored_bytes_of_the_same_origin_cost_one_head() {
    let world = World::start().await;
    let shared = image(3);
    world.upstream().push("one", "x", &shared);
    world.upstream().push("two", "x", &shared);
    let layer = shared.layers()[0].digest();
    world.get(&blob("one", layer)).await;
    world.settle(layer).await;
    assert_eq!(world.get(&blob("three", layer)).await.status.as_u16(), 404);
    for _ in 0..2 {
        assert_eq!(world.get(&blob("two", layer)).await.digest(), layer);
    }
    let counters = world.upstream().counters();
    assert_eq!(
        (counters.blob_gets(layer), counters.of(Kind::BlobHead)),
        (1, 2),
        "one HEAD per repository, no download"
    );
}

#[tokio::test]
async fn what_was_delivered_while_one_waited_is_not_downloaded_again() {
    let world = World::start().await;
    let shared = image(12);
    world.upstream().push("one", "x", &shared);
    world.upstream().push("two", "x", &shared);
    let layer = shared.layers()[0].digest();
    let slow = Fault::latency(std::time::Duration::from_millis(1500)).on(Kind::BlobHead).times(1);
    let fails = Fault::status(503, "UNAVAILABLE").on(Kind::BlobGet).times(1);
    let held = Fault::new(Effect::Hold).on(Kind::BlobGet).times(1);
    world.upstream().set_faults([slow, held, fails]);
    let (first, second) = (blob("one", layer), blob("two", layer));
    // The second one joins a download that fails, and learns of it late.
    let others = async {
        world.upstream().wait_for(|counters| counters.of(Kind::BlobHead) == 1).await;
        world.upstream().release();
        while !world.get(&first).await.status.is_success() {}
        world.settle(layer).await;
    };
    let begins = async {
        world.upstream().wait_for(|counters| counters.of(Kind::BlobGet) == 1).await;
        world.get(&second).await
    };
    let (_, answer, ()) = tokio::join!(world.get(&first), begins, others);
    assert_eq!(answer.digest(), layer);
    assert_eq!(world.upstream().counters().bytes_of(layer), layer_size(&shared), "one download");
}

#[tokio::test]
async fn a_redirect_alone_gives_no_right() {
    // Who does not have it is sent to a page where people sign in.
    let world = World::start().await;
    let secret = image(9);
    world.upstream().push("tenant/secret", "x", &secret);
    let layer = secret.layers()[0].digest();
    world.get(&blob("tenant/secret", layer)).await;
    world.settle(layer).await;
    let gate = |kind| Fault::redirect_to("{registry}/v2/").on(kind).in_repository("no/business");
    world.upstream().set_faults([gate(Kind::BlobHead), gate(Kind::BlobGet)]);
    let answer = world.get(&blob("no/business", layer)).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (502, "UNAVAILABLE"));

    // Nor to a download under way.
    let running = image(10);
    world.upstream().push("tenant/secret", "y", &running);
    let layer = running.layers()[0].digest();
    let hang = Fault::new(Effect::Hang { after: 100_000 }).on(Kind::BlobGet).in_repository("tenant/secret");
    world.upstream().set_faults([gate(Kind::BlobHead), gate(Kind::BlobGet), hang]);
    let owner = world.begin(&blob("tenant/secret", layer)).await;
    assert_eq!(world.get(&blob("no/business", layer)).await.status.as_u16(), 502);
    world.upstream().release();
    read(owner).await.unwrap();
}

#[tokio::test]
async fn a_redirect_to_the_blob_does() {
    let redirect = Some(registry::Redirect { heads: true, ..registry::Redirect::default() });
    let world = World::with(vec![registry::Config { redirect, ..registry::Config::default() }], |_| {}).await;
    let shared = image(11);
    world.upstream().push("one", "x", &shared);
    world.upstream().push("two", "x", &shared);
    let layer = shared.layers()[0].digest();
    world.get(&blob("one", layer)).await;
    world.settle(layer).await;
    assert_eq!(world.get(&blob("two", layer)).await.digest(), layer);
    let counters = world.upstream().counters();
    assert_eq!(counters.bytes_of(layer), layer_size(&shared) + 1, "a byte of it was asked for, and no more");
    assert_eq!(counters.cdn_authorizations(), 0);
}

fn layer_size(image: &Image) -> u64 {
    image.layers()[0].size()
}

#[tokio::test]
async fn a_purged_entry_is_fetched_again() {
    let world = World::start().await;
    let image = image(4);
    world.upstream().push("a", "x", &image);
    world.get(&manifest("a", "x")).await;
    world.settle(image.digest()).await;
    let purge = |reference: &str| {
        let reference: Reference = reference.parse().unwrap();
        Command::PurgeEntry(EntryRef { upstream: UpstreamId(1), repository: "a".parse().unwrap(), reference })
    };
    let gets = world.upstream().counters().of(Kind::ManifestGet);
    world.meta.propose(purge("x")).await.unwrap();
    world.meta.propose(purge(image.digest())).await.unwrap();
    // The purge arrives by watch.
    let asked = async || {
        world.get(&manifest("a", "x")).await;
        world.upstream().counters().of(Kind::ManifestGet) > gets
    };
    eventually("a purged manifest is not served", asked).await;
}

#[tokio::test]
async fn another_url_is_another_upstream() {
    let world = World::with(vec![registry::Config::default()], |_| {}).await;
    let (old, new) = (image(5), image(6));
    world.upstream().push("a", "x", &old);
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), old.digest());
    let elsewhere = registry::Upstream::start(registry::Config::default()).await.unwrap();
    elsewhere.push("a", "x", &new);
    let settings = UpstreamSettings::new("first", elsewhere.url().parse().unwrap());
    world.meta.propose(Command::UpdateUpstream { id: UpstreamId(1), settings, if_updated_at: None }).await.unwrap();
    let moved = async || world.get(&manifest("a", "x")).await.digest() == new.digest();
    eventually("the new upstream's image is served", moved).await;
    let by_digest = world.get(&manifest("a", old.digest())).await;
    assert_eq!(by_digest.status.as_u16(), 404, "what the old address delivered is void");
}

#[tokio::test]
async fn downloads_are_counted_in_batches() {
    let mut world = World::start().await;
    let image = image(7);
    world.upstream().push("a", "x", &image);
    for _ in 0..3 {
        world.get(&manifest("a", "x")).await;
    }
    world.head(&manifest("a", "x")).await;
    world.stop().await;
    let entry = EntryRef { upstream: UpstreamId(1), repository: "a".parse().unwrap(), reference: "x".parse().unwrap() };
    let usage = world.meta.usage(&entry, Consistency::Local).await.unwrap().unwrap();
    assert_eq!(usage.downloads, 3);
}

#[tokio::test]
async fn what_is_said_to_another_repository_is_not_said_to_this_one() {
    for fault in [Fault::status(404, "BLOB_UNKNOWN"), Fault::status(503, "UNKNOWN")] {
        let world = World::start().await;
        let image = image(8);
        world.upstream().push("has/it", "x", &image);
        let layer = image.layers()[0].digest();
        let stranger = || Fault { repository: Some("nope".into()), ..fault.clone().on(Kind::BlobGet) };
        let held = Fault::new(Effect::Hold).on(Kind::BlobGet).in_repository("nope");
        world.upstream().set_faults([held, stranger()]);
        let path = blob("nope", layer);
        let strangers = world.get(&path);
        let owner = async {
            world.upstream().wait_for(|counters| counters.of(Kind::BlobGet) == 1).await;
            let path = blob("has/it", layer);
            let pull = world.get(&path);
            let release = async {
                world.upstream().wait_for(|counters| counters.of(Kind::BlobHead) == 1).await;
                world.upstream().release();
            };
            tokio::join!(pull, release).0
        };
        let (refused, served) = tokio::join!(strangers, owner);
        assert!(!refused.status.is_success());
        assert_eq!(served.digest(), layer, "{fault:?}");
    }
}

#[tokio::test]
async fn a_redirect_gives_no_right_to_a_download_that_still_asks() {
    let world = World::start().await;
    let secret = image(13);
    world.upstream().push("tenant/secret", "x", &secret);
    let layer = secret.layers()[0].digest();
    let gate = |kind| Fault::redirect_to("{registry}/v2/").on(kind).in_repository("no/business");
    let hold = Fault::new(Effect::Hold).on(Kind::BlobGet).in_repository("tenant/secret");
    world.upstream().set_faults([gate(Kind::BlobHead), gate(Kind::BlobGet), hold]);
    let (owners, strangers) = (blob("tenant/secret", layer), blob("no/business", layer));
    let stranger = async {
        world.upstream().wait_for(|counters| counters.of(Kind::BlobGet) >= 1).await;
        let release = async {
            // The page that the stranger was sent to.
            world.upstream().wait_for(|counters| counters.of(Kind::Ping) >= 1).await;
            world.upstream().release();
        };
        tokio::join!(world.get(&strangers), release).0
    };
    let (owner, stranger) = tokio::join!(world.get(&owners), stranger);
    assert_eq!((owner.digest().as_str(), stranger.status.as_u16()), (layer, 502));
}
