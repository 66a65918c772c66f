//! Two regions with a bucket each, the second with a learner in place of a node: what crosses, and what goes on alone.

use std::fs;
use std::time::Duration;

use super::measured;
use crate::process::until;
use crate::world::{Shape, THREE, World};

const PATIENCE: Duration = Duration::from_secs(60);
const TWO_REGIONS: Shape = Shape { region: Some("eu"), ..THREE };
/// The gateway of the second region, and its node.
const EU: usize = 2;

fn objects(world: &World, bucket: &str) -> usize {
    let files =
        |folder: &str| fs::read_dir(world.path().join("s3").join(bucket).join(folder)).map_or(0, Iterator::count);
    files("sha256")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a trial: run by .ci/cluster"]
async fn a_region_copies_from_the_other_and_goes_on_alone() {
    let mut world = World::start("regions", TWO_REGIONS).await;
    let first = world.stage.make("library/first:1", 301, &[5_000_000, 40_000], false).await;
    let second = world.stage.make("library/second:1", 302, &[3_000_000, 50_000], false).await;
    for image in [&first, &second] {
        let from = world.gateways[0].pulls;
        world.pulled(image, from, 3, PATIENCE).await;
        world.until_recorded(image).await;
    }

    // What the one region has fetched the other copies, and keeps.
    world.stage.reset_counters().await;
    let eu = world.gateways[EU].pulls;
    world.pulled(&first, eu, 3, PATIENCE).await;
    let asked = world.stage.counters().await.gets();
    assert!(asked.is_empty(), "the other region has it all: {asked:?}");
    let all = first.blobs.len() + 1;
    until("the copies are kept", PATIENCE, async || objects(&world, "trials-eu") == all).await;
    // What is not recorded when its gateway is killed is nobody's.
    world.until_recorded_in("eu".parse().unwrap(), &first).await;
    measured!("{} bytes came from the other region's bucket, none from the upstream", first.bytes());

    // No quorum, no upstream: the learner says where the other image is, and the other bucket has it.
    world.stage.down().await;
    for node in 0..EU {
        world.nodes[node].kill();
    }
    world.pulled(&second, eu, 3, PATIENCE).await;
    measured!("without a quorum the learner still says where the other region keeps an image");

    // The other region is gone, bucket and all: what was copied is this one's own.
    for gateway in 0..EU {
        world.gateways[gateway].kill();
    }
    fs::remove_dir_all(world.path().join("s3/trials")).unwrap();
    fs::create_dir(world.path().join("s3/trials")).unwrap();
    for node in 0..EU {
        let World { nodes, network, .. } = &mut world;
        nodes[node].start(network);
    }
    world.until_led().await;
    world.gateways[EU].kill();
    let World { gateways, network, .. } = &mut world;
    gateways[EU].start(network);
    world.until_ready(EU).await;
    world.pulled(&first, eu, 3, PATIENCE).await;
    measured!("the other region gone, bucket and all: what was copied is still served, after a restart too");
}
