//! What clients see of cached content: headers, ranges, conditions, errors.

use reqwest::{Method, StatusCode};
use roadstead_loadtest::image::Form;
use roadstead_loadtest::image::Image;
use roadstead_loadtest::index::Index;
use roadstead_loadtest::registry::{Config, Fault, Kind, Redirect};

use crate::world::{World, blob, manifest, read};

const ABSENT: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[tokio::test]
async fn an_image_comes_through_byte_for_byte_and_the_second_pull_asks_nobody() {
    let world = World::start().await;
    let image = Image::builder(1).layers(&[300_000, 10]).build();
    world.upstream().push("library/demo", "1.0", &image);

    let first = world.get(&manifest("library/demo", "1.0")).await;
    assert_eq!((first.status, first.digest().as_str()), (StatusCode::OK, image.digest()));
    assert_eq!(first.header("docker-content-digest"), image.digest());
    assert_eq!(first.header("etag"), format!("\"{}\"", image.digest()));
    assert_eq!(first.header("content-type"), image.manifest().media_type());
    assert_eq!(first.header("cache-status"), "roadstead; fwd=uri-miss; fwd-status=200");
    for part in image.blobs() {
        let answer = world.get(&blob("library/demo", part.digest())).await;
        assert_eq!((answer.status, answer.digest().as_str()), (StatusCode::OK, part.digest()));
        assert_eq!(answer.header("content-length"), part.size().to_string());
        world.settle(part.digest()).await;
    }
    let asked = world.upstream().counters().total();

    for _ in 0..2 {
        let again = world.get(&manifest("library/demo", "1.0")).await;
        assert_eq!((again.header("cache-status"), again.digest().as_str()), ("roadstead; hit", image.digest()));
        let by_digest = world.get(&manifest("library/demo", image.digest())).await;
        assert_eq!((by_digest.header("cache-status"), &by_digest.body), ("roadstead; hit", &again.body));
        for part in image.blobs() {
            assert_eq!(world.get(&blob("library/demo", part.digest())).await.digest(), part.digest());
        }
    }
    assert_eq!(world.upstream().counters().total(), asked, "the second pull makes no upstream request");
}

#[tokio::test]
async fn a_restart_keeps_everything_and_the_upstream_is_not_needed() {
    let mut world = World::start().await;
    let image = Image::builder(2).layers(&[5_000_000]).form(Form::Docker).build();
    world.upstream().push("library/demo", "1.0", &image);
    world.get(&manifest("library/demo", "1.0")).await;
    for part in image.blobs() {
        world.get(&blob("library/demo", part.digest())).await;
    }
    world.restart().await;
    world.upstream().stop().await.unwrap();

    for reference in ["1.0", image.digest()] {
        let answer = world.get(&manifest("library/demo", reference)).await;
        assert_eq!((answer.status, answer.digest().as_str()), (StatusCode::OK, image.digest()), "{reference}");
        assert_eq!(answer.header("content-type"), image.manifest().media_type());
        assert_eq!(answer.header("cache-status"), "roadstead; hit");
    }
    for part in image.blobs() {
        assert_eq!(world.get(&blob("library/demo", part.digest())).await.digest(), part.digest());
    }
}

#[tokio::test]
async fn an_index_and_its_children() {
    let world = World::start().await;
    let index = Index::of_platforms(3, &[("linux", "amd64"), ("linux", "arm64")], &[1000]);
    world.upstream().push("library/multi", "latest", &index);
    let answer = world.get(&manifest("library/multi", "latest")).await;
    assert_eq!(answer.digest(), index.digest());
    assert_eq!(answer.header("content-type"), index.manifest().media_type());
    for image in index.images() {
        assert_eq!(world.get(&manifest("library/multi", image.digest())).await.digest(), image.digest());
    }
}

