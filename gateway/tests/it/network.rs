//! Addresses that upstreams may not have: at the first request, at a redirect, at a token realm, by number and by name.

use roadstead_gateway::upstream::connection::Transport;
use roadstead_gateway::upstream::network::NetworkPolicy;
use roadstead_loadtest::image::Image;
use roadstead_loadtest::registry::{self, Auth, Fault, Kind, TokenAuth};

use crate::answer::Answer;
use crate::world::{World, blob, manifest, to_loopback};

fn opening(network: &str) -> Transport {
    Transport { network: NetworkPolicy::opening(vec![network.parse().unwrap()]), ..to_loopback() }
}

/// What a gateway that may connect to this network alone answers to a pull by tag.
async fn pulled(world: &World) -> (u16, Answer) {
    let image = Image::builder(1).build();
    world.upstream().push("a", "x", &image);
    let answer = world.get(&manifest("a", "x")).await;
    (answer.status.as_u16(), answer)
}

#[tokio::test]
async fn an_upstream_at_a_closed_address_is_not_asked() {
    let world = World::reached_by(registry::Config::default(), |_| opening("10.0.0.0/8")).await;
    let (status, answer) = pulled(&world).await;
    assert_eq!(status, 502);
    assert!(!answer.message().contains("127.0.0.1"), "inner addresses are not for whoever pulls");
    assert_eq!(world.upstream().counters().total(), 0);
    assert!(world.counted("roadstead_upstream_requests_total", "forbidden_address").await);
}

#[tokio::test]
async fn nor_is_one_whose_name_leads_to_one() {
    let world = World::reached_by_name("localhost", opening("10.0.0.0/8")).await;
    assert_eq!(pulled(&world).await.0, 502);
    assert_eq!(world.upstream().counters().total(), 0);
    let world = World::reached_by_name("localhost", to_loopback()).await;
    assert_eq!(pulled(&world).await.0, 200, "where it is open the name does");
}

#[tokio::test]
async fn a_redirect_to_a_closed_address_is_not_followed() {
    let world = World::reached_by(registry::Config::default(), |_| opening("127.0.0.1/32")).await;
    let image = Image::builder(1).layers(&[100_000]).build();
    world.upstream().push("a", "x", &image);
    let digest = image.layers()[0].digest();
    for inner in
        ["http://127.0.0.2/secret", "http://169.254.169.254/latest/meta-data", "http://[::1]/", "http://0x7f.2/"]
    {
        world.upstream().set_faults([Fault::redirect_to(inner).on(Kind::BlobGet)]);
        assert_eq!(world.get(&blob("a", digest)).await.status.as_u16(), 502, "{inner}");
    }
    world.upstream().set_faults([]);
    assert_eq!(world.get(&blob("a", digest)).await.digest(), digest, "nothing of it is held against the upstream");
}

#[tokio::test]
async fn a_token_realm_at_a_closed_address_gets_no_credentials() {
    let auth = TokenAuth { anonymous: true, realm_host: Some("127.0.0.2".to_owned()), ..TokenAuth::default() };
    let config = registry::Config { auth: Auth::Token(auth), ..registry::Config::default() };
    let world = World::reached_by(config, |_| opening("127.0.0.1/32")).await;
    assert_eq!(pulled(&world).await.0, 502);
    assert_eq!(world.upstream().counters().of(Kind::Token), 0);
}
