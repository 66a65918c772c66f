//! Everything is restarted, at once and one after the other.

use std::time::Duration;

use roadstead_loadtest::history::check;

use super::leader::until_accepted;
use super::measured;
use crate::process::until;
use crate::world::{THREE, World};
use crate::writers::Writers;

const PATIENCE: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a trial: run by .ci/cluster"]
async fn everything_killed_at_once_comes_back() {
    let mut world = World::start("power", THREE).await;
    let warm = world.stage.make("library/warm:1", 16, &[600_000, 100_000], false).await;
    let large = world.stage.make("library/large:1", 17, &[60_000_000], false).await;
    world.pulled(&warm, world.balancer, 3, PATIENCE).await;
    world.until_recorded(&warm).await;
    world.stage.bandwidth(Some(10_000_000)).await;
    let writers = Writers::start(8, 13, || world.meta());
    until("writes go on", PATIENCE, async || writers.acknowledged() > 500).await;
    // In the middle of a download.
    let load = world.load(&[&large.at(world.gateways[0].pulls)]);
    let (stage, digest) = (&world.stage, &large.largest().digest);
    until("the download begins", PATIENCE, async || stage.counters().await.bytes_of(digest) > 5_000_000).await;

    let World { nodes, gateways, network, .. } = &mut world;
    for member in nodes.iter_mut().chain(gateways.iter_mut()) {
        member.kill();
    }
    // Its client has to begin anew when there is somebody again.
    drop(load);
    for member in nodes.iter_mut().chain(gateways.iter_mut()) {
        member.start(network);
    }
    measured!("a write was accepted {:.2?} after everything was started again", until_accepted(&world).await);
    for gateway in 0..3 {
        world.until_ready(gateway).await;
    }
    let goal = writers.acknowledged() + 500;
    until("writes go on", PATIENCE, async || writers.acknowledged() >= goal).await;
    world.pulled(&large, world.balancer, 6, PATIENCE).await;
    world.stage.down().await;
    for gateway in 0..3 {
        let address = world.gateways[gateway].pulls;
        world.pulled(&warm, address, 1, PATIENCE).await;
    }
    let meta = world.meta();
    let history = writers.history(&meta).await;
    check(&history).unwrap_or_else(|verdict| panic!("{verdict}"));
    measured!("{} writes acknowledged, {} of unknown outcome, none lost", history.acknowledged(), history.unknown());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a trial: run by .ci/cluster"]
async fn a_rolling_restart_fails_no_pull() {
    let mut world = World::start("rolling", THREE).await;
    let mut names = Vec::new();
    for number in 0..120 {
        let name = format!("library/image{number}:1");
        names.push(world.stage.make(&name, 200 + number, &[300_000, 30_000], false).await.at(world.balancer));
    }
    // Slow enough that something is always on its way.
    world.stage.bandwidth(Some(4_000_000)).await;
    let mut words = vec!["--clients", "8", "--time", "50s"];
    words.extend(names.iter().map(String::as_str));
    let mut load = world.load(&words);
    for node in 0..3 {
        world.nodes[node].stop().await;
        let World { nodes, network, .. } = &mut world;
        nodes[node].start(network);
        let took = world.until_level().await;
        measured!("node{} was level again after {took:.2?}", node + 1);
    }
    for gateway in 0..3 {
        world.gateways[gateway].stop().await;
        let World { gateways, network, .. } = &mut world;
        gateways[gateway].start(network);
        world.until_ready(gateway).await;
        // Before the next one goes, the load balancer has to know that this one is back.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(load.runs(), "the load ended before the last restart");
    let report = load.report(PATIENCE).await;
    report.without_failure("pulls during a rolling restart");
    measured!(
        "{} pulls in {:.0} s, the slowest {:.2?}; {} bodies broke off and were continued; none failed",
        report.pulls,
        report.seconds,
        report.slowest,
        report.resumed
    );
}
