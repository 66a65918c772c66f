//! The raft leader is killed.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use roadstead_loadtest::history::check;
use roadstead_proto::meta::MetaStore as _;
use roadstead_proto::state::command::{Bootstrap, Command};

use super::measured;
use crate::process::until;
use crate::world::{Shape, THREE, World};
use crate::writers::{PROBE, Writers, put};

const PATIENCE: Duration = Duration::from_secs(60);
/// How long configuration writes may be refused.
const AT_MOST: Duration = Duration::from_secs(2);

/// How long it takes until a write is accepted again.
pub(super) async fn until_accepted(world: &World) -> Duration {
    let (meta, began) = (world.meta(), Instant::now());
    while meta.propose(put(PROBE, 0)).await.is_err() {
        assert!(began.elapsed() < PATIENCE, "no write is accepted");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a trial: run by .ci/cluster"]
async fn no_pull_fails_when_the_leader_is_killed_and_writes_go_on() {
    let mut world = World::start("leader", THREE).await;
    let mut images = Vec::new();
    for number in 0..60 {
        images
            .push(world.stage.make(&format!("library/image{number}:1"), 100 + number, &[200_000, 50_000], false).await);
    }
    let names: Vec<String> = images.iter().map(|image| image.at(world.balancer)).collect();
    let mut words = vec!["--clients", "8", "--time", "12s"];
    words.extend(names.iter().map(String::as_str));
    let mut load = world.load(&words);
    let mut slowest = Duration::ZERO;
    let mut kills = 0;
    while load.runs() && kills < 3 {
        // Pulls go on for a while, cold ones and warm ones.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let leader = world.until_led().await;
        world.nodes[leader].kill();
        kills += 1;
        let took = until_accepted(&world).await;
        measured!("{} led and was killed; a write was accepted after {took:.2?}", world.nodes[leader].name);
        slowest = slowest.max(took);
        let World { nodes, network, .. } = &mut world;
        nodes[leader].start(network);
    }
    let report = load.report(PATIENCE).await;
    report.without_failure("pulls while leaders were killed");
    measured!("{} pulls in {:.0} s, the slowest {:.2?}, none failed", report.pulls, report.seconds, report.slowest);
    assert_eq!(kills, 3);
    assert!(slowest <= AT_MOST, "{slowest:?}");
}

/// A number that a longer run sets by the environment.
fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a trial: run by .ci/cluster"]
async fn no_acknowledged_write_is_lost_under_random_kills() {
    let seed = number("ROADSTEAD_TRIALS_SEED", 5);
    let (kills, writes) = (number("ROADSTEAD_TRIALS_KILLS", 20), number("ROADSTEAD_TRIALS_WRITES", 10_000));
    let mut world = World::start("writes", Shape { gateways: 0, ..THREE }).await;
    let bootstrap = Bootstrap { group_path: "trials".into(), registry_name: "trials".into(), upstreams: Vec::new() };
    world.meta().propose(Command::Bootstrap(bootstrap)).await.unwrap();

    let writers = Writers::start(16, seed, || world.meta());
    let mut draw = StdRng::seed_from_u64(seed);
    let mut leaders = 0;
    let began = Instant::now();
    for kill in 1..=kills {
        // Some writes between any two kills, so that each of them has something to lose.
        let goal = writers.acknowledged() + writes / (2 * kills);
        until("writes go on", PATIENCE, async || writers.acknowledged() >= goal).await;
        let leader = world.until_led().await;
        let victim = if draw.random_bool(0.6) { leader } else { draw.random_range(0..3) };
        leaders += u64::from(victim == leader);
        world.nodes[victim].kill();
        // Some come back at once, some when the others have gone on without them; every fifth time two are away.
        let second = (kill % 5 == 0).then(|| (victim + 1) % 3);
        if let Some(second) = second {
            world.nodes[second].kill();
        }
        tokio::time::sleep(Duration::from_millis(draw.random_range(0..1_200))).await;
        let World { nodes, network, .. } = &mut world;
        nodes[victim].start(network);
        if let Some(second) = second {
            nodes[second].start(network);
        }
    }
    until("all writes are acknowledged", Duration::from_secs(120), async || writers.acknowledged() >= writes).await;
    until_accepted(&world).await;
    let took = began.elapsed();
    let meta = world.meta();
    let history = writers.history(&meta).await;
    let (acknowledged, unknown) = (history.acknowledged(), history.unknown());
    let began = Instant::now();
    let checked = check(&history).unwrap_or_else(|verdict| panic!("seed {seed}: {verdict}"));
    measured!(
        "seed {seed}: {acknowledged} writes acknowledged and {unknown} of unknown outcome on {} keys in {took:.0?}, under \
         {kills} kills ({leaders} of leaders); {} operations judged in {:.1?}: none lost",
        checked.keys,
        checked.operations,
        began.elapsed()
    );
    assert!(acknowledged as u64 >= writes && checked.keys > 200);
}
