//! TLS: versions of HTTP, certificates on both sides, and what is counted of them.

use std::sync::Arc;

use reqwest::{Certificate, Client, ClientBuilder, Identity, Method};
use roadstead_loadtest::content::digest_of;
use roadstead_loadtest::registry::{
    Auth, Authority, Config, Effect, Fault, Kind, Protocol, Redirect, Signed, Tls, TokenAuth,
};

use crate::world::{World, header, manifest_path};

/// A world that speaks TLS, and a client that trusts it.
async fn world(
    config: Config,
    adjust: impl FnOnce(&mut Tls),
    client: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> World {
    let authority = Arc::new(Authority::new("authority"));
    let mut tls = Tls::new(Arc::clone(&authority));
    adjust(&mut tls);
    let mut world = World::with(Config { tls: Some(tls), ..config }).await;
    world.client = client(trusting(&authority)).build().unwrap();
    world
}

fn trusting(authority: &Authority) -> ClientBuilder {
    let certificate = Certificate::from_pem(authority.pem().as_bytes()).unwrap();
    Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).tls_certs_only([certificate])
}

fn identity(signed: &Signed) -> Identity {
    Identity::from_pem(format!("{}{}", signed.key, signed.certificate).as_bytes()).unwrap()
}

#[tokio::test]
async fn the_versions_offered_are_spoken_and_counted() {
    for (offered, spoken) in [
        (vec![Protocol::Http2, Protocol::Http1], Protocol::Http2),
        (vec![Protocol::Http2], Protocol::Http2),
        (vec![Protocol::Http1], Protocol::Http1),
    ] {
        let world = world(Config::default(), |tls| tls.protocols = offered, |client| client).await;
        assert!(world.upstream.url().starts_with("https://"));
        assert_eq!(world.head(&manifest_path("1")).await.status(), 200);
        let body = world.get_layer().await.bytes().await.unwrap();
        assert_eq!(digest_of(&body), world.layer().digest());
        let counters = world.upstream.counters();
        assert_eq!((counters.connections(), counters.connections_of(spoken)), (1, 1));
        assert_eq!(counters.of_protocol(Kind::BlobGet, spoken), 1);
        assert_eq!(counters.bytes_of(world.layer().digest()), 100_000);
    }
}

#[tokio::test]
async fn tokens_and_redirects_stay_on_tls() {
    let config =
        Config { auth: Auth::Token(TokenAuth::default()), redirect: Some(Redirect::default()), ..Config::default() };
    let world = world(config, |_| {}, |client| client).await;
    let refused = world.get_layer().await;
    let realm = format!("realm=\"{}/token\"", world.upstream.url());
    assert!(header(&refused, "www-authenticate").unwrap().contains(&realm));
    world.upstream.set_auth(Auth::None);
    let location = header(&world.get_layer().await, "location").unwrap().to_owned();
    assert!(location.starts_with(&world.upstream.cdn_url()), "{location}");
    assert_eq!(world.client.get(&location).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn faults_cut_tls_connections_too() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let world = world(Config::default(), |tls| tls.protocols = vec![protocol], |client| client).await;
        world.upstream.set_faults([Fault::new(Effect::Truncate { after: 50_000 }).on(Kind::BlobGet)]);
        assert!(world.get_layer().await.bytes().await.is_err(), "{protocol:?}");
    }
}

#[tokio::test]
async fn who_trusts_somebody_else_ends_in_the_handshake() {
    let world = world(Config::default(), |_| {}, |_| trusting(&Authority::new("somebody else"))).await;
    assert!(world.request(Method::GET, "/v2/").send().await.unwrap_err().is_connect());
    let counters = world.upstream.wait_for(|counters| counters.handshakes_failed() == 1).await;
    assert_eq!(counters.total(), 0);
}

#[tokio::test]
async fn client_certificates_are_required_and_counted() {
    let clients = Arc::new(Authority::new("clients"));
    let known = identity(&clients.client("known"));
    let config = || Config { redirect: Some(Redirect::default()), ..Config::default() };
    let required = |tls: &mut Tls| tls.clients = Some(Arc::clone(&clients));

    let strangers = world(config(), required, |client| client).await;
    assert!(strangers.request(Method::GET, "/v2/").send().await.is_err());
    strangers.upstream.wait_for(|counters| counters.handshakes_failed() == 1).await;

    let world = world(config(), required, |client| client.identity(known)).await;
    let location = header(&world.get_layer().await, "location").unwrap().to_owned();
    assert_eq!(world.upstream.counters().client_certificates(), 1);
    assert_eq!(world.upstream.counters().cdn_client_certificates(), 0);
    // A client that shows it everywhere is found out.
    assert_eq!(world.client.get(&location).send().await.unwrap().status(), 200);
    assert_eq!(world.upstream.counters().cdn_client_certificates(), 1);
}
