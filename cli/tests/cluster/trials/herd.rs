//! Everybody wants the same at once.

use std::time::{Duration, Instant};

use super::measured;
use crate::engines::Engine;
use crate::world::{THREE, World};

const CLIENTS: usize = 300;
const UPSTREAM: u64 = 1_000_000;
/// How much longer the slowest pull may take than one straight from the upstream.
const AT_MOST: f64 = 1.5;
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a trial: run by .ci/cluster"]
async fn three_hundred_pulls_of_one_image_are_one_download() {
    let mut world = World::start("herd", THREE).await;
    let image = world.stage.make("library/herd:1", 1, &[8_000_000, 6_000_000, 4_000_000, 2_000_000], true).await;
    let mut engines = Engine::all(&world).await;
    world.stage.bandwidth(Some(UPSTREAM)).await;

    let direct = world.load(&[&format!("http://{}/{}", world.stage.address, image.name)]).report(PATIENCE).await;
    direct.without_failure("the direct pull");
    world.stage.reset_counters().await;

    let load = world.load(&["--clients", &CLIENTS.to_string(), &image.at(world.balancer)]);
    let began = Instant::now();
    let pulls = engines.iter_mut().map(|engine| (engine.name(), engine.pull(&image, world.balancer)));
    let pulls = pulls.collect::<Vec<_>>().into_iter().map(async |(name, pull)| (name, pull.ended(began).await));
    let mut slowest = Duration::ZERO;
    for (name, took) in futures::future::join_all(pulls).await {
        measured!("{name} pulled in {took:.1?}");
        slowest = slowest.max(took);
    }
    let report = load.report(PATIENCE).await;
    report.without_failure("the herd");
    assert_eq!(report.pulls, CLIENTS as u64);
    slowest = slowest.max(report.slowest);
    let ratio = slowest.as_secs_f64() / direct.slowest.as_secs_f64();
    measured!(
        "{CLIENTS} pulls of {} bytes at {UPSTREAM} bytes/s: direct {:.1?}, the slowest of the driver's {:.1?}, of all {ratio:.2} times",
        image.bytes(),
        direct.slowest,
        report.slowest
    );
    let gets = world.stage.counters().await.gets();
    measured!("the upstream answered {} GETs for {} blobs and a manifest", gets.len(), image.blobs.len());
    assert!(gets.iter().all(|(_, count)| *count == 1), "{gets:#?}");
    assert_eq!(gets.len(), image.blobs.len() + 1, "{gets:#?}");
    assert!(ratio <= AT_MOST, "{ratio:.2} times");
}
