//! The way to an upstream: authorities, client certificates, proxies of the environment.

use std::sync::Arc;

use roadstead_loadtest::registry::{Authority, Config, Kind, Protocol, Tls};

use crate::process::{Roadstead, refused};
use crate::proxy::Proxy;
use crate::world::{TAG, World};

/// A world whose upstream speaks TLS; its authority is in `ca.pem`.
async fn over_tls(adjust: impl FnOnce(&mut Tls)) -> World {
    let authority = Arc::new(Authority::new("authority"));
    let mut tls = Tls::new(Arc::clone(&authority));
    adjust(&mut tls);
    let world = World::with(Config { tls: Some(tls), ..Config::default() }).await;
    world.write("ca.pem", &authority.pem());
    world
}

/// A pull that fails because the upstream cannot be reached.
async fn unreachable(world: &World, roadstead: &Roadstead) {
    let answer = world.get(roadstead, &format!("manifests/{TAG}")).await;
    assert_eq!(answer.status(), 502);
    assert!(answer.text().await.unwrap().contains("UNAVAILABLE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_is_trusted_when_it_is_named() {
    let world = over_tls(|_| {}).await;
    let named = world.upstream_arg();
    let distrusting = Roadstead::start(world.serve(&["--upstream", &named]));
    unreachable(&world, &distrusting).await;
    distrusting.logged("UnknownIssuer");
    distrusting.logged("name its authority with upstream_ca");
    distrusting.stop();

    let trusting = Roadstead::start(world.serve(&["--upstream", &named, "--upstream-ca", "ca.pem"]));
    world.pull(&trusting, TAG).await;
    trusting.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_of_the_file_opens_the_door() {
    let clients = Arc::new(Authority::new("clients"));
    let world = over_tls(|tls| tls.clients = Some(Arc::clone(&clients))).await;
    let client = clients.client("roadstead");
    world.write("client.pem", &client.certificate);
    world.write("client.key", &client.key);
    let host = world.upstream.addr().to_string();
    let without = format!("[[upstream_connection]]\nhost = '{host}'\nca = 'ca.pem'\n");
    let with = format!("{without}client_certificate = 'client.pem'\nclient_key = 'client.key'\nhttp = '1.1'\n");
    let (without, with) = (world.write("without.toml", &without), world.write("with.toml", &with));

    let stranger = Roadstead::start(world.serve(&["--upstream", &world.upstream_arg(), "--config", &without]));
    unreachable(&world, &stranger).await;
    stranger.logged("see client_certificate in an [[upstream_connection]]");
    stranger.stop();

    let checked = world.serve(&["--config", &with, "--check-config"]).output().unwrap();
    let said = String::from_utf8(checked.stdout).unwrap();
    let line = format!("  {host}  ca = ca.pem, client_certificate = client.pem, http = 1.1\n");
    assert!(said.contains(&line) && !said.contains("PRIVATE"), "{said}");

    let known = Roadstead::start(world.serve(&["--upstream", &world.upstream_arg(), "--config", &with]));
    world.pull(&known, TAG).await;
    let counters = world.upstream.counters();
    assert!(counters.client_certificates() > 0);
    assert_eq!(counters.of_protocol(Kind::ManifestGet, Protocol::Http1), counters.of(Kind::ManifestGet));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_cannot_be_are_refused_with_key_and_file() {
    let world = World::new().await;
    let (client, other) = (Authority::new("a").client("b"), Authority::new("a").client("b"));
    for (name, content) in [("a.pem", &client.certificate), ("a.key", &client.key), ("other.key", &other.key)] {
        world.write(name, content);
    }
    for (text, parts) in [
        ("host = 'https://a'", &["host of [[upstream_connection]] number 1", "without scheme and path"][..]),
        ("host = 'a'", &["`a` sets nothing"]),
        ("host = 'a'\nca = 'absent.pem'", &["ca of", "`a`", "absent.pem", "No such file"]),
        ("host = 'a'\nca = 'a.key'", &["ca of", "a.key", "no readable PEM certificate"]),
        ("host = 'a'\nclient_certificate = 'a.pem'", &["`a` has client_certificate but no client_key"]),
        ("host = 'a'\nclient_key = 'a.key'", &["`a` has client_key but no client_certificate"]),
        ("host = 'a'\nclient_certificate = 'a.pem'\nclient_key = 'other.key'", &["client_key of", "does not belong"]),
        ("host = 'a'\nhttp = '1.1'\n[[upstream_connection]]\nhost = 'A:443'\nhttp = '2'", &["two", "`a:443`"]),
        ("host = 'a'\nhttp = 2", &["line 3"]),
    ] {
        let file = world.write("serve.toml", &format!("[[upstream_connection]]\n{text}"));
        let (code, said) = refused(world.serve(&["--config", &file]));
        assert_eq!(code, Some(64), "{text}: {said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{text}: {said}");
        assert!(!said.contains("BEGIN PRIVATE KEY-----\n") && said.lines().count() == 1, "{said}");
    }
    assert!(!world.path("data").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_are_reached_through_the_proxy_of_the_environment() {
    let world = over_tls(|_| {}).await;
    let addr = world.upstream.addr().to_string();
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        let proxy = Proxy::open().await;
        let mut command = world.serve(&["--upstream", &world.upstream_arg(), "--upstream-ca", "ca.pem"]);
        command.env(variable, proxy.url("me:hunter2@"));
        let roadstead = Roadstead::start(command);
        world.pull(&roadstead, TAG).await;
        let tunnels = proxy.tunnels();
        assert_eq!(tunnels.len() as u64, world.upstream.counters().connections(), "{variable}: all through it");
        assert!(tunnels.iter().all(|tunnel| tunnel.to == addr), "{tunnels:?}");
        assert!(tunnels.iter().all(|tunnel| tunnel.authorization.as_deref() == Some("Basic bWU6aHVudGVyMg==")));
        let ended = roadstead.stop();
        assert!(!ended.logged.contains("hunter2") && !ended.printed.contains("hunter2"), "{}", ended.logged);
        world.upstream.reset_counters();
        std::fs::remove_dir_all(world.path("data")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_proxy_goes_straight() {
    let world = over_tls(|_| {}).await;
    let proxy = Proxy::open().await;
    let mut command = world.serve(&["--upstream", &world.upstream_arg(), "--upstream-ca", "ca.pem"]);
    command.env("HTTPS_PROXY", proxy.url("")).env("NO_PROXY", "example.com,127.0.0.0/8");
    let roadstead = Roadstead::start(command);
    world.pull(&roadstead, TAG).await;
    assert!(proxy.tunnels().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_fails_is_named_without_its_password() {
    let world = over_tls(|_| {}).await;
    let proxy = Proxy::open().await;
    let start = |url: String| {
        let mut command = world.serve(&["--upstream", &world.upstream_arg(), "--upstream-ca", "ca.pem"]);
        command.env("HTTPS_PROXY", url);
        Roadstead::start(command)
    };
    proxy.refuse();
    let refused = start(proxy.url("me:hunter2@"));
    unreachable(&world, &refused).await;
    refused.logged(&format!("through the proxy {} that the environment names", proxy.addr()));
    refused.logged("proxy authorization required");
    assert!(!refused.stop().logged.contains("hunter2"));

    let url = proxy.url("me:hunter2@");
    proxy.close().await;
    let closed = start(url);
    unreachable(&world, &closed).await;
    closed.logged("Connection refused");
    assert!(!closed.stop().logged.contains("hunter2"));
    assert_eq!(world.upstream.counters().connections(), 0, "nothing went around it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_cannot_be_is_refused_and_a_good_one_shown() {
    let world = World::new().await;
    let mut bad = world.serve(&[]);
    bad.env("HTTPS_PROXY", "socks5://me:hunter2@proxy.internal:1080");
    let (code, said) = refused(bad);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("HTTPS_PROXY does not name a proxy") && !said.contains("hunter2"), "{said}");

    let mut good = world.serve(&["--check-config"]);
    good.env("HTTPS_PROXY", "http://me:hunter2@proxy.internal:3128").env("NO_PROXY", ".internal");
    let said = String::from_utf8(good.output().unwrap().stdout).unwrap();
    assert!(said.contains("http://proxy.internal:3128 (HTTPS_PROXY)\n  but not to       .internal"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}
