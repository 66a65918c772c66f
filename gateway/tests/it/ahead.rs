//! "Soon to expire and in use: refreshed in the background, jittered, one check per tag per window per cluster."

use std::time::Duration;

use reqwest::Method;
use roadstead_loadtest::image::Image;
use roadstead_loadtest::registry::{Config, Effect, Fault, Kind};
use roadstead_proto::domain::upstream::OnNotFound;

use crate::world::{World, eventually, manifest};

const VALIDITY: Duration = Duration::from_secs(24 * 3600);
/// Past the moment of every gateway, and before the end.
const SOON_OVER: Duration = Duration::from_secs(24 * 3600 * 99 / 100);

fn image(seed: u64) -> Image {
    Image::builder(seed).layers(&[10]).build()
}

async fn pulled(world: &World, image: &Image) {
    world.upstream().push("a", "x", image);
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), image.digest());
    world.tag_recorded("a", "x").await;
}

#[tokio::test]
async fn row_soon_to_expire_is_checked_by_head_behind_a_hit_and_validity_begins_anew() {
    let world = World::start().await;
    let image = image(1);
    pulled(&world, &image).await;
    world.clock.advance(VALIDITY * 89 / 100);
    assert_eq!(world.get(&manifest("a", "x")).await.header("cache-status"), "roadstead; hit");
    assert_eq!(world.upstream().counters().of(Kind::ManifestHead), 0, "it is not time yet");

    world.clock.advance(SOON_OVER - VALIDITY * 89 / 100);
    world.upstream().set_faults([Fault::new(Effect::Hold).on(Kind::ManifestHead)]);
    for _ in 0..5 {
        // The upstream holds its answer, and no client waits for it.
        assert_eq!(world.get(&manifest("a", "x")).await.header("cache-status"), "roadstead; hit");
    }
    world.upstream().wait_for(|counters| counters.of(Kind::ManifestHead) == 1).await;
    world.upstream().set_faults([]);
    world.upstream().release();
    world.tag_recorded("a", "x").await;
    eventually("the age begins anew", async || world.get(&manifest("a", "x")).await.header("age") == "0").await;

    world.clock.advance(VALIDITY / 2);
    let later = world.get(&manifest("a", "x")).await;
    assert_eq!((later.header("cache-status"), later.digest().as_str()), ("roadstead; hit", image.digest()));
    let counters = world.upstream().counters();
    assert_eq!((counters.of(Kind::ManifestGet), counters.of(Kind::ManifestHead)), (1, 1));
    assert!(world.counted("roadstead_refreshes_total", "outcome=\"same\"").await);
}

#[tokio::test]
async fn row_soon_to_expire_a_new_digest_is_fetched_and_swapped_in_one_step() {
    let world = World::start().await;
    let (old, new) = (image(2), image(3));
    pulled(&world, &old).await;
    world.upstream().push("a", "x", &new);
    world.clock.advance(SOON_OVER);
    let swapped = async || {
        let answer = world.get(&manifest("a", "x")).await;
        assert_eq!(answer.header("cache-status"), "roadstead; hit", "nobody waits");
        assert_eq!(answer.header("docker-content-digest"), answer.digest(), "never new digest with old bytes");
        answer.digest() == new.digest()
    };
    eventually("the new image is served, before the validity of the old one ended", swapped).await;
    let counters = world.upstream().counters();
    assert_eq!((counters.of(Kind::ManifestGet), counters.of(Kind::ManifestHead)), (2, 1));
}

