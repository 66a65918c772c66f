//! What goes wrong, goes wrong exactly as asked.

use std::time::{Duration, Instant};

use reqwest::Method;
use roadstead_loadtest::content::digest_of;
use roadstead_loadtest::registry::{Effect, Fault, Kind};

use crate::world::{World, drain, header, manifest_path};

#[tokio::test]
async fn a_status_takes_the_place_of_the_answer() {
    let world = World::start().await;
    let too_many = Fault::status(429, "TOOMANYREQUESTS").on_manifests();
    world.upstream.set_faults([too_many, Fault::header("retry-after", "7").on_manifests()]);
    let response = world.get(&manifest_path("1")).await;
    assert_eq!(response.status(), 429);
    assert_eq!(header(&response, "retry-after"), Some("7"));
    assert!(response.text().await.unwrap().contains("\"code\":\"TOOMANYREQUESTS\""));
    assert_eq!(world.head(&manifest_path("1")).await.status(), 429);
    assert_eq!(world.get_layer().await.status(), 200);
    world.upstream.set_faults([Fault::bare_status(403, "token expired")]);
    assert_eq!(world.get_layer().await.text().await.unwrap(), "token expired");
    world.upstream.set_faults([]);
    assert_eq!(world.get(&manifest_path("1")).await.status(), 200);
}

#[tokio::test]
async fn only_the_first_requests_fail() {
    let world = World::start().await;
    world.upstream.set_faults([Fault::status(500, "UNKNOWN").on(Kind::BlobGet).times(2)]);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(world.get_layer().await.status().as_u16());
    }
    assert_eq!(statuses, [500, 500, 200]);
    assert_eq!(world.upstream.counters().status(500), 2);
}

#[tokio::test]
async fn one_byte_is_flipped() {
    let world = World::start().await;
    world.upstream.set_faults([Fault::new(Effect::Corrupt { at: 70_000 }).of(world.layer().digest())]);
    let whole = world.layer().content().bytes();
    let received = world.get_layer().await.bytes().await.unwrap();
    let wrong: Vec<usize> = (0..whole.len()).filter(|i| whole[*i] != received[*i]).collect();
    assert_eq!(wrong, [70_000]);
    let part = |range: &str| world.request(Method::GET, &world.layer_path()).header("range", range).send();
    assert_eq!(part("bytes=0-9").await.unwrap().bytes().await.unwrap(), whole[..10]);
    assert_ne!(part("bytes=70000-70001").await.unwrap().bytes().await.unwrap(), whole[70_000..70_002]);
}

#[tokio::test]
async fn a_truncated_body_has_exactly_the_bytes_before_the_cut() {
    let world = World::start().await;
    for after in [0, 1, 65_536, 99_999] {
        world.upstream.set_faults([Fault::new(Effect::Truncate { after }).on(Kind::BlobGet)]);
        let response = world.get_layer().await;
        assert_eq!(response.content_length(), Some(100_000));
        let (received, complete) = drain(response).await;
        assert!(!complete);
        assert_eq!(received.len() as u64, after);
        assert_eq!(received, world.layer().content().bytes()[..received.len()]);
    }
    world.upstream.wait_for(|counters| counters.aborted(Kind::BlobGet) == 4).await;
}

#[tokio::test]
async fn a_large_body_is_truncated_exactly_too() {
    // More than the kernel buffers: the server has to wait for the client before it may cut.
    let world = World::start().await;
    let image = roadstead_loadtest::image::Image::builder(4).layers(&[32 << 20]).build();
    world.upstream.push("large", "1", &image);
    let after = (31 << 20) + 17;
    world.upstream.set_faults([Fault::new(Effect::Truncate { after })]);
    let (received, complete) = drain(world.get(&format!("/v2/large/blobs/{}", image.layers()[0].digest())).await).await;
    assert!(!complete);
    assert_eq!(received.len() as u64, after);
}

#[tokio::test]
async fn the_first_bodies_are_reset() {
    let world = World::start().await;
    world.upstream.set_faults([Fault::new(Effect::Reset { after: 50_000 }).on(Kind::BlobGet).times(1)]);
    let (received, complete) = match world.request(Method::GET, &world.layer_path()).send().await {
        Ok(response) => drain(response).await,
        // A reset may overtake the headers.
        Err(_) => (Vec::new(), false),
    };
    assert!(!complete);
    assert!(received.len() <= 50_000);
    assert_eq!(digest_of(&world.get_layer().await.bytes().await.unwrap()), world.layer().digest());
}

