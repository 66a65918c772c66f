//! The end: in good order after one signal, at once after two.

use reqwest::Response;
use roadstead_loadtest::content::digest_of;
use roadstead_loadtest::registry::{Effect, Fault, Kind};

use crate::process::Roadstead;
use crate::world::{LAYER_SIZE, TAG, World};

/// So much of the layer arrives before the upstream falls silent.
const ARRIVED: u64 = LAYER_SIZE / 2;

/// A pull that hangs in the middle of the layer, and what has arrived of it.
async fn slow_pull(world: &World, roadstead: &Roadstead) -> (Response, Vec<u8>) {
    // Before the manifest: with it the layer begins to arrive.
    world.upstream.add_fault(Fault::new(Effect::Hang { after: ARRIVED }).on(Kind::BlobGet));
    let manifest = world.get(roadstead, &format!("manifests/{TAG}")).await;
    assert_eq!(manifest.status(), 200);
    let layer = format!("blobs/{}", world.image.layers()[0].digest());
    let mut response = world.get(roadstead, &layer).await;
    assert_eq!(response.status(), 200);
    let first = response.chunk().await.unwrap().unwrap().to_vec();
    (response, first)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_pull_ends_before_the_process_does() {
    let world = World::new().await;
    let roadstead = world.start();
    let (mut response, mut received) = slow_pull(&world, &roadstead).await;

    roadstead.signal("TERM");
    roadstead.logged("ending in good order");
    roadstead.logged("draining");
    assert_eq!(world.status(&format!("{}/readyz", roadstead.admin_url)).await, 503);
    assert_eq!(world.status(&format!("{}/livez", roadstead.admin_url)).await, 200);
    world.upstream.release();
    while let Some(chunk) = response.chunk().await.unwrap() {
        received.extend_from_slice(&chunk);
    }
    assert_eq!(digest_of(&received), world.image.layers()[0].digest());
    drop(response);
    assert_eq!(roadstead.ended().code, Some(0));

    // What was drained was also kept.
    world.upstream.stop().await.unwrap();
    let again = world.start();
    let layer = world.get(&again, &format!("blobs/{}", world.image.layers()[0].digest())).await;
    assert_eq!(digest_of(&layer.bytes().await.unwrap()), world.image.layers()[0].digest());
    again.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_process_ends_at_either_signal() {
    let world = World::new().await;
    for signal in ["TERM", "INT"] {
        let roadstead = world.start();
        assert_eq!(world.status(&format!("{}/readyz", roadstead.url)).await, 200);
        roadstead.signal(signal);
        let ended = roadstead.ended();
        assert_eq!(ended.code, Some(0), "{}", ended.logged);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once() {
    let world = World::new().await;
    let roadstead = world.start();
    let (_response, _) = slow_pull(&world, &roadstead).await;
    roadstead.signal("TERM");
    roadstead.logged("a second signal ends at once");
    roadstead.signal("INT");
    let ended = roadstead.ended();
    assert_eq!(ended.code, Some(130), "{}", ended.logged);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drain_has_an_end() {
    let world = World::new().await;
    let file = world.write("serve.toml", "drain_timeout = '100ms'");
    let roadstead = Roadstead::start(world.serve(&["--upstream", &world.upstream_arg(), "--config", &file]));
    let (_response, _) = slow_pull(&world, &roadstead).await;
    roadstead.signal("TERM");
    let ended = roadstead.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.logged);
}
