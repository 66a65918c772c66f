//! The walk down a registry's upstreams, and the routes it leaves (architecture §3).

use std::time::Duration;

use roadstead_loadtest::image::Image;
use roadstead_loadtest::registry::{self, Fault, Kind};
use roadstead_proto::domain::entry::TagKey;
use roadstead_proto::domain::registry::{RegistryId, UpstreamId};
use roadstead_proto::domain::upstream::{OnError, UpstreamSettings};
use roadstead_proto::meta::{Consistency, MetaStore as _};
use roadstead_proto::state::command::Command;

use crate::world::{World, blob, eventually, manifest};

const VALIDITY: Duration = Duration::from_secs(24 * 3600);

fn tag_key(repository: &str, tag: &str) -> TagKey {
    TagKey { registry: RegistryId(1), repository: repository.parse().unwrap(), tag: tag.parse().unwrap() }
}

async fn two() -> World {
    World::with(vec![registry::Config::default(), registry::Config::default()], |_| {}).await
}

fn image(seed: u64) -> Image {
    Image::builder(seed).layers(&[1_000]).build()
}

#[tokio::test]
async fn the_first_that_has_it_answers() {
    let world = two().await;
    let (here, both) = (image(1), image(2));
    world.upstreams[1].push("a", "below", &here);
    world.upstreams[0].push("a", "both", &both);
    world.upstreams[1].push("a", "both", &here);
    assert_eq!(world.get(&manifest("a", "below")).await.digest(), here.digest());
    assert_eq!(world.get(&manifest("a", "both")).await.digest(), both.digest());
    let layer = here.layers()[0].digest();
    assert_eq!(world.get(&blob("a", layer)).await.digest(), layer);
    assert_eq!(world.upstreams[0].counters().of(Kind::BlobGet), 0, "blobs go where the manifest came from");
}

#[tokio::test]
async fn what_was_found_below_is_found_after_a_restart_with_every_upstream_down() {
    let mut world = two().await;
    let here = image(3);
    world.upstreams[1].push("a", "x", &here);
    world.get(&manifest("a", "x")).await;
    world.restart().await;
    for upstream in &world.upstreams {
        upstream.stop().await.unwrap();
    }
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), here.digest());
}

#[tokio::test]
async fn an_upstream_may_be_passed_over_on_faults() {
    let configs = vec![registry::Config::default(), registry::Config::default()];
    let world = World::with(configs, |settings| settings[0].on_error = OnError::Next).await;
    let other = image(5);
    world.upstreams[1].push("a", "x", &other);
    world.upstreams[0].set_faults([Fault::status(500, "UNKNOWN")]);
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), other.digest());
    assert_eq!(world.get(&manifest("a", "missing")).await.status.as_u16(), 502, "nobody has it, and one could not say");
}

#[tokio::test]
async fn at_expiry_the_walk_restarts_at_the_top_and_a_fault_there_serves_the_copy() {
    let world = two().await;
    let (above, below) = (image(20), image(21));
    world.upstreams[1].push("a", "x", &below);
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), below.digest());
    let (key, route) = (tag_key("a", "x"), async |world: &World, key: &TagKey| {
        world.meta.tag(key, Consistency::Local).await.unwrap().route
    });
    eventually("the route is kept", async || route(&world, &key).await.is_some()).await;
    let kept = route(&world, &key).await.unwrap();
    assert_eq!((kept.upstream, kept.not_here), (UpstreamId(2), vec![UpstreamId(1)]));

    world.upstreams[0].push("a", "x", &above);
    world.upstreams[0].set_faults([Fault::status(500, "UNKNOWN")]);
    world.clock.advance(VALIDITY);
    let asked = world.upstreams[1].counters().total();
    let stale = world.get(&manifest("a", "x")).await;
    assert_eq!(
        (stale.digest().as_str(), stale.header("cache-status")),
        (below.digest(), "roadstead; hit; ttl=0; detail=server_error")
    );
    assert_eq!(world.upstreams[1].counters().total(), asked, "below a fault nobody is asked");

    world.upstreams[0].set_faults([]);
    world.clock.advance(Duration::from_secs(5));
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), above.digest());
}

#[tokio::test]
async fn another_address_of_a_higher_upstream_voids_the_route_past_it() {
    let world = two().await;
    let (elsewhere, below) = (image(22), image(23));
    world.upstreams[1].push("a", "x", &below);
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), below.digest());
    world.tag_recorded_at(UpstreamId(2), "a", "x").await;
    let other = registry::Upstream::start(registry::Config::default()).await.unwrap();
    other.push("a", "x", &elsewhere);
    let settings = UpstreamSettings::new("first", other.url().parse().unwrap());
    world
        .meta
        .propose(Command::UpdateUpstream { id: UpstreamId(1), settings: settings.clone(), if_updated_at: None })
        .await
        .unwrap();
    let moved = async || world.get(&manifest("a", "x")).await.digest() == elsewhere.digest();
    eventually("the tag is fresh, and yet the walk restarts at the top", moved).await;

    // What is no address and no account changes nothing of where things are.
    let gets = other.counters().total();
    let settings = UpstreamSettings { validity: VALIDITY * 2, ..settings };
    world.meta.propose(Command::UpdateUpstream { id: UpstreamId(1), settings, if_updated_at: None }).await.unwrap();
    world.clock.advance(VALIDITY);
    let hit = async || world.get(&manifest("a", "x")).await.header("cache-status") == "roadstead; hit";
    eventually("the new validity counts", hit).await;
    assert!(other.counters().total() <= gets + 1, "at most while the change was on its way");
}

#[tokio::test]
async fn a_copy_from_below_is_refreshed_while_the_one_above_fails() {
    let configs = vec![registry::Config::default(), registry::Config::default()];
    let world = World::with(configs, |settings| settings[0].on_error = OnError::Next).await;
    let (old, new) = (image(31), image(32));
    world.upstreams[0].set_faults([Fault::status(500, "UNKNOWN")]);
    world.upstreams[1].push("a", "x", &old);
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), old.digest());
    world.tag_recorded_at(UpstreamId(2), "a", "x").await;
    world.upstreams[1].push("a", "x", &new);
    world.clock.advance(Duration::from_secs(25 * 3600));
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), new.digest(), "its own upstream was heard");
    // And where nobody can say, the copy is served.
    world.upstreams[1].set_faults([Fault::status(500, "UNKNOWN")]);
    world.tag_recorded_at(UpstreamId(2), "a", "x").await;
    world.clock.advance(Duration::from_secs(25 * 3600));
    let stale = world.get(&manifest("a", "x")).await;
    assert_eq!(stale.digest(), new.digest());
    assert!(stale.header("cache-status").contains("ttl=-"), "{}", stale.header("cache-status"));
}
