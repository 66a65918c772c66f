//! How fast bodies are sent.

use std::time::{Duration, Instant};

use roadstead_loadtest::registry::{Bandwidth, Config};

use crate::world::World;

async fn world(bandwidth: Bandwidth) -> World {
    World::with(Config { bandwidth, ..Config::default() }).await
}

/// Two clients at once fetch 100 000 bytes each.
async fn fetch_twice(world: &World) -> Duration {
    let started = Instant::now();
    let fetch = || async { world.get_layer().await.bytes().await.unwrap().len() };
    assert_eq!(tokio::join!(fetch(), fetch()), (100_000, 100_000));
    started.elapsed()
}

#[tokio::test]
async fn all_connections_share_the_line() {
    let world = world(Bandwidth::total(500_000)).await;
    let took = fetch_twice(&world).await;
    assert!(took >= Duration::from_millis(350), "{took:?}");
}

#[tokio::test]
async fn each_connection_has_its_own_line() {
    let world = world(Bandwidth { total: None, per_connection: Some(500_000) }).await;
    let took = fetch_twice(&world).await;
    assert!(took >= Duration::from_millis(150), "{took:?}");
}

#[tokio::test]
async fn a_limit_is_lifted_while_a_body_is_on_its_way() {
    let world = world(Bandwidth::total(2_000)).await;
    let mut response = world.get_layer().await;
    assert!(response.chunk().await.unwrap().is_some());
    world.upstream.set_bandwidth(Bandwidth::default());
    let started = Instant::now();
    while response.chunk().await.unwrap().is_some() {}
    // At the old pace it would have taken the better part of a minute.
    assert!(started.elapsed() < Duration::from_secs(20));
}
