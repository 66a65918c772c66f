//! The rate budget: HEAD before GET, validity that stretches, and an upstream that is left alone after faults.

use std::time::Duration;

use roadstead_gateway::config::Timeouts;
use roadstead_loadtest::image::Image;
use roadstead_loadtest::registry::{Config, Effect, Fault, Kind};

use crate::world::{World, blob, eventually, manifest, read};

const VALIDITY: Duration = Duration::from_secs(24 * 3600);

fn image(seed: u64) -> Image {
    Image::builder(seed).layers(&[100_000]).build()
}

async fn pulled(world: &World, tag: &str, image: &Image) {
    world.upstream().push("a", tag, image);
    assert_eq!(world.get(&manifest("a", tag)).await.digest(), image.digest());
    world.tag_recorded("a", tag).await;
}

/// Docker Hub's headers.
fn left(remaining: u64) -> Vec<Fault> {
    let value = format!("{remaining};w=21600");
    vec![
        Fault::header("ratelimit-limit", "100;w=21600").on_manifests(),
        Fault::header("ratelimit-remaining", &value).on_manifests(),
        Fault::header("docker-ratelimit-source", "203.0.113.7").on_manifests(),
    ]
}

fn limited(retry_after: &str) -> Vec<Fault> {
    vec![Fault::status(429, "TOOMANYREQUESTS"), Fault::header("retry-after", retry_after)]
}

#[tokio::test]
async fn a_head_is_spent_before_a_get_also_for_another_tag_of_what_is_here() {
    let mut world = World::start().await;
    let (one, two) = (image(1), image(2));
    pulled(&world, "1.0", &one).await;
    pulled(&world, "2.0", &two).await;
    let gets = |world: &World| world.upstream().counters().of(Kind::ManifestGet);
    assert_eq!(gets(&world), 2);
    // A tag that is new to us.
    world.upstream().retag("a", "latest", one.digest());
    let answer = world.get(&manifest("a", "latest")).await;
    assert_eq!((answer.header("docker-content-digest"), answer.digest().as_str()), (one.digest(), one.digest()));
    assert_eq!(answer.header("cache-status"), "roadstead; fwd=uri-miss; fwd-status=200; detail=known_digest");
    world.tag_recorded("a", "latest").await;
    // The same tag, moved to another of ours.
    world.upstream().retag("a", "latest", two.digest());
    world.clock.advance(VALIDITY);
    assert_eq!(world.get(&manifest("a", "latest")).await.digest(), two.digest());
    world.tag_recorded("a", "latest").await;
    // It is recorded like any other.
    world.restart().await;
    let again = world.get(&manifest("a", "latest")).await;
    assert_eq!((again.header("cache-status"), again.digest().as_str()), ("roadstead; hit", two.digest()));
    assert_eq!(gets(&world), 2);
}

#[tokio::test]
async fn validity_stretches_as_the_budget_shrinks() {
    let world = World::start().await;
    let image = image(3);
    pulled(&world, "x", &image).await;
    // Another pull tells what is left: 5 of 100 make a day 3.4 days.
    world.clock.advance(VALIDITY * 3);
    world.upstream().set_faults(left(5));
    world.upstream().push("b", "cold", &Image::builder(4).build());
    world.get(&manifest("b", "cold")).await;
    let answer = world.get(&manifest("a", "x")).await;
    assert_eq!(
        (answer.header("cache-status"), answer.digest().as_str()),
        ("roadstead; hit; detail=rate_budget", image.digest())
    );
    assert_eq!(answer.header("age"), (VALIDITY * 3).as_secs().to_string());
    assert_eq!(world.upstream().counters().of(Kind::ManifestHead), 0);
    for gauge in ["roadstead_upstream_rate_limit", "roadstead_upstream_rate_remaining"] {
        assert!(world.counted(gauge, "upstream=\"1\"").await, "{gauge}");
    }
    // The window that the reading is from ends.
    world.clock.advance(Duration::from_secs(6 * 3600));
    assert_eq!(
        world.get(&manifest("a", "x")).await.header("cache-status"),
        "roadstead; fwd=stale; fwd-status=200; detail=revalidated"
    );
}

