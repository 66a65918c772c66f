//! Tags over time: the rows of the table in architecture §5, each by its name. "Soon to expire" has a file of its own, `ahead`;
//! "nothing cached" is in `apart`.

use std::time::{Duration, Instant};

use roadstead_loadtest::image::Image;
use roadstead_loadtest::registry::{self, Effect, Fault, Kind};
use roadstead_proto::domain::registry::UpstreamId;
use roadstead_proto::domain::upstream::OnNotFound;

use crate::world::{World, blob, eventually, manifest};

const VALIDITY: Duration = Duration::from_secs(24 * 3600);

async fn pulled(world: &World, image: &Image) {
    world.upstream().push("a", "x", image);
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), image.digest());
    world.tag_recorded("a", "x").await;
}

#[tokio::test]
async fn row_digest_addressed_content_is_never_stale_and_never_revalidated() {
    let mut world = World::start().await;
    let image = Image::builder(20).layers(&[10]).build();
    pulled(&world, &image).await;
    let layer = image.layers()[0].digest();
    world.get(&blob("a", layer)).await;
    world.settle(layer).await;
    let asked = world.upstream().counters().total();
    for _ in 0..2 {
        world.clock.advance(VALIDITY * 500);
        for path in [manifest("a", image.digest()), blob("a", layer)] {
            let answer = world.get(&path).await;
            assert_eq!((answer.header("cache-status"), answer.header("age")), ("roadstead; hit", ""), "{path}");
        }
        world.restart().await;
    }
    assert_eq!(world.upstream().counters().total(), asked);
}

#[tokio::test]
async fn row_tag_fresh_makes_no_upstream_contact() {
    let mut world = World::start().await;
    let image = Image::builder(21).layers(&[10]).build();
    pulled(&world, &image).await;
    world.clock.advance(Duration::from_secs(100));
    let asked = world.upstream().counters().total();
    for _ in 0..2 {
        let answer = world.get(&manifest("a", "x")).await;
        assert_eq!((answer.header("cache-status"), answer.digest().as_str()), ("roadstead; hit", image.digest()));
        assert_eq!(answer.header("age"), "100", "seconds since the upstream confirmed it");
        world.restart().await;
    }
    assert_eq!(world.upstream().counters().total(), asked);
}

#[tokio::test]
async fn row_tag_expired_with_the_same_digest_is_extended_by_head_alone() {
    let world = World::start().await;
    let image = Image::builder(1).layers(&[10]).build();
    world.upstream().push("a", "x", &image);
    let first = world.get(&manifest("a", "x")).await;
    assert_eq!(first.header("age"), "", "what has just come has no age");
    world.tag_recorded("a", "x").await;
    world.clock.advance(VALIDITY);
    let answer = world.get(&manifest("a", "x")).await;
    assert_eq!(answer.header("cache-status"), "roadstead; fwd=stale; fwd-status=200; detail=revalidated");
    assert_eq!((answer.digest().as_str(), answer.header("age")), (image.digest(), "0"));
    let counters = world.upstream().counters();
    assert_eq!((counters.of(Kind::ManifestGet), counters.of(Kind::ManifestHead)), (1, 1));
    assert_eq!(world.get(&manifest("a", "x")).await.header("cache-status"), "roadstead; hit", "validity is extended");
    assert_eq!(world.upstream().counters().of(Kind::ManifestHead), 1);
}

#[tokio::test]
async fn row_tag_expired_with_a_new_digest_is_swapped_in_one_step() {
    let world = World::start().await;
    let (old, new) = (Image::builder(2).layers(&[10]).build(), Image::builder(3).layers(&[10]).build());
    pulled(&world, &old).await;
    world.upstream().push("a", "x", &new);
    world.clock.advance(VALIDITY);
    // The new manifest is on its way while many ask: what each of them gets is one image, and the new one.
    world.upstream().set_faults([Fault::new(Effect::Hold).on(Kind::ManifestGet)]);
    let path = manifest("a", "x");
    let pulls = futures::future::join_all((0..20).map(|_| world.get(&path)));
    let release = async {
        world.upstream().wait_for(|counters| counters.of(Kind::ManifestGet) == 2).await;
        world.upstream().set_faults([]);
        world.upstream().release();
    };
    for answer in tokio::join!(pulls, release).0 {
        assert_eq!((answer.header("docker-content-digest"), answer.digest().as_str()), (new.digest(), new.digest()));
    }
    let counters = world.upstream().counters();
    assert_eq!((counters.of(Kind::ManifestGet), counters.of(Kind::ManifestHead)), (2, 1));
}

#[tokio::test]
async fn row_tag_expired_and_the_upstream_fails_is_the_stale_copy_for_seven_days() {
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
        (Fault::bare_status(401, "who are you"), "unauthorized"),
        (Fault::bare_status(403, "blocked"), "forbidden"),
        (Fault::new(Effect::Disconnect), "connection"),
        (Fault::new(Effect::Hold), "timeout"),
    ] {
        world.upstream().set_faults([fault]);
        let answer = world.get(&manifest("a", "x")).await;
        assert_eq!(
            (answer.digest().as_str(), answer.header("age")),
            (image.digest(), &*age.as_secs().to_string()),
            "{reason}"
        );
        let past = (age - VALIDITY).as_secs();
        let sign = if past == 0 { "" } else { "-" };
        assert_eq!(answer.header("cache-status"), format!("roadstead; hit; ttl={sign}{past}; detail={reason}"));
        assert!(world.counted("roadstead_stale_answers_total", &format!("reason=\"{reason}\"")).await, "{reason}");
        world.clock.advance(Duration::from_secs(60));
        age += Duration::from_secs(60);
    }
    world.upstream().stop().await.unwrap();
    world.clock.advance(Duration::from_secs(7 * 24 * 3600));
    assert_eq!(world.get(&manifest("a", "x")).await.status.as_u16(), 502, "stale for a week, not for ever");
    assert_eq!(world.get(&manifest("a", image.digest())).await.digest(), image.digest());
    assert_eq!(world.get(&blob("a", image.layers()[0].digest())).await.status.as_u16(), 200);
}

