//! Clients that are sent to the object store: which, for what, and never without the right to it.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use roadstead_gateway::config::Redirects;
use roadstead_loadtest::image::Image;

use crate::world::{World, blob, manifest};

fn rules(network: &str) -> Redirects {
    let networks = vec![network.parse().unwrap()];
    Redirects { min_size: 1_000, networks, expiry: Duration::from_secs(90) }
}

fn image() -> Image {
    Image::builder(1).layers(&[5_000, 500]).build()
}

/// A gateway over a store that has URLs, with an image pulled and stored.
async fn stored(network: &str) -> (World, Image) {
    let world = World::start().await.redirecting(Some(rules(network))).await;
    let image = image();
    world.upstream().push("a", "x", &image);
    for layer in image.layers() {
        let first = world.get(&blob("a", layer.digest())).await;
        assert_eq!((first.status, first.digest()), (StatusCode::OK, layer.digest().to_owned()), "a download is served");
        world.settle(layer.digest()).await;
    }
    (world, image)
}

#[tokio::test]
async fn a_large_stored_blob_is_redirected_to_the_store() {
    let (world, image) = stored("127.0.0.0/8").await;
    let digest = image.layers()[0].digest();
    let hex = digest.trim_start_matches("sha256:");
    for headers in [&[][..], &[("range", "bytes=10-20")][..]] {
        let answer = world.request(Method::GET, &blob("a", digest), headers).await;
        assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT, "{headers:?}");
        assert_eq!(answer.header("location"), format!("https://bucket.example/{hex}?expires=90&signature=0"));
        assert_eq!(answer.header("docker-content-digest"), digest);
        assert_eq!(answer.header("cache-status"), "roadstead; hit");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!((answer.header("content-length"), answer.body.len()), ("0", 0));
    }
}

#[tokio::test]
async fn everything_else_is_answered_here() {
    let (world, image) = stored("127.0.0.0/8").await;
    let (large, small) = (image.layers()[0].digest(), image.layers()[1].digest());
    let head = world.head(&blob("a", large)).await;
    assert_eq!((head.status, head.header("content-length")), (StatusCode::OK, "5000"));
    assert_eq!(world.get(&blob("a", small)).await.digest(), small);
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), image.digest());
    let known = [("if-none-match", &*format!("\"{large}\""))];
    let answer = world.request(Method::GET, &blob("a", large), &known).await;
    assert_eq!(answer.status, StatusCode::NOT_MODIFIED);
    let beyond = world.request(Method::GET, &blob("a", large), &[("range", "bytes=9000-")]).await;
    assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);
}

#[tokio::test]
async fn a_client_of_another_network_is_answered_here() {
    let (world, image) = stored("10.0.0.0/8").await;
    let digest = image.layers()[0].digest();
    let claims = [("x-forwarded-for", "10.1.1.1"), ("forwarded", "for=10.1.1.1")];
    assert_eq!(world.request(Method::GET, &blob("a", digest), &claims).await.digest(), digest);
}

#[tokio::test]
async fn nobody_is_redirected_unless_it_is_configured() {
    let (world, image) = stored("127.0.0.0/8").await;
    let world = world.redirecting(None).await;
    let digest = image.layers()[0].digest();
    assert_eq!(world.get(&blob("a", digest)).await.digest(), digest);
}

/// It would be sent to where nothing is; here it is downloaded again.
#[tokio::test]
async fn an_object_that_is_gone_is_not_redirected_to() {
    let (world, image) = stored("127.0.0.0/8").await;
    let digest = image.layers()[0].digest();
    let folder = world.folder.path().join("blobs/sha256");
    for entry in std::fs::read_dir(folder).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    assert_eq!(world.get(&blob("a", digest)).await.digest(), digest);
}

#[tokio::test]
async fn without_the_right_there_is_no_url() {
    let world = World::closed().await.redirecting(Some(rules("127.0.0.0/8"))).await;
    let image = image();
    world.upstream().push("a", "x", &image);
    let answer = world.get(&blob("a", image.layers()[0].digest())).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::UNAUTHORIZED, ""));
}

#[tokio::test]
async fn a_directory_has_no_urls() {
    let (world, image) = stored("127.0.0.0/8").await;
    let world = world.unsigned().await;
    let digest = image.layers()[0].digest();
    assert_eq!(world.get(&blob("a", digest)).await.digest(), digest);
}
