//! TLS towards upstreams: whom we trust, as whom we come, in which version of HTTP.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use http::{HeaderMap, Method};
use roadstead_gateway::upstream::connection::{
    Certificates, ClientIdentity, Connection, ConnectionSettings, HttpVersion, Transport,
};
use roadstead_gateway::upstream::exchange::{ExchangeError, Request};
use roadstead_gateway::upstream::{HttpExchange as _, ReqwestExchange};
use roadstead_loadtest::image::Image;
use roadstead_loadtest::registry::{
    self, Auth, Authority, Effect, Fault, Kind, Protocol, Redirect, Signed, Tls, TokenAuth, Upstream,
};

use crate::world::{World, blob, manifest, to_loopback};

const LAYERS: usize = 4;

fn authority() -> Arc<Authority> {
    Arc::new(Authority::new("authority"))
}

fn trusting(authority: &Authority) -> Option<Certificates> {
    Some(Certificates::from_pem(authority.pem().as_bytes()).unwrap())
}

fn identity(signed: &Signed) -> Option<ClientIdentity> {
    Some(ClientIdentity::from_pem(signed.certificate.as_bytes(), signed.key.as_bytes()).unwrap())
}

/// Settings for the registry of an upstream, and for nobody else.
fn only_for(upstream: &Upstream, settings: ConnectionSettings) -> Transport {
    let host = upstream.addr().to_string().parse().unwrap();
    Transport { connections: vec![Connection { host, settings }], ..to_loopback() }
}

/// The same, where everybody's authority is trusted.
fn among_trusted(authority: &Authority, upstream: &Upstream, settings: ConnectionSettings) -> Transport {
    Transport { authorities: trusting(authority), ..only_for(upstream, settings) }
}

fn speaking(tls: Tls) -> registry::Config {
    registry::Config { tls: Some(tls), ..registry::Config::default() }
}

fn pushed(world: &World) -> Image {
    let image = Image::builder(1).layers(&[300_000; LAYERS]).build();
    world.upstream().push("a", "x", &image);
    image
}

/// Pulls everything, the layers at the same time.
async fn pull(world: &World, image: &Image) {
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), image.digest());
    let paths: Vec<String> = image.layers().iter().map(|layer| blob("a", layer.digest())).collect();
    for (answer, layer) in join_all(paths.iter().map(|path| world.get(path))).await.iter().zip(image.layers()) {
        assert_eq!(answer.digest(), layer.digest());
    }
}

/// A pull that fails as upstreams do, of which the client learns no more than that.
async fn refused(world: &World) {
    let answer = world.get(&manifest("a", "x")).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (502, "UNAVAILABLE"), "{}", answer.message());
    assert!(!answer.message().contains("ertificate"), "{}", answer.message());
    assert!(world.metrics().await.contains("outcome=\"connection\""));
    let counters = world.upstream().counters();
    assert_eq!(counters.total(), 0, "no request came through");
    assert!(counters.handshakes_failed() > 0);
}

#[tokio::test]
async fn an_authority_is_trusted_where_it_is_named() {
    let authority = authority();
    let everywhere = Transport { authorities: trusting(&authority), ..to_loopback() };
    let world = World::reached_by(speaking(Tls::new(Arc::clone(&authority))), |_| everywhere).await;
    let image = pushed(&world);
    pull(&world, &image).await;

    let here = |upstream: &Upstream| {
        only_for(upstream, ConnectionSettings { authorities: trusting(&authority), ..ConnectionSettings::default() })
    };
    let world = World::reached_by(speaking(Tls::new(Arc::clone(&authority))), here).await;
    let image = pushed(&world);
    pull(&world, &image).await;
}

#[tokio::test]
async fn a_certificate_of_somebody_else_is_not_trusted() {
    for named in [None, trusting(&Authority::new("somebody else"))] {
        let transport = Transport { authorities: named, ..to_loopback() };
        let world = World::reached_by(speaking(Tls::new(authority())), |_| transport).await;
        pushed(&world);
        refused(&world).await;
    }
}

#[tokio::test]
async fn blobs_have_connections_of_their_own_and_the_rest_shares_one() {
    let authority = authority();
    let auth = Auth::Token(TokenAuth::default());
    let config = registry::Config { auth, ..speaking(Tls::new(Arc::clone(&authority))) };
    let transport = Transport { authorities: trusting(&authority), ..to_loopback() };
    let world = World::reached_by(config, |_| transport).await;
    let image = pushed(&world);
    world.upstream().set_faults([Fault::new(Effect::Hold).on(Kind::BlobGet)]);
    let at_once = async {
        world.upstream().wait_for(|counters| counters.in_flight(Kind::BlobGet) == LAYERS as u64).await;
        world.upstream().release();
    };
    tokio::join!(pull(&world, &image), at_once);

    let counters = world.upstream().counters();
    assert_eq!(counters.of_protocol(Kind::BlobGet, Protocol::Http1), LAYERS as u64);
    assert_eq!(counters.connections_of(Protocol::Http1), LAYERS as u64);
    for kind in [Kind::ManifestGet, Kind::Token] {
        assert!(counters.of(kind) > 0, "{kind:?}");
        assert_eq!(counters.of_protocol(kind, Protocol::Http2), counters.of(kind), "{kind:?}");
    }
    assert_eq!(counters.connections_of(Protocol::Http2), 1);
}

