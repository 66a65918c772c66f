//! Snapshots and compaction of the log, on one member.

use std::sync::Arc;
use std::time::Duration;

use roadstead_node::{Compaction, Config, Status};
use roadstead_proto::clock::SystemClock;
use roadstead_proto::meta::Consistency;

use crate::world::{World, names, put_tokens, tokens};

fn compact_often(config: &mut Config) {
    config.compaction = Compaction::every(50, 10);
    config.timing.checkpoint = Duration::from_secs(3600);
}

/// Waits for what the member does beside its answers.
async fn until(world: &World, holds: impl Fn(&Status) -> bool) -> Status {
    let wait = async {
        loop {
            let status = world.node().status();
            if holds(&status) {
                return status;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("it happens")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_stays_short() {
    let world = World::start_with(compact_often, Arc::new(SystemClock)).await;
    put_tokens(&world.meta(), 0..300).await;
    until(&world, |status| status.log_entries < 120 && status.snapshot >= Some(200)).await;
    assert_eq!(tokens(&world.meta(), Consistency::Linearizable).await.1, names(0..300));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_log_is_not_worth_a_snapshot_until_somebody_wants_one() {
    let seldom = |config: &mut Config| {
        config.compaction = Compaction { log_bytes_min: 1 << 20, ..Compaction::every(10, 0) };
    };
    let world = World::start_with(seldom, Arc::new(SystemClock)).await;
    put_tokens(&world.meta(), 0..200).await;
    assert_eq!(world.node().status().snapshot, None);
    world.node().compact().await.expect("it runs");
    until(&world, |status| status.snapshot >= Some(200) && status.log_entries == 0).await;
    put_tokens(&world.meta(), 200..300).await;
    assert!(world.node().status().log_entries >= 100, "one, and no more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purged_log_is_never_needed_again() {
    // No checkpoint by time: only the one that a snapshot makes stands between the purged log and a loss.
    let mut world = World::start_with(compact_often, Arc::new(SystemClock)).await;
    for round in 0..3_u32 {
        put_tokens(&world.meta(), round * 100..round * 100 + 100).await;
        let status = until(&world, |status| status.log_entries < 100 && status.snapshot.is_some()).await;
        let beyond = status.applied.zip(status.snapshot).map(|(applied, snapshot)| applied - snapshot);
        assert!(Some(status.unsynced) <= beyond, "what is purged is synced: {status:?}");
        world.crash().await;
        world.start_again(u64::from(round) * 2).await;
        assert_eq!(tokens(&world.meta(), Consistency::Linearizable).await.1, names(0..round * 100 + 100));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_outlives_a_restart() {
    let mut world = World::start_with(compact_often, Arc::new(SystemClock)).await;
    put_tokens(&world.meta(), 0..120).await;
    let before = until(&world, |status| status.snapshot.is_some() && status.log_entries < 100).await;
    world.restart().await;
    let after = world.node().status();
    assert!(after.snapshot >= before.snapshot, "{after:?}");
    assert!(after.log_entries < 100, "{after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_state_file_is_rebuilt_from_the_snapshot_and_the_log() {
    let mut world = World::start_with(compact_often, Arc::new(SystemClock)).await;
    put_tokens(&world.meta(), 0..120).await;
    until(&world, |status| status.snapshot.is_some() && status.log_entries < 100).await;
    world.stop().await;
    std::fs::remove_file(world.config.data_dir.join("state.redb")).expect("the state file");
    world.start_again(0).await;
    assert_eq!(tokens(&world.meta(), Consistency::Linearizable).await.1, names(0..120));
}
