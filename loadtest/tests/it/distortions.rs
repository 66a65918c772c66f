//! Answers that lie, wander off or never end.

use std::time::{Duration, Instant};

use reqwest::{Method, Response};
use roadstead_loadtest::content::digest_of;
use roadstead_loadtest::registry::{Auth, Config, Effect, Fault, Kind, Redirect, TokenAuth};

use crate::world::{REPOSITORY, World, drain, header, manifest_path};

impl World {
    async fn get_range(&self, range: &str) -> Response {
        self.request(Method::GET, &self.layer_path()).header("range", range).send().await.unwrap()
    }
}

#[tokio::test]
async fn one_answer_is_slower_than_the_line() {
    let world = World::start().await;
    world.upstream.set_faults([Fault::bandwidth(500_000).on(Kind::BlobGet).times(1)]);
    let started = Instant::now();
    let body = world.get_layer().await.bytes().await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(150), "{:?}", started.elapsed());
    assert_eq!(digest_of(&body), world.layer().digest());
    let faults = world.upstream.faults();
    world.get_layer().await.bytes().await.unwrap();
    assert_eq!((faults[0].1, world.upstream.faults()[0].1), (1, 2));
}

#[tokio::test]
async fn a_trickle_sends_byte_after_byte() {
    let world = World::start().await;
    world.upstream.set_faults([Fault::bandwidth(20).on(Kind::BlobGet)]);
    let mut response = world.get_layer().await;
    assert_eq!(response.chunk().await.unwrap().unwrap().len(), 1);
}

#[tokio::test]
async fn a_body_never_ends() {
    let world = World::start().await;
    world.upstream.set_faults([Fault::new(Effect::Endless)]);
    for path in [world.layer_path(), manifest_path("1")] {
        let mut response = world.get(&path).await;
        assert_eq!(header(&response, "content-length"), None);
        let mut received = Vec::new();
        while received.len() < 1_000_000 {
            received.extend_from_slice(&response.chunk().await.unwrap().unwrap());
        }
        if path == world.layer_path() {
            assert_eq!(digest_of(&received[..100_000]), world.layer().digest());
        }
    }
    // A part of it starts where it should, and goes on just the same.
    let mut response = world.get_range("bytes=10-19").await;
    let mut received = 0;
    while received < 1_000_000 {
        received += response.chunk().await.unwrap().unwrap().len();
    }
    drop(response);
    world.upstream.wait_for(|counters| counters.aborted(Kind::BlobGet) == 2).await;
}

#[tokio::test]
async fn a_redirect_leads_anywhere() {
    let world = World::start().await;
    let (registry, cdn, digest) = (world.upstream.url(), world.upstream.cdn_url(), world.layer().digest().to_owned());
    for (wanted, location) in [
        ("http://registry.invalid/x", "http://registry.invalid/x".to_owned()),
        ("{registry}{target}", format!("{registry}{}", world.layer_path())),
        ("{cdn}/blobs/{reference}?signature=0", format!("{cdn}/blobs/{digest}?signature=0")),
    ] {
        world.upstream.set_faults([Fault::redirect_to(wanted).on(Kind::BlobGet)]);
        let response = world.get_layer().await;
        assert_eq!((response.status().as_u16(), header(&response, "location")), (307, Some(location.as_str())));
    }
    let expired = format!("{cdn}/blobs/{digest}?signature=0");
    assert_eq!(world.client.get(&expired).send().await.unwrap().status(), 403);
    let see_other = Effect::RedirectTo { location: "/elsewhere".into(), status: 303 };
    world.upstream.set_faults([Fault::new(see_other).on(Kind::ManifestGet)]);
    assert_eq!(world.get(&manifest_path("1")).await.status(), 303);
}