#[tokio::test]
async fn one_version_of_http_is_used_where_one_is_named() {
    let (http1, http2) = (Protocol::Http1, Protocol::Http2);
    for (named, offered, used) in [
        (HttpVersion::Http1, vec![http2, http1], http1),
        (HttpVersion::Http2, vec![http1, http2], http2),
        (HttpVersion::Auto, vec![http1], http1),
    ] {
        let authority = authority();
        let tls = Tls { protocols: offered, ..Tls::new(Arc::clone(&authority)) };
        let settings =
            ConnectionSettings { http: named, authorities: trusting(&authority), ..ConnectionSettings::default() };
        let world = World::reached_by(speaking(tls), |upstream| only_for(upstream, settings)).await;
        let image = pushed(&world);
        pull(&world, &image).await;
        let counters = world.upstream().counters();
        assert_eq!(counters.connections_of(used), counters.connections(), "{named:?}");
        if used == http2 {
            assert_eq!(counters.connections(), 1, "all blobs over one connection");
        }
    }
}

#[tokio::test]
async fn a_server_without_the_version_that_is_named_is_refused() {
    let authority = authority();
    let tls = Tls { protocols: vec![Protocol::Http1], ..Tls::new(Arc::clone(&authority)) };
    let settings = ConnectionSettings { http: HttpVersion::Http2, ..ConnectionSettings::default() };
    let world = World::reached_by(speaking(tls), |upstream| among_trusted(&authority, upstream, settings)).await;
    pushed(&world);
    refused(&world).await;
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_gets_the_one_for_it() {
    let (authority, clients) = (authority(), Arc::new(Authority::new("clients")));
    for protocols in [vec![Protocol::Http2, Protocol::Http1], vec![Protocol::Http1]] {
        let tls = Tls { protocols, clients: Some(Arc::clone(&clients)), ..Tls::new(Arc::clone(&authority)) };
        let identity = identity(&clients.client("roadstead"));
        let settings = ConnectionSettings { identity, ..ConnectionSettings::default() };
        let world = World::reached_by(speaking(tls), |upstream| among_trusted(&authority, upstream, settings)).await;
        let image = pushed(&world);
        pull(&world, &image).await;
        let counters = world.upstream().counters();
        assert_eq!(counters.client_certificates(), counters.connections());
    }
}

#[tokio::test]
async fn without_the_right_certificate_nothing_comes_through() {
    let (authority, clients) = (authority(), Arc::new(Authority::new("clients")));
    for identity in [None, identity(&Authority::new("clients").client("stranger"))] {
        let tls = Tls { clients: Some(Arc::clone(&clients)), ..Tls::new(Arc::clone(&authority)) };
        let settings = ConnectionSettings { identity, ..ConnectionSettings::default() };
        let world = World::reached_by(speaking(tls), |upstream| among_trusted(&authority, upstream, settings)).await;
        pushed(&world);
        refused(&world).await;
    }
}

#[tokio::test]
async fn what_failed_is_said_with_what_to_do() {
    let (authority, clients) = (authority(), Arc::new(Authority::new("clients")));
    let (http1, http2) = (vec![Protocol::Http1], vec![Protocol::Http2]);
    let tls = |protocols: &Vec<Protocol>, clients| Tls {
        protocols: protocols.clone(),
        clients,
        ..Tls::new(Arc::clone(&authority))
    };
    let (open, closed) = (|protocols| tls(protocols, None), |protocols| tls(protocols, Some(Arc::clone(&clients))));
    let plain = ConnectionSettings::default;
    let stranger = || ConnectionSettings { identity: identity(&Authority::new("x").client("x")), ..plain() };
    let only_http2 = ConnectionSettings { http: HttpVersion::Http2, ..plain() };
    for (tls, trusted, settings, part) in [
        (open(&http2), None, plain(), "UnknownIssuer (nobody who is trusted has signed its certificate"),
        (open(&http1), trusting(&authority), only_http2, "see http in an [[upstream_connection]]"),
        (closed(&http1), trusting(&authority), plain(), "see client_certificate in an [[upstream_connection]]"),
        (closed(&http2), trusting(&authority), plain(), "see client_certificate in an [[upstream_connection]]"),
        (closed(&http1), trusting(&authority), stranger(), "see client_certificate in an [[upstream_connection]]"),
        (closed(&http2), trusting(&authority), stranger(), "see client_certificate in an [[upstream_connection]]"),
    ] {
        let upstream = Upstream::start(speaking(tls)).await.unwrap();
        let transport = Transport { authorities: trusted, ..only_for(&upstream, settings) };
        let request = Request {
            method: Method::GET,
            url: format!("{}/v2/?signature=hunter2", upstream.url()).parse().unwrap(),
            headers: HeaderMap::new(),
            patience: Duration::from_secs(20),
            bulk: false,
        };
        match ReqwestExchange::new(&transport).unwrap().send(request).await {
            Err(ExchangeError::Connection(said)) => {
                assert!(said.contains(part) && !said.contains("hunter2"), "{said}");
            }
            other => panic!("{part}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn the_certificate_is_not_shown_where_a_redirect_leads() {
    let (authority, clients) = (authority(), Arc::new(Authority::new("clients")));
    let tls = Tls { clients: Some(Arc::clone(&clients)), ..Tls::new(Arc::clone(&authority)) };
    let config = registry::Config { redirect: Some(Redirect::default()), ..speaking(tls) };
    let settings =
        ConnectionSettings { identity: identity(&clients.client("roadstead")), ..ConnectionSettings::default() };
    let world = World::reached_by(config, |upstream| among_trusted(&authority, upstream, settings)).await;
    let image = pushed(&world);
    pull(&world, &image).await;
    let counters = world.upstream().counters();
    assert_eq!(counters.of(Kind::CdnGet), LAYERS as u64);
    assert!(counters.client_certificates() > 0, "the registry has seen it");
    assert_eq!(counters.cdn_client_certificates(), 0, "the other origin has not, although it asked");
}