#[tokio::test]
async fn head_is_as_exact_as_get_and_downloads_no_blob() {
    let world = World::start().await;
    let image = Image::builder(4).layers(&[70_000]).build();
    world.upstream().push("a/b", "x", &image);
    let layer = &image.layers()[0];
    // Cold, before any manifest was seen: one question to the upstream.
    let cold = world.head(&blob("a/b", layer.digest())).await;
    assert_eq!((cold.status, cold.header("content-length")), (StatusCode::OK, "70000"));
    for _ in 0..2 {
        let head = world.head(&manifest("a/b", "x")).await;
        assert_eq!(head.header("content-length"), image.manifest().bytes().len().to_string());
        assert_eq!(head.header("docker-content-digest"), image.digest());
        assert!(head.body.is_empty());
    }
    // Known from the manifest: no question.
    let heads = world.upstream().counters().of(Kind::BlobHead);
    assert_eq!(world.head(&blob("a/b", layer.digest())).await.header("content-length"), "70000");
    let counters = world.upstream().counters();
    assert_eq!((counters.of(Kind::BlobHead), counters.blob_gets(layer.digest())), (heads, 0));
}

#[tokio::test]
async fn head_of_a_blob_behind_a_redirect_tells_its_size_too() {
    let redirect = Some(Redirect { status: 307, heads: true });
    let world = World::with(vec![Config { redirect, ..Config::default() }], |_| {}).await;
    let image = Image::builder(40).layers(&[70_000]).build();
    world.upstream().push("a", "x", &image);
    let layer = image.layers()[0].digest();
    let head = world.head(&blob("a", layer)).await;
    assert_eq!((head.status, head.header("content-length")), (StatusCode::OK, "70000"));
    assert!(world.upstream().counters().bytes_of(layer) <= 1, "one byte is asked for");
    assert_eq!(world.get(&blob("a", layer)).await.digest(), layer);
}

#[tokio::test]
async fn what_the_client_has_is_not_downloaded_to_say_so() {
    let world = World::start().await;
    let image = Image::builder(41).layers(&[70_000]).build();
    world.upstream().push("a", "x", &image);
    let layer = image.layers()[0].digest();
    let has = [("if-none-match", &*format!("\"{layer}\""))];
    let answer = world.request(Method::GET, &blob("a", layer), &has).await;
    assert_eq!(answer.status, StatusCode::NOT_MODIFIED);
    assert_eq!(world.upstream().counters().blob_gets(layer), 0);
}

#[tokio::test]
async fn ranges_of_cold_and_of_stored_blobs() {
    let world = World::start().await;
    let image = Image::builder(5).layers(&[9_000_000]).build();
    world.upstream().push("a", "x", &image);
    let layer = image.layers()[0].digest().to_owned();
    let whole = image.layers()[0].content().read(0, 9_000_000);
    for round in ["cold", "stored"] {
        for (range, from, to) in [
            ("bytes=0-0", 0, 1),
            ("bytes=4194300-4194309", 4_194_300, 4_194_310),
            ("bytes=8999990-", 8_999_990, 9_000_000),
            ("bytes=-5", 8_999_995, 9_000_000),
        ] {
            let part = world.request(Method::GET, &blob("a", &layer), &[("range", range)]).await;
            assert_eq!(part.status, StatusCode::PARTIAL_CONTENT, "{round} {range}");
            assert_eq!(part.header("content-range"), format!("bytes {from}-{}/9000000", to - 1), "{round}");
            assert!(part.body == whole[from..to], "{round} {range}");
        }
        world.settle(&layer).await;
    }
    let refused = world.request(Method::GET, &blob("a", &layer), &[("range", "bytes=9000000-")]).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (416, "RANGE_INVALID"));
    assert_eq!(refused.header("content-range"), "bytes */9000000");
    let malformed = world.request(Method::GET, &blob("a", &layer), &[("range", "bytes=5-2")]).await;
    assert_eq!(malformed.status.as_u16(), 416);
    let other = [("range", "bytes=0-0"), ("if-range", "\"something else\"")];
    assert_eq!(world.request(Method::GET, &blob("a", &layer), &other).await.body.len(), 9_000_000);
    assert_eq!(world.upstream().counters().blob_gets(&layer), 1, "many ranges of a cold digest are one download");
}

