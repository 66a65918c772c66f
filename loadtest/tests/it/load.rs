//! The load generator, and both load drivers as scripts use them.

use std::process::{Command, Output};
use std::time::Duration;

use roadstead_loadtest::measure::{Amount, Load, Outcome, Target};
use roadstead_loadtest::registry::{Effect, Fault, Kind};

use crate::world::{REPOSITORY, World, manifest_path};

const PROGRAM: &str = env!("CARGO_BIN_EXE_roadstead-loadtest");

/// So many requests for everything in `paths`, over three connections.
async fn load(world: &World, paths: &[String], requests: u64) -> Outcome {
    let url = |path: &String| format!("{}{path}", world.upstream.url()).parse().unwrap();
    let load = Load {
        targets: paths.iter().map(|path| Target::get(&url(path), &[]).unwrap()).collect(),
        connections: 3,
        amount: Amount::Requests(requests),
        warm_up: Duration::ZERO,
        rate: None,
        servers: vec![std::process::id()],
        settle: Duration::ZERO,
    };
    tokio::task::spawn_blocking(move || load.run()).await.unwrap().unwrap()
}

async fn program(args: Vec<String>) -> Output {
    tokio::task::spawn_blocking(move || Command::new(PROGRAM).args(args).output().unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_is_as_many_requests_as_were_asked_for() {
    let world = World::start().await;
    let outcome = load(&world, &[world.layer_path()], 12).await;
    assert_eq!((outcome.requests, outcome.bytes, outcome.failed()), (12, 1_200_000, 0));
    assert_eq!(world.upstream.counters().blob_gets(world.layer().digest()), 12);
    assert_eq!(world.upstream.counters().connections(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_goes_round_its_addresses() {
    let world = World::start().await;
    let outcome = load(&world, &[world.layer_path(), manifest_path("1")], 30).await;
    assert_eq!(outcome.requests, 30);
    let counters = world.upstream.counters();
    assert!(counters.of(Kind::BlobGet) >= 5 && counters.of(Kind::ManifestGet) >= 5, "{counters:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_counted_by_reason() {
    let world = World::start().await;
    world
        .upstream
        .set_faults([Fault::status(503, "UNAVAILABLE").times(1), Fault::new(Effect::Truncate { after: 10 }).times(1)]);
    let outcome = load(&world, &[world.layer_path()], 6).await;
    assert_eq!((outcome.requests, outcome.failed()), (4, 2), "{:?}", outcome.failures);
    assert_eq!(outcome.failures.get("the server answered 503"), Some(&1));
}

#[tokio::test(flavor = "multi_thread")]
async fn measure_prints_one_line_of_json() {
    let world = World::start().await;
    let url = format!("{}{}", world.upstream.url(), world.layer_path());
    let args = ["measure", "--json", "--requests", "4", "--connections", "2", &url];
    let output = program(args.map(str::to_owned).to_vec()).await;
    assert!(output.status.success(), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["requests"], &report["bytes"]), (&4.into(), &400_000.into()), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn run_pulls_everything_with_every_client() {
    let world = World::start().await;
    world.upstream.push(REPOSITORY, "2", &world.image);
    let image = |tag: &str| format!("{}/{REPOSITORY}:{tag}", world.upstream.addr());
    let args = ["run", "--json", "--clients", "3", "--slow", "1", "--slow-rate", "1GB", &image("1"), &image("2")];
    let output = program(args.map(str::to_owned).to_vec()).await;
    assert!(output.status.success(), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["pulls"], &report["kinds"]["layer"]["count"]), (&6.into(), &12.into()), "{report}");
    assert_eq!(world.upstream.counters().blob_gets(world.layer().digest()), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn run_fails_when_a_pull_has_failed() {
    let world = World::start().await;
    world.upstream.set_faults([Fault::status(404, "MANIFEST_UNKNOWN").on(Kind::ManifestHead).times(1)]);
    let args = ["run", "--pulls", "3", &format!("{}/{REPOSITORY}:1", world.upstream.addr())];
    let output = program(args.map(str::to_owned).to_vec()).await;
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.starts_with("2 pulls, ") && printed.contains("resolve: the server answered 404"), "{printed}");
}
