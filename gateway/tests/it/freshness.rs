//! Tags over time (architecture §5).

use std::time::Duration;

use roadstead_loadtest::image::Image;
use roadstead_loadtest::registry::{self, Fault, Kind};
use roadstead_proto::domain::upstream::OnNotFound;

use crate::world::{World, blob, manifest};

const VALIDITY: Duration = Duration::from_secs(24 * 3600);

async fn pulled(world: &World, image: &Image) {
    world.upstream().push("a", "x", image);
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), image.digest());
    world.tag_recorded("a", "x").await;
}

#[tokio::test]
async fn a_tag_that_still_names_the_same_is_revalidated_by_head_alone() {
    let world = World::start().await;
    let image = Image::builder(1).layers(&[10]).build();
    pulled(&world, &image).await;
    world.clock.advance(VALIDITY);
    let answer = world.get(&manifest("a", "x")).await;
    assert_eq!(answer.header("cache-status"), "roadstead; fwd=stale; fwd-status=200; detail=revalidated");
    assert_eq!(answer.digest(), image.digest());
    let counters = world.upstream().counters();
    assert_eq!((counters.of(Kind::ManifestGet), counters.of(Kind::ManifestHead)), (1, 1));
    assert_eq!(world.get(&manifest("a", "x")).await.header("cache-status"), "roadstead; hit", "validity is extended");
    assert_eq!(world.upstream().counters().of(Kind::ManifestHead), 1);
}

#[tokio::test]
async fn a_tag_that_moved_comes_with_its_new_body() {
    let world = World::start().await;
    let (old, new) = (Image::builder(2).layers(&[10]).build(), Image::builder(3).layers(&[10]).build());
    pulled(&world, &old).await;
    world.upstream().push("a", "x", &new);
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), old.digest(), "fresh");
    world.clock.advance(VALIDITY);
    let answer = world.get(&manifest("a", "x")).await;
    assert_eq!((answer.header("docker-content-digest"), answer.digest().as_str()), (new.digest(), new.digest()));
    assert_eq!(world.get(&manifest("a", old.digest())).await.digest(), old.digest(), "by digest nothing goes stale");
}

#[tokio::test]
async fn an_upstream_that_fails_does_not_take_a_cached_image_away() {
    let world = World::start().await;
    let image = Image::builder(4).layers(&[10]).build();
    pulled(&world, &image).await;
    world.get(&blob("a", image.layers()[0].digest())).await;
    world.settle(image.layers()[0].digest()).await;
    let mut age = VALIDITY;
    world.clock.advance(VALIDITY);
    for (fault, reason) in [
        (Fault::status(500, "UNKNOWN"), "server_error"),
        (Fault::status(429, "TOOMANYREQUESTS"), "rate_limited"),
        (Fault::new(roadstead_loadtest::registry::Effect::Disconnect), "connection"),
        (Fault::new(roadstead_loadtest::registry::Effect::Hold), "timeout"),
    ] {
        world.upstream().set_faults([fault]);
        let began = std::time::Instant::now();
        let answer = world.get(&manifest("a", "x")).await;
        assert_eq!(answer.digest(), image.digest(), "{reason}");
        let past = (age - VALIDITY).as_secs();
        let sign = if past == 0 { "" } else { "-" };
        assert_eq!(answer.header("cache-status"), format!("roadstead; hit; ttl={sign}{past}; detail={reason}"));
        assert!(began.elapsed() < Duration::from_secs(10), "decided while a client waits");
        world.upstream().release();
        world.clock.advance(Duration::from_secs(60));
        age += Duration::from_secs(60);
    }
    world.upstream().stop().await.unwrap();
    world.clock.advance(Duration::from_secs(7 * 24 * 3600));
    assert_eq!(world.get(&manifest("a", "x")).await.status.as_u16(), 502, "stale for a week, not for ever");
    assert_eq!(world.get(&manifest("a", image.digest())).await.digest(), image.digest());
    assert_eq!(world.get(&blob("a", image.layers()[0].digest())).await.status.as_u16(), 200);
}

#[tokio::test]
async fn a_dead_upstream_costs_one_wait_and_not_one_per_pull() {
    let world = World::start().await;
    let image = Image::builder(5).layers(&[10]).build();
    pulled(&world, &image).await;
    world.clock.advance(VALIDITY);
    world.upstream().set_faults([Fault::status(500, "UNKNOWN")]);
    for _ in 0..5 {
        assert_eq!(world.get(&manifest("a", "x")).await.digest(), image.digest());
    }
    assert_eq!(world.upstream().counters().of(Kind::ManifestHead), 1);
}

#[tokio::test]
async fn a_vanished_tag_is_served_for_a_day() {
    let world = World::start().await;
    let image = Image::builder(6).layers(&[10]).build();
    pulled(&world, &image).await;
    world.upstream().remove("a", "x");
    world.clock.advance(VALIDITY);
    let answer = world.get(&manifest("a", "x")).await;
    assert_eq!(
        (answer.digest().as_str(), answer.header("cache-status")),
        (image.digest(), "roadstead; hit; ttl=0; detail=not-found")
    );
    world.clock.advance(Duration::from_secs(23 * 3600));
    assert_eq!(world.get(&manifest("a", "x")).await.status.as_u16(), 200);
    world.clock.advance(Duration::from_secs(2 * 3600));
    assert_eq!(world.get(&manifest("a", "x")).await.status.as_u16(), 404);
}

#[tokio::test]
async fn a_vanished_tag_may_be_gone_at_once() {
    let world =
        World::with(vec![registry::Config::default()], |settings| settings[0].on_not_found = OnNotFound::Gone).await;
    let image = Image::builder(7).layers(&[10]).build();
    pulled(&world, &image).await;
    world.upstream().remove("a", "x");
    world.clock.advance(VALIDITY);
    assert_eq!(world.get(&manifest("a", "x")).await.status.as_u16(), 404);
}

#[tokio::test]
async fn validity_zero_never_asks_again() {
    let world = World::with(vec![registry::Config::default()], |settings| settings[0].validity = Duration::ZERO).await;
    let image = Image::builder(8).layers(&[10]).build();
    pulled(&world, &image).await;
    world.clock.advance(Duration::from_secs(400 * 24 * 3600));
    assert_eq!(world.get(&manifest("a", "x")).await.header("cache-status"), "roadstead; hit");
}

#[tokio::test]
async fn head_may_be_refused_and_digests_may_be_missing() {
    let world = World::start().await;
    let image = Image::builder(9).layers(&[10]).build();
    pulled(&world, &image).await;
    world.clock.advance(VALIDITY);
    world.upstream().set_faults([Fault::refuse_head()]);
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), image.digest());
    world.tag_recorded("a", "x").await;
    world.clock.advance(VALIDITY);
    world.upstream().set_faults([Fault::new(roadstead_loadtest::registry::Effect::OmitDigest)]);
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), image.digest());
    assert_eq!(world.upstream().counters().of(Kind::ManifestGet), 3);
}