#[tokio::test]
async fn signed_addresses_expire_while_a_body_is_sent() {
    let world = World::with(Config { redirect: Some(Redirect::default()), ..Config::default() }).await;
    let location = header(&world.get_layer().await, "location").unwrap().to_owned();
    world.upstream.set_faults([
        Fault::new(Effect::ExpireRedirects { after: 1000 }).on(Kind::CdnGet),
        Fault::new(Effect::Hang { after: 999 }).on(Kind::CdnGet).times(1),
    ]);
    let hanging = world.client.get(&location).send().await.unwrap();
    world.upstream.wait_for(|counters| counters.bytes_of(world.layer().digest()) == 999).await;
    // One byte before: the address is still good, and it is this second body that makes it worthless.
    let second = world.client.get(&location).send().await.unwrap();
    assert_eq!((second.status().as_u16(), second.bytes().await.unwrap().len()), (200, 100_000));
    assert_eq!(world.client.get(&location).send().await.unwrap().status(), 403);
    // What is on its way already goes on.
    world.upstream.release();
    assert_eq!(digest_of(&hanging.bytes().await.unwrap()), world.layer().digest());
}

#[tokio::test]
async fn tokens_expire_while_a_body_is_sent() {
    let world = World::with(Config { auth: Auth::Token(TokenAuth::default()), ..Config::default() }).await;
    let answer = world.get(&format!("/token?service=synthetic&scope=repository:{REPOSITORY}:pull")).await;
    let answer: serde_json::Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    let token = answer["token"].as_str().unwrap();
    let get = || world.request(Method::GET, &world.layer_path()).bearer_auth(token).send();
    let expire = Fault::new(Effect::ExpireTokens { after: 60_000 }).on(Kind::BlobGet);
    world.upstream.set_faults([expire, Fault::new(Effect::Reset { after: 60_001 }).on(Kind::BlobGet)]);
    // Before that byte the token is good; a part that ends earlier leaves it so.
    let part = world.request(Method::GET, &world.layer_path()).bearer_auth(token).header("range", "bytes=0-999");
    assert_eq!(part.send().await.unwrap().bytes().await.unwrap().len(), 1000);
    if let Ok(response) = get().await {
        assert!(!drain(response).await.1);
    }
    assert_eq!(get().await.unwrap().status(), 401);
}

#[tokio::test]
async fn every_answer_is_reset_after_so_many_bytes_of_its_own() {
    let world = World::start().await;
    // `truncate` where exact numbers count: of a reset the client may lose what it has not read.
    world.upstream.set_faults([Fault::new(Effect::Truncate { after: 40_000 }).of(world.layer().digest())]);
    let (mut received, mut answers) = (Vec::new(), 0);
    while received.len() < 100_000 {
        let (part, _) = drain(world.get_range(&format!("bytes={}-", received.len())).await).await;
        received.extend(part);
        answers += 1;
    }
    assert_eq!((answers, digest_of(&received).as_str()), (3, world.layer().digest()));
}

#[tokio::test]
async fn the_length_is_a_lie() {
    let world = World::start().await;
    world.upstream.set_faults([Fault::new(Effect::WrongLength { by: 1 })]);
    assert_eq!(header(&world.head(&world.layer_path()).await, "content-length"), Some("100001"));
    let response = world.get_layer().await;
    assert_eq!(response.content_length(), Some(100_001));
    let (received, complete) = drain(response).await;
    assert_eq!((received.len(), complete), (100_000, false));
    // Too short is worse: the end looks good, and the connection lives on.
    world.upstream.set_faults([Fault::new(Effect::WrongLength { by: -1 })]);
    let (received, complete) = drain(world.get_layer().await).await;
    assert_eq!((received.len(), complete), (99_999, true));
    assert_eq!(world.get("/v2/").await.status(), 200);
}

