//! Loss of power: nothing that was acknowledged is lost, whatever part of the unsynced writes reached the disk.

use std::sync::Arc;
use std::time::Duration;

use roadstead_node::{Compaction, LocalMeta};
use roadstead_proto::clock::SystemClock;
use roadstead_proto::meta::Consistency;
use tokio::task::JoinSet;

use crate::world::{World, names, put_token, put_tokens, tokens};

/// Writes until the member fails; answers the names that were acknowledged.
async fn write_until_failure(meta: Arc<LocalMeta>, writer: u64) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        let name = format!("{writer}-{number}");
        if put_token(&meta, &name).await.is_err() {
            break;
        }
        acknowledged.push(name);
    }
    acknowledged
}

/// Several writers, the power goes in the middle, the member starts again: round after round on one directory.
async fn survives(seed: u64, checkpoint: Duration, compaction: Compaction) {
    let adjust = |config: &mut roadstead_node::Config| {
        config.timing.checkpoint = checkpoint;
        config.compaction = compaction;
    };
    let mut world = World::start_with(adjust, Arc::new(SystemClock)).await;
    let mut expected = Vec::new();
    for round in 0..4 {
        world.power.cut_after(200 + seed * 37 % 211 + round * 53);
        let mut writers = JoinSet::new();
        for writer in 0..4 {
            writers.spawn(write_until_failure(world.meta(), round * 10 + writer));
        }
        for acknowledged in writers.join_all().await {
            expected.extend(acknowledged);
        }
        assert!(!world.power.is_on());
        world.crash().await;
        world.start_again(seed * 1000 + round + 1).await;
        let (_, found) = tokens(&world.meta(), Consistency::Linearizable).await;
        for name in &expected {
            assert!(found.contains(name), "seed {seed}, round {round}: {name} was acknowledged and is gone");
        }
    }
    assert!(expected.len() > 20, "only {} writes were acknowledged", expected.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost() {
    for seed in 0..6 {
        survives(seed, Duration::from_secs(3600), Compaction::default()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_among_checkpoints_and_snapshots() {
    for seed in 10..16 {
        survives(seed, Duration::from_millis(5), Compaction::every(20, 0)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_synced_is_applied_again() {
    let mut world = World::start().await;
    put_tokens(&world.meta(), 0..50).await;
    let before = world.node().status();
    assert!(before.unsynced >= 50, "{before:?}");
    world.crash().await;
    world.start_again(0).await;
    assert_eq!(tokens(&world.meta(), Consistency::Linearizable).await.1, names(0..50));
}
