//! Sessions that fall silent, judged by a clock that the test moves.

use std::sync::Arc;
use std::time::Duration;

use roadstead_proto::clock::ManualClock;
use roadstead_proto::domain::fleet::{Registration, Report};
use roadstead_proto::domain::lease::{GatewayId, SESSION_TTL, SessionId};
use roadstead_proto::domain::registry::RegionId;
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::meta::{Leases, MetaError};
use roadstead_proto::state::command::Refusal;

use crate::world::World;

const SECOND: Duration = Duration::from_secs(1);

async fn world() -> (World, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(Timestamp(1_000_000)));
    // The job's step is taken by hand.
    let by_hand = |config: &mut roadstead_node::Config| config.timing.session_check = Duration::from_secs(3600);
    (World::start_with(by_hand, Arc::<ManualClock>::clone(&clock)).await, clock)
}

async fn open(world: &World, gateway: &str) -> SessionId {
    let gateway = GatewayId(gateway.to_owned());
    world.meta().open_session(&Registration::alone(gateway, RegionId::default_region())).await.expect("a session")
}

async fn silent(world: &World) -> Vec<SessionId> {
    world.meta().end_silent_sessions().await.expect("a step of the job")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_session_ends_and_a_kept_one_does_not() {
    let (world, clock) = world().await;
    let (quiet, kept) = (open(&world, "quiet").await, open(&world, "kept").await);
    for _ in 0..3 {
        assert_eq!(silent(&world).await, []);
        clock.advance(SECOND);
        world.meta().keep_alive(kept, &Report::default()).await.expect("it lives");
    }
    assert_eq!(silent(&world).await, [quiet]);
    assert_eq!(world.meta().keep_alive(quiet, &Report::default()).await, Err(MetaError::Refused(Refusal::NoSession)));
    assert!(world.meta().keep_alive(kept, &Report::default()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_waits_a_whole_session_time() {
    let (mut world, clock) = world().await;
    let session = open(&world, "gateway").await;
    clock.advance(2 * SECOND);
    assert_eq!(silent(&world).await, []);
    world.restart().await;
    assert_eq!(silent(&world).await, []);
    clock.advance(2 * SECOND);
    assert_eq!(silent(&world).await, [], "four seconds of silence, two of them heard by nobody");
    clock.advance(SESSION_TTL - 2 * SECOND);
    assert_eq!(silent(&world).await, [session]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_session_is_gone_at_once() {
    let (world, _) = world().await;
    let session = open(&world, "gateway").await;
    world.meta().close_session(session).await.expect("it closes");
    assert_eq!(world.meta().keep_alive(session, &Report::default()).await, Err(MetaError::Refused(Refusal::NoSession)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_takes_its_steps_by_itself() {
    let clock = Arc::new(ManualClock::at(Timestamp(1_000_000)));
    let often = |config: &mut roadstead_node::Config| config.timing.session_check = Duration::from_millis(1);
    let world = World::start_with(often, Arc::<ManualClock>::clone(&clock)).await;
    let session = open(&world, "gateway").await;
    let ended = async {
        while world.meta().keep_alive(session, &Report::default()).await.is_ok() {
            // Less than the session's time at each step, or the leader takes itself for the one that slept.
            for _ in 0..4 {
                clock.advance(SECOND);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended).await.expect("the session ends");
}
