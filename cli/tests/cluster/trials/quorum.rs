//! Most nodes are gone, then all.

use std::time::Duration;

use super::leader::until_accepted;
use super::measured;
use crate::world::{THREE, World};

const PATIENCE: Duration = Duration::from_secs(120);
const WARM: &str = "10000";

async fn warm_pulls(world: &mut World, names: &[String], when: &str) {
    let mut words = vec!["--clients", "12", "--pulls", WARM];
    words.extend(names.iter().map(String::as_str));
    let report = world.load(&words).report(PATIENCE).await;
    report.without_failure(when);
    measured!(
        "{} warm pulls {when} in {:.1} s, the slowest {:.2?}, none failed",
        report.pulls,
        report.seconds,
        report.slowest
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a trial: run by .ci/cluster"]
async fn pulls_go_on_without_a_quorum_and_without_any_node() {
    let mut world = World::start("quorum", THREE).await;
    let warm = world.stage.make("library/warm:1", 10, &[30_000, 10_000], false).await;
    let addresses: Vec<_> = world.gateways.iter().map(|gateway| gateway.pulls).collect();
    for address in &addresses {
        world.pulled(&warm, *address, 1, PATIENCE).await;
    }
    let names: Vec<String> = addresses.iter().map(|address| warm.at(*address)).collect();

    world.nodes[0].kill();
    world.nodes[1].kill();
    warm_pulls(&mut world, &names, "without a quorum").await;
    // Of several layers, at every gateway.
    let mut cold = Vec::new();
    for (number, address) in addresses.iter().enumerate() {
        let image = world
            .stage
            .make(&format!("library/cold{number}:1"), 20 + number as u64, &[3_000_000, 500_000], false)
            .await;
        let load = world.load(&["--clients", "4", &image.at(*address)]);
        let report = load.report(PATIENCE).await;
        report.without_failure("a cold pull without a quorum");
        measured!("a cold pull without a quorum took {:.2?}", report.slowest);
        cold.push(image);
    }
    // By everybody: what one gateway has fetched, the others get as well.
    let shared = world.stage.make("library/shared:1", 30, &[2_000_000], false).await;
    let load = world.load(&["--clients", "12", &shared.at(world.balancer)]);
    load.report(PATIENCE).await.without_failure("cold pulls at all gateways without a quorum");
    measured!(
        "without a quorum the upstream was asked {} times for one layer",
        world.stage.counters().await.gets_of(&shared.largest().digest)
    );
    cold.push(shared);

    world.nodes[2].kill();
    warm_pulls(&mut world, &names, "without any node").await;

    let World { nodes, network, .. } = &mut world;
    for node in nodes {
        node.start(network);
    }
    measured!("writes were accepted {:.2?} after the nodes were started", until_accepted(&world).await);
    for image in &cold {
        measured!("{} was recorded {:.2?} later", image.name, world.until_recorded(image).await);
    }
    // What was fetched without a quorum is known to a gateway that was not there.
    world.stage.down().await;
    world.gateways[1].stop().await;
    let World { gateways, network, .. } = &mut world;
    gateways[1].start(network);
    world.until_ready(1).await;
    for image in cold.iter().chain([&warm]) {
        world.pulled(image, addresses[1], 1, PATIENCE).await;
    }
}
