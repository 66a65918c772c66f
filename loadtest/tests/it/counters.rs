//! What is counted.

use roadstead_loadtest::registry::{Effect, Fault, Kind};

use crate::world::{REPOSITORY, World, blob_path, manifest_path};

#[tokio::test]
async fn every_request_is_counted_by_kind_and_name() {
    let world = World::start().await;
    let layer = world.layer().digest();
    world.get("/v2/").await;
    world.get(&manifest_path("1")).await.bytes().await.unwrap();
    world.head(&manifest_path("1")).await;
    world.get(&manifest_path(world.image.digest())).await.bytes().await.unwrap();
    world.get(&blob_path(layer)).await.bytes().await.unwrap();
    world.head(&blob_path(layer)).await;
    world.get("/v2/library/demo/tags/list").await;
    world.upstream.push("other", "1", &world.image);
    world.get(&format!("/v2/other/blobs/{layer}")).await.bytes().await.unwrap();

    let counters = world.upstream.counters();
    assert_eq!(counters.total(), 8);
    assert_eq!(counters.of(Kind::Ping), 1);
    assert_eq!(counters.of(Kind::ManifestGet), 2);
    assert_eq!(counters.of_key(Kind::ManifestGet, "library/demo:1"), 1);
    assert_eq!(counters.of_key(Kind::ManifestGet, &format!("library/demo@{}", world.image.digest())), 1);
    assert_eq!(counters.manifest_requests(REPOSITORY, "1"), 2);
    assert_eq!(counters.blob_gets(layer), 2);
    assert_eq!(counters.of(Kind::BlobHead), 1);
    assert_eq!(counters.of_key(Kind::Tags, REPOSITORY), 1);
    assert_eq!(counters.bytes_of(layer), 200_000);
    assert_eq!(counters.status(200), 8);
    assert_eq!(counters.in_flight(Kind::BlobGet), 0);

    world.upstream.reset_counters();
    assert_eq!(world.upstream.counters().total(), 0);
    assert_eq!(world.upstream.counters().bytes(), 0);
}

#[tokio::test]
async fn the_last_request_is_remembered() {
    let world = World::start().await;
    let request = world.request(reqwest::Method::GET, &manifest_path("1"));
    let request = request.header("accept", "a/b").header("accept", "c/d").header("user-agent", "tester");
    request.send().await.unwrap();
    let counters = world.upstream.counters();
    let seen = counters.last(Kind::ManifestGet).unwrap();
    assert_eq!(seen.target, manifest_path("1"));
    assert_eq!(seen.accept.as_deref(), Some("a/b, c/d"));
    assert_eq!(seen.user_agent.as_deref(), Some("tester"));
    assert_eq!(seen.authorization, None);
    assert_eq!(counters.last(Kind::BlobGet), None);
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed() {
    let world = World::start().await;
    world
        .upstream
        .set_faults([Fault::new(Effect::Hang { after: 1000 }), Fault::new(Effect::Hold).on(Kind::ManifestGet)]);
    let mut response = world.get_layer().await;
    response.chunk().await.unwrap();
    drop(response);
    let counters = world.upstream.wait_for(|counters| counters.aborted(Kind::BlobGet) == 1).await;
    assert_eq!(counters.in_flight(Kind::BlobGet), 0);

    let path = manifest_path("1");
    tokio::select! {
        _ = world.get(&path) => panic!("it is held"),
        _ = world.upstream.wait_for(|counters| counters.in_flight(Kind::ManifestGet) == 1) => {}
    }
    world.upstream.wait_for(|counters| counters.aborted(Kind::ManifestGet) == 1).await;
}

#[tokio::test]
async fn a_reset_keeps_what_is_in_flight() {
    let world = World::start().await;
    world.upstream.set_faults([Fault::new(Effect::Hang { after: 1000 })]);
    let response = world.get_layer().await;
    world.upstream.reset_counters();
    assert_eq!(world.upstream.counters().in_flight(Kind::BlobGet), 1);
    assert_eq!(world.upstream.counters().peak_in_flight(Kind::BlobGet), 1);
    world.upstream.release();
    response.bytes().await.unwrap();
    assert_eq!(world.upstream.counters().in_flight(Kind::BlobGet), 0);
}

#[tokio::test]
async fn scripts_read_and_reset_the_counters() {
    let world = World::start().await;
    world.get(&manifest_path("1")).await;
    let counters = world.get("/_stage/counters").await.bytes().await.unwrap();
    let counters: serde_json::Value = serde_json::from_slice(&counters).unwrap();
    assert_eq!(counters["requests"]["manifest_get"]["library/demo:1"], 1);
    assert_eq!(counters["statuses"]["200"], 1);
    let post = |path: &str| world.request(reqwest::Method::POST, path).send();
    assert_eq!(post("/_stage/counters/reset").await.unwrap().status(), 204);
    assert_eq!(world.upstream.counters().total(), 0);
}

#[tokio::test]
async fn scripts_set_faults() {
    let world = World::start().await;
    let put = |body: &'static str| world.request(reqwest::Method::PUT, "/_stage/faults").body(body).send();
    let faults = r#"[{"kinds":["manifest_get"],"effect":{"status":{"status":503}}}]"#;
    assert_eq!(put(faults).await.unwrap().status(), 204);
    assert_eq!(world.get(&manifest_path("1")).await.status(), 503);
    assert_eq!(put(r#"[{"effect":"no such"}]"#).await.unwrap().status(), 400);
    assert_eq!(put("[]").await.unwrap().status(), 204);
    assert_eq!(world.get(&manifest_path("1")).await.status(), 200);
}
