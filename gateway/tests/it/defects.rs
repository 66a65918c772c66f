//! What users reported of the original, each as a test (reference: "Defects of the original that users reported").

use std::time::Duration;

use reqwest::StatusCode;
use roadstead_loadtest::image::Image;
use roadstead_loadtest::registry::{self, Auth, Config, Effect, Fault, Kind, Redirect, TokenAuth};
use serde_json::Value;

use crate::world::{World, blob, manifest};

const VALIDITY: Duration = Duration::from_secs(24 * 3600);
const ABSENT: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn image(seed: u64) -> Image {
    Image::builder(seed).layers(&[2_000]).build()
}

async fn two() -> World {
    World::with(vec![Config::default(), Config::default()], |_| {}).await
}

/// Pulls by tag, with every blob, and waits until all is recorded.
async fn pulled(world: &World, image: &Image) {
    world.upstream().push("a", "x", image);
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), image.digest());
    for part in image.blobs() {
        assert_eq!(world.get(&blob("a", part.digest())).await.digest(), part.digest());
        world.settle(part.digest()).await;
    }
    world.tag_recorded("a", "x").await;
}

#[tokio::test]
async fn defect_01_head_of_a_cached_manifest_has_length_and_digest() {
    let mut world = World::start().await;
    let image = image(1);
    pulled(&world, &image).await;
    for round in ["in memory", "stored"] {
        for reference in ["x", image.digest()] {
            let head = world.head(&manifest("a", reference)).await;
            assert_eq!(head.status, StatusCode::OK, "{round}");
            assert_eq!(head.header("content-length"), image.manifest().bytes().len().to_string(), "{round}");
            assert_eq!(head.header("docker-content-digest"), image.digest(), "{round}");
            assert_eq!(head.header("content-type"), image.manifest().media_type(), "{round}");
        }
        world.restart().await;
    }
}

#[tokio::test]
async fn defect_02_a_refreshed_tag_comes_with_its_new_body() {
    let world = World::start().await;
    let (old, new) = (image(2), image(3));
    pulled(&world, &old).await;
    world.upstream().push("a", "x", &new);
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), old.digest(), "fresh");
    world.clock.advance(VALIDITY);
    for _ in 0..2 {
        let answer = world.get(&manifest("a", "x")).await;
        assert_eq!((answer.header("docker-content-digest"), answer.digest().as_str()), (new.digest(), new.digest()));
        assert_eq!(answer.header("content-length"), new.manifest().bytes().len().to_string());
    }
    assert_eq!(world.get(&manifest("a", old.digest())).await.digest(), old.digest(), "by digest nothing goes stale");
}

#[tokio::test]
async fn defect_03_a_quoted_etag_downloads_nothing_again() {
    let world = World::start().await;
    let image = image(4);
    world.upstream().set_faults([Fault::header("etag", "\"quoted\"").on_manifests()]);
    pulled(&world, &image).await;
    for etag in ["\"quoted\"", "quoted", "W/\"quoted\"", "\"another\""] {
        world.upstream().set_faults([Fault::header("etag", etag).on_manifests()]);
        world.clock.advance(VALIDITY);
        assert_eq!(world.get(&manifest("a", "x")).await.digest(), image.digest(), "{etag}");
        world.tag_recorded("a", "x").await;
    }
    let counters = world.upstream().counters();
    assert_eq!((counters.of(Kind::ManifestGet), counters.of(Kind::ManifestHead)), (1, 4));
}

#[tokio::test]
async fn defect_04_the_digest_is_computed_and_no_upstreams_etag() {
    let world = World::start().await;
    let image = image(5);
    world.upstream().set_faults([
        Fault::header("etag", "\"sha256:of-something-else\"").on_manifests(),
        Fault::new(Effect::OmitDigest).on(Kind::ManifestGet),
    ]);
    pulled(&world, &image).await;
    for reference in ["x", image.digest()] {
        let answer = world.get(&manifest("a", reference)).await;
        assert_eq!(answer.header("docker-content-digest"), image.digest());
        assert_eq!(answer.header("etag"), format!("\"{}\"", image.digest()));
    }
}

#[tokio::test]
async fn defect_05_a_fleet_is_one_request_and_a_cached_image_survives_429() {
    let world = World::start().await;
    let image = image(6);
    world.upstream().push("a", "x", &image);
    let fleet = async |path: String| {
        let pulls = (0..60).map(|_| world.get(&path));
        futures::future::join_all(pulls).await
    };
    for answer in fleet(manifest("a", "x")).await {
        assert_eq!(answer.digest(), image.digest());
    }
    let layer = image.layers()[0].digest();
    for answer in fleet(blob("a", layer)).await {
        assert_eq!(answer.digest(), layer);
    }
    let counters = world.upstream().counters();
    assert_eq!((counters.of(Kind::ManifestGet), counters.blob_gets(layer)), (1, 1));

    world.tag_recorded("a", "x").await;
    world.settle(layer).await;
    world.upstream().set_faults([Fault::status(429, "TOOMANYREQUESTS")]);
    world.clock.advance(VALIDITY);
    let asked = world.upstream().counters().total();
    for answer in fleet(manifest("a", "x")).await {
        assert_eq!(answer.digest(), image.digest());
    }
    assert_eq!(world.get(&blob("a", layer)).await.digest(), layer);
    assert_eq!(world.upstream().counters().total(), asked + 1, "one question, and then the upstream is left alone");
}