#[tokio::test]
async fn what_the_client_has_is_not_sent_again() {
    let world = World::start().await;
    let image = Image::builder(6).layers(&[100]).build();
    world.upstream().push("a", "x", &image);
    let layer = image.layers()[0].digest();
    for (path, digest) in [(manifest("a", "x"), image.digest()), (blob("a", layer), layer)] {
        let weak = format!("\"other\", W/\"{digest}\"");
        for etag in [format!("\"{digest}\""), weak, "*".to_owned()] {
            let answer = world.request(Method::GET, &path, &[("if-none-match", &etag)]).await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (304, 0), "{etag}");
            assert_eq!(answer.header("docker-content-digest"), digest);
        }
        let answer = world.request(Method::GET, &path, &[("if-none-match", "\"other\"")]).await;
        assert_eq!(answer.status.as_u16(), 200);
    }
}

#[tokio::test]
async fn refusals_are_oci_errors_and_nothing_else_happens() {
    let world = World::start().await;
    let tag = "x".repeat(129);
    for (method, path, status, code) in [
        (Method::PUT, manifest("a", "x"), 405, "UNSUPPORTED"),
        (Method::POST, "a/blobs/uploads/".to_owned(), 405, "UNSUPPORTED"),
        (Method::PATCH, "a/blobs/uploads/1".to_owned(), 405, "UNSUPPORTED"),
        (Method::DELETE, manifest("a", "x"), 405, "UNSUPPORTED"),
        (Method::GET, manifest("UPPER", "x"), 400, "NAME_INVALID"),
        (Method::GET, manifest("a", &tag), 404, "MANIFEST_UNKNOWN"),
        (Method::GET, manifest("a", ".no-tag"), 404, "MANIFEST_UNKNOWN"),
        (Method::GET, manifest("a", "sha256:12"), 400, "DIGEST_INVALID"),
        (Method::GET, blob("a", "latest"), 400, "DIGEST_INVALID"),
        (Method::GET, "a/nonsense".to_owned(), 404, "UNSUPPORTED"),
        (Method::GET, "a/tags/list?n=x".to_owned(), 400, "PAGINATION_NUMBER_INVALID"),
        (Method::GET, "a/referrers/latest".to_owned(), 400, "DIGEST_INVALID"),
    ] {
        let answer = world.request(method.clone(), &path, &[]).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{method} {path}");
        assert_eq!(answer.header("content-type"), "application/json");
    }
    for (path, code) in [
        ("/v2/virtual_registries/container/9/a/manifests/x", "NAME_UNKNOWN"),
        ("/v2/_catalog", "UNSUPPORTED"),
        ("/somewhere", "UNSUPPORTED"),
    ] {
        let response = world.send(Method::GET, &format!("{}{path}", world.base()), &[]).await.unwrap();
        assert_eq!(response.status().as_u16(), 404, "{path}");
        assert!(response.text().await.unwrap().contains(code), "{path}");
    }
    assert_eq!(world.upstream().counters().total(), 0, "no upstream was asked");
}

#[tokio::test]
async fn absent_content_is_404_and_remembered_briefly() {
    let world = World::start().await;
    let absent = world.get(&manifest("a", "missing")).await;
    assert_eq!((absent.status.as_u16(), absent.code().as_str()), (404, "MANIFEST_UNKNOWN"));
    assert!(absent.message().contains("a:missing"), "{}", absent.message());
    assert_eq!(world.get(&blob("a", ABSENT)).await.code(), "BLOB_UNKNOWN");
    let asked = world.upstream().counters().total();
    assert_eq!(world.get(&manifest("a", "missing")).await.status.as_u16(), 404);
    assert_eq!(world.get(&blob("a", ABSENT)).await.status.as_u16(), 404);
    assert_eq!(world.upstream().counters().total(), asked);

    let image = Image::builder(7).layers(&[10]).build();
    world.upstream().push("a", "missing", &image);
    world.clock.advance(std::time::Duration::from_secs(11));
    assert_eq!(world.get(&manifest("a", "missing")).await.status.as_u16(), 200);
}