#[tokio::test]
async fn a_budget_that_is_used_up_leaves_tags_valid_until_its_window_ends() {
    let world = World::start().await;
    pulled(&world, "x", &image(5)).await;
    world.clock.advance(VALIDITY * 6);
    world.upstream().set_faults(left(0));
    world.get(&manifest("b", "cold")).await;
    world.clock.advance(Duration::from_secs(6 * 3600 - 1));
    assert_eq!(world.get(&manifest("a", "x")).await.header("cache-status"), "roadstead; hit; detail=rate_budget");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(
        world.get(&manifest("a", "x")).await.header("cache-status"),
        "roadstead; fwd=stale; fwd-status=200; detail=revalidated"
    );
}

#[tokio::test]
async fn after_a_429_the_upstream_is_left_alone_for_as_long_as_it_says() {
    // Seconds, a date (the clock stands at 00:16:40), and on 503 too, once that is in a row.
    for retry_after in ["30", "Thu, 01 Jan 1970 00:17:10 GMT"] {
        let world = World::start().await;
        let image = image(6);
        world.upstream().push("a", "x", &image);
        world.upstream().set_faults(limited(retry_after));
        for path in [manifest("a", "x"), manifest("a", "y"), manifest("b", image.digest()), "c/tags/list".to_owned()] {
            let refused = world.get(&path).await;
            assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "30"), "{path}");
            assert_eq!(refused.code(), "TOOMANYREQUESTS");
        }
        world.clock.advance(Duration::from_secs(12));
        assert_eq!(world.get(&manifest("a", "z")).await.header("retry-after"), "18");
        assert_eq!(world.upstream().counters().total(), 1, "one question, and no more");
        assert!(world.counted("roadstead_upstream_breaker", "circuit=\"manifests\"").await);
        assert!(world.counted("roadstead_upstream_left_alone_total", "reason=\"breaker_rate_limited\"").await);
        world.upstream().set_faults([]);
        world.clock.advance(Duration::from_secs(18));
        assert_eq!(world.get(&manifest("a", "x")).await.digest(), image.digest());
    }
}

#[tokio::test]
async fn while_it_is_left_alone_stale_copies_are_served_and_say_so() {
    let world = World::start().await;
    let (image, cold) = (image(7), image(8));
    pulled(&world, "x", &image).await;
    world.upstream().push("a", "cold", &cold);
    world.clock.advance(VALIDITY);
    world.upstream().set_faults(limited("60"));
    assert_eq!(world.get(&manifest("a", "cold")).await.status.as_u16(), 429);
    let asked = world.upstream().counters().total();
    let answer = world.get(&manifest("a", "x")).await;
    assert_eq!((answer.status.as_u16(), answer.digest().as_str()), (200, image.digest()));
    assert_eq!(answer.header("cache-status"), "roadstead; hit; ttl=0; detail=breaker_rate_limited");
    assert_eq!(world.upstream().counters().total(), asked);
    assert!(world.counted("roadstead_stale_answers_total", "reason=\"breaker_rate_limited\"").await);
}

#[tokio::test]
async fn faults_in_a_row_leave_it_alone_and_one_probe_finds_out() {
    let world = World::start().await;
    let image = image(9);
    world.upstream().push("a", "x", &image);
    world.upstream().set_faults([Fault::status(500, "UNKNOWN")]);
    for number in 0..5 {
        assert_eq!(world.get(&manifest("a", &format!("v{number}"))).await.status.as_u16(), 502);
    }
    let refused = world.get(&manifest("a", "x")).await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (502, "5"));
    assert_eq!(world.upstream().counters().total(), 5);

    world.clock.advance(Duration::from_secs(5));
    world.upstream().set_faults([Fault::new(Effect::Hold).on(Kind::ManifestGet)]);
    let path = manifest("a", "x");
    let others = async {
        world.upstream().wait_for(|counters| counters.total() == 6).await;
        for number in 0..5 {
            let refused = world.get(&manifest("a", &format!("v{number}"))).await;
            assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (502, "1"), "one asks for all");
        }
        world.upstream().set_faults([]);
        world.upstream().release();
    };
    let (probe, ()) = tokio::join!(world.get(&path), others);
    assert_eq!(probe.digest(), image.digest());
    assert_eq!(world.get(&manifest("a", "v0")).await.status.as_u16(), 404, "closed again");
}