#[tokio::test]
async fn row_soon_to_expire_is_one_check_per_window_per_cluster() {
    let world = World::start().await;
    let image = image(4);
    pulled(&world, &image).await;
    let second = world.second_gateway().await;
    let (ours, theirs) = (world.url(&manifest("a", "x")), second.url(&manifest("a", "x")));
    let ages = async || {
        let (ours, theirs) = tokio::join!(world.get_url(&ours), world.get_url(&theirs));
        for answer in [&ours, &theirs] {
            assert_eq!((answer.header("cache-status"), answer.digest().as_str()), ("roadstead; hit", image.digest()));
        }
        (ours.header("age").to_owned(), theirs.header("age").to_owned())
    };
    ages().await;
    for window in 1..=3 {
        world.clock.advance(SOON_OVER);
        eventually("both have it anew", async || ages().await == ("0".to_owned(), "0".to_owned())).await;
        assert_eq!(world.upstream().counters().of(Kind::ManifestHead), window);
    }
    assert_eq!(world.upstream().counters().of(Kind::ManifestGet), 1);
}

#[tokio::test]
async fn row_soon_to_expire_a_failed_check_takes_nothing_away_and_is_not_repeated() {
    let mut world = World::start().await;
    let image = image(5);
    pulled(&world, &image).await;
    world.clock.advance(SOON_OVER);
    world.upstream().set_faults([Fault::status(500, "UNKNOWN")]);
    let failed = async || {
        assert_eq!(world.get(&manifest("a", "x")).await.header("cache-status"), "roadstead; hit");
        world.counted("roadstead_refreshes_total", "outcome=\"failed\"").await
    };
    eventually("the check fails", failed).await;
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.get(&manifest("a", "x")).await.header("cache-status"), "roadstead; hit");
    assert!(!world.counted("roadstead_stale_answers_total", "").await, "nothing stale was served");
    world.stop().await;
    assert_eq!(world.upstream().counters().of(Kind::ManifestHead), 1);
}

#[tokio::test]
async fn row_soon_to_expire_never_where_validity_is_for_ever_or_the_tag_is_not_used() {
    let mut world = World::with(vec![Config::default()], |settings| settings[0].validity = Duration::ZERO).await;
    pulled(&world, &image(6)).await;
    world.clock.advance(VALIDITY * 1000);
    assert_eq!(world.get(&manifest("a", "x")).await.header("cache-status"), "roadstead; hit");
    world.stop().await;
    assert_eq!(world.upstream().counters().of(Kind::ManifestHead), 0);

    let mut world = World::start().await;
    pulled(&world, &image(7)).await;
    world.clock.advance(SOON_OVER);
    // By digest it is in use; the tag is not.
    world.get(&manifest("a", image(7).digest())).await;
    world.stop().await;
    assert_eq!(world.upstream().counters().of(Kind::ManifestHead), 0);
}

#[tokio::test]
async fn row_soon_to_expire_never_while_the_upstream_is_left_alone() {
    let mut world = World::start().await;
    pulled(&world, &image(8)).await;
    world.clock.advance(SOON_OVER);
    world.upstream().set_faults([Fault::status(429, "TOOMANYREQUESTS")]);
    assert_eq!(world.get(&manifest("b", "cold")).await.status.as_u16(), 429);
    assert_eq!(world.get(&manifest("a", "x")).await.header("cache-status"), "roadstead; hit");
    world.stop().await;
    assert_eq!(world.upstream().counters().of(Kind::ManifestHead), 0);
}

#[tokio::test]
async fn row_soon_to_expire_what_is_gone_follows_on_not_found() {
    for (on_not_found, expected) in [(OnNotFound::Stale, 200), (OnNotFound::Gone, 404)] {
        let world = World::with(vec![Config::default()], |settings| settings[0].on_not_found = on_not_found).await;
        pulled(&world, &image(9)).await;
        world.upstream().remove("a", "x");
        world.clock.advance(SOON_OVER);
        world.get(&manifest("a", "x")).await;
        let gone = async || world.counted("roadstead_refreshes_total", "outcome=\"gone\"").await;
        eventually("the check has ended", gone).await;
        world.clock.advance(VALIDITY - SOON_OVER);
        let answer = world.request(Method::GET, &manifest("a", "x"), &[]).await;
        assert_eq!(answer.status.as_u16(), expected, "{on_not_found:?}");
    }
}