#[tokio::test]
async fn the_range_is_a_lie() {
    let world = World::start().await;
    world.upstream.set_faults([Fault::new(Effect::WrongRange { by: 5 })]);
    let response = world.get_range("bytes=10-19").await;
    assert_eq!((response.status().as_u16(), header(&response, "content-range")), (206, Some("bytes 15-24/100000")));
    assert_eq!(response.bytes().await.unwrap(), world.layer().content().bytes()[10..20]);
    world.upstream.set_faults([Fault::new(Effect::WrongRange { by: -5 })]);
    assert_eq!(header(&world.get_range("bytes=10-19").await, "content-range"), Some("bytes 5-14/100000"));
    assert_eq!(header(&world.get_layer().await, "content-range"), None);
}

#[tokio::test]
async fn the_digest_is_that_of_something_else() {
    let world = World::start().await;
    world.upstream.set_faults([Fault::new(Effect::WrongDigest)]);
    for response in [world.get(&manifest_path("1")).await, world.head(&manifest_path("1")).await] {
        let digest = header(&response, "docker-content-digest").unwrap();
        assert!(digest.starts_with("sha256:") && digest != world.image.digest(), "{digest}");
    }
    assert_eq!(header(&world.get(&manifest_path("none")).await, "docker-content-digest"), None);
}

#[tokio::test]
async fn a_portal_answers_in_place_of_everybody() {
    let world = World::with(Config { auth: Auth::Token(TokenAuth::default()), ..Config::default() }).await;
    world.upstream.set_faults([Fault::new(Effect::Garbage)]);
    for path in [manifest_path("1"), "/token?service=synthetic".into(), world.layer_path()] {
        let response = world.get(&path).await;
        assert_eq!((response.status().as_u16(), header(&response, "docker-content-digest")), (200, None));
        assert_eq!(header(&response, "content-type"), Some("text/html; charset=utf-8"));
        assert!(response.text().await.unwrap().starts_with("<!DOCTYPE html>"));
    }
    assert_eq!(world.upstream.counters().of(Kind::Token), 1);
}

#[tokio::test]
async fn the_token_endpoint_fails_as_anything_else() {
    let world = World::with(Config { auth: Auth::Token(TokenAuth::default()), ..Config::default() }).await;
    let too_many = Fault::status(429, "TOOMANYREQUESTS").on(Kind::Token);
    world.upstream.set_faults([too_many, Fault::header("retry-after", "3").on(Kind::Token)]);
    let refused = world.get("/token?service=synthetic").await;
    assert_eq!((refused.status().as_u16(), header(&refused, "retry-after")), (429, Some("3")));
    assert_eq!(world.get("/v2/").await.status(), 401);
}

#[tokio::test]
async fn tags_of_manifests_are_missing_or_opaque() {
    let world = World::start().await;
    let revalidate = |tag: String| world.request(Method::GET, &manifest_path("1")).header("if-none-match", tag).send();
    let digest_tag = format!("\"{}\"", world.image.digest());
    world.upstream.set_faults([Fault::new(Effect::OmitEtag).on_manifests()]);
    assert_eq!(header(&world.head(&manifest_path("1")).await, "etag"), None);
    assert_eq!(revalidate(digest_tag.clone()).await.unwrap().status(), 200);
    world.upstream.set_faults([Fault::new(Effect::OpaqueEtag).on_manifests()]);
    let opaque = header(&world.head(&manifest_path("1")).await, "etag").unwrap().to_owned();
    assert!(!opaque.contains("sha256"), "{opaque}");
    assert_eq!(revalidate(digest_tag).await.unwrap().status(), 200);
    assert_eq!(revalidate(opaque).await.unwrap().status(), 304);
}

#[tokio::test]
async fn a_blob_is_not_there_for_head_until_somebody_fetched_it() {
    let world = World::start().await;
    world.upstream.set_faults([Fault::new(Effect::ColdHead).on(Kind::BlobGet).on(Kind::BlobHead)]);
    assert_eq!(world.head(&world.layer_path()).await.status(), 404);
    assert_eq!(world.get_layer().await.status(), 200);
    assert_eq!(world.head(&world.layer_path()).await.status(), 200);
}