#[tokio::test]
async fn what_is_not_there_and_what_is_slow_is_no_outage() {
    let timeouts = Timeouts { answer: Duration::from_millis(1200), ..Timeouts::default() };
    let world = World::tuned(vec![Config::default()], timeouts, |_| {}).await;
    let (image, slow) = (image(10), image(11));
    world.upstream().push("a", "x", &image);
    world.upstream().push("a", "slow", &slow);
    for number in 0..20 {
        assert_eq!(world.get(&manifest("a", &format!("v{number}"))).await.status.as_u16(), 404);
    }
    let layer = slow.layers()[0].digest();
    world.upstream().set_faults([Fault::new(Effect::Hold).of(layer)]);
    for _ in 0..7 {
        assert_eq!(world.get(&blob("a", layer)).await.status.as_u16(), 504);
    }
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), image.digest());
    let other = image.layers()[0].digest();
    assert_eq!(world.get(&blob("a", other)).await.digest(), other, "nor for other blobs");
    assert!(!world.counted("roadstead_upstream_left_alone_total", "").await);
}

#[tokio::test]
async fn blobs_that_fail_block_no_manifest_and_the_other_way_round() {
    let world = World::start().await;
    let images: Vec<Image> = (20..27).map(image).collect();
    for (number, image) in images.iter().enumerate() {
        world.upstream().push("a", &format!("v{number}"), image);
    }
    world.upstream().set_faults([Fault::status(503, "UNAVAILABLE").on(Kind::BlobGet)]);
    for image in &images {
        assert_eq!(world.get(&blob("a", image.layers()[0].digest())).await.status.as_u16(), 502);
    }
    assert_eq!(world.upstream().counters().of(Kind::BlobGet), 5, "left alone after five");
    assert_eq!(world.get(&manifest("a", "v0")).await.digest(), images[0].digest());

    world.clock.advance(Duration::from_secs(60));
    world.upstream().set_faults([Fault::status(429, "TOOMANYREQUESTS").on_manifests()]);
    assert_eq!(world.get(&manifest("a", "v1")).await.status.as_u16(), 429);
    let layer = images[0].layers()[0].digest();
    assert_eq!(world.get(&blob("a", layer)).await.digest(), layer);
}

#[tokio::test]
async fn a_running_download_goes_on_while_new_ones_are_refused() {
    let world = World::start().await;
    let (large, small) = (Image::builder(30).layers(&[2_000_000]).build(), image(31));
    world.upstream().push("a", "large", &large);
    world.upstream().push("a", "small", &small);
    let (running, refused) = (large.layers()[0].digest(), small.layers()[0].digest());
    let hang = Fault::new(Effect::Hang { after: 1_000_000 }).of(running).times(1);
    world.upstream().set_faults([hang, Fault::status(429, "TOOMANYREQUESTS").of(refused)]);
    let body = world.begin(&blob("a", running)).await;
    assert_eq!(world.get(&blob("a", refused)).await.status.as_u16(), 429);
    assert_eq!(world.get(&blob("a", refused)).await.status.as_u16(), 429);
    assert_eq!(world.upstream().counters().blob_gets(refused), 1, "left alone");
    // The connection of the running one breaks, and its rest is asked for.
    world.upstream().stop().await.unwrap();
    world.upstream().resume().await.unwrap();
    assert_eq!(roadstead_loadtest::content::digest_of(&read(body).await.unwrap()), running);
    world.upstream().set_faults([]);
    let open = async || world.get(&blob("a", refused)).await.status.as_u16() == 200;
    eventually("its answer has shown that the upstream is there", open).await;
}

#[tokio::test]
async fn bodies_that_stand_still_are_no_answers() {
    let timeouts = Timeouts { answer: Duration::from_millis(300), ..Timeouts::default() };
    let world = World::tuned(vec![Config::default()], timeouts, |_| {}).await;
    for n in 0..12 {
        world.upstream().push("a", &format!("t{n}"), &Image::builder(200 + n).layers(&[10]).build());
    }
    world.upstream().set_faults([Fault::new(Effect::Hang { after: 10 }).on(Kind::ManifestGet)]);
    for n in 0..12 {
        assert!(!world.get(&manifest("a", &format!("t{n}"))).await.status.is_success());
    }
    let gets = world.upstream().counters().of(Kind::ManifestGet);
    assert!(gets <= 6, "asked {gets} times");
}
