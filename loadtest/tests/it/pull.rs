//! What a well-behaved client sees.

use reqwest::Method;
use roadstead_loadtest::content::digest_of;
use roadstead_loadtest::image::{Form, Image, Manifest};
use roadstead_loadtest::index::Index;
use serde_json::Value;

use crate::world::{REPOSITORY, World, blob_path, header, manifest_path};

async fn json(response: reqwest::Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

async fn error_code(response: reqwest::Response) -> String {
    json(response).await["errors"][0]["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_whole_image_is_pulled_and_every_digest_is_true() {
    let world = World::start().await;
    assert_eq!(world.get("/v2/").await.status(), 200);
    for reference in ["1", world.image.digest()] {
        let response = world.get(&manifest_path(reference)).await;
        assert_eq!(response.status(), 200);
        assert_eq!(header(&response, "content-type"), Some(Form::Oci.manifest()));
        assert_eq!(header(&response, "docker-content-digest"), Some(world.image.digest()));
        assert_eq!(header(&response, "etag"), Some(format!("\"{}\"", world.image.digest()).as_str()));
        let bytes = response.bytes().await.unwrap();
        assert_eq!(digest_of(&bytes), world.image.digest());
        let manifest: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(manifest["config"]["digest"], world.image.id());
        assert_eq!(manifest["layers"].as_array().unwrap().len(), 2);
    }
    for blob in world.image.blobs() {
        let response = world.get(&blob_path(blob.digest())).await;
        assert_eq!(response.content_length(), Some(blob.size()));
        assert_eq!(header(&response, "accept-ranges"), Some("bytes"));
        assert_eq!(digest_of(&response.bytes().await.unwrap()), blob.digest());
    }
}

#[tokio::test]
async fn head_says_what_get_would_send() {
    let world = World::start().await;
    let size = world.image.manifest().bytes().len().to_string();
    let manifest = world.head(&manifest_path("1")).await;
    assert_eq!(header(&manifest, "content-length"), Some(size.as_str()));
    assert_eq!(header(&manifest, "docker-content-digest"), Some(world.image.digest()));
    let layer = world.head(&world.layer_path()).await;
    assert_eq!(header(&layer, "content-length"), Some("100000"));
    assert!(layer.bytes().await.unwrap().is_empty());
    assert_eq!(world.upstream.counters().bytes(), 0);
}

#[tokio::test]
async fn a_range_is_the_part_asked_for() {
    let world = World::start().await;
    let whole = world.layer().content().bytes();
    for (range, part) in [("bytes=0-9", 0..10), ("bytes=99990-", 99_990..100_000), ("bytes=-3", 99_997..100_000)] {
        let response = world.request(Method::GET, &world.layer_path()).header("range", range).send().await.unwrap();
        assert_eq!(response.status(), 206);
        let expected = format!("bytes {}-{}/100000", part.start, part.end - 1);
        assert_eq!(header(&response, "content-range"), Some(expected.as_str()));
        assert_eq!(response.bytes().await.unwrap(), whole[part]);
    }
    for (range, status) in [("bytes=100000-", 416), ("bytes=0-1,4-5", 400)] {
        let response = world.request(Method::GET, &world.layer_path()).header("range", range).send().await.unwrap();
        assert_eq!(response.status(), status);
    }
    assert_eq!(world.upstream.counters().ranged(), 5);
    assert_eq!(world.upstream.counters().bytes_of(world.layer().digest()), 10 + 10 + 3);
}

#[tokio::test]
async fn what_is_not_there_is_unknown() {
    let world = World::start().await;
    let missing = digest_of(b"missing");
    for (path, status, code) in [
        (manifest_path("2"), 404, "MANIFEST_UNKNOWN"),
        (manifest_path(&missing), 404, "MANIFEST_UNKNOWN"),
        (blob_path(&missing), 404, "BLOB_UNKNOWN"),
        ("/v2/no/such/manifests/1".to_owned(), 404, "NAME_UNKNOWN"),
        ("/v2/no/such/tags/list".to_owned(), 404, "NAME_UNKNOWN"),
    ] {
        let response = world.get(&path).await;
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(error_code(response).await, code, "{path}");
    }
    let push = world.request(Method::POST, "/v2/library/demo/blobs/uploads/").send().await.unwrap();
    assert_eq!(push.status(), 405);
    assert_eq!(world.get("/elsewhere").await.status(), 404);
}

#[tokio::test]
async fn a_manifest_that_is_known_is_not_sent_again() {
    let world = World::start().await;
    let etag = format!("\"{}\"", world.image.digest());
    let ask = |tag: &str| world.request(Method::GET, &manifest_path("1")).header("if-none-match", tag).send();
    let response = ask(&etag).await.unwrap();
    assert_eq!(response.status(), 304);
    assert_eq!(header(&response, "etag"), Some(etag.as_str()));
    assert_eq!(ask("\"other\"").await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_index_leads_to_the_image_of_each_platform() {
    let world = World::start().await;
    let index = Index::of_platforms(5, &[("linux", "amd64"), ("linux", "arm64")], &[10]);
    world.upstream.push("multi", "1", &index);
    let response = world.get("/v2/multi/manifests/1").await;
    assert_eq!(header(&response, "content-type"), Some(Form::Oci.index()));
    let entries = json(response).await["manifests"].clone();
    for (entry, image) in entries.as_array().unwrap().iter().zip(index.images()) {
        assert_eq!(entry["platform"]["architecture"], image.platform().1);
        let digest = entry["digest"].as_str().unwrap();
        assert_eq!(digest, image.digest());
        assert_eq!(world.get(&format!("/v2/multi/manifests/{digest}")).await.status(), 200);
        for blob in image.blobs() {
            assert_eq!(world.get(&format!("/v2/multi/blobs/{}", blob.digest())).await.status(), 200);
        }
    }
}

#[tokio::test]
async fn tags_move_and_go() {
    let world = World::start().await;
    let next = Image::builder(2).form(Form::Docker).build();
    world.upstream.push(REPOSITORY, "2", &next);
    assert_eq!(header(&world.head(&manifest_path("2")).await, "content-type"), Some(Form::Docker.manifest()));
    world.upstream.retag(REPOSITORY, "1", next.digest());
    assert_eq!(header(&world.head(&manifest_path("1")).await, "docker-content-digest"), Some(next.digest()));
    world.upstream.remove(REPOSITORY, "1");
    assert_eq!(world.get(&manifest_path("1")).await.status(), 404);
    world.upstream.remove(REPOSITORY, world.layer().digest());
    assert_eq!(world.get_layer().await.status(), 404);
    world.upstream.remove(REPOSITORY, next.digest());
    assert_eq!(world.get(&manifest_path("2")).await.status(), 404);
}

#[tokio::test]
async fn tags_are_listed_page_by_page() {
    let world = World::start().await;
    for tag in ["2", "3"] {
        world.upstream.push(REPOSITORY, tag, &world.image);
    }
    let all = world.get("/v2/library/demo/tags/list").await;
    assert_eq!(header(&all, "link"), None);
    assert_eq!(json(all).await["tags"], serde_json::json!(["1", "2", "3"]));
    let page = world.get("/v2/library/demo/tags/list?n=2").await;
    assert_eq!(header(&page, "link"), Some("</v2/library/demo/tags/list?n=2&last=2>; rel=\"next\""));
    assert_eq!(json(page).await["tags"], serde_json::json!(["1", "2"]));
    let rest = world.get("/v2/library/demo/tags/list?n=2&last=2").await;
    assert_eq!(header(&rest, "link"), None);
    assert_eq!(json(rest).await["tags"], serde_json::json!(["3"]));
}

#[tokio::test]
async fn referrers_are_found_by_their_subject() {
    let world = World::start().await;
    let artifact = Image::artifact(9, "application/vnd.example.sbom", world.image.manifest(), 50);
    world.upstream.push(REPOSITORY, "sbom", &artifact);
    let list = json(world.get(&format!("/v2/{REPOSITORY}/referrers/{}", world.image.digest())).await).await;
    assert_eq!(list["manifests"][0]["digest"], artifact.digest());
    assert_eq!(list["manifests"][0]["artifactType"], "application/vnd.example.sbom");
    let none = json(world.get(&format!("/v2/{REPOSITORY}/referrers/{}", artifact.digest())).await).await;
    assert_eq!(none["manifests"], serde_json::json!([]));
}

#[tokio::test]
async fn a_raw_manifest_is_served_as_it_is() {
    let world = World::start().await;
    let raw = Manifest::raw("application/example", "not json at all");
    world.upstream.push("odd", "1", &raw);
    let response = world.get("/v2/odd/manifests/1").await;
    assert_eq!(header(&response, "content-type"), Some("application/example"));
    assert_eq!(response.bytes().await.unwrap(), "not json at all");
}
