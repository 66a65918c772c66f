//! What gateways tell each other once a second: rate budgets, waits, and how busy they are.

use std::time::Duration;

use roadstead_loadtest::image::Image;
use roadstead_loadtest::registry::{Effect, Fault, Kind};
use roadstead_proto::domain::fleet::{FleetMember, Registration, Report};
use roadstead_proto::domain::lease::{GatewayId, SESSION_TTL};
use roadstead_proto::domain::registry::RegionId;
use roadstead_proto::meta::Leases as _;

use crate::world::{Second, World, blob, eventually, manifest, read};

const VALIDITY: Duration = Duration::from_secs(24 * 3600);

/// A world with a second gateway that has asked the upstream before: only then do its gauges have the upstream's name.
async fn two(image: &Image) -> (World, Second) {
    let world = World::start().await;
    let second = world.second_gateway().await;
    world.upstream().push("a", "x", image);
    world.upstream().push("b", "y", &Image::builder(99).build());
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), image.digest());
    world.tag_recorded("a", "x").await;
    assert_eq!(world.get_url(&second.url(&manifest("b", "y"))).await.status.as_u16(), 200);
    (world, second)
}

/// The gateways as a third one is told of them.
async fn gateways(world: &World) -> Vec<FleetMember> {
    let observer = Registration::alone(GatewayId("observer".into()), RegionId::default_region());
    let session = world.meta.open_session(&observer).await.unwrap();
    let mut fleet = world.meta.keep_alive(session, &Report::default()).await.unwrap();
    world.meta.close_session(session).await.unwrap();
    fleet.gateways.retain(|member| member.session != session);
    fleet.gateways
}

async fn report_of(world: &World, name: &str) -> Option<Report> {
    let gateways = gateways(world).await;
    gateways.into_iter().find(|member| member.registration.gateway.0 == name).and_then(|member| member.report)
}

#[tokio::test]
async fn what_one_is_asked_to_wait_all_wait() {
    let (world, second) = two(&Image::builder(1).build()).await;
    let limited =
        [Fault::status(429, "TOOMANYREQUESTS").on_manifests(), Fault::header("retry-after", "30").on_manifests()];
    world.upstream().set_faults(limited);
    assert_eq!(world.get(&manifest("a", "cold")).await.status.as_u16(), 429);
    let open = async || second.counted("roadstead_upstream_breaker", "circuit=\"manifests\"").await;
    eventually("the other one hears of it", open).await;
    let asked = world.upstream().counters().total();
    let refused = world.get_url(&second.url(&manifest("a", "cold"))).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (429, "TOOMANYREQUESTS"));
    let retry_after: u64 = refused.header("retry-after").parse().unwrap();
    assert!((32..=35).contains(&retry_after), "it comes a little later, and not at the same moment: {retry_after}");
    assert_eq!(world.upstream().counters().total(), asked);
    assert!(
        !second.counted("roadstead_upstream_breaker", "circuit=\"blobs\"").await,
        "a limit on manifests is none on blobs"
    );

    // Who was asked to wait finds out, and the other one is back a little later.
    world.upstream().set_faults([]);
    world.clock.advance(Duration::from_secs(30));
    assert_eq!(world.get_url(&second.url(&manifest("a", "cold"))).await.status.as_u16(), 429);
    assert_eq!(world.upstream().counters().total(), asked);
    assert_eq!(world.get(&manifest("a", "cold")).await.status.as_u16(), 404);
    world.clock.advance(Duration::from_secs(5));
    assert_eq!(world.get_url(&second.url(&manifest("a", "cold"))).await.status.as_u16(), 404);
}

#[tokio::test]
async fn one_budget_stretches_validity_everywhere() {
    let image = Image::builder(2).build();
    let (world, second) = two(&image).await;
    world.clock.advance(VALIDITY * 3);
    let left = [("ratelimit-limit", "100;w=21600"), ("ratelimit-remaining", "5;w=21600")];
    world.upstream().set_faults(left.map(|(name, value)| Fault::header(name, value).on_manifests()));
    world.upstream().push("b", "cold", &Image::builder(3).build());
    assert_eq!(world.get(&manifest("b", "cold")).await.status.as_u16(), 200);
    let knows = async || second.counted("roadstead_upstream_rate_remaining", "} 5").await;
    eventually("the other one hears of it", knows).await;
    let answer = world.get_url(&second.url(&manifest("a", "x"))).await;
    assert_eq!(
        (answer.header("cache-status"), answer.digest().as_str()),
        ("roadstead; hit; detail=rate_budget", image.digest())
    );
    assert_eq!(world.upstream().counters().of(Kind::ManifestHead), 0);
}

#[tokio::test]
async fn the_fleet_shows_who_is_there_and_how_busy() {
    let world = World::start().await;
    let mut second = world.second_gateway().await;
    eventually("both are there", async || gateways(&world).await.len() == 2).await;
    let both = gateways(&world).await;
    let first = both.iter().find(|member| member.registration.gateway.0 == "test").unwrap();
    assert_eq!(first.registration.version, env!("CARGO_PKG_VERSION"));
    eventually("each knows of both", async || {
        second.counted("roadstead_fleet_gateways", " 2").await && second.counted("roadstead_fleet_present", " 1").await
    })
    .await;

    let image = Image::builder(4).layers(&[300_000]).build();
    world.upstream().push("a", "x", &image);
    world.upstream().set_faults([Fault::new(Effect::Hang { after: 200_000 }).on(Kind::BlobGet)]);
    let layer = image.layers()[0].digest();
    let pull = world.begin(&blob("a", layer)).await;
    let busy = async || report_of(&world, "test").await.is_some_and(|report| (report.fills, report.requests) == (1, 1));
    eventually("the download and its client show", busy).await;
    second.begin_stop();
    eventually("it drains, or has gone", async || {
        report_of(&world, "second").await.is_none_or(|report| report.draining)
    })
    .await;
    world.upstream().set_faults([]);
    world.upstream().release();
    assert_eq!(read(pull).await.unwrap().len(), 300_000);
    let idle = async || report_of(&world, "test").await.is_some_and(|report| (report.fills, report.requests) == (0, 0));
    eventually("and are over", idle).await;
    second.ended().await;
    eventually("who ends is gone", async || gateways(&world).await.len() == 1).await;
}

#[tokio::test]
async fn without_metadata_a_gateway_knows_that_it_is_by_itself() {
    let world = World::start().await;
    eventually("it is in touch", async || world.counted("roadstead_fleet_present", " 1").await).await;
    world.meta.set_outage(true);
    let alone = async || world.counted("roadstead_fleet_present", " 0").await;
    tokio::time::timeout(SESSION_TTL * 2, eventually("it notices", alone)).await.expect("within a session's time");
    world.meta.set_outage(false);
    eventually("it is in touch again", async || world.counted("roadstead_fleet_present", " 1").await).await;
}
