//! The network is cut, one way or both; lines are slow and lossy.

use std::time::Duration;

use roadstead_loadtest::history::check;

use super::leader::until_accepted;
use super::measured;
use crate::process::until;
use crate::world::{THREE, World};
use crate::writers::Writers;

const PATIENCE: Duration = Duration::from_secs(60);
const NODES: [&str; 3] = ["node1", "node2", "node3"];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a trial: run by .ci/cluster"]
async fn a_gateway_cut_off_from_all_nodes_serves_on() {
    let mut world = World::start("cut-off", THREE).await;
    let warm = world.stage.make("library/warm:1", 10, &[100_000], false).await;
    let (cut_off, other) = (world.gateways[0].pulls, world.gateways[1].pulls);
    world.pulled(&warm, cut_off, 1, PATIENCE).await;
    world.network.part(&["gateway1"], &NODES);

    let report = world.load(&["--clients", "8", "--pulls", "2000", &warm.at(cut_off)]).report(PATIENCE).await;
    report.without_failure("warm pulls at a gateway without nodes");
    measured!("{} warm pulls, the slowest {:.2?}", report.pulls, report.slowest);
    let cold = world.stage.make("library/cold:1", 11, &[2_000_000, 100_000], false).await;
    let report = world.load(&["--clients", "4", &cold.at(cut_off)]).report(PATIENCE).await;
    report.without_failure("cold pulls at a gateway without nodes");
    measured!("cold pulls, the slowest {:.2?}", report.slowest);
    // The others do not notice.
    let another = world.stage.make("library/another:1", 12, &[500_000], false).await;
    world.pulled(&another, other, 4, PATIENCE).await;

    world.network.heal();
    measured!("everything was recorded {:.2?} after the cut was mended", world.until_recorded(&cold).await);
    world.stage.down().await;
    world.pulled(&cold, other, 1, PATIENCE).await;
    world.pulled(&another, cut_off, 1, PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a trial: run by .ci/cluster"]
async fn a_gateway_cut_off_from_the_leader_of_a_download_gets_it_all_the_same() {
    let mut world = World::start("gateways", THREE).await;
    let image = world.stage.make("library/large:1", 13, &[40_000_000], false).await;
    let digest = image.largest().digest.clone();
    world.stage.bandwidth(Some(8_000_000)).await;
    let leader = world.load(&[&image.at(world.gateways[0].pulls)]);
    let stage = &world.stage;
    until("the download begins", PATIENCE, async || stage.counters().await.bytes_of(&digest) > 0).await;
    let names: Vec<_> = [1, 2].map(|gateway| image.at(world.gateways[gateway].pulls)).to_vec();
    let followers: Vec<_> = names.iter().map(|name| world.load(&["--clients", "2", name])).collect();
    let stage = &world.stage;
    until("a third is there", PATIENCE, async || stage.counters().await.bytes_of(&digest) > 13_000_000).await;
    world.network.part(&["gateway1"], &["gateway2"]);
    for load in followers {
        let report = load.report(PATIENCE).await;
        report.without_failure("clients of followers");
        measured!("clients of a follower pulled in {:.1?}, {} connections broke off", report.slowest, report.resumed);
    }
    leader.report(PATIENCE).await.without_failure("the leader's client");
    measured!("the upstream sent {:.2} times the blob", world.stage.counters().await.bytes_of(&digest) as f64 / 40e6);
}

/// Cuts around the leader, in every way there is, while clients write and read; then the history is judged.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a trial: run by .ci/cluster"]
async fn nodes_cut_off_from_each_other_lose_no_write() {
    let mut world = World::start("nodes", THREE).await;
    let writers = Writers::start(12, 7, || world.meta());
    for (what, out, back) in
        [("cut off from the others", true, true), ("heard by nobody", true, false), ("deaf to the others", false, true)]
    {
        let goal = writers.acknowledged() + 500;
        until("writes go on", PATIENCE, async || writers.acknowledged() >= goal).await;
        let leader = world.until_led().await;
        for other in NODES.iter().filter(|name| **name != NODES[leader]) {
            if out {
                world.network.silence(NODES[leader], other);
            }
            if back {
                world.network.silence(other, NODES[leader]);
            }
        }
        measured!("the leader {what}: a write was accepted after {:.2?}", until_accepted(&world).await);
        let goal = writers.acknowledged() + 500;
        until("writes go on", PATIENCE, async || writers.acknowledged() >= goal).await;
        world.network.heal();
    }
    until_accepted(&world).await;
    world.until_level().await;
    let meta = world.meta();
    let history = writers.history(&meta).await;
    let checked = check(&history).unwrap_or_else(|verdict| panic!("{verdict}"));
    measured!(
        "{} writes acknowledged, {} of unknown outcome, {} operations judged: none lost",
        history.acknowledged(),
        history.unknown(),
        checked.operations
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a trial: run by .ci/cluster"]
async fn slow_and_lossy_lines_make_things_slow_and_nothing_wrong() {
    let mut world = World::start("lines", THREE).await;
    let image = world.stage.make("library/image:1", 14, &[3_000_000, 400_000], false).await;
    let network = &world.network;
    let lossy = NODES.iter().flat_map(|from| NODES.iter().map(move |to| (from, to))).filter(|(from, to)| from != to);
    let lossy: Vec<bool> = lossy.map(|(from, to)| network.lose(from, to, 5)).collect();
    let lossy = lossy.into_iter().all(|one| one);
    let others = ["node1", "node2", "node3", "gateway2", "gateway3", "s3", "upstream"];
    let slow = network.slow("gateway1", &others, 2_000_000);
    let far = network.delay("gateway2", "node1", Duration::from_millis(20));
    measured!("nodes lose 5 % ({lossy}), gateway1's line has 2 MB/s ({slow}), gateway2 is 20 ms from node1 ({far})");
    measured!("a write was accepted after {:.2?}", until_accepted(&world).await);
    let names: Vec<String> = world.gateways.iter().map(|gateway| image.at(gateway.pulls)).collect();
    let mut words = vec!["--clients", "6", "--pulls", "60"];
    words.extend(names.iter().map(String::as_str));
    let report = world.load(&words).report(PATIENCE).await;
    report.without_failure("pulls over slow and lossy lines");
    measured!("{} pulls, the slowest {:.2?}", report.pulls, report.slowest);
    let digest = &image.largest().digest;
    assert_eq!(world.stage.counters().await.gets_of(digest), 1, "one download all the same");
}
