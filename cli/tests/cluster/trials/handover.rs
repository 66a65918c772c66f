//! The gateway that leads a download is killed.

use std::time::Duration;

use super::measured;
use crate::process::until;
use crate::world::{THREE, World};

const BLOB: u64 = 1_000_000_000;
/// Twenty seconds for the whole blob: what is tried is the cluster, and not how fast this machine is.
const UPSTREAM: u64 = 50_000_000;
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a trial: run by .ci/cluster"]
async fn a_download_outlives_the_gateway_that_leads_it() {
    let mut world = World::start("handover", THREE).await;
    let image = world.stage.make("library/large:1", 2, &[BLOB], false).await;
    let blob = image.largest().clone();
    world.stage.bandwidth(Some(UPSTREAM)).await;

    // The first to ask leads.
    let first = world.load(&[&image.at(world.gateways[0].pulls)]);
    let stage = &world.stage;
    until("the download begins", PATIENCE, async || stage.counters().await.bytes_of(&blob.digest) > 0).await;
    let others: Vec<_> = [1, 2, 1, 2].map(|gateway| image.at(world.gateways[gateway].pulls)).to_vec();
    let others: Vec<_> = others.iter().map(|name| world.load(&[name])).collect();
    let stage = &world.stage;
    until("half of it is there", PATIENCE, async || stage.counters().await.bytes_of(&blob.digest) >= BLOB / 2).await;
    world.gateways[0].kill();

    let cut_off = first.report(PATIENCE).await;
    measured!("the killed gateway's own client: {:?}", cut_off.failures.keys());
    for load in others {
        let report = load.report(PATIENCE).await;
        report.without_failure("a client of another gateway");
        assert_eq!(report.resumed, 0, "it saw its connection end");
        measured!("a client of another gateway pulled in {:.1?}", report.slowest);
    }
    let counters = world.stage.counters().await;
    let (sent, gets) = (counters.bytes_of(&blob.digest), counters.gets_of(&blob.digest));
    measured!(
        "the upstream sent {sent} bytes of {} in {gets} answers: {:.3} times",
        blob.size,
        sent as f64 / blob.size as f64
    );
    assert!(sent as f64 <= 1.05 * blob.size as f64, "{sent} bytes");

    // What the followers finished is stored, and nobody is in the way of anybody.
    world.stage.down().await;
    let after = image.at(world.gateways[2].pulls);
    world.load(&[&after]).report(PATIENCE).await.without_failure("a pull without the upstream");
}
