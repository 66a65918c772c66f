//! Blobs on another origin.

use reqwest::Method;
use roadstead_loadtest::content::digest_of;
use roadstead_loadtest::registry::{Config, Kind, Redirect};

use crate::world::{World, header, manifest_path};

async fn world(redirect: Redirect) -> World {
    World::with(Config { redirect: Some(redirect), ..Config::default() }).await
}

impl World {
    async fn location(&self) -> String {
        let response = self.get_layer().await;
        assert!(response.status().is_redirection(), "{}", response.status());
        header(&response, "location").unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_blob_is_found_at_the_other_origin() {
    let world = world(Redirect::default()).await;
    assert_eq!(world.get(&manifest_path("1")).await.status(), 200);
    assert_eq!(world.get_layer().await.status(), 307);
    let location = world.location().await;
    assert!(location.starts_with(&format!("http://{}/", world.upstream.cdn_addr())), "{location}");
    let response = world.client.get(&location).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(digest_of(&response.bytes().await.unwrap()), world.layer().digest());
    let part = world.client.get(&location).header("range", "bytes=1-2").send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.bytes().await.unwrap().len(), 2);
    let counters = world.upstream.counters();
    assert_eq!(counters.blob_gets(world.layer().digest()), 2);
    assert_eq!(counters.of_key(Kind::CdnGet, world.layer().digest()), 2);
    assert_eq!(counters.bytes_of(world.layer().digest()), 100_002);
    assert_eq!(counters.cdn_authorizations(), 0);
}

#[tokio::test]
async fn the_other_origin_refuses_credentials_and_head() {
    let world = world(Redirect::default()).await;
    let location = world.location().await;
    let with_token = world.client.get(&location).bearer_auth("secret").send().await.unwrap();
    assert_eq!(with_token.status(), 400);
    assert_eq!(world.upstream.counters().cdn_authorizations(), 1);
    assert_eq!(world.client.request(Method::HEAD, &location).send().await.unwrap().status(), 403);
    assert_eq!(world.upstream.counters().of(Kind::CdnHead), 1);
}

#[tokio::test]
async fn addresses_expire() {
    let world = world(Redirect::default()).await;
    let old = world.location().await;
    world.upstream.expire_redirects();
    assert_eq!(world.client.get(&old).send().await.unwrap().status(), 403);
    let new = world.location().await;
    assert_eq!(world.client.get(&new).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn head_and_status_are_as_configured() {
    let world = world(Redirect::default()).await;
    assert_eq!(world.head(&world.layer_path()).await.status(), 200);
    world.upstream.set_redirect(Some(Redirect { status: 302, heads: true }));
    assert_eq!(world.head(&world.layer_path()).await.status(), 302);
    assert_eq!(world.get_layer().await.status(), 302);
    world.upstream.set_redirect(None);
    assert_eq!(world.get_layer().await.status(), 200);
}