#[tokio::test]
async fn the_ping_and_the_probes() {
    let world = World::start().await;
    for path in ["/v2/", "/v2", "/v2/virtual_registries/container/1/", "/livez", "/readyz"] {
        let response = world.send(Method::GET, &format!("{}{path}", world.base()), &[]).await.unwrap();
        assert_eq!(response.status().as_u16(), 200, "{path}");
        assert!(response.headers().contains_key("x-request-id"), "{path}");
    }
    let id = [("x-request-id", "from-the-client")];
    let response = world.send(Method::GET, &format!("{}/v2/", world.base()), &id).await.unwrap();
    assert_eq!(response.headers()["x-request-id"], "from-the-client");
    world.get(&manifest("a", "x")).await;
    let metrics = world.metrics().await;
    assert!(metrics.contains("roadstead_pulls_total"), "{metrics}");
    assert!(metrics.contains("roadstead_upstream_requests_total"), "{metrics}");
}

#[tokio::test]
async fn an_object_that_was_lost_or_damaged_is_fetched_again() {
    let mut world = World::start().await;
    let image = Image::builder(8).layers(&[9_000_000, 40_000]).build();
    world.upstream().push("a", "x", &image);
    world.get(&manifest("a", "x")).await;
    for layer in image.layers() {
        world.get(&blob("a", layer.digest())).await;
    }
    world.stop().await;
    let folder = world.folder.path().join("blobs/sha256");
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let large = path.metadata().unwrap().len() > 1_000_000;
        if large {
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[10] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        } else if !path.to_string_lossy().ends_with(".crc") {
            std::fs::remove_file(&path).unwrap();
        }
    }
    world.start_again().await;
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), image.digest());
    for layer in image.layers() {
        assert_eq!(world.get(&blob("a", layer.digest())).await.digest(), layer.digest());
    }
    world.restart().await;
    world.upstream().stop().await.unwrap();
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), image.digest(), "healed");
    for layer in image.layers() {
        assert_eq!(world.get(&blob("a", layer.digest())).await.digest(), layer.digest(), "healed");
    }
}

#[tokio::test]
async fn damage_in_the_middle_breaks_one_answer_and_the_next_is_whole() {
    let mut world = World::start().await;
    let image = Image::builder(9).layers(&[13_000_000]).build();
    world.upstream().push("a", "x", &image);
    let layer = image.layers()[0].digest();
    world.get(&blob("a", layer)).await;
    world.stop().await;
    let (_, hex) = layer.split_once(':').unwrap();
    for entry in std::fs::read_dir(world.folder.path().join("blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with(hex) && path.extension().unwrap() != "crc" {
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[9_000_000] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
    }
    world.start_again().await;
    assert!(read(world.begin(&blob("a", layer)).await).await.is_err(), "a damaged body never ends cleanly");
    assert_eq!(world.get(&blob("a", layer)).await.digest(), layer);
    world.settle(layer).await;
    world.restart().await;
    world.upstream().stop().await.unwrap();
    assert_eq!(world.get(&blob("a", layer)).await.digest(), layer, "healed");
}

#[tokio::test]
async fn head_promises_nothing_that_a_get_was_refused() {
    let world = World::start().await;
    let image = Image::builder(10).layers(&[1_000]).build();
    world.upstream().push("a", "x", &image);
    world.get(&manifest("a", "x")).await;
    let layer = blob("a", image.layers()[0].digest());
    world.upstream().set_faults([Fault::status(404, "BLOB_UNKNOWN").on(Kind::BlobGet)]);
    assert_eq!(world.get(&layer).await.status.as_u16(), 404);
    assert_eq!(world.head(&layer).await.status.as_u16(), 404);
}
