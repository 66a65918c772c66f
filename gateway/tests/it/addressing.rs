//! The three ways to say what is meant: by the registry's path, bare as Docker asks a mirror, and by `ns`.

use reqwest::{Method, StatusCode};
use roadstead_loadtest::image::Image;
use roadstead_loadtest::registry::{Config, Fault, Kind};

use crate::world::{Answer, World, blob, manifest};

/// Two upstreams with different images under one name; the second one is called `second.example`.
async fn two_upstreams() -> (World, Image, Image) {
    let world = World::with(vec![Config::default(), Config::default()], |settings| {
        settings[1].name = "second.example".into();
    })
    .await;
    let (first, second) = (Image::builder(1).layers(&[100]).build(), Image::builder(2).layers(&[200]).build());
    world.upstreams[0].push("library/demo", "1", &first);
    world.upstreams[1].push("library/demo", "1", &second);
    (world, first, second)
}

async fn bare(world: &World, method: Method, path: &str) -> Answer {
    world.request_url(method, &format!("{}/v2/{path}", world.base()), &[]).await
}

#[tokio::test]
async fn a_bare_name_means_the_mirror_registry() {
    let (world, first, _) = two_upstreams().await;
    let answer = bare(&world, Method::GET, &manifest("library/demo", "1")).await;
    assert_eq!((answer.status, answer.digest().as_str()), (StatusCode::OK, first.digest()));
    assert_eq!(answer.header("oci-namespace"), "", "nobody named one");
    let layer = first.layers()[0].digest();
    assert_eq!(bare(&world, Method::GET, &blob("library/demo", layer)).await.digest(), layer);
    // It is the same cache.
    assert_eq!(world.get(&manifest("library/demo", "1")).await.header("cache-status"), "roadstead; hit");
}

#[tokio::test]
async fn without_a_mirror_registry_a_bare_name_means_nothing() {
    let mut world = World::start().await;
    world.mirror = None;
    world.restart().await;
    let answer = bare(&world, Method::GET, &manifest("library/demo", "1")).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::NOT_FOUND, "NAME_UNKNOWN"));
    assert!(answer.message().contains("mirror_registry"), "{}", answer.message());
    assert_eq!(world.upstream().counters().total(), 0);
}

#[tokio::test]
async fn a_namespace_means_its_upstream_and_no_other() {
    let (mut world, first, second) = two_upstreams().await;
    let path = manifest("library/demo", "1");
    let named = format!("{path}?ns=second.example");
    for round in ["cold", "warm", "after a restart"] {
        let answer = bare(&world, Method::GET, &named).await;
        assert_eq!((answer.status, answer.digest().as_str()), (StatusCode::OK, second.digest()), "{round}");
        assert_eq!(answer.header("oci-namespace"), "second.example", "{round}");
        // The registry's own walk ends at the first upstream, whatever a namespace led to, and the other way round.
        assert_eq!(world.get(&path).await.digest(), first.digest(), "{round}");
        assert_eq!(bare(&world, Method::GET, &path).await.digest(), first.digest(), "{round}");
        let layer = second.layers()[0].digest();
        let part = bare(&world, Method::GET, &format!("{}?ns=second.example", blob("library/demo", layer))).await;
        assert_eq!((part.digest().as_str(), part.header("oci-namespace")), (layer, "second.example"), "{round}");
        world.settle(layer).await;
        world.settle(second.digest()).await;
        if round == "warm" {
            world.restart().await;
        }
    }
    let heads = world.upstreams[1].counters();
    assert_eq!((heads.of(Kind::ManifestGet), heads.of(Kind::BlobGet)), (1, 1));
}

#[tokio::test]
async fn a_namespace_narrows_the_registry_of_the_path() {
    let (world, _, second) = two_upstreams().await;
    let answer = world.get(&format!("{}?ns=Second.Example", manifest("library/demo", "1"))).await;
    assert_eq!((answer.digest().as_str(), answer.header("oci-namespace")), (second.digest(), "second.example"));
    // The address of an upstream is a name of it.
    let address = world.upstreams[1].url().trim_start_matches("http://").to_owned();
    let answer = world.get(&format!("{}?ns={address}", manifest("library/demo", "1"))).await;
    assert_eq!((answer.digest().as_str(), answer.header("oci-namespace")), (second.digest(), address.as_str()));
}

#[tokio::test]
async fn an_unknown_namespace_is_refused_and_asks_nobody() {
    let (world, ..) = two_upstreams().await;
    for method in [Method::GET, Method::HEAD] {
        for path in ["manifests/1", "tags/list"] {
            let path = format!("library/demo/{path}?ns=unknown.example");
            let answer = bare(&world, method.clone(), &path).await;
            assert_eq!((answer.status, answer.header("oci-namespace")), (StatusCode::NOT_FOUND, ""), "{path}");
            if method == Method::GET {
                assert_eq!(answer.code(), "NAME_UNKNOWN");
            }
        }
    }
    let malformed = bare(&world, Method::GET, "library/demo/manifests/1?ns=http%3A%2F%2Fx").await;
    assert_eq!((malformed.status, malformed.code().as_str()), (StatusCode::BAD_REQUEST, "NAME_INVALID"));
    assert_eq!(world.upstreams.iter().map(|upstream| upstream.counters().total()).sum::<u64>(), 0);
}

#[tokio::test]
async fn an_error_says_whose_it_is() {
    let (world, ..) = two_upstreams().await;
    let answer = bare(&world, Method::GET, "library/none/manifests/1?ns=second.example").await;
    assert_eq!((answer.status, answer.header("oci-namespace")), (StatusCode::NOT_FOUND, "second.example"));
    assert_eq!(world.upstreams[0].counters().total(), 0, "the other upstream is not meant");
}

#[tokio::test]
async fn a_tag_of_a_namespace_is_revalidated_and_served_stale_as_any_other() {
    let (mut world, _, second) = two_upstreams().await;
    let path = format!("{}?ns=second.example", manifest("library/demo", "1"));
    bare(&world, Method::GET, &path).await;
    world.settle(second.digest()).await;
    world.restart().await;
    world.clock.advance(std::time::Duration::from_secs(25 * 3600));
    let answer = bare(&world, Method::GET, &path).await;
    assert_eq!(answer.header("cache-status"), "roadstead; fwd=stale; fwd-status=200; detail=revalidated");
    let counters = world.upstreams[1].counters();
    assert_eq!((counters.of(Kind::ManifestGet), counters.of(Kind::ManifestHead)), (1, 1));

    world.clock.advance(std::time::Duration::from_secs(25 * 3600));
    world.upstreams[1].set_faults([Fault::status(503, "UNAVAILABLE").on(Kind::ManifestHead)]);
    let answer = bare(&world, Method::GET, &path).await;
    assert_eq!((answer.status, answer.digest().as_str()), (StatusCode::OK, second.digest()));
    assert!(answer.header("cache-status").contains("detail=server_error"), "{}", answer.header("cache-status"));
}