#[tokio::test]
async fn defect_06_a_cached_image_outlives_its_validity_while_the_upstream_is_down() {
    let mut world = World::start().await;
    let image = image(7);
    pulled(&world, &image).await;
    world.upstream().stop().await.unwrap();
    world.clock.advance(VALIDITY * 2);
    world.restart().await;
    for reference in ["x", image.digest()] {
        assert_eq!(world.get(&manifest("a", reference)).await.digest(), image.digest(), "{reference}");
    }
    for part in image.blobs() {
        assert_eq!(world.get(&blob("a", part.digest())).await.digest(), part.digest());
    }
    // A tag is stale for a week at most; what is addressed by digest never is.
    world.clock.advance(VALIDITY * 400);
    assert_eq!(world.get(&manifest("a", image.digest())).await.header("cache-status"), "roadstead; hit");
    for part in image.blobs() {
        assert_eq!(world.get(&blob("a", part.digest())).await.header("cache-status"), "roadstead; hit");
    }
}

/// The whole table is in `apart`.
#[tokio::test]
async fn defect_07_a_fault_at_priority_one_serves_no_other_image_from_priority_two() {
    let world = two().await;
    world.upstreams[1].push("a", "x", &image(8));
    for fault in [
        Fault::bare_status(401, "who are you"),
        Fault::bare_status(403, "blocked"),
        Fault::status(429, "TOOMANYREQUESTS"),
        Fault::status(500, "UNKNOWN"),
        Fault::new(Effect::Disconnect),
    ] {
        world.upstreams[0].set_faults([fault.clone()]);
        world.clock.advance(Duration::from_secs(600));
        let answer = world.get(&manifest("a", "x")).await;
        assert!(matches!(answer.status.as_u16(), 429 | 502), "{fault:?}: {}", answer.status);
    }
    assert_eq!(world.upstreams[1].counters().total(), 0);
    world.upstreams[0].set_faults([Fault::status(404, "MANIFEST_UNKNOWN")]);
    world.clock.advance(Duration::from_secs(600));
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), image(8).digest(), "a true 'not here' goes on");
}

#[tokio::test]
async fn defect_08_referrers_are_asked_of_every_upstream_the_subjects_own_first() {
    let world = two().await;
    let image = Image::builder(30).layers(&[100]).build();
    let signature = Image::artifact(31, "application/x-signature", image.manifest(), 50);
    let materials = Image::artifact(32, "application/x-sbom", image.manifest(), 60);
    // The image is at the second upstream, a signature at both, an attestation at the first only.
    world.upstreams[1].push("a", "1", &image);
    world.upstreams[1].push("a", "sig", &signature);
    world.upstreams[0].push("a", "sig", &signature);
    world.upstreams[0].push("a", "sbom", &materials);
    world.get(&manifest("a", "1")).await;
    world.settle(image.digest()).await;
    let answer = world.get(&format!("a/referrers/{}", image.digest())).await;
    let index: Value = serde_json::from_slice(&answer.body).unwrap();
    let listed: Vec<&str> =
        index["manifests"].as_array().unwrap().iter().map(|entry| entry["digest"].as_str().unwrap()).collect();
    assert_eq!(listed, [signature.digest(), materials.digest()]);
    for artifact in [&signature, &materials] {
        assert_eq!(&world.get(&manifest("a", artifact.digest())).await.body, artifact.manifest().bytes());
    }
}

#[tokio::test]
async fn defect_09_authorization_does_not_cross_to_the_redirect_target() {
    for status in [301, 302, 303, 307, 308] {
        let config = Config {
            auth: Auth::Token(TokenAuth::default()),
            redirect: Some(Redirect { status, heads: true }),
            ..Config::default()
        };
        let world = World::with(vec![config], |_| {}).await;
        pulled(&world, &image(9)).await;
        let counters = world.upstream().counters();
        assert!(counters.of(Kind::CdnGet) > 0, "{status}");
        assert_eq!(counters.cdn_authorizations(), 0, "{status}");
    }
}

#[tokio::test]
async fn defect_10_accept_is_sent_to_registries_that_need_no_token_too() {
    for auth in [Auth::None, Auth::Token(TokenAuth::default())] {
        let world = World::with(vec![Config { auth, ..Config::default() }], |_| {}).await;
        pulled(&world, &image(10)).await;
        world.clock.advance(VALIDITY);
        world.get(&manifest("a", "x")).await;
        for kind in [Kind::ManifestGet, Kind::ManifestHead] {
            let counters = world.upstream().counters();
            let accept = format!("{:?}", counters.last(kind).unwrap());
            for form in ["oci.image.index", "oci.image.manifest", "manifest.list.v2", "manifest.v2", "identity"] {
                assert!(accept.contains(form), "{form} in {accept}");
            }
        }
    }
    // As GHCR has it: a form that is not accepted is 404.
    let world = World::start().await;
    world.upstream().set_faults([Fault::new(Effect::StrictAccept)]);
    pulled(&world, &image(11)).await;
}

#[tokio::test]
async fn defect_11_a_404_is_oci_json() {
    let world = two().await;
    for refusal in [registry::Fault::status(404, "UNKNOWN"), registry::Fault::bare_status(404, "<html>nope</html>")] {
        world.upstreams[0].set_faults([refusal]);
        for (path, code) in [
            (manifest("a", "missing"), "MANIFEST_UNKNOWN"),
            (manifest("a", ABSENT), "MANIFEST_UNKNOWN"),
            (blob("a", ABSENT), "BLOB_UNKNOWN"),
            ("a/tags/list".to_owned(), "NAME_UNKNOWN"),
        ] {
            let answer = world.get(&path).await;
            assert_eq!((answer.status, answer.code().as_str()), (StatusCode::NOT_FOUND, code), "{path}");
            assert_eq!(answer.header("content-type"), "application/json", "{path}");
            assert!(answer.message().contains('a'), "{path}: {}", answer.message());
        }
        world.clock.advance(Duration::from_secs(600));
    }
}