/// With the time-outs of production: a higher upstream that answers late, and below it one whose token endpoint hangs.
#[tokio::test]
async fn row_tag_expired_and_the_upstream_slow_is_decided_within_two_seconds_of_the_whole_walk() {
    let mut configs = vec![registry::Config::default(); 3];
    configs[1].auth = registry::Auth::Token(registry::TokenAuth { expires_in: Some(60), ..Default::default() });
    let world = World::with(configs, |_| {}).await;
    let image = Image::builder(22).layers(&[10]).build();
    world.upstreams[1].push("a", "x", &image);
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), image.digest());
    world.tag_recorded_at(UpstreamId(2), "a", "x").await;
    world.clock.advance(VALIDITY);
    world.upstreams[0].set_faults([Fault::latency(Duration::from_millis(1200))]);
    world.upstreams[1].set_faults([Fault::new(Effect::Hold).on(Kind::Token)]);
    let pull = async || {
        let began = Instant::now();
        let answer = world.get(&manifest("a", "x")).await;
        assert_eq!(answer.header("cache-status"), "roadstead; hit; ttl=0; detail=timeout");
        assert_eq!(answer.digest(), image.digest());
        began.elapsed()
    };
    let first = pull().await;
    assert!((1900..3000).contains(&first.as_millis()), "{first:?}");
    assert!(pull().await < Duration::from_secs(1), "the next one does not wait for the same");
    // The walk went on behind: what is slow, and not away, is heard in the end.
    world.upstreams[1].wait_for(|counters| counters.of(Kind::Token) == 2).await;
    world.upstreams[1].set_faults([]);
    world.upstreams[1].release();
    world.tag_recorded_at(UpstreamId(2), "a", "x").await;
    eventually("it is fresh again", async || {
        world.get(&manifest("a", "x")).await.header("cache-status") == "roadstead; hit"
    })
    .await;
    assert_eq!(world.upstreams[2].counters().total(), 0);
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
async fn row_tag_expired_and_the_upstream_says_404_is_stale_for_a_day() {
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
    // The event, and one question for a burst.
    assert!(world.counted("roadstead_stale_answers_total", "reason=\"not-found\"").await);
    for _ in 0..5 {
        assert_eq!(world.get(&manifest("a", "x")).await.digest(), image.digest());
    }
    assert_eq!(world.upstream().counters().of(Kind::ManifestHead), 1);
    world.clock.advance(Duration::from_secs(23 * 3600));
    assert_eq!(world.get(&manifest("a", "x")).await.status.as_u16(), 200);
    world.clock.advance(Duration::from_secs(2 * 3600));
    assert_eq!(world.get(&manifest("a", "x")).await.status.as_u16(), 404);
}

#[tokio::test]
async fn row_tag_expired_and_the_upstream_says_404_may_be_gone_at_once() {
    let world =
        World::with(vec![registry::Config::default()], |settings| settings[0].on_not_found = OnNotFound::Gone).await;
    let image = Image::builder(7).layers(&[10]).build();
    pulled(&world, &image).await;
    world.upstream().remove("a", "x");
    world.clock.advance(VALIDITY);
    assert_eq!(world.get(&manifest("a", "x")).await.status.as_u16(), 404);
}

#[tokio::test]
async fn a_tag_that_is_back_is_a_tag_again() {
    let mut world = World::start().await;
    let image = Image::builder(23).layers(&[10]).build();
    pulled(&world, &image).await;
    world.upstream().remove("a", "x");
    world.clock.advance(VALIDITY);
    world.get(&manifest("a", "x")).await;
    world.tag_recorded("a", "x").await;
    world.restart().await;
    world.upstream().push("a", "x", &image);
    assert_eq!(
        world.get(&manifest("a", "x")).await.header("cache-status"),
        "roadstead; fwd=stale; fwd-status=200; detail=revalidated"
    );
    assert_eq!(world.get(&manifest("a", "x")).await.header("cache-status"), "roadstead; hit");
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
    world.upstream().set_faults([Fault::new(Effect::OmitDigest)]);
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), image.digest());
    assert_eq!(world.upstream().counters().of(Kind::ManifestGet), 3);
}

#[tokio::test]
async fn what_is_gone_does_not_come_back_in_an_outage() {
    let world =
        World::with(vec![registry::Config::default()], |settings| settings[0].on_not_found = OnNotFound::Gone).await;
    let image = Image::builder(61).layers(&[10]).build();
    world.upstream().push("a", "x", &image);
    world.get(&manifest("a", "x")).await;
    world.tag_recorded("a", "x").await;
    world.upstream().remove("a", "x");
    world.clock.advance(Duration::from_secs(25 * 3600));
    assert_eq!(world.get(&manifest("a", "x")).await.status.as_u16(), 404);
    world.tag_recorded("a", "x").await;
    world.clock.advance(Duration::from_secs(60));
    world.upstream().set_faults([Fault::status(500, "UNKNOWN")]);
    assert_eq!(world.get(&manifest("a", "x")).await.status.as_u16(), 502);
}