#[tokio::test]
async fn a_connection_is_reset_before_any_header() {
    let world = World::start().await;
    world.upstream.set_faults([Fault::new(Effect::Disconnect)]);
    let error = world.request(Method::GET, &manifest_path("1")).send().await.unwrap_err();
    assert!(error.is_request(), "{error:?}");
}

#[tokio::test]
async fn a_body_hangs_until_it_is_released() {
    let world = World::start().await;
    world.upstream.set_faults([Fault::new(Effect::Hang { after: 1000 }).on(Kind::BlobGet)]);
    let mut response = world.get_layer().await;
    let mut received = Vec::new();
    while received.len() < 1000 {
        received.extend_from_slice(&response.chunk().await.unwrap().unwrap());
    }
    assert_eq!(received.len(), 1000);
    assert_eq!(world.upstream.counters().bytes_of(world.layer().digest()), 1000);
    assert_eq!(world.upstream.counters().in_flight(Kind::BlobGet), 1);
    world.upstream.release();
    let (rest, complete) = drain(response).await;
    assert!(complete);
    received.extend(rest);
    assert_eq!(digest_of(&received), world.layer().digest());
}

#[tokio::test]
async fn an_answer_is_held_until_it_is_released() {
    let world = World::start().await;
    world.upstream.set_faults([Fault::new(Effect::Hold).on(Kind::ManifestGet)]);
    let released = async {
        let counters = world.upstream.wait_for(|counters| counters.in_flight(Kind::ManifestGet) == 2).await;
        assert_eq!(counters.status(200), 0);
        world.upstream.release();
    };
    let path = manifest_path("1");
    let (first, second, ()) = tokio::join!(world.get(&path), world.get(&path), released);
    assert_eq!((first.status().as_u16(), second.status().as_u16()), (200, 200));
    assert_eq!(world.upstream.counters().peak_in_flight(Kind::ManifestGet), 2);
}

#[tokio::test]
async fn latency_comes_before_the_headers() {
    let world = World::start().await;
    world.upstream.set_faults([Fault::latency(Duration::from_millis(80)).on(Kind::ManifestHead)]);
    let asked = Instant::now();
    world.head(&manifest_path("1")).await;
    assert!(asked.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn answers_lack_what_some_registries_leave_out() {
    let world = World::start().await;
    world.upstream.set_faults([Fault::new(Effect::OmitDigest), Fault::new(Effect::Chunked)]);
    let manifest = world.get(&manifest_path("1")).await;
    assert_eq!(header(&manifest, "docker-content-digest"), None);
    assert_eq!(header(&manifest, "content-length"), None);
    assert_eq!(header(&manifest, "transfer-encoding"), Some("chunked"));
    assert_eq!(digest_of(&manifest.bytes().await.unwrap()), world.image.digest());
    assert_eq!(digest_of(&world.get_layer().await.bytes().await.unwrap()), world.layer().digest());
    world.upstream.set_faults([Fault::new(Effect::Chunked), Fault::new(Effect::Truncate { after: 10 })]);
    assert!(!drain(world.get_layer().await).await.1);
}

#[tokio::test]
async fn a_range_is_ignored() {
    let world = World::start().await;
    world.upstream.set_faults([Fault::new(Effect::IgnoreRange)]);
    let request = world.request(Method::GET, &world.layer_path()).header("range", "bytes=5-");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "accept-ranges"), None);
    assert_eq!(response.bytes().await.unwrap().len(), 100_000);
}

#[tokio::test]
async fn head_is_refused() {
    let world = World::start().await;
    world.upstream.set_faults([Fault::refuse_head()]);
    assert_eq!(world.head(&manifest_path("1")).await.status(), 405);
    assert_eq!(world.head(&world.layer_path()).await.status(), 405);
    assert_eq!(world.get(&manifest_path("1")).await.status(), 200);
}

#[tokio::test]
async fn a_media_type_has_to_be_accepted() {
    let world = World::start().await;
    world.upstream.set_faults([Fault::new(Effect::StrictAccept)]);
    let ask = |accept: &'static str| world.request(Method::GET, &manifest_path("1")).header("accept", accept).send();
    assert_eq!(ask("application/vnd.oci.image.index.v1+json").await.unwrap().status(), 404);
    let accept = "application/json;q=0.5, application/vnd.oci.image.manifest.v1+json;q=1";
    assert_eq!(ask(accept).await.unwrap().status(), 200);
    assert_eq!(ask("*/*").await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_header_can_lie() {
    let world = World::start().await;
    world.upstream.set_faults([Fault::header("docker-content-digest", "sha256:0").on(Kind::ManifestHead)]);
    assert_eq!(header(&world.head(&manifest_path("1")).await, "docker-content-digest"), Some("sha256:0"));
}
